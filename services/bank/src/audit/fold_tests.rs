use serde_json::json;

use super::*;

const STREAM: &str = "account-018f3c1e-0000-7000-8000-000000000001";

/// The transfers of these tests.
const TRANSFER: &str = "018f3c1e-0000-7000-8000-0000000000f1";
const OTHER: &str = "018f3c1e-0000-7000-8000-0000000000f2";

/// An account of one stream, as its events are written.
#[derive(Default)]
struct History {
    events: Vec<LoggedEvent>,
}

impl History {
    fn then(mut self, name: &str, data: Value) -> Self {
        let next = self.events.len() as u64 + 1;
        let event = json!({
            "position": next, "stream": STREAM, "version": next, "type": name, "data": data,
            "metadata": { "command_id": format!("command-{next}"), "recorded_at": "2026-11-23T10:00:00Z" }
        });
        self.events.push(serde_json::from_value(event).unwrap());
        self
    }

    fn opened(currency: &str) -> Self {
        Self::default().then("account.opened", json!({ "holder": "Ann", "currency": currency }))
    }

    fn deposited(self, amount: i64, balance: i64) -> Self {
        self.then("account.funds-deposited", json!({ "amount": amount, "currency": "EUR", "balance": balance }))
    }

    fn withdrawn(self, amount: i64, balance: i64) -> Self {
        self.then("account.funds-withdrawn", json!({ "amount": amount, "currency": "EUR", "balance": balance }))
    }

    /// A step of a transfer.
    fn of_transfer(self, name: &str, transfer: &str, amount: i64, balance: i64, held: i64) -> Self {
        let data = json!({
            "transfer_id": transfer, "amount": amount, "currency": "EUR", "balance": balance, "held": held
        });
        self.then(name, data)
    }

    fn held(self, transfer: &str, amount: i64, balance: i64, held: i64) -> Self {
        self.of_transfer("account.funds-held", transfer, amount, balance, held)
    }

    fn captured(self, transfer: &str, amount: i64, balance: i64, held: i64) -> Self {
        self.of_transfer("account.hold-captured", transfer, amount, balance, held)
    }

    fn changed(mut self, index: usize, change: impl FnOnce(&mut LoggedEvent)) -> Self {
        change(&mut self.events[index]);
        self
    }

    fn fold(&self) -> (Ledger, Vec<String>) {
        let mut ledger = Ledger::default();
        let broken = self.events.iter().flat_map(|event| ledger.apply(Log::Accounts, event)).collect();
        (ledger, broken)
    }

    /// The one rule that is broken.
    #[track_caller]
    fn breaks(&self, rule: &str) {
        let (_, broken) = self.fold();
        assert!(broken.len() == 1 && broken[0].contains(rule), "expected {rule:?}, got {broken:?}");
    }
}

#[test]
fn a_sound_history_breaks_nothing_and_adds_up() {
    let history = History::opened("EUR").deposited(12_500, 12_500).withdrawn(2_550, 9_950);
    let (ledger, broken) = history.fold();
    assert!(broken.is_empty(), "{broken:?}");
    let account = ledger.accounts().values().next().unwrap();
    assert_eq!((account.version, account.balance(), ledger.position(Log::Accounts)), (3, 9_950, 3));
    assert_eq!((account.deposited, account.withdrawn, account.closed), (12_500, 2_550, false));
}

#[test]
fn a_hole_in_positions_or_versions_is_seen() {
    History::opened("EUR").deposited(1, 1).changed(1, |event| event.position = 3).breaks("positions are not dense");
    History::opened("EUR").deposited(1, 1).changed(1, |event| event.version = 3).breaks("versions are not dense");
    History::opened("EUR").deposited(1, 1).changed(1, |event| event.version = 1).breaks("versions are not dense");
}

#[test]
fn money_that_is_not_there_cannot_go_out() {
    History::opened("EUR").deposited(100, 100).withdrawn(101, -1).breaks("leaves a balance of -1 with 0 held");
}

#[test]
fn an_account_has_one_currency() {
    let to_usd = |event: &mut LoggedEvent| event.data["currency"] = json!("USD");
    History::opened("EUR").deposited(1, 1).changed(1, to_usd).breaks("moves \"USD\" on an account in EUR");
    History::opened("EUROS").breaks("a currency that does not exist");
}

#[test]
fn nothing_comes_after_closing_and_closing_leaves_nothing() {
    let closed = |history: History| history.then("account.closed", json!({}));
    closed(History::opened("EUR")).deposited(1, 1).breaks("comes after the account was closed");
    closed(History::opened("EUR").deposited(1, 1)).breaks("leaves a balance of 1, 0 of it held");
}

#[test]
fn an_effect_of_one_command_comes_once() {
    let twice = |event: &mut LoggedEvent| event.metadata.command_id = Some("command-2".to_owned());
    let history = History::opened("EUR").deposited(1, 1).deposited(1, 2);
    history.changed(2, twice).breaks("repeats the effect of command command-2");
    History::opened("EUR").changed(0, |event| event.metadata.command_id = None).breaks("names no command");
}

#[test]
fn a_balance_that_was_recorded_must_be_the_folded_one() {
    History::opened("EUR").deposited(100, 99).breaks("records the balance Some(99), folded is 100");
    History::opened("EUR").deposited(0, 0).breaks("moves no positive amount");
}

#[test]
fn what_the_audit_does_not_know_is_not_passed_over() {
    History::opened("EUR").then("account.frozen", json!({})).breaks("of a type the audit does not know");
    History::opened("EUR").then("account.opened", json!({})).breaks("opens an account that is there already");
    let elsewhere = |event: &mut LoggedEvent| event.stream = "transfer-1".to_owned();
    History::opened("EUR").deposited(1, 1).changed(1, elsewhere).breaks("in a stream that is no account's");
    History::default().then("account.closed", json!({})).breaks("comes before its account was opened");
}

#[test]
fn what_is_held_is_there_and_not_available() {
    let history = History::opened("EUR").deposited(100, 100).held(TRANSFER, 60, 100, 60);
    let (ledger, broken) = history.fold();
    assert!(broken.is_empty(), "{broken:?}");
    let account = ledger.accounts().values().next().unwrap();
    assert_eq!((account.balance(), account.held(), account.available()), (100, 60, 40));
    history.held(OTHER, 41, 100, 101).breaks("leaves a balance of 100 with 101 held");
    let held = || History::opened("EUR").deposited(100, 100).held(TRANSFER, 60, 100, 60);
    let taken = |history: History| {
        let data = json!({ "amount": 41, "currency": "EUR", "balance": 59, "held": 60 });
        history.then("account.funds-withdrawn", data)
    };
    taken(held()).breaks("leaves a balance of 59 with 60 held");
    let closed = History::opened("EUR").deposited(1, 1).held(TRANSFER, 1, 1, 1).then("account.closed", json!({}));
    closed.breaks("leaves a balance of 1, 1 of it held");
}

#[test]
fn a_hold_ends_once_and_as_a_whole() {
    let held = || History::opened("EUR").deposited(100, 100).held(TRANSFER, 60, 100, 60);
    let (ledger, broken) = held().captured(TRANSFER, 60, 40, 0).fold();
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(ledger.accounts().values().next().unwrap().captured, 60);
    held().captured(TRANSFER, 59, 41, 0).breaks("ends a hold of Some(60)");
    held().captured(OTHER, 30, 70, 60).breaks("ends a hold of None");
    let (_, broken) = held().captured(TRANSFER, 60, 40, 0).captured(TRANSFER, 40, 0, 0).fold();
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[0].contains("ends a hold of None") && broken[1].contains("captured twice for one transfer"));
    held().of_transfer("account.credited", "nobody", 1, 101, 60).breaks("names no transfer");
}

#[test]
fn what_is_recorded_as_held_must_be_the_folded_sum() {
    History::opened("EUR").deposited(100, 100).held(TRANSFER, 60, 100, 59).breaks("records Some(59) as held");
}

#[test]
fn what_came_and_is_no_command_moves_nothing() {
    let history = || History::opened("EUR").deposited(1, 1);
    let kept = |name: &'static str| {
        move |event: &mut LoggedEvent| {
            (event.stream, event.name) = ("dead_letter-bank.accounts.commands.transfers.3".to_owned(), name.to_owned());
        }
    };
    for name in ["dead-letter.received", "dead-letter.acknowledged"] {
        let (ledger, broken) = history().changed(1, kept(name)).fold();
        assert!(broken.is_empty(), "{broken:?}");
        assert_eq!(ledger.accounts().values().next().unwrap().deposited, 0);
    }
    history().changed(1, kept("account.funds-deposited")).breaks("is no dead letter");
}

#[test]
fn what_is_parked_moves_nothing() {
    let parked = |name: &'static str| {
        move |event: &mut LoggedEvent| {
            (event.stream, event.name) = ("quarantine-reactor/large-withdrawals.account-1".to_owned(), name.to_owned());
        }
    };
    for name in ["parked", "failed", "retried", "released", "discarded"] {
        let name: &'static str = format!("quarantine.{name}").leak();
        let (ledger, broken) = History::opened("EUR").deposited(1, 1).changed(1, parked(name)).fold();
        assert!(broken.is_empty(), "{broken:?}");
        assert_eq!(ledger.accounts().values().next().unwrap().deposited, 0);
    }
    let deposited = History::opened("EUR").deposited(1, 1).changed(1, parked("account.funds-deposited"));
    deposited.breaks("is nothing that happens in a quarantine");
}

#[test]
fn what_is_decided_about_a_fork_moves_nothing() {
    let decided = |name: &'static str, version| {
        move |event: &mut LoggedEvent| {
            event.stream = "fork-ef5b1964-ca9e-507d-90d9-ec3211f89aa7".to_owned();
            (event.name, event.version) = (name.to_owned(), version);
        }
    };
    let history = || History::opened("EUR").deposited(1, 1);
    let (ledger, broken) = history().changed(1, decided("fork.accepted", 1)).fold();
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(ledger.accounts().values().next().unwrap().deposited, 0);
    for (name, version) in [("fork.accepted", 2), ("account.funds-deposited", 1)] {
        history().changed(1, decided(name, version)).breaks("is no decision about a fork");
    }
}

#[test]
fn a_command_is_done_or_refused_and_never_both() {
    let refused = |event: &mut LoggedEvent| {
        (event.stream, event.version) = ("outcome-c".to_owned(), 1);
        event.name = "outcome.refused".to_owned();
    };
    let history = || History::opened("EUR").deposited(1, 1);
    assert!(history().changed(1, refused).fold().1.is_empty());
    let of_the_same = |event: &mut LoggedEvent| {
        refused(event);
        event.metadata.command_id = Some("command-1".to_owned());
    };
    history().changed(1, of_the_same).breaks("repeats the effect of command command-1");
    let twice = |event: &mut LoggedEvent| {
        refused(event);
        event.version = 2;
    };
    history().changed(1, twice).breaks("is no outcome, or not the only one");
}
