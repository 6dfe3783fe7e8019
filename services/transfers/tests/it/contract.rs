//! What is published is what `contract/` says. Another service decodes these very samples with types of its own.

use factum::{Message as _, contract::Contract, relay::HistoryLeft, testing::assert_contract};
use transfers::{
    NAME,
    domain::Currency,
    messages::{TransferCompleted, TransferPublication, TransferRejected, TransferRequested},
};

/// The smallest id there is.
const NIL: &str = "00000000-0000-0000-0000-000000000000";
/// An id like any other.
const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
/// Another one.
const BOB: &str = "6f1a7c1e-0000-4000-8000-000000000002";
/// The id of a transfer.
const TRANSFER: &str = "7a2b8d2f-0000-4000-8000-000000000001";
/// The most that is moved: 2^53 − 1, exact in every JSON reader.
const MINOR_MAX: u64 = 9_007_199_254_740_991;
fn currency(code: &str) -> Currency {
    code.parse().expect("is a currency")
}

fn requested(transfer_id: &str, to: &str, amount_minor: u64, code: &str) -> TransferRequested {
    let (transfer_id, from, to) = (transfer_id.to_owned(), ADA.to_owned(), to.to_owned());
    TransferRequested { transfer_id, from, to, amount_minor, currency: currency(code) }
}

fn completed(transfer_id: &str) -> TransferCompleted {
    TransferCompleted { transfer_id: transfer_id.to_owned() }
}

fn rejected(transfer_id: &str, reason: &str) -> TransferRejected {
    TransferRejected { transfer_id: transfer_id.to_owned(), reason: reason.to_owned() }
}

/// The contract with its golden samples.
fn contract() -> Contract {
    Contract::new("bank", NAME)
        .publishes::<TransferPublication>()
        .sample("minimal", &requested(NIL, NIL, 1, "JPY"))
        .sample("full", &requested(TRANSFER, BOB, 12_500, "EUR"))
        .sample("largest", &requested(TRANSFER, BOB, MINOR_MAX, "EUR"))
        .sample("minimal", &completed(NIL))
        .sample("full", &completed(TRANSFER))
        .sample("minimal", &rejected(NIL, "cancelled"))
        .sample("full", &rejected(TRANSFER, "insufficient-funds"))
        .sample("minimal", &HistoryLeft {})
}

#[test]
fn the_published_contract_is_the_one_that_is_kept() {
    assert_contract(&contract(), concat!(env!("CARGO_MANIFEST_DIR"), "/contract"));
}

#[test]
fn every_sample_is_valid_by_its_schema_also_with_a_field_added() {
    let contract = contract();
    for message in contract.messages() {
        let schema = Contract::schema_of(message);
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
        let validator = validator.unwrap_or_else(|error| panic!("the schema of {}: {error}", message.name));
        let samples: Vec<_> = contract.samples_of(message.name).collect();
        assert!(samples.len() >= 2, "{} has few samples", message.name);
        for (label, sample) in samples {
            let mut sample = sample.clone();
            assert_valid(&validator, &sample, message.name, label);
            sample["added_later"] = "by the sender".into();
            assert_valid(&validator, &sample, message.name, label);
        }
    }
}

#[test]
fn every_field_is_required_and_told_about() {
    // Of a history that was left the attributes say it all.
    for message in contract().messages().filter(|message| message.name != HistoryLeft::NAME) {
        let schema = Contract::schema_of(message);
        assert!(schema["$id"].is_string() && schema["title"].is_string() && schema["description"].is_string());
        let fields = schema["properties"].as_object().expect("a message has fields");
        let required = schema["required"].as_array().expect("and requires some");
        for (name, field) in fields {
            assert!(required.iter().any(|required| required == name), "{} of {}", name, message.name);
            assert!(field["description"].is_string(), "{} of {}", name, message.name);
        }
    }
}

fn assert_valid(validator: &jsonschema::Validator, document: &serde_json::Value, message: &str, label: &str) {
    let errors: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "the sample {label} of {message}: {errors:?}");
}
