//! What the schema of a command says is exactly what the command takes: whoever writes by the schema is not refused as
//! invalid, and whoever is refused could have known.

use factum::Command;
use serde_json::{Value, json};
use transfers::domain::RequestTransfer;

const FROM: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const TO: &str = "6f1a7c1e-0000-4000-8000-000000000002";

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
    let document = |amount: Value| json!({ "from": FROM, "to": TO, "amount": amount, "currency": currency });
    texts.iter().map(|amount| document((*amount).into())).chain([document(1.into())]).collect()
}

#[test]
fn amounts_fit_their_currency() {
    for currency in ["EUR", "JPY", "KWD", "CLF"] {
        agree::<RequestTransfer>(amounts(currency));
    }
}

#[test]
fn currencies_are_those_with_a_code_and_decimals() {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|one| letters().flat_map(move |two| letters().map(move |three| [one, two, three])));
    let codes = codes.map(|code| String::from_utf8_lossy(&code).into_owned());
    let others = ["eur", "ZZZZ", "", "€", "EUR "].map(str::to_owned);
    agree::<RequestTransfer>(
        codes.chain(others).map(|code| json!({ "from": FROM, "to": TO, "amount": "1", "currency": code })),
    );
}

#[test]
fn ids_are_uuids_with_their_hyphens() {
    let texts = [TO, "6F1A7C1E-0000-4000-8000-000000000001", "", "' OR '1'='1", "6f1a7c1e00004000800000000000000"];
    let others = ["{6f1a7c1e-0000-4000-8000-000000000001}", "urn:uuid:6f1a7c1e-0000-4000-8000-000000000001"];
    let ids: Vec<Value> = texts.into_iter().chain(others).map(Into::into).chain([Value::Null, 7.into()]).collect();
    for field in ["transfer_id", "from", "to"] {
        agree::<RequestTransfer>(ids.iter().map(|id| {
            let mut document = json!({ "from": FROM, "to": TO, "amount": "1", "currency": "EUR" });
            document[field] = id.clone();
            document
        }));
    }
    agree::<RequestTransfer>([
        json!({ "from": FROM, "to": TO, "amount": "1", "currency": "EUR" }),
        json!({ "from": FROM, "amount": "1", "currency": "EUR" }),
    ]);
}
