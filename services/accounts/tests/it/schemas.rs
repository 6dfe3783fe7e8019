//! What the schema of a command says is exactly what the command takes: whoever writes by the schema is not refused as
//! invalid, and whoever is refused could have known.

use accounts::domain::{
    CaptureHold, CloseAccount, CreditAccount, DepositFunds, HoldFunds, OpenAccount, ReleaseHold, WithdrawFunds,
};
use factum::Command;
use serde_json::{Value, json};

const ID: &str = "6f1a7c1e-0000-4000-8000-000000000001";

/// Holds the schema of `C` against what `C` takes, on each document.
fn agree<C: Command>(documents: impl IntoIterator<Item = Value>) {
    let schema = schemars::schema_for!(C).to_value();
    let schema = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
    let schema = schema.expect("it is a schema");
    let (mut taken, mut refused) = (0, 0);
    for document in documents {
        let command = serde_json::from_value::<C>(document.clone()).map_err(|error| error.to_string());
        let command = command.and_then(|command| command.validate().map_err(|error| error.to_string()));
        assert_eq!(schema.is_valid(&document), command.is_ok(), "{document} is taken: {command:?}");
        *(if command.is_ok() { &mut taken } else { &mut refused }) += 1;
    }
    assert!(taken > 0 && refused > 0, "{taken} taken and {refused} refused show nothing");
}

/// Amounts of all kinds in a currency.
fn amounts(currency: &str) -> Vec<Value> {
    let texts = [
        "1",
        "1.5",
        "1.50",
        "1.500",
        "1.5000",
        "1.50000",
        "001",
        "0.0001",
        "0",
        "0.00",
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        " 1",
        "1 ",
        "1\n",
        "1_000",
        "1,000",
        "١٢",
        "NaN",
        "999999999999999",
        "1234567890123456",
        "99999999999999.9",
        "999999999999999.9",
        "9999999999999.99",
        "99999999999.9999",
    ];
    let documents = texts.iter().map(|amount| json!({ "account_id": ID, "amount": amount, "currency": currency }));
    documents.chain([json!({ "account_id": ID, "amount": 1, "currency": currency })]).collect()
}

#[test]
fn amounts_fit_their_currency() {
    for currency in ["EUR", "JPY", "KWD", "CLF"] {
        agree::<DepositFunds>(amounts(currency));
        agree::<WithdrawFunds>(amounts(currency));
    }
}

#[test]
fn transfers_move_whole_minor_units_that_an_account_can_hold() {
    let documents = || {
        let amounts = [json!(1), json!(9_007_199_254_740_991_u64), json!(0), json!(9_007_199_254_740_992_u64)];
        let others = [json!(u64::MAX), json!(-1), json!(1.5), json!("1"), json!(null)];
        let documents = amounts.into_iter().chain(others);
        documents
            .map(|amount| json!({ "account_id": ID, "transfer_id": ID, "amount_minor": amount, "currency": "EUR" }))
    };
    agree::<HoldFunds>(documents());
    agree::<CreditAccount>(documents());
}

#[test]
fn currencies_are_those_with_a_code_and_decimals() {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|one| letters().flat_map(move |two| letters().map(move |three| [one, two, three])));
    let codes = codes.map(|code| String::from_utf8_lossy(&code).into_owned());
    let others = ["eur", "ZZZZ", "", "€", "EUR "].map(str::to_owned);
    agree::<OpenAccount>(codes.chain(others).map(|code| json!({ "holder": "Ada", "currency": code })));
}

#[test]
fn holders_have_a_name_one_can_print() {
    let characters = (0..=0x3000).filter_map(char::from_u32).map(|character| format!("A{character}a"));
    let lengths = [0, 1, 199, 200, 201].map(|length| "\u{1F469}".repeat(length));
    let named = characters.chain(lengths).map(|holder| json!({ "holder": holder, "currency": "EUR" }));
    let others = [json!({ "currency": "EUR" }), json!({ "holder": null, "currency": "EUR" })];
    agree::<OpenAccount>(named.chain(others));
}

#[test]
fn ids_are_uuids_with_their_hyphens() {
    let texts = [ID, "6F1A7C1E-0000-4000-8000-000000000001", "", "' OR '1'='1", "6f1a7c1e00004000800000000000000"];
    let others = ["{6f1a7c1e-0000-4000-8000-000000000001}", "urn:uuid:6f1a7c1e-0000-4000-8000-000000000001"];
    let ids = texts.into_iter().chain(others);
    agree::<CloseAccount>(
        ids.clone().map(|id| json!({ "account_id": id })).chain([json!({}), json!({ "account_id": null })]),
    );
    agree::<CaptureHold>(ids.clone().map(|id| json!({ "account_id": ID, "transfer_id": id })));
    agree::<ReleaseHold>(ids.clone().map(|id| json!({ "account_id": ID, "transfer_id": id })));
    agree::<OpenAccount>(ids.map(|id| json!({ "account_id": id, "holder": "Ada", "currency": "EUR" })));
    agree::<OpenAccount>([
        json!({ "account_id": null, "holder": "Ada", "currency": "EUR" }),
        json!({ "account_id": 7 }),
    ]);
}
