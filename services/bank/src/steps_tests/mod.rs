//! A transfer in which something is late, and at each call that any service makes of its store, its bus or its read
//! database, in turn, that service dies, or the call fails: before anything was done, or after it. Whatever happens, the
//! credit or its cancel was recorded first, that decides, and no money is made or lost.
//!
//! The story is told once undisturbed, with every call counted; then again from the beginning for each call. All of it runs on
//! one thread, in an order that follows from a seed.

pub mod proof;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use factum::bus::{Bus as _, CANCEL_NAME, Envelope, Origin, TopicPartition, partition_of};
use factum::testing::{Mishap, Simulation, Steps};
use factum::{Position, StreamName};
use serde_json::json;
use transfers::process_managers::STEP_TIME_MAX;

use crate::slow_bus::HeldBack;
use proof::{audited, judged};
use world::{Kind, World};

const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const BOB: &str = "6f1a7c1e-0000-4000-8000-000000000002";
const CYN: &str = "6f1a7c1e-0000-4000-8000-000000000003";
const DAN: &str = "6f1a7c1e-0000-4000-8000-000000000005";
/// From Ada to Bob, to which things happen.
const PAID: &str = "7a2b8d2f-0000-4000-8000-000000000001";
/// From Cyn to Dan, who have nothing to do with it.
const OTHER: &str = "7a2b8d2f-0000-4000-8000-000000000002";
const COMMANDS: &str = "bank.accounts.commands.transfers";
const EVENTS: &str = "bank.accounts.account.events";
const PARTITIONS: u32 = 12;
const SEED: u64 = 1;
/// How long before a deadline calls are counted where what comes before it is another story's.
const BEFORE_DEADLINE: Duration = Duration::from_secs(1);
/// How long after the deadline what is late arrives: who died because of it is back by then.
const LATE_BY: Duration = Duration::from_secs(10);
/// Within this time everything has come to rest where nothing is late.
const REST: Duration = Duration::from_secs(2);
/// Of so many calls of the undisturbed story, one is followed by a second death.
const SECOND_DEATH_ONE_IN: usize = 12;
/// Within so many calls of the first: a start has more, so that it comes in the start or soon after.
const SECOND_DEATH_WITHIN: u64 = 150;
/// Every story has at least so many calls, or they are not counted any more.
const CALLS_MIN: usize = 50;

/// What happens to the transfer from Ada to Bob.
#[derive(Clone, Copy, Debug, Default)]
struct Story {
    /// This comes only after the deadline of its step.
    late: HeldBack,
    /// The calls before the deadline are those of another story.
    from_deadline: bool,
    /// The cancel of the credit overtakes it, by another way than the one on which it is late.
    overtaken: bool,
    /// Calls fail, too: before or after what they do was done.
    fails: bool,
}

/// What one telling came to.
struct Told {
    /// The events of the transfer.
    course: String,
    calls: Vec<String>,
    deaths: u64,
}

async fn request(world: &World, id: &str, from: &str, to: &str, amount: &str) {
    let body = json!({ "transfer_id": id, "from": from, "to": to, "amount": amount, "currency": "EUR" });
    world.send(Kind::Transfers, "request-transfer", &body).await;
}

/// One for each account: what waits on the one of Ada or Bob is in nobody else's way.
fn partitions() -> BTreeSet<u32> {
    let of = |id| partition_of(format!("account-{id}").as_bytes(), PARTITIONS);
    let partitions = BTreeSet::from([ADA, BOB, CYN, DAN].map(of));
    assert_eq!(partitions.len(), 4);
    partitions
}

/// The cancel of the credit once more, on a partition on which it does not wait behind the credit.
async fn cancel(world: &World) {
    let store = world.store(Kind::Transfers);
    let overdue = proof::recorded(world, Kind::Transfers).await;
    let overdue =
        overdue.iter().find(|event| &*event.name == "transfer.credit-overdue").expect("the deadline has passed");
    let partition = (0..PARTITIONS).find(|partition| !partitions().contains(partition)).expect("most are not");
    let cancel = Envelope {
        id: overdue.id,
        origin: Origin { system: "bank".into(), service: "transfers".into(), source: store.identity().source() },
        name: CANCEL_NAME.to_owned(),
        stream: overdue.stream.clone(),
        key: StreamName::new(format!("account-{BOB}")).expect("is a stream"),
        version: overdue.version,
        recorded_at: overdue.recorded_at,
        position: overdue.position,
        previous: Position::ZERO,
        lineage: Vec::new(),
        command_id: Some(format!("transfer-{PAID}/credit").into()),
        correlation_id: overdue.metadata.correlation_id,
        causation_id: overdue.metadata.causation_id,
        actor: overdue.metadata.actor.clone(),
        data: "{}".into(),
    };
    let mut producer = world.bus().producer().await.expect("is in memory");
    let record = (TopicPartition::new(COMMANDS, partition), cancel.encode());
    producer.produce(vec![record]).await.expect("is in memory");
}

impl Story {
    async fn tell(self, simulation: Simulation, steps: Steps) -> (World, String) {
        let world = World::open(&simulation, &steps, self.late);
        for id in [ADA, BOB, CYN, DAN] {
            let open = json!({ "account_id": id, "holder": format!("Holder {id}"), "currency": "EUR" });
            world.send(Kind::Accounts, "open-account", &open).await;
        }
        for id in [ADA, CYN] {
            let deposit = json!({ "account_id": id, "amount": "10.00", "currency": "EUR" });
            world.send(Kind::Accounts, "deposit-funds", &deposit).await;
        }
        world.settled().await;
        if !self.from_deadline {
            steps.begin();
        }
        request(&world, PAID, ADA, BOB, "4.00").await;
        request(&world, OTHER, CYN, DAN, "3.00").await;
        if self.late.is_some() {
            world.runtime().sleep(STEP_TIME_MAX - BEFORE_DEADLINE).await;
            steps.begin();
            world.runtime().sleep(BEFORE_DEADLINE + LATE_BY).await;
            if self.overtaken {
                cancel(&world).await;
            }
            world.let_go();
        }
        world.runtime().sleep(REST).await;
        steps.end();
        world.settled().await;
        let course = judged(&world).await;
        (world, course)
    }

    /// Tells it once; the audit is clean.
    fn told(self, outside: &tokio::runtime::Runtime, planned: &[(usize, Mishap)]) -> Told {
        let simulation = Simulation::new(SEED);
        let steps = Steps::with(planned.iter().copied());
        let (world, course) = simulation.run(self.tell(simulation.clone(), steps.clone()));
        let report = outside.block_on(audited(&simulation, &world));
        assert!(report.is_clean(), "{:?}", report.differences());
        Told { course, calls: steps.calls(), deaths: world.deaths() }
    }

    /// Tells it with a mishap at every call, and with second deaths after some; how often each course was taken.
    fn with_a_mishap_at_every_step(self) -> BTreeMap<String, u64> {
        let outside = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let calm = self.told(&outside, &[]);
        let mut plans: Vec<Vec<(usize, Mishap)>> = Vec::new();
        for (number, call) in (1..).zip(&calm.calls) {
            plans.extend(self.mishaps(call).iter().map(|mishap| vec![(number, *mishap)]));
        }
        let chance = Simulation::new(SEED);
        for first in (1..=calm.calls.len()).step_by(SECOND_DEATH_ONE_IN) {
            let second = first + 1 + chance.random_below(SECOND_DEATH_WITHIN) as usize;
            plans.push(vec![(first, Mishap::DieAfter), (second, Mishap::DieAfter)]);
        }
        let (mut deaths, mut courses, mut failures) = (0, BTreeMap::<String, u64>::new(), Vec::new());
        for plan in &plans {
            match catch_unwind(AssertUnwindSafe(|| self.told(&outside, plan))) {
                Ok(told) => {
                    let (first, _) = plan[0];
                    assert_eq!(told.calls[..first], calm.calls[..first], "the same story until then");
                    deaths += told.deaths;
                    *courses.entry(told.course).or_default() += 1;
                }
                Err(_) => failures.push((plan, calm.calls[plan[0].0 - 1].as_str())),
            }
        }
        let (calls, runs) = (calm.calls.len(), plans.len());
        println!("{self:?}: {calls} calls, {runs} runs, {deaths} deaths, {courses:#?}");
        assert!(failures.is_empty(), "{} of {runs} runs fail: {failures:?}", failures.len());
        assert!(calls >= CALLS_MIN && deaths >= calls as u64, "{calls} calls, {deaths} deaths");
        let beyond = self.told(&outside, &[(calls + 1, Mishap::DieBefore)]);
        assert_eq!((beyond.calls.len(), beyond.deaths), (calls, 0), "there is no call more");
        courses
    }

    /// What is tried at a call. One that only reads leaves nothing behind: its two sides are the same.
    fn mishaps(self, call: &str) -> &'static [Mishap] {
        const READS: [&str; 6] =
            ["store.read", "store.read_stream", "store.command", "store.heads", "store.synced_beyond", "consumer.next"];
        let (_, name) = call.split_once(' ').expect("whose it is comes first");
        match READS.contains(&name) {
            true => &[Mishap::DieBefore],
            false if self.fails => &Mishap::ALL,
            false => &[Mishap::DieBefore, Mishap::DieAfter],
        }
    }
}

const COMPLETED: &str = "requested, funds-held, target-credited, completed";
const COMPLETED_LATE: &str = "requested, funds-held, credit-overdue, target-credited, completed";

#[track_caller]
fn takes_one_of(courses: &BTreeMap<String, u64>, expected: &[&str]) {
    assert_eq!(courses.keys().collect::<Vec<_>>(), expected);
}

#[test]
fn a_credit_in_time() {
    let courses = Story { fails: true, ..Story::default() }.with_a_mishap_at_every_step();
    // No deadline passes in the time that a start takes.
    takes_one_of(&courses, &[COMPLETED]);
}

#[test]
fn a_credit_command_that_is_late() {
    let courses = Story { late: Some((COMMANDS, "000001/credit")), ..Story::default() }.with_a_mishap_at_every_step();
    takes_one_of(&courses, &[COMPLETED_LATE]);
}

#[test]
fn an_outcome_of_a_credit_that_is_late() {
    let courses = Story { late: Some((EVENTS, "000001/credit")), ..Story::default() }.with_a_mishap_at_every_step();
    takes_one_of(&courses, &[COMPLETED_LATE, COMPLETED]);
}

#[test]
fn a_credit_command_that_its_cancel_overtakes() {
    let story = Story { late: Some((COMMANDS, "000001/credit")), from_deadline: true, overtaken: true, fails: false };
    let rejected = "requested, funds-held, credit-overdue, credit-refused, rejected";
    takes_one_of(&story.with_a_mishap_at_every_step(), &[rejected]);
}

#[test]
fn a_hold_command_that_is_late() {
    let story = Story { late: Some((COMMANDS, "000001/hold")), from_deadline: true, ..Story::default() };
    takes_one_of(
        &story.with_a_mishap_at_every_step(),
        &["requested, hold-overdue, funds-held, target-credited, completed"],
    );
}

#[test]
fn a_capture_command_that_is_late() {
    let story = Story { late: Some((COMMANDS, "000001/capture")), from_deadline: true, ..Story::default() };
    takes_one_of(&story.with_a_mishap_at_every_step(), &["requested, funds-held, target-credited, stalled, completed"]);
}
