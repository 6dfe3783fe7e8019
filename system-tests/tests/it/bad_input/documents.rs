//! The bodies of commands.

use serde_json::{Value, json};

use super::{Counter, Refusal, Row, invalid, refusal};

/// Longer than any body may be.
const HUGE_BYTES: usize = 10 << 20;
/// How deep some documents are nested.
const DEEP: usize = 100_000;

/// The body of a deposit, with something done to it.
fn deposit(account: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut body = json!({ "account_id": account, "amount": "1.00", "currency": "EUR" });
    change(&mut body);
    body.to_string().into_bytes()
}

fn opening(holder: &str) -> Vec<u8> {
    json!({ "holder": holder, "currency": "EUR" }).to_string().into_bytes()
}

fn malformed(says: &'static str) -> Refusal {
    refusal(400, "malformed", None, says)
}

#[tokio::test]
async fn what_is_no_document_is_malformed() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let account = &counter.account;
    let arrays = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    let whole = String::from_utf8(deposit(account, |_| {}))?;
    let row = |name: &str, body: &[u8], refused| Row::command(name, "deposit-funds", body, refused);
    counter
        .refuses(&[
            row("malformed JSON", br#"{"account_id":"#, malformed("line 1 column 14")),
            row("JSON with a comma too many", &whole.replace('}', ",}").into_bytes(), malformed("trailing comma")),
            row("no body", b"", malformed("must be a JSON object")),
            row("null", b"null", malformed("must be a JSON object")),
            row("a string", br#""deposit""#, malformed("must be a JSON object")),
            row("not UTF-8", b"{\"account_id\":\"\xff\xfe\"}", malformed("unicode")),
            row("a byte order mark", &[b"\xef\xbb\xbf", whole.as_bytes()].concat(), malformed("must be a JSON object")),
            row("100,000 nested arrays", arrays.as_bytes(), malformed("must be a JSON object")),
            row("100,000 arrays, not closed", "[".repeat(DEEP).as_bytes(), malformed("must be a JSON object")),
            row("two documents", format!("{whole} {whole}").as_bytes(), malformed("trailing characters")),
            row("two empty documents", b"{} {}", malformed("trailing characters")),
            row("a NUL behind it", format!("{whole}\0").as_bytes(), malformed("trailing characters")),
        ])
        .await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn a_document_with_other_fields_names_the_field() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let account = &counter.account;
    let arrays = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    let whole = String::from_utf8(deposit(account, |_| {}))?;
    let twice = whole.replace('}', r#","currency":"USD"}"#);
    let deep = whole.replace(r#""1.00""#, &arrays);
    let deep_beside = whole.replace('}', &format!(r#","deep":{arrays}}}"#));
    let row = |name: &str, body: &[u8], refused| Row::command(name, "deposit-funds", body, refused);
    let unknown = |field| refusal(400, "unknown-field", Some(field), "not known here");
    counter
        .refuses(&[
            row("duplicate keys", twice.as_bytes(), invalid("currency", "duplicate field")),
            row("an unknown field", &deposit(account, |body| body["ammount"] = json!("1.00")), unknown("ammount")),
            row(
                "a field of another command",
                &deposit(account, |body| body["holder"] = json!("Ann")),
                unknown("holder"),
            ),
            row("arrays in an unknown field", deep_beside.as_bytes(), unknown("deep")),
            row("arrays in a field", deep.as_bytes(), invalid("amount", "expected a string")),
            row("a missing field", br#"{"amount":"1.00","currency":"EUR"}"#, invalid("account_id", "missing field")),
            row("an empty document", b"{}", invalid("account_id", "missing field")),
            row("null for a field", &deposit(account, |body| body["amount"] = Value::Null), invalid("amount", "null")),
            row("a wrong type", &deposit(account, |body| body["currency"] = json!(978)), invalid("currency", "string")),
            row("an object", &deposit(account, |body| body["amount"] = json!({})), invalid("amount", "string")),
        ])
        .await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn what_is_no_amount_is_refused_with_what_one_is() -> anyhow::Result<()> {
    const PLAIN: &str = "must be a decimal number in plain digits, such as \"125.00\"";
    let counter = Counter::open().await?;
    let long = "9".repeat(26);
    let texts = [
        ("1e3", PLAIN),
        ("-1", PLAIN),
        ("0", "must be more than zero"),
        ("0.00", "must be more than zero"),
        ("0.001", "must have at most 2 decimals in EUR"),
        ("NaN", PLAIN),
        ("", PLAIN),
        (" 1", PLAIN),
        ("1_000", PLAIN),
        ("1,5", PLAIN),
        (".5", PLAIN),
        ("5.", PLAIN),
        ("+1", PLAIN),
        ("0x10", PLAIN),
        ("١٢", PLAIN),
        ("1\u{0}", PLAIN),
        (&long, "must have at most 15 digits"),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for command in ["deposit-funds", "withdraw-funds"] {
        for (text, says) in texts {
            let body = deposit(&counter.account, |body| body["amount"] = json!(text));
            rows.push(Row::command(format!("{command} of {text:?}"), command, body, invalid("amount", says)));
        }
        for number in ["1", "1.00", "1e3", "-0"] {
            let body = String::from_utf8(deposit(&counter.account, |_| {}))?.replace(r#""1.00""#, number);
            rows.push(Row::command(format!("{command} of {number}"), command, body, invalid("amount", "a string")));
        }
    }
    counter.refuses(&rows).await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn what_is_no_currency_is_refused() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let refused = invalid("currency", "no ISO 4217 currency code such as EUR");
    let mut rows = Vec::new();
    for code in ["eur", "ZZZZ", "ZZZ", "", "€", "EUR ", "XAU"] {
        let body = deposit(&counter.account, |body| body["currency"] = json!(code));
        rows.push(Row::command(format!("a deposit in {code:?}"), "deposit-funds", body, refused));
        let body = json!({ "holder": "Ben", "currency": code }).to_string();
        rows.push(Row::command(format!("an account in {code:?}"), "open-account", body, refused));
    }
    counter.refuses(&rows).await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn what_is_no_id_is_refused() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let account = counter.account.clone();
    let refused = invalid("account_id", "write a UUID with its hyphens, such as ");
    let digits = account.replace('-', "");
    let (braced, urn, short) = (format!("{{{account}}}"), format!("urn:uuid:{account}"), &account[1..]);
    let other = account.replace('-', "_");
    let mut rows = Vec::new();
    for id in
        ["", "1", "Ann", "' OR '1'='1", "../..", "%00", &digits, &braced, &urn, short, &other, &format!("{account} ")]
    {
        for command in ["deposit-funds", "withdraw-funds"] {
            let body = deposit(id, |_| {});
            rows.push(Row::command(format!("{command} to {id:?}"), command, body, refused));
        }
        let body = json!({ "account_id": id }).to_string();
        rows.push(Row::command(format!("closing {id:?}"), "close-account", body, refused));
        let body = json!({ "account_id": id, "holder": "Ben", "currency": "EUR" }).to_string();
        rows.push(Row::command(format!("opening {id:?}"), "open-account", body, refused));
        let parameters = format!("account_id={}", encoded(id));
        for query in ["account-summary", "statement"] {
            rows.push(Row::query(format!("{query} of {id:?}"), query, &parameters, refused));
        }
    }
    let nobody = "00000000-0000-4000-8000-000000000000";
    let unknown = refusal(404, "account-not-found", None, "no such account");
    rows.push(Row::command("nobody's account", "deposit-funds", deposit(nobody, |_| {}), unknown));
    counter.refuses(&rows).await?;
    counter.stays_as_it_was().await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn what_is_no_name_of_a_holder_is_refused() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let length = invalid("holder", "must have 1 to 200 characters");
    let instruction = invalid("holder", "must not contain control characters");
    let row = |name: &str, holder: &str, refused| Row::command(name, "open-account", opening(holder), refused);
    counter
        .refuses(&[
            row("an empty holder", "", length),
            row("a holder of 201 characters", &"é".repeat(201), length),
            row("a holder of 1 MB", &"h".repeat(1_000_000), length),
            row("a holder with NUL", "Ann\u{0}", instruction),
            row("a holder of two lines", "Ann\nBen", instruction),
            row("a holder that ends a line elsewhere", "Ann\u{2028}Ben", instruction),
            row("a holder with an escape", "Ann\u{1b}[2J", instruction),
            row("a holder written backwards", "Ann\u{202e}neB", instruction),
            row("a holder in an isolate", "Ann\u{2066}", instruction),
            Row::command(
                "a holder as bytes",
                "open-account",
                br#"{"holder":[65,110,110],"currency":"EUR"}"#,
                invalid("holder", "a string"),
            ),
        ])
        .await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let refused = refusal(413, "too-large", None, "the body is larger than 1048576 bytes");
    let row = |name: &str, body: Vec<u8>| Row::command(name, "open-account", body, refused);
    counter
        .refuses(&[
            row("a body of 10 MB", opening(&"h".repeat(HUGE_BYTES))),
            row("10 MB of white space", vec![b' '; HUGE_BYTES]),
            row("a body of one byte too many", vec![b'['; (1 << 20) + 1]),
        ])
        .await?;
    counter.stays_as_it_was().await
}
