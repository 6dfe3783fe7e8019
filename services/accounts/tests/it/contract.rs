//! What is published is what `contract/` says. Another service decodes these very samples with types of its own.

use accounts::{
    NAME,
    domain::{CaptureHold, CreditAccount, Currency, HoldFunds, ReleaseHold},
    messages::{
        AccountClosed, AccountCredited, AccountOpened, AccountPublication, FundsDeposited, FundsHeld, FundsWithdrawn,
        HoldCaptured, HoldReleased, TRANSFERS, commands_of_transfers,
    },
};
use factum::{
    Message as _, Personal,
    contract::Contract,
    receiver::{CommandNothingToDo, CommandRefused},
    relay::HistoryLeft,
    testing::assert_contract,
};
use serde_json::json;

/// The smallest id there is.
const NIL: &str = "00000000-0000-0000-0000-000000000000";
/// An id like any other.
const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
/// A transfer's.
const RENT: &str = "b8d0c9a4-0000-4000-8000-000000000001";
/// The most an account holds, and so the most that is moved: 2^53 − 1, exact in every JSON reader.
const MINOR_MAX: u64 = 9_007_199_254_740_991;
/// Text that breaks whoever pastes it anywhere.
const HOSTILE: &str =
    "' OR '1'='1'; -- <script>alert(\"&amp;\")</script> \\u0000 \\ ${jndi:x} \u{202e}\u{1F469}\u{200D}\u{1F680} %00";

fn currency(code: &str) -> Currency {
    code.parse().expect("is a currency")
}

fn opened(account_id: &str, holder: Personal<String>, code: &str) -> AccountOpened {
    AccountOpened { account_id: account_id.to_owned(), holder, currency: currency(code) }
}

fn deposited(account_id: &str, amount_minor: u64, [balance_minor, available]: [u64; 2], code: &str) -> FundsDeposited {
    let (account_id, currency, available_minor) = (account_id.to_owned(), currency(code), Some(available));
    FundsDeposited { account_id, amount_minor, currency, balance_minor, available_minor }
}

fn withdrawn(account_id: &str, amount_minor: u64, [balance_minor, available]: [u64; 2], code: &str) -> FundsWithdrawn {
    let (account_id, currency, available_minor) = (account_id.to_owned(), currency(code), Some(available));
    FundsWithdrawn { account_id, amount_minor, currency, balance_minor, available_minor }
}

fn held(
    [account_id, transfer_id]: [&str; 2],
    amount_minor: u64,
    [balance_minor, available_minor]: [u64; 2],
    code: &str,
) -> FundsHeld {
    let ([account_id, transfer_id], currency) = ([account_id, transfer_id].map(str::to_owned), currency(code));
    FundsHeld { account_id, transfer_id, amount_minor, currency, balance_minor, available_minor }
}

fn credited(
    [account_id, transfer_id]: [&str; 2],
    amount_minor: u64,
    [balance_minor, available_minor]: [u64; 2],
    code: &str,
) -> AccountCredited {
    let ([account_id, transfer_id], currency) = ([account_id, transfer_id].map(str::to_owned), currency(code));
    AccountCredited { account_id, transfer_id, amount_minor, currency, balance_minor, available_minor }
}

fn captured(
    [account_id, transfer_id]: [&str; 2],
    amount_minor: u64,
    [balance_minor, available_minor]: [u64; 2],
    code: &str,
) -> HoldCaptured {
    let ([account_id, transfer_id], currency) = ([account_id, transfer_id].map(str::to_owned), currency(code));
    HoldCaptured { account_id, transfer_id, amount_minor, currency, balance_minor, available_minor }
}

fn released(
    [account_id, transfer_id]: [&str; 2],
    amount_minor: u64,
    [balance_minor, available_minor]: [u64; 2],
    code: &str,
) -> HoldReleased {
    let ([account_id, transfer_id], currency) = ([account_id, transfer_id].map(str::to_owned), currency(code));
    HoldReleased { account_id, transfer_id, amount_minor, currency, balance_minor, available_minor }
}

/// A command as a sender writes it.
fn command<C: factum::Command>(document: serde_json::Value) -> C {
    serde_json::from_value(document).expect("is a command")
}

fn moving<C: factum::Command>([account_id, transfer_id]: [&str; 2], amount_minor: u64, currency: &str) -> C {
    command(
        json!({ "account_id": account_id, "transfer_id": transfer_id, "amount_minor": amount_minor, "currency": currency }),
    )
}

fn about_hold<C: factum::Command>([account_id, transfer_id]: [&str; 2]) -> C {
    command(json!({ "account_id": account_id, "transfer_id": transfer_id }))
}

fn refused(code: &str, message: &str) -> CommandRefused {
    CommandRefused { code: code.to_owned(), message: message.to_owned() }
}

fn closed(account_id: &str) -> AccountClosed {
    AccountClosed { account_id: account_id.to_owned() }
}

/// The contract with its golden samples.
fn contract() -> Contract {
    let known = |name: &str| Personal::known(name.to_owned());
    Contract::new("bank", NAME)
        .publishes::<AccountPublication>()
        .sample("minimal", &opened(NIL, known("A"), "JPY"))
        .sample("full", &opened(ADA, known("Ada Lovelace"), "EUR"))
        .sample("longest-holder", &opened(ADA, known(&"\u{1F469}".repeat(200)), "CLF"))
        .sample("forgotten", &opened(ADA, Personal::Forgotten, "EUR"))
        .sample("hostile", &opened(ADA, known(HOSTILE), "KWD"))
        .sample("minimal", &deposited(NIL, 1, [1, 1], "JPY"))
        .sample("full", &deposited(ADA, 12_500, [22_450, 19_900], "EUR"))
        .sample("largest", &deposited(ADA, MINOR_MAX, [MINOR_MAX; 2], "EUR"))
        .sample("before-holds", &FundsDeposited { available_minor: None, ..deposited(ADA, 12_500, [22_450, 0], "EUR") })
        .sample("minimal", &withdrawn(NIL, 1, [0, 0], "JPY"))
        .sample("full", &withdrawn(ADA, 2_550, [9_950, 7_400], "EUR"))
        .sample("largest", &withdrawn(ADA, MINOR_MAX, [0, 0], "EUR"))
        .sample("before-holds", &FundsWithdrawn { available_minor: None, ..withdrawn(ADA, 2_550, [9_950, 0], "EUR") })
        .sample("minimal", &held([NIL; 2], 1, [1, 0], "JPY"))
        .sample("full", &held([ADA, RENT], 2_550, [9_950, 7_400], "EUR"))
        .sample("largest", &held([ADA, RENT], MINOR_MAX, [MINOR_MAX, 0], "EUR"))
        .sample("minimal", &credited([NIL; 2], 1, [1, 1], "JPY"))
        .sample("full", &credited([ADA, RENT], 2_550, [12_500, 9_950], "EUR"))
        .sample("largest", &credited([ADA, RENT], MINOR_MAX, [MINOR_MAX; 2], "EUR"))
        .sample("minimal", &captured([NIL; 2], 1, [0, 0], "JPY"))
        .sample("full", &captured([ADA, RENT], 2_550, [7_400, 5_000], "EUR"))
        .sample("largest", &captured([ADA, RENT], MINOR_MAX, [0, 0], "EUR"))
        .sample("minimal", &released([NIL; 2], 1, [1, 1], "JPY"))
        .sample("full", &released([ADA, RENT], 2_550, [9_950, 7_400], "EUR"))
        .sample("largest", &released([ADA, RENT], MINOR_MAX, [MINOR_MAX; 2], "EUR"))
        .sample("minimal", &closed(NIL))
        .sample("full", &closed(ADA))
        .receives_from(TRANSFERS, commands_of_transfers)
        .command_sample("minimal", &moving::<HoldFunds>([NIL; 2], 1, "JPY"))
        .command_sample("full", &moving::<HoldFunds>([ADA, RENT], 2_550, "EUR"))
        .command_sample("largest", &moving::<HoldFunds>([ADA, RENT], MINOR_MAX, "EUR"))
        .command_sample("minimal", &moving::<CreditAccount>([NIL; 2], 1, "JPY"))
        .command_sample("full", &moving::<CreditAccount>([ADA, RENT], 2_550, "EUR"))
        .command_sample("largest", &moving::<CreditAccount>([ADA, RENT], MINOR_MAX, "EUR"))
        .command_sample("minimal", &about_hold::<CaptureHold>([NIL; 2]))
        .command_sample("full", &about_hold::<CaptureHold>([ADA, RENT]))
        .command_sample("minimal", &about_hold::<ReleaseHold>([NIL; 2]))
        .command_sample("full", &about_hold::<ReleaseHold>([ADA, RENT]))
        .sample("cancelled", &refused("cancelled", "the command was cancelled before it was dealt with"))
        .sample("minimal", &CommandNothingToDo {})
        .sample("minimal", &HistoryLeft {})
}

#[test]
fn the_published_contract_is_the_one_that_is_kept() {
    assert_contract(&contract(), concat!(env!("CARGO_MANIFEST_DIR"), "/contract"));
}

#[test]
fn every_sample_is_valid_by_its_schema_also_with_a_field_added() {
    let (contract, files) = (contract(), contract().files());
    let messages = contract.messages().map(|message| message.name).chain(contract.commands());
    for name in messages {
        let schema = serde_json::from_str(&files[&format!("schemas/{name}.json")]).expect("is JSON");
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
        let validator = validator.unwrap_or_else(|error| panic!("the schema of {name}: {error}"));
        let samples: Vec<_> = contract.samples_of(name).collect();
        assert!(samples.len() >= 2, "{name} has few samples");
        for (label, sample) in samples {
            let mut sample = sample.clone();
            assert_valid(&validator, &sample, name, label);
            sample["added_later"] = "by the sender".into();
            assert_valid(&validator, &sample, name, label);
        }
    }
}

/// Fields that came later: who reads the topic from its beginning meets messages without them.
const ADDED_LATER: [(&str, &str); 2] =
    [("bank.accounts.funds-deposited.v1", "available_minor"), ("bank.accounts.funds-withdrawn.v1", "available_minor")];

#[test]
fn every_field_is_required_unless_it_came_later_and_told_about() {
    for message in contract().messages() {
        let schema = Contract::schema_of(message);
        assert!(schema["$id"].is_string() && schema["title"].is_string() && schema["description"].is_string());
        // There is nothing to say about nothing to do, and of a history that was left the attributes say it all.
        let fields = schema["properties"].as_object().into_iter().flatten();
        let required: &[serde_json::Value] = schema["required"].as_array().map_or(&[], Vec::as_slice);
        let empty = [CommandNothingToDo::NAME, HistoryLeft::NAME];
        assert!(!required.is_empty() || empty.contains(&message.name), "{}", message.name);
        for (name, field) in fields {
            let is_required = required.iter().any(|required| required == name);
            assert_ne!(is_required, ADDED_LATER.contains(&(message.name, name)), "{} of {}", name, message.name);
            assert!(field["description"].is_string(), "{} of {}", name, message.name);
        }
    }
}

fn assert_valid(validator: &jsonschema::Validator, document: &serde_json::Value, message: &str, label: &str) {
    let errors: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "the sample {label} of {message}: {errors:?}");
}
