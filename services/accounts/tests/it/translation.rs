//! Which event becomes which message: totals are said so that readers need not count.

use accounts::{domain::AccountEvent, messages::AccountPublication};
use factum::{Decoded, Event as _, Publication as _, RawEvent, testing::delivery};
use serde_json::{Value, json};

const ID: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const TRANSFER: &str = "b8d0c9a4-0000-4000-8000-000000000001";

/// The message that an event becomes: its name, and its document.
fn published(name: &str, event: Value) -> (String, Value) {
    let data = serde_json::to_vec(&event).expect("is JSON");
    let event = AccountEvent::decode(RawEvent { name, schema: 1, data: &data }).expect("is an event");
    let Decoded::Known(event) = event else { panic!("{name} is no event") };
    let message = AccountPublication::translate(&event, &delivery(&format!("account-{ID}"), 3));
    let message = message.expect("every event of an account is public");
    (message.name.to_owned(), serde_json::from_slice(&message.data).expect("is JSON"))
}

#[test]
fn what_is_held_is_in_the_balance_and_not_available() {
    let changes = [
        ("account.funds-held", "bank.accounts.funds-held.v1"),
        ("account.credited", "bank.accounts.account-credited.v1"),
        ("account.hold-captured", "bank.accounts.hold-captured.v1"),
        ("account.hold-released", "bank.accounts.hold-released.v1"),
    ];
    for (event, message) in changes {
        let happened = json!({ "transfer_id": TRANSFER, "amount": 5, "currency": "EUR", "balance": 100, "held": 30 });
        let said = json!({
            "account_id": ID, "transfer_id": TRANSFER, "amount_minor": 5, "currency": "EUR",
            "balance_minor": 100, "available_minor": 70
        });
        assert_eq!(published(event, happened), (message.to_owned(), said));
    }
    let changes = [
        ("account.funds-deposited", "bank.accounts.funds-deposited.v1"),
        ("account.funds-withdrawn", "bank.accounts.funds-withdrawn.v1"),
    ];
    for (event, message) in changes {
        let happened = json!({ "amount": 5, "currency": "EUR", "balance": 100, "held": 30 });
        let said = json!({
            "account_id": ID, "amount_minor": 5, "currency": "EUR", "balance_minor": 100, "available_minor": 70
        });
        assert_eq!(published(event, happened), (message.to_owned(), said));
        let before_there_were_holds = json!({ "amount": 5, "currency": "EUR", "balance": 100 });
        assert_eq!(published(event, before_there_were_holds).1["available_minor"], json!(100));
    }
}
