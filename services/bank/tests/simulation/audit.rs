//! Every promise checked, by folding the events with code of its own, and by asking.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use factum::{
    EventStore, Position, Reactor as _, Selection,
    bus::{Bus as _, Envelope, TopicPartition, partition_of},
    query::AskOptions,
    store::{Direction, RecordedEvent},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Tally,
    client::{Ledger, decimal},
    outside::{OfHeard, OfOwn},
    world::{COMMAND_TOPIC, Kind, World, lock},
};

/// How many events one read asks for.
const PAGE: usize = 1_000;
const ACCOUNT_TOPIC: &str = "bank.accounts.account.events";
const PARTITIONS: u32 = 12;

/// An account as its events say.
#[derive(Default, Debug)]
struct Account {
    version: u64,
    balance: u64,
    deposited: u64,
    withdrawn: u64,
    holds: BTreeMap<Uuid, u64>,
    captured: BTreeMap<Uuid, u64>,
    credited: BTreeMap<Uuid, u64>,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Completed,
    Rejected,
}

/// Transfers that were accepted and have not ended.
pub(crate) async fn open_transfers(world: &World, ledger: &Ledger) -> Vec<Uuid> {
    let ends = transfers(world).await;
    ledger.transfers.keys().filter(|id| ends.get(*id).is_none_or(|end| *end == End::Open)).copied().collect()
}

/// Checks everything.
pub(crate) async fn audit(world: &World, ledger: &Ledger) -> Tally {
    let accounts = accounts(world).await;
    let ends = transfers(world).await;
    told_and_recorded(ledger, &accounts);
    moved_once(ledger, &accounts, &ends);
    counts_once(world).await;
    assert_eq!(ends.len(), ledger.transfers.len(), "transfers that nobody was told of, or none");
    for (id, account) in &accounts {
        shown(world, *id, account).await;
    }
    for (id, end) in &ends {
        let status = if *end == End::Completed { "completed" } else { "rejected" };
        let shown = ask(world, "transfer", &format!("transfer_id={id}")).await;
        assert_eq!(shown["status"], status, "{shown}");
    }
    day(world, &accounts).await;
    told_outside(world, true).await;
    diary(world, &accounts).await;
    clerks(world).await;
    answered(world).await;
    put_aside(world).await;
    let count = |wanted| ends.values().filter(|end| **end == wanted).count() as u64;
    Tally {
        acknowledged: ledger.acknowledged,
        refused: ledger.refused,
        completed: count(End::Completed),
        rejected: count(End::Rejected),
        ..Tally::default()
    }
}

/// After the accounts came back without their last events: each partition says so; what is shown is what is recorded now,
/// or somebody says that it cannot be; and once the read database is filled anew, all of it is.
pub(crate) async fn after_a_loss(world: &World) {
    world.come_to_rest().await;
    told_outside(world, false).await;
    answered(world).await;
    let recorded = accounts(world).await;
    let now = world.store(Kind::Accounts).identity().source();
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new(ACCOUNT_TOPIC, partition);
        let Some(last) = world.bus().tail(&partition, None).await.unwrap() else { continue };
        let last = Envelope::decode(&last.headers, &last.value).expect("is ours");
        assert_eq!(last.origin.source, now, "{partition} ends with the history that was left");
    }
    for id in recorded.keys() {
        let partition =
            TopicPartition::new(ACCOUNT_TOPIC, partition_of(format!("account-{id}").as_bytes(), PARTITIONS));
        assert!(world.bus().tail(&partition, None).await.unwrap().is_some(), "nothing is told of {id}");
    }
    let service = world.service(Kind::Statements).expect("runs");
    let mut loops = service.health().loops().into_iter();
    let stopped = loops.any(|(name, report)| name.starts_with("consumer ") && !report.alarms.is_empty());
    if !stopped {
        for (id, account) in &recorded {
            shown(world, *id, account).await;
        }
    }
    world.lose_read_database();
    world.come_to_rest().await;
    for (id, account) in &recorded {
        shown(world, *id, account).await;
    }
}

/// What clients were told is what is recorded, once.
fn told_and_recorded(ledger: &Ledger, accounts: &BTreeMap<Uuid, Account>) {
    for (id, account) in accounts {
        let told = |sums: &BTreeMap<Uuid, u64>| sums.get(id).copied().unwrap_or(0);
        assert_eq!(account.deposited, told(&ledger.deposited), "deposits of {id}");
        assert_eq!(account.withdrawn, told(&ledger.withdrawn), "withdrawals of {id}");
    }
    assert_eq!(accounts.len(), ledger.accounts.len());
}

/// Each completed transfer moved its amount once, each rejected one nothing, and nothing is held any more.
fn moved_once(ledger: &Ledger, accounts: &BTreeMap<Uuid, Account>, ends: &BTreeMap<Uuid, End>) {
    for (id, transfer) in &ledger.transfers {
        let captured: Vec<_> =
            accounts.iter().filter_map(|(of, account)| Some((*of, *account.captured.get(id)?))).collect();
        let credited: Vec<_> =
            accounts.iter().filter_map(|(of, account)| Some((*of, *account.credited.get(id)?))).collect();
        match ends[id] {
            End::Completed => {
                assert_eq!(captured, [(transfer.from, transfer.amount)], "captured for {id}");
                assert_eq!(credited, [(transfer.to, transfer.amount)], "credited for {id}");
            }
            _ => assert!(captured.is_empty() && credited.is_empty(), "{id} was rejected: {captured:?} {credited:?}"),
        }
    }
    for (id, account) in accounts {
        assert!(account.holds.is_empty(), "{id} still holds {:?}", account.holds);
    }
    let (balances, deposits, withdrawals) = accounts
        .values()
        .fold((0, 0, 0), |(b, d, w), account| (b + account.balance, d + account.deposited, w + account.withdrawn));
    assert_eq!(balances, deposits - withdrawals, "money is conserved");
}

/// What statements shows of an account is what happened to it.
async fn shown(world: &World, id: Uuid, account: &Account) {
    let summary = ask(world, "account-summary", &format!("account_id={id}")).await;
    assert_eq!(summary["balance"], decimal(account.balance), "{summary}");
    let held: u64 = account.holds.values().sum();
    assert_eq!(summary["available"], decimal(account.balance - held), "{summary}");
    assert_eq!(summary["version"], account.version, "{summary}");
    let statement = ask(world, "statement", &format!("account_id={id}&limit=500")).await;
    let lines: Vec<u64> =
        statement["lines"].as_array().unwrap().iter().filter_map(|line| line["version"].as_u64()).collect();
    assert_eq!(lines, (1..=account.version).collect::<Vec<_>>(), "lines of {id}");
}

/// How often somebody outside was told something.
pub(crate) fn told(world: &World) -> u64 {
    lock(world.told()).values().flat_map(BTreeMap::values).sum()
}

/// Somebody outside was told of each withdrawal, under one id however often. `only`: and of nothing else.
async fn told_outside(world: &World, only: bool) {
    let withdrawals: BTreeSet<_> = events(world, Kind::Accounts)
        .await
        .into_iter()
        .filter(|event| &*event.name == "account.funds-withdrawn")
        .map(|event| event.id)
        .collect();
    let told = lock(world.told()).clone();
    for event in &withdrawals {
        let ids = |by| told.get(&(by, *event)).map_or(0, BTreeMap::len);
        assert_eq!(ids(OfOwn::NAME), 1, "who is told what is recorded was told of {event} under so many ids");
        assert!(!only || ids(OfHeard::NAME) == 1, "who is told what is heard was not told of {event} under one id");
    }
    for (by, event) in told.keys().filter(|_| only) {
        assert!(withdrawals.contains(event), "{by} told of {event}, which never happened");
    }
}

/// What operators discarded in a service, by the ids of the events.
pub(crate) async fn discarded(world: &World, by: Kind) -> BTreeSet<String> {
    let mut discarded = BTreeSet::new();
    for event in events(world, by).await {
        if &*event.name == "quarantine.discarded" {
            let data: Value = serde_json::from_slice(&event.data).unwrap();
            discarded.insert(data["event_id"].as_str().unwrap().to_owned());
        }
    }
    discarded
}

/// Nothing that was discarded is written down, as it is where all was written down anew since.
pub(crate) async fn without_discarded(world: &World) {
    let discarded = discarded(world, Kind::Statements).await;
    for event in events(world, Kind::Accounts).await {
        if event.stream.category() == "account" && discarded.contains(&event.id.to_string()) {
            let page = ask(world, "diary", &format!("account_id={}", event.stream.id())).await;
            let versions = page["versions"].as_array().unwrap();
            assert!(!versions.contains(&event.version.get().into()), "{} was discarded: {page}", event.id);
        }
    }
}

/// What happened to each account was written down once and in order, but for what operators discarded: that may have
/// been written down just before.
async fn diary(world: &World, accounts: &BTreeMap<Uuid, Account>) {
    let discarded = discarded(world, Kind::Statements).await;
    let mut expected: BTreeMap<Uuid, Vec<(u64, bool)>> = accounts.keys().map(|id| (*id, Vec::new())).collect();
    for event in events(world, Kind::Accounts).await {
        if event.stream.category() == "account" {
            let version = (event.version.get(), discarded.contains(&event.id.to_string()));
            expected.get_mut(&event.stream.id().parse().unwrap()).unwrap().push(version);
        }
    }
    for (id, mut expected) in expected {
        let page = ask(world, "diary", &format!("account_id={id}")).await;
        let page: Vec<u64> = page["versions"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        expected.retain(|(version, discarded)| !discarded || page.contains(version));
        let expected: Vec<u64> = expected.into_iter().map(|(version, _)| version).collect();
        assert_eq!(page, expected, "diary of {id}");
    }
}

/// What happened to each account was counted by its clerk, once and in order, but for what operators discarded; and each
/// clerk rang for the last time after that.
async fn clerks(world: &World) {
    let discarded = discarded(world, Kind::Transfers).await;
    let mut expected: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for event in events(world, Kind::Accounts).await {
        if event.stream.category() == "account" {
            expected.entry(event.stream.id().to_owned()).or_default().push(event.id.as_uuid());
        }
    }
    let mut counted: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for event in events(world, Kind::Transfers).await {
        if &*event.name == "clerk.counted" {
            counted.entry(event.stream.id().to_owned()).or_default().extend(event.metadata.causation_id);
        }
    }
    for (account, mut expected) in expected {
        let counted = counted.remove(&account).unwrap_or_default();
        expected.retain(|event| counted.contains(event) || !discarded.contains(&event.to_string()));
        assert_eq!(counted, expected, "what the clerk of {account} counted");
    }
    assert!(counted.is_empty(), "counted what never happened: {counted:?}");
}

/// Every command that is on its topic has its outcome recorded, also where a restore had lost it.
async fn answered(world: &World) {
    let events = events(world, Kind::Accounts).await;
    let answered: BTreeSet<_> = events.into_iter().filter_map(|event| event.metadata.bus_command).collect();
    for partition in 0..PARTITIONS {
        for record in world.bus().records(&TopicPartition::new(COMMAND_TOPIC, partition)) {
            let Ok(message) = Envelope::decode(&record.headers, &record.value) else { continue };
            let id = message.command_id.unwrap_or_default();
            assert!(id.is_empty() || answered.contains(&id), "{} {id} has no outcome", message.name);
        }
    }
}

/// What was no command was put aside, once: as a dead letter, or refused where an id could be read.
async fn put_aside(world: &World) {
    let mut letters: BTreeMap<String, u64> = BTreeMap::new();
    for event in events(world, Kind::Accounts).await {
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        if &*event.name == "dead-letter.received" {
            *letters.entry(data["value"].as_str().unwrap().to_owned()).or_default() += 1;
        } else if let Some(id) = event.metadata.bus_command.filter(|id| id.starts_with("junk-")) {
            assert_eq!((&*event.name, &data["code"]), ("outcome.refused", &Value::from("malformed")));
            *letters.entry(id.replace('-', " ")).or_default() += 1;
        }
    }
    for text in world.junk() {
        let count = letters.get(&STANDARD.encode(&text)).or_else(|| letters.get(&text));
        assert_eq!(count, Some(&1), "{text} was put aside so often");
    }
    assert!(letters.values().all(|count| *count == 1), "put aside more than once: {letters:?}");
}

/// The days' totals together are what moved.
async fn day(world: &World, accounts: &BTreeMap<Uuid, Account>) {
    let sum = |of: fn(&Account) -> u64| accounts.values().map(of).sum::<u64>();
    let mut totals = [0; 3];
    // The clock begins at the year 2026; no story takes ten days.
    for day in 1..=10 {
        let shown = ask(world, "daily-totals", &format!("date=2026-01-{day:02}&currency=EUR")).await;
        for (total, name) in totals.iter_mut().zip(["deposited", "withdrawn", "transferred"]) {
            *total += shown[name].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
        }
    }
    let credited = sum(|account| account.credited.values().sum());
    assert_eq!(totals, [sum(|account| account.deposited), sum(|account| account.withdrawn), credited]);
}

async fn ask(world: &World, query: &str, parameters: &str) -> Value {
    let service = world.service(Kind::Statements).expect("runs");
    let answer = service.queries().ask_named(query, parameters, AskOptions::default()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{query}?{parameters}: {error:?}"));
    serde_json::from_slice(&answer).expect("is JSON")
}

async fn accounts(world: &World) -> BTreeMap<Uuid, Account> {
    let mut accounts: BTreeMap<Uuid, Account> = BTreeMap::new();
    for event in events(world, Kind::Accounts).await {
        if event.stream.category() != "account" {
            continue;
        }
        let id: Uuid = event.stream.id().parse().unwrap();
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        let account = accounts.entry(id).or_default();
        account.take(&event, &data);
    }
    accounts
}

impl Account {
    fn take(&mut self, event: &RecordedEvent, data: &Value) {
        self.version += 1;
        assert_eq!(event.version.get(), self.version, "versions are dense");
        let amount = || data["amount"].as_u64().unwrap();
        let transfer = || data["transfer_id"].as_str().unwrap().parse::<Uuid>().unwrap();
        match &*event.name {
            "account.opened" => return,
            "account.funds-deposited" => {
                self.balance += amount();
                self.deposited += amount();
            }
            "account.funds-withdrawn" => {
                self.balance -= amount();
                self.withdrawn += amount();
            }
            "account.funds-held" => assert!(self.holds.insert(transfer(), amount()).is_none(), "held twice"),
            "account.credited" => {
                self.balance += amount();
                assert!(self.credited.insert(transfer(), amount()).is_none(), "credited twice");
            }
            "account.hold-captured" => {
                assert_eq!(self.holds.remove(&transfer()), Some(amount()), "captures what is held");
                self.balance -= amount();
                assert!(self.captured.insert(transfer(), amount()).is_none(), "captured twice");
            }
            "account.hold-released" => assert_eq!(self.holds.remove(&transfer()), Some(amount())),
            other => panic!("what is {other}?"),
        }
        let held: u64 = self.holds.values().sum();
        assert!(held <= self.balance, "more is held than there is: {self:?}");
        assert_eq!(data["balance"], self.balance, "{}", event.name);
    }
}

async fn transfers(world: &World) -> BTreeMap<Uuid, End> {
    let mut ends = BTreeMap::new();
    for event in events(world, Kind::Transfers).await {
        if event.stream.category() != "transfer" {
            continue;
        }
        let id: Uuid = event.stream.id().parse().unwrap();
        let end = ends.entry(id).or_insert(End::Open);
        match &*event.name {
            "transfer.completed" => {
                assert_eq!(*end, End::Open, "{id} ended twice");
                *end = End::Completed;
            }
            "transfer.rejected" => {
                assert_eq!(*end, End::Open, "{id} ended twice");
                *end = End::Rejected;
            }
            _ => assert_eq!(*end, End::Open, "{} after the end of {id}", event.name),
        }
    }
    ends
}

/// Each message, and each timer, led to one append of its process at most.
async fn counts_once(world: &World) {
    let mut causes = BTreeMap::new();
    let mut fired = BTreeSet::new();
    for event in events(world, Kind::Transfers).await {
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        match event.stream.category() {
            // What rings is told from the rest as the timers are, below: several are set by one event.
            "clerk" if &*event.name == "clerk.rang" => {}
            "quarantine" => {}
            "transfer" | "clerk" => {
                let cause = (event.stream.as_str().to_owned(), event.metadata.causation_id);
                // What a client asked for has no cause among messages.
                let first = *causes.entry(cause).or_insert(event.command_id);
                let caused = event.metadata.causation_id.is_some();
                assert!(!caused || first == event.command_id, "{} counted twice: {}", event.stream, event.name);
            }
            "timer" => {
                let timer = (event.stream.as_str().to_owned(), data["timer"].to_string(), data["set_by"].to_string());
                assert!(fired.insert(timer), "fired twice: {} {data}", event.stream);
            }
            other => panic!("what is {other}?"),
        }
    }
}

async fn events(world: &World, kind: Kind) -> Vec<RecordedEvent> {
    let store = world.store(kind);
    let (mut all, mut after) = (Vec::new(), Position::ZERO);
    loop {
        let page = store.read(&Selection::everything(), after, Direction::Forward, PAGE).await.unwrap();
        all.extend(page.events);
        after = page.read_to;
        if page.end {
            return all;
        }
    }
}
