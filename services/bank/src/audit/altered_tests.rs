//! The logs of a real bank, shown to the audit with one thing altered: every field of every event that says something about
//! money, every such event dropped or told twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use factum::testing::{Simulation, Steps};
use serde_json::{Value, json};
use transfers::process_managers::STEP_TIME_MAX;

use super::Report;
use crate::steps_tests::proof::{Shown, audited_as, lines};
use crate::steps_tests::world::{Kind, World};

const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const BOB: &str = "6f1a7c1e-0000-4000-8000-000000000002";
const CYN: &str = "6f1a7c1e-0000-4000-8000-000000000003";
const NOBODY: &str = "6f1a7c1e-0000-4000-8000-00000000000f";
/// What at rest is not as it should be stays so.
const CATCH_UP: Duration = Duration::from_millis(1);
/// Says of no money where it is: what becomes of it is recorded by the account or the transfer.
const WITHOUT_MONEY: [&str; 4] = ["outcome.refused", "timer.fired", "transfer.hold-overdue", "transfer.credit-overdue"];

/// A bank at rest, in which everything has happened that can happen to money.
struct Real {
    simulation: Simulation,
    world: World,
    outside: tokio::runtime::Runtime,
    accounts: Vec<Value>,
    transfers: Vec<Value>,
}

async fn transfer(world: &World, number: u32, to: &str, amount: &str) {
    let id = format!("7a2b8d2f-0000-4000-8000-{number:012}");
    let body = json!({ "transfer_id": id, "from": ADA, "to": to, "amount": amount, "currency": "EUR" });
    world.send(Kind::Transfers, "request-transfer", &body).await;
}

async fn story(simulation: Simulation) -> (World, Vec<Value>, Vec<Value>) {
    let late = Some(("bank.accounts.commands.transfers", "000001/credit"));
    let world = World::open(&simulation, &Steps::default(), late);
    for id in [ADA, BOB, CYN] {
        let open = json!({ "account_id": id, "holder": format!("Holder {id}"), "currency": "EUR" });
        world.send(Kind::Accounts, "open-account", &open).await;
    }
    let deposit = json!({ "account_id": ADA, "amount": "10.00", "currency": "EUR" });
    world.send(Kind::Accounts, "deposit-funds", &deposit).await;
    let withdraw = json!({ "account_id": ADA, "amount": "1.00", "currency": "EUR" });
    world.send(Kind::Accounts, "withdraw-funds", &withdraw).await;
    world.send(Kind::Accounts, "close-account", &json!({ "account_id": CYN })).await;
    transfer(&world, 1, BOB, "4.00").await;
    transfer(&world, 2, NOBODY, "3.00").await;
    transfer(&world, 3, BOB, "99.00").await;
    world.runtime().sleep(STEP_TIME_MAX + Duration::from_secs(1)).await;
    world.let_go();
    world.settled().await;
    let (accounts, transfers) = (lines(&world, Kind::Accounts).await, lines(&world, Kind::Transfers).await);
    (world, accounts, transfers)
}

impl Real {
    fn bank() -> Self {
        let simulation = Simulation::new(1);
        let (world, accounts, transfers) = simulation.run(story(simulation.clone()));
        let outside = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let real = Self { simulation, world, outside, accounts, transfers };
        let report = real.audited(Kind::Accounts, real.accounts.clone());
        assert!(report.is_clean(), "{:?}", report.differences());
        real
    }

    fn log(&self, kind: Kind) -> &[Value] {
        if kind == Kind::Accounts { &self.accounts } else { &self.transfers }
    }

    /// What the audit says when these lines are shown of one log.
    fn audited(&self, altered: Kind, lines: Vec<Value>) -> Report {
        let shown: Shown = Arc::new(move |kind, as_they_are| if kind == altered { lines.clone() } else { as_they_are });
        self.outside.block_on(audited_as(&self.simulation, &self.world, &shown, CATCH_UP))
    }

    /// Everything that was recorded about money.
    fn about_money(&self) -> impl Iterator<Item = (Kind, usize, &Value)> {
        let all = |kind| self.log(kind).iter().enumerate().map(move |(index, line)| (kind, index, line));
        let both = all(Kind::Accounts).chain(all(Kind::Transfers));
        both.filter(|(_, _, line)| !WITHOUT_MONEY.contains(&line["type"].as_str().unwrap()))
    }
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::String(text) if text.len() == ADA.len() => json!("6f1a7c1e-0000-4000-8000-0000000000ee"),
        Value::String(text) if text == "EUR" => json!("USD"),
        Value::String(_) => json!("something-else"),
        other => panic!("what is {other}?"),
    }
}

/// Positions and versions without holes, as who hides something would leave them.
fn renumber(lines: &mut [Value]) {
    let mut versions = std::collections::BTreeMap::<String, u64>::new();
    for (position, line) in (1..).zip(lines) {
        let version = versions.entry(line["stream"].as_str().unwrap().to_owned()).or_default();
        *version += 1;
        (line["position"], line["version"]) = (json!(position), json!(*version));
    }
}

#[test]
fn everything_that_happens_to_money_happened() {
    let real = Real::bank();
    let names: BTreeSet<_> = real.about_money().map(|(_, _, line)| line["type"].as_str().unwrap().to_owned()).collect();
    let expected = [
        "account.closed",
        "account.credited",
        "account.funds-deposited",
        "account.funds-held",
        "account.funds-withdrawn",
        "account.hold-captured",
        "account.hold-released",
        "account.opened",
        "transfer.completed",
        "transfer.credit-refused",
        "transfer.funds-held",
        "transfer.rejected",
        "transfer.requested",
        "transfer.target-credited",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn an_altered_field_is_found_wherever_it_is() {
    let real = Real::bank();
    let (mut tried, mut missed) = (0, Vec::new());
    for (kind, index, line) in real.about_money() {
        for (field, value) in line["data"].as_object().unwrap() {
            let mut lines = real.log(kind).to_vec();
            lines[index]["data"][field] = other(value);
            tried += 1;
            if real.audited(kind, lines).is_clean() {
                missed.push(format!("{field} of {line}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} of {tried}: {missed:#?}", missed.len());
    assert!(tried > 50, "{tried}");
}

#[test]
fn an_event_that_was_dropped_is_found_also_without_a_hole() {
    let real = Real::bank();
    let mut missed = Vec::new();
    for kind in [Kind::Accounts, Kind::Transfers] {
        for index in 0..real.log(kind).len() - 1 {
            let mut lines = real.log(kind).to_vec();
            let line = lines.remove(index);
            if real.audited(kind, lines).is_clean() {
                missed.push(format!("with a hole: {line}"));
            }
        }
    }
    for (kind, index, line) in real.about_money() {
        let mut lines = real.log(kind).to_vec();
        lines.remove(index);
        renumber(&mut lines);
        if real.audited(kind, lines).is_clean() {
            missed.push(line.to_string());
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn an_event_that_is_there_twice_is_found_also_under_another_command() {
    let real = Real::bank();
    let mut missed = Vec::new();
    for (kind, index, line) in real.about_money() {
        for of_the_same in [true, false] {
            let mut lines = real.log(kind).to_vec();
            let mut again = line.clone();
            if !of_the_same {
                again["metadata"]["command_id"] = json!("018f3c1e-0000-7000-8000-0000000000cc");
            }
            lines.insert(index + 1, again);
            renumber(&mut lines);
            if real.audited(kind, lines).is_clean() {
                missed.push(line.to_string());
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
