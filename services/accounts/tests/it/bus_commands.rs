//! Commands from the bus: what `transfers` may ask of accounts, and what comes back under the command's id.

use accounts::domain::{DepositFunds, OpenAccount};
use factum::{CommandReceipt, DispatchError, Personal, dispatch::CommandOptions};
use serde_json::json;

use crate::transfers::Transfers;

const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const BEN: &str = "6f1a7c1e-0000-4000-8000-000000000002";
const NOBODY: &str = "6f1a7c1e-0000-4000-8000-000000000003";
const RENT: &str = "b8d0c9a4-0000-4000-8000-000000000001";
const ANOTHER: &str = "b8d0c9a4-0000-4000-8000-000000000002";

const HOLD: &str = "bank.accounts.hold-funds.v1";
const CREDIT: &str = "bank.accounts.credit-account.v1";
const CAPTURE: &str = "bank.accounts.capture-hold.v1";
const RELEASE: &str = "bank.accounts.release-hold.v1";

/// A running `accounts`, with Ada, who has 100.00 EUR, and Ben, who has nothing.
async fn ada_and_ben() -> Transfers {
    let transfers = Transfers::begin().await;
    for (account, holder) in [(ADA, "Ada"), (BEN, "Ben")] {
        let holder = Personal::known(holder.to_owned());
        let account_id = Some(account.parse().unwrap());
        done(&transfers, OpenAccount { account_id, holder, currency: "EUR".parse().unwrap() }).await;
    }
    let (account_id, currency) = (ADA.parse().unwrap(), "EUR".parse().unwrap());
    done(&transfers, DepositFunds { account_id, amount: "100.00".parse().unwrap(), currency }).await;
    transfers
}

async fn done<C: factum::Command>(transfers: &Transfers, command: C) -> CommandReceipt {
    transfers.accounts().commands().dispatch(command).await.unwrap_or_else(|error| panic!("{error}"))
}

fn of(account: &str, amount_minor: u64) -> serde_json::Value {
    json!({ "account_id": account, "transfer_id": RENT, "amount_minor": amount_minor, "currency": "EUR" })
}

fn hold_of(account: &str) -> serde_json::Value {
    json!({ "account_id": account, "transfer_id": RENT })
}

fn told(account: &str, balance_minor: u64, available_minor: u64) -> serde_json::Value {
    json!({
        "account_id": account, "transfer_id": RENT, "amount_minor": 2_500, "currency": "EUR",
        "balance_minor": balance_minor, "available_minor": available_minor
    })
}

#[tokio::test]
async fn each_step_of_a_transfer_is_answered_under_its_command_id() {
    let mut transfers = ada_and_ben().await;
    transfers.send(HOLD, "transfer-1/hold", ADA, &of(ADA, 2_500)).await;
    let held = ("bank.accounts.funds-held.v1".to_owned(), told(ADA, 10_000, 7_500));
    assert_eq!(transfers.outcome("transfer-1/hold").await, held);
    transfers.send(CREDIT, "transfer-1/credit", BEN, &of(BEN, 2_500)).await;
    let credited = ("bank.accounts.account-credited.v1".to_owned(), told(BEN, 2_500, 2_500));
    assert_eq!(transfers.outcome("transfer-1/credit").await, credited);
    transfers.send(CAPTURE, "transfer-1/capture", ADA, &hold_of(ADA)).await;
    let captured = ("bank.accounts.hold-captured.v1".to_owned(), told(ADA, 7_500, 7_500));
    assert_eq!(transfers.outcome("transfer-1/capture").await, captured);
    transfers.end().await;
}

#[tokio::test]
async fn a_hold_that_is_released_leaves_everything_as_it_was() {
    let mut transfers = ada_and_ben().await;
    transfers.send(HOLD, "transfer-1/hold", ADA, &of(ADA, 2_500)).await;
    transfers.send(RELEASE, "transfer-1/release", ADA, &hold_of(ADA)).await;
    let released = ("bank.accounts.hold-released.v1".to_owned(), told(ADA, 10_000, 10_000));
    assert_eq!(transfers.outcome("transfer-1/release").await, released);
    transfers.end().await;
}

#[tokio::test]
async fn what_the_rules_refuse_is_told_under_the_command_id() {
    let mut transfers = ada_and_ben().await;
    let mut yen = of(BEN, 1);
    yen["currency"] = json!("JPY");
    let refused = [
        (HOLD, "transfer-1/hold", ADA, of(ADA, 10_001), "insufficient-funds"),
        (HOLD, "transfer-2/hold", NOBODY, of(NOBODY, 1), "account-not-found"),
        (CREDIT, "transfer-3/credit", NOBODY, of(NOBODY, 1), "account-not-found"),
        (CREDIT, "transfer-4/credit", BEN, yen, "currency-mismatch"),
        (CREDIT, "transfer-5/credit", BEN, of(BEN, 0), "invalid"),
        (CAPTURE, "transfer-6/capture", ADA, hold_of(ADA), "hold-not-found"),
        (RELEASE, "transfer-7/release", ADA, hold_of(ADA), "hold-not-found"),
    ];
    for (name, id, account, document, code) in refused {
        transfers.send(name, id, account, &document).await;
        assert_eq!(transfers.refusal(id).await, code, "{id}");
    }
    transfers.end().await;
}

#[tokio::test]
async fn a_command_sent_again_has_the_outcome_it_had() {
    let mut transfers = ada_and_ben().await;
    let mut too_much = of(ADA, 10_001);
    too_much["transfer_id"] = json!(ANOTHER);
    for _ in 0..3 {
        transfers.send(HOLD, "transfer-1/hold", ADA, &of(ADA, 2_500)).await;
        transfers.send(HOLD, "transfer-2/hold", ADA, &too_much).await;
        transfers.send(CAPTURE, "transfer-1/capture", ADA, &hold_of(ADA)).await;
    }
    // Behind all of them, on the same key.
    transfers.send(CAPTURE, "transfer-3/capture", ADA, &hold_of(ADA)).await;
    assert_eq!(transfers.refusal("transfer-3/capture").await, "hold-not-found");
    assert_eq!(transfers.outcome("transfer-1/capture").await.1, told(ADA, 7_500, 7_500));
    assert_eq!(transfers.refusal("transfer-2/hold").await, "insufficient-funds");
    for id in ["transfer-1/hold", "transfer-2/hold", "transfer-1/capture"] {
        assert_eq!(transfers.heard(id), 1, "{id}");
    }
    transfers.end().await;
}

#[tokio::test]
async fn whichever_of_a_command_and_its_cancel_is_recorded_first_decides() {
    let mut transfers = ada_and_ben().await;
    transfers.cancel("transfer-1/credit", BEN).await;
    transfers.send(CREDIT, "transfer-1/credit", BEN, &of(BEN, 2_500)).await;
    transfers.send(CREDIT, "transfer-2/credit", BEN, &of(BEN, 2_500)).await;
    transfers.cancel("transfer-2/credit", BEN).await;
    transfers.send(CREDIT, "transfer-3/credit", BEN, &of(BEN, 2_500)).await;
    assert_eq!(transfers.outcome("transfer-3/credit").await.1, told(BEN, 5_000, 5_000));
    assert_eq!(transfers.refusal("transfer-1/credit").await, "cancelled");
    assert_eq!(transfers.outcome("transfer-2/credit").await.1, told(BEN, 2_500, 2_500));
    assert_eq!((transfers.heard("transfer-1/credit"), transfers.heard("transfer-2/credit")), (1, 1));
    transfers.end().await;
}

#[tokio::test]
async fn a_sender_may_add_fields_but_ask_for_no_more_than_it_may() {
    let mut transfers = ada_and_ben().await;
    let mut document = of(ADA, 2_500);
    document["priority"] = json!({ "added": "later" });
    transfers.send(HOLD, "transfer-1/hold", ADA, &document).await;
    assert_eq!(transfers.outcome("transfer-1/hold").await.1, told(ADA, 10_000, 7_500));
    let withdraw = json!({ "account_id": ADA, "amount": "1.00", "currency": "EUR" });
    transfers.send("bank.accounts.withdraw-funds.v1", "transfer-1/credit", ADA, &withdraw).await;
    assert_eq!(transfers.refusal("transfer-1/credit").await, "unknown-command");
    transfers.end().await;
}

#[tokio::test]
async fn what_transfers_asks_nobody_may_ask_over_http() {
    let transfers = ada_and_ben().await;
    for name in ["hold-funds", "credit-account", "capture-hold", "release-hold"] {
        let body = serde_json::to_vec(&of(ADA, 1)).unwrap();
        let commands = transfers.accounts().commands();
        let answer = commands.dispatch_named(name, &body, CommandOptions::default()).await;
        assert!(matches!(answer, Err(DispatchError::UnknownCommand(_))), "{name}: {answer:?}");
    }
    transfers.end().await;
}
