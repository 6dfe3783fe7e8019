//! What a transfer shows of itself: on both statements, in what is available, in the day's totals, by its own id.

use factum::{AskError, Timestamp, testing::NOW};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{World, account, known, transfer};

/// Ada with 125.00 EUR and Ben with nothing.
fn ada_and_ben() -> World {
    let mut world = World::new();
    world.opened(account(1), known("Ada"), "EUR");
    world.opened(account(2), known("Ben"), "EUR");
    world.deposited(account(1), 12_500, NOW);
    world
}

/// `(balance, available)` as the summary shows them.
async fn stands(world: &World, account: Uuid) -> (String, String) {
    let summary = world.ask("account-summary", &format!("account_id={account}")).await.unwrap();
    let text = |field: &str| summary[field].as_str().unwrap().to_owned();
    (text("balance"), text("available"))
}

fn texts(balance: &str, available: &str) -> (String, String) {
    (balance.to_owned(), available.to_owned())
}

/// The lines of a statement from a version on, without their times.
async fn lines(world: &World, account: Uuid, from: usize) -> Vec<Value> {
    let answer = world.ask("statement", &format!("account_id={account}")).await.unwrap();
    let mut lines = answer["lines"].as_array().unwrap()[from - 1..].to_vec();
    for line in &mut lines {
        assert!(line.as_object_mut().unwrap().remove("at").is_some());
    }
    lines
}

#[tokio::test]
async fn a_transfer_is_on_both_statements() {
    let mut world = ada_and_ben();
    world.held(account(1), transfer(1), 2_550);
    assert_eq!(stands(&world, account(1)).await, texts("125.00", "99.50"));
    world.credited(account(2), transfer(1), 2_550, NOW);
    assert_eq!(stands(&world, account(2)).await, texts("25.50", "25.50"));
    world.captured(account(1), transfer(1), 2_550, NOW);
    assert_eq!(stands(&world, account(1)).await, texts("99.50", "99.50"));

    let id = transfer(1).to_string();
    let held = json!({ "version": 3, "kind": "held", "balance": "125.00", "transfer_id": id });
    let taken = json!({ "version": 4, "kind": "captured", "amount": "-25.50", "balance": "99.50", "transfer_id": id });
    assert_eq!(lines(&world, account(1), 3).await, [held, taken]);
    let brought = json!({ "version": 2, "kind": "credited", "amount": "25.50", "balance": "25.50", "transfer_id": id });
    assert_eq!(lines(&world, account(2), 2).await, [brought]);
}

#[tokio::test]
async fn what_comes_to_nothing_leaves_the_balance_as_it_was() {
    let mut world = ada_and_ben();
    world.held(account(1), transfer(1), 12_500);
    assert_eq!(stands(&world, account(1)).await, texts("125.00", "0.00"));
    world.released(account(1), transfer(1), 12_500);
    assert_eq!(stands(&world, account(1)).await, texts("125.00", "125.00"));
    world.withdrawn(account(1), 12_500, NOW);
    world.closed(account(1));
    let id = transfer(1).to_string();
    let kinds = |lines: Vec<Value>| -> Vec<Value> { lines.iter().map(|line| line["kind"].clone()).collect() };
    let all = lines(&world, account(1), 3).await;
    assert_eq!(all[0], json!({ "version": 3, "kind": "held", "balance": "125.00", "transfer_id": id }));
    assert_eq!(all[1], json!({ "version": 4, "kind": "released", "balance": "125.00", "transfer_id": id }));
    assert_eq!(kinds(all), ["held", "released", "withdrawn", "closed"]);
}

#[tokio::test]
async fn an_account_that_a_transfer_emptied_is_closed_with_nothing_in_it() {
    let mut world = World::new();
    world.opened(account(1), known("Ada"), "EUR");
    world.deposited(account(1), 100, NOW);
    world.held(account(1), transfer(1), 100);
    world.captured(account(1), transfer(1), 100, NOW);
    world.closed(account(1));
    assert_eq!(lines(&world, account(1), 5).await, [json!({ "version": 5, "kind": "closed", "balance": "0.00" })]);
    assert_eq!(stands(&world, account(1)).await, texts("0.00", "0.00"));
}

#[tokio::test]
async fn what_comes_and_goes_meanwhile_leaves_what_is_held_unavailable() {
    let mut world = ada_and_ben();
    world.held(account(1), transfer(1), 12_000);
    world.deposited(account(1), 100, NOW);
    assert_eq!(stands(&world, account(1)).await, texts("126.00", "6.00"));
    world.withdrawn(account(1), 600, NOW);
    assert_eq!(stands(&world, account(1)).await, texts("120.00", "0.00"));
}

#[tokio::test]
async fn before_there_were_holds_everything_was_available() {
    let mut world = World::new();
    world.opened(account(1), known("Ada"), "EUR");
    world.deposited_long_ago(account(1), 100);
    assert_eq!(stands(&world, account(1)).await, texts("1.00", "1.00"));
}

#[tokio::test]
async fn a_transfer_is_counted_once_on_the_day_it_arrives() {
    let [monday, tuesday]: [Timestamp; 2] =
        ["2026-11-23T23:59:59.999999Z", "2026-11-24T00:00:00Z"].map(|moment| moment.parse().unwrap());
    let mut world = World::new();
    world.opened(account(1), known("Ada"), "EUR");
    world.opened(account(2), known("Ben"), "EUR");
    world.deposited(account(1), 12_500, monday);
    world.held(account(1), transfer(1), 2_550);
    world.credited(account(2), transfer(1), 2_550, monday);
    world.captured(account(1), transfer(1), 2_550, tuesday);
    world.held(account(1), transfer(2), 5);
    world.released(account(1), transfer(2), 5);
    assert_eq!(world.totals("2026-11-23", "EUR").await, ["125.00", "0.00", "25.50"]);
    assert_eq!(world.totals("2026-11-24", "EUR").await, ["0.00", "0.00", "0.00"]);
}

#[tokio::test]
async fn a_transfer_tells_how_far_it_is() {
    let mut world = World::new();
    let ask = |number: u64| format!("transfer_id={}", transfer(number));
    let [from, to] = [account(1), account(2)];
    world.transfer_requested(transfer(1), [from, to], 2_550, "EUR");
    world.transfer_requested(transfer(2), [to, from], 7, "JPY");
    let pending = json!({
        "transfer_id": transfer(1).to_string(), "from": from.to_string(), "to": to.to_string(),
        "amount": "25.50", "currency": "EUR", "status": "pending"
    });
    assert_eq!(world.ask("transfer", &ask(1)).await.unwrap(), pending);
    world.transfer_completed(transfer(1));
    world.transfer_rejected(transfer(2), "insufficient-funds");
    let mut completed = pending;
    completed["status"] = json!("completed");
    assert_eq!(world.ask("transfer", &ask(1)).await.unwrap(), completed);
    let rejected = json!({
        "transfer_id": transfer(2).to_string(), "from": to.to_string(), "to": from.to_string(),
        "amount": "7", "currency": "JPY", "status": "rejected", "reason": "insufficient-funds"
    });
    assert_eq!(world.ask("transfer", &ask(2)).await.unwrap(), rejected);
}

#[tokio::test]
async fn a_transfer_nobody_asked_for_is_not_found() {
    let world = World::new();
    match world.ask("transfer", &format!("transfer_id={}", transfer(1))).await {
        Err(AskError::NotFound { code, .. }) => assert_eq!(code, "transfer-not-found"),
        other => panic!("it answers {other:?}"),
    }
    for id in ["", "1", "6f1a7c1e00004000800000000000000"] {
        assert_eq!(world.blamed("transfer", &format!("transfer_id={id}")).await, "transfer_id", "{id}");
    }
}
