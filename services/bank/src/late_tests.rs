//! Transfers when something is late: accounts and transfers with their real parts, with a clock that is moved by hand and a
//! bus that holds records back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use accounts::domain::{CloseAccount, DepositFunds, OpenAccount, WithdrawFunds};
use accounts::messages::{AccountPublication, TRANSFERS, commands_of_transfers};
use factum::bus::{Bus, MemoryBus};
use factum::runtime::ManualClock;
use factum::store::{Direction, EngineOptions, EngineStore, MemoryStore, RecordedEvent};
use factum::{Personal, Position, Runtime, Selection, Service};
use tempfile::TempDir;
use transfers::domain::{RequestTransfer, Transfer};
use transfers::messages::TransferPublication;
use transfers::process_managers::STEP_TIME_MAX;

use crate::audit::fold::Ledger;
use crate::client::Log;
use crate::slow_bus::{HeldBack, SlowBus};
use crate::steps_tests::proof::line;

const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const BOB: &str = "6f1a7c1e-0000-4000-8000-000000000002";
const PAID: &str = "7a2b8d2f-0000-4000-8000-000000000001";
const COMMANDS: &str = "bank.accounts.commands.transfers";
const EVENTS: &str = "bank.accounts.account.events";
/// How long a test waits for something that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both services, and what drives them.
struct World {
    runtime: Runtime,
    clock: ManualClock,
    bus: Arc<SlowBus>,
    folder: TempDir,
    accounts: Service,
    /// None while they are stopped.
    transfers: Option<Service>,
}

impl World {
    /// Ada has 10.00 EUR, Bob an empty account.
    async fn new(held_back: HeldBack) -> Self {
        let (runtime, clock) = Runtime::manual(1);
        let bus = Arc::new(SlowBus::new(Arc::new(MemoryBus::new()), held_back));
        let accounts = Service::builder("bank", "accounts")
            .runtime(runtime.clone())
            .store(Arc::new(MemoryStore::new()))
            .bus(Arc::clone(&bus) as Arc<dyn Bus>)
            .handles::<OpenAccount>()
            .handles::<DepositFunds>()
            .handles::<WithdrawFunds>()
            .handles::<CloseAccount>()
            .receives_from(TRANSFERS, commands_of_transfers)
            .publishes::<AccountPublication>()
            .start()
            .await
            .expect("accounts start");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut world = Self { runtime, clock, bus, folder, accounts, transfers: None };
        world.start_transfers().await;
        let currency = "EUR".parse().expect("is a currency");
        for id in [ADA, BOB] {
            let (account_id, holder) = (Some(id.parse().expect("is an id")), Personal::known(id.to_owned()));
            let open = OpenAccount { account_id, holder, currency };
            world.accounts.commands().dispatch(open).await.expect("it is opened");
        }
        let (account_id, amount) = (ADA.parse().expect("is an id"), "10.00".parse().expect("is an amount"));
        let deposit = DepositFunds { account_id, amount, currency };
        world.accounts.commands().dispatch(deposit).await.expect("it is deposited");
        world
    }

    async fn start_transfers(&mut self) {
        let store = EngineStore::open(self.folder.path(), EngineOptions::default()).expect("it can be opened");
        let started = Service::builder("bank", "transfers")
            .runtime(self.runtime.clone())
            .store(Arc::new(store))
            .bus(Arc::clone(&self.bus) as Arc<dyn Bus>)
            .handles::<RequestTransfer>()
            .publishes::<TransferPublication>()
            .manages::<Transfer>()
            .start()
            .await;
        self.transfers = Some(started.expect("transfers start"));
    }

    /// 4.00 EUR from Ada to Bob.
    async fn request(&self) {
        let request = RequestTransfer {
            transfer_id: Some(PAID.parse().expect("is an id")),
            from: ADA.parse().expect("is an id"),
            to: BOB.parse().expect("is an id"),
            amount: "4.00".parse().expect("is an amount"),
            currency: "EUR".parse().expect("is a currency"),
        };
        let transfers = self.transfers.as_ref().expect("transfers run");
        transfers.commands().dispatch(request).await.expect("it is requested");
    }

    /// Waits until the last event of the transfer is this one; time goes on a little meanwhile.
    async fn until_transfer(&self, last: &str) {
        self.until(last, self.transfers.as_ref().expect("transfers run"), &format!("transfer-{PAID}")).await;
    }

    async fn until(&self, last: &str, service: &Service, stream: &str) {
        let begun = Instant::now();
        loop {
            let names = names_of(service, stream).await;
            if names.last().is_some_and(|name| name == last) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{stream} does not come to {last}: {names:?}");
            self.clock.advance(Duration::from_millis(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn let_go(&self) {
        self.bus.let_go();
    }

    async fn transfer(&self) -> Vec<String> {
        names_of(self.transfers.as_ref().expect("transfers run"), &format!("transfer-{PAID}")).await
    }

    async fn account(&self, id: &str) -> Vec<String> {
        names_of(&self.accounts, &format!("account-{id}")).await
    }

    /// Every refusal there is.
    async fn refusals(&self) -> usize {
        events_of(&self.accounts).await.iter().filter(|(_, name)| name.starts_with("outcome.")).count()
    }
}

/// The audit's own fold of both logs finds nothing, and the transfer is what its accounts say.
async fn is_sound(world: &World) {
    let mut ledger = Ledger::default();
    let transfers = world.transfers.as_ref().expect("transfers run");
    for (log, service) in [(Log::Transfers, transfers), (Log::Accounts, &world.accounts)] {
        for event in recorded(service).await {
            let event = serde_json::from_value(line(&event)).expect("is an event of the admin surface");
            assert_eq!(ledger.apply(log, &event), [""; 0]);
        }
    }
    let id = PAID.parse().expect("is an id");
    let (transfer, legs) = (&ledger.transfers()[&id], &ledger.legs()[&id]);
    assert!(transfer.state.is_end() && transfer.differs_from(legs).is_none(), "{transfer:?} {legs:?}");
}

async fn recorded(service: &Service) -> Vec<RecordedEvent> {
    let store = service.store().expect("it has a store");
    let all = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).await;
    all.expect("it can be read").events
}

async fn events_of(service: &Service) -> Vec<(String, String)> {
    let events = recorded(service).await;
    events.into_iter().map(|event| (event.stream.to_string(), event.name.to_string())).collect()
}

async fn names_of(service: &Service, stream: &str) -> Vec<String> {
    events_of(service).await.into_iter().filter(|(of, _)| of == stream).map(|(_, name)| name).collect()
}

const ADA_PAID: [&str; 4] =
    ["account.opened", "account.funds-deposited", "account.funds-held", "account.hold-captured"];
const BOB_GOT: [&str; 2] = ["account.opened", "account.credited"];

#[tokio::test]
async fn a_credit_command_that_is_late_and_recorded_first_completes_the_transfer() {
    let world = World::new(Some((COMMANDS, "/credit"))).await;
    world.request().await;
    world.until_transfer("transfer.funds-held").await;
    world.clock.advance(STEP_TIME_MAX);
    world.until_transfer("transfer.credit-overdue").await;
    assert_eq!(world.account(BOB).await, ["account.opened"], "a deadline decides nothing");
    world.let_go();
    world.until_transfer("transfer.completed").await;
    assert_eq!(world.account(ADA).await, ADA_PAID);
    assert_eq!(world.account(BOB).await, BOB_GOT);
    assert_eq!(world.refusals().await, 0, "the cancel came second");
    is_sound(&world).await;
}

#[tokio::test]
async fn an_outcome_that_is_late_decides_although_the_cancel_was_sent() {
    let world = World::new(Some((EVENTS, "/credit"))).await;
    world.request().await;
    world.until("account.credited", &world.accounts, &format!("account-{BOB}")).await;
    world.clock.advance(STEP_TIME_MAX);
    world.until_transfer("transfer.credit-overdue").await;
    world.let_go();
    world.until_transfer("transfer.completed").await;
    assert_eq!(world.account(ADA).await, ADA_PAID);
    assert_eq!(world.account(BOB).await, BOB_GOT);
    assert_eq!(world.refusals().await, 0);
    is_sound(&world).await;
}

#[tokio::test]
async fn a_hold_that_is_late_is_made_or_cancelled_and_never_both() {
    let world = World::new(Some((COMMANDS, "/hold"))).await;
    world.request().await;
    world.until_transfer("transfer.requested").await;
    world.clock.advance(STEP_TIME_MAX);
    world.until_transfer("transfer.hold-overdue").await;
    world.let_go();
    world.until_transfer("transfer.completed").await;
    assert_eq!(world.account(ADA).await, ADA_PAID);
    assert_eq!(world.refusals().await, 0, "the hold was sent first, on the same lane");
    is_sound(&world).await;
}

#[tokio::test]
async fn a_capture_that_is_late_is_an_alarm_and_is_waited_for() {
    let world = World::new(Some((COMMANDS, "/capture"))).await;
    world.request().await;
    world.until_transfer("transfer.target-credited").await;
    world.clock.advance(STEP_TIME_MAX);
    world.until_transfer("transfer.stalled").await;
    assert_eq!(world.account(ADA).await, ADA_PAID[..3]);
    world.let_go();
    world.until_transfer("transfer.completed").await;
    assert_eq!(world.account(ADA).await, ADA_PAID);
    is_sound(&world).await;
}

#[tokio::test]
async fn after_a_start_no_deadline_comes_before_what_was_there_to_be_heard() {
    let mut world = World::new(Some((EVENTS, "/credit"))).await;
    world.request().await;
    world.until("account.credited", &world.accounts, &format!("account-{BOB}")).await;
    let stopping = world.transfers.take().expect("transfers run");
    stopping.stop(PATIENCE).await.expect("they stop");
    world.let_go();
    world.clock.advance(10 * STEP_TIME_MAX);
    world.start_transfers().await;
    world.until_transfer("transfer.completed").await;
    let happened = world.transfer().await;
    assert!(!happened.iter().any(|name| name.ends_with("overdue")), "it was there all the time: {happened:?}");
    is_sound(&world).await;
}
