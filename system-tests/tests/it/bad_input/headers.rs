//! What stands before a body: the method, the path, the headers.

use serde_json::json;
use system_tests::Side;

use super::{Counter, Row, invalid, refusal};

impl Counter {
    /// A deposit that nothing is wrong with but what a test does to it.
    fn deposit(&self, name: &str, refused: super::Refusal) -> Row {
        let body = json!({ "account_id": self.account, "amount": "1.00", "currency": "EUR" }).to_string();
        Row::command(name, "deposit-funds", body, refused)
    }

    pub(super) fn summary(&self, name: &str, refused: super::Refusal) -> Row {
        Row::query(name, "account-summary", &format!("account_id={}", self.account), refused)
    }
}

#[tokio::test]
async fn a_body_that_does_not_call_itself_json_is_refused() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let refused = refusal(415, "unsupported-media-type", Some("Content-Type"), "Content-Type: application/json");
    let encoded = refusal(415, "unsupported-media-type", Some("Content-Encoding"), "not encoded");
    let mut rows = vec![
        counter.deposit("no content type", refused).without_header("content-type"),
        counter.deposit("a content encoding", encoded).header("content-encoding", "gzip"),
    ];
    for media_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "json",
        "*/*",
        "application/json; charset=latin1",
    ] {
        rows.push(counter.deposit(media_type, refused).header("content-type", media_type));
    }
    counter.refuses(&rows).await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn a_wrong_method_or_surface_is_told_the_right_one() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let method = refusal(405, "method-not-allowed", None, "the Allow header names those it does");
    let write_surface = refusal(404, "not-found", None, "POST /commands/{name} on the service's write surface");
    let read_surface = refusal(404, "not-found", None, "GET /queries/{name}/live, on the service's read surface");
    let mut rows = vec![
        counter.deposit("a command on the read surface", write_surface).to(Side::Read),
        counter.summary("a query on the write surface", read_surface).to(Side::Write),
        counter.summary("a query by POST", method).method("POST"),
        Row::command("an unknown command", "rob-bank", "{}", refusal(404, "unknown-command", None, "`rob-bank`")),
        Row::query("an unknown query", "secrets", "", refusal(404, "unknown-query", None, "`secrets`")),
        Row::command("a command in capitals", "DEPOSIT-FUNDS", "{}", refusal(404, "unknown-command", None, "here")),
        Row::command("a path that goes on", "deposit-funds/now", "{}", write_surface),
        Row::command("a path that climbs", "../admin/events", "{}", write_surface),
    ];
    for other in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        rows.push(counter.deposit(other, method).method(other));
    }
    counter.refuses(&rows).await?;
    let put = counter.bank.surfaces().send(Side::Write, "PUT", "/commands/deposit-funds", Vec::new(), &[]).await?;
    assert_eq!(put.header("allow"), "POST");
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn headers_of_ours_are_well_formed_or_refused() -> anyhow::Result<()> {
    const ETAG: &str = "send one version as an ETag said it, such as \"7\", or *";
    const KEY: &str = "send 1 to 255 visible ASCII characters";
    let counter = Counter::open().await?;
    let mut rows = Vec::new();
    for value in
        ["banana", "2", "W/\"2\"", "\"two\"", "\"02\"", "\"-1\"", "\"2\", \"3\"", "\"99999999999999999999\"", ""]
    {
        rows.push(counter.deposit(&format!("If-Match: {value}"), invalid("If-Match", ETAG)).header("if-match", value));
    }
    for (name, value) in [("empty", String::new()), ("of 10 kB", "k".repeat(10_000)), ("with a space", "a b".into())] {
        let row = counter.deposit(&format!("Idempotency-Key {name}"), invalid("Idempotency-Key", KEY));
        rows.push(row.header("idempotency-key", value));
    }
    rows.push(
        counter
            .deposit("a correlation id that is none", invalid("Factum-Correlation-Id", "send a UUID"))
            .header("factum-correlation-id", "banana"),
    );
    let elsewhere = refusal(412, "not-expected", None, "expected version 7, the stream is at version 2");
    rows.push(counter.deposit("If-Match of another version", elsewhere).header("if-match", "\"7\""));
    counter.refuses(&rows).await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn a_head_or_path_that_is_too_long_is_refused() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let large = refusal(431, "headers-too-large", None, "larger than 32768 bytes");
    let long = refusal(414, "uri-too-long", None, "longer than 8192 bytes");
    let parameters = "a".repeat(9_000);
    counter
        .refuses(&[
            counter.deposit("a header of 40 kB", large).header("x-large", "v".repeat(40_000)),
            counter.summary("a header of 40 kB to the other side", large).header("x-large", "v".repeat(40_000)),
            Row::query("a path of 9 kB", "account-summary", &parameters, long),
        ])
        .await?;
    counter.stays_as_it_was().await
}
