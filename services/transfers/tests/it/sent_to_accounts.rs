//! What this service sends is what `accounts` takes: by the schemas of its contract, read as data.

use factum::CommandChannel as _;
use serde::Serialize;
use serde_json::json;
use transfers::{
    NAME,
    domain::{AccountId, TransferRejection},
    messages::{AccountCommands, CaptureHold, CreditAccount, HoldFunds, ReleaseHold},
};

use crate::contracts::Contract;

const TRANSFER: &str = "7a2b8d2f-0000-4000-8000-000000000001";

fn account() -> AccountId {
    "6f1a7c1e-0000-4000-8000-000000000001".parse().expect("is a UUID")
}

/// A command as it is sent, which the receiver's schema must allow.
fn is_taken(name: &str, command: &impl Serialize) {
    let document = serde_json::to_value(command).expect("is JSON");
    Contract::of("accounts").allows(name, &document).unwrap_or_else(|errors| panic!("{name}: {document}: {errors}"));
}

#[test]
fn every_command_is_taken_on_its_topic_from_this_service() {
    let (sender, taken) = Contract::of("accounts").commands_on(AccountCommands::TOPIC);
    assert_eq!(sender, NAME);
    let sent: Vec<&str> = AccountCommands::COMMANDS.iter().map(|command| command.name).collect();
    assert_eq!(sent, taken, "no other is taken, and each of these is");
}

#[test]
fn every_command_is_what_its_schema_allows() {
    let transfer_id = || TRANSFER.to_owned();
    for (amount_minor, code) in [(1, "JPY"), (12_500, "EUR"), (TransferRejection::AMOUNT_MINOR_MAX, "CLF")] {
        let (account_id, currency) = (account(), code.parse().expect("is a currency"));
        let hold = HoldFunds { account_id, transfer_id: transfer_id(), amount_minor, currency };
        is_taken("bank.accounts.hold-funds.v1", &hold);
        let credit = CreditAccount { account_id, transfer_id: transfer_id(), amount_minor, currency };
        is_taken("bank.accounts.credit-account.v1", &credit);
    }
    is_taken("bank.accounts.capture-hold.v1", &CaptureHold { account_id: account(), transfer_id: transfer_id() });
    is_taken("bank.accounts.release-hold.v1", &ReleaseHold { account_id: account(), transfer_id: transfer_id() });
}

#[test]
fn the_schemas_refuse_what_is_no_such_command() {
    let accounts = Contract::of("accounts");
    let none = json!({ "account_id": account(), "transfer_id": TRANSFER, "amount_minor": 0, "currency": "EUR" });
    assert!(accounts.allows("bank.accounts.hold-funds.v1", &none).is_err());
    assert!(accounts.allows("bank.accounts.capture-hold.v1", &json!({ "account_id": account() })).is_err());
}
