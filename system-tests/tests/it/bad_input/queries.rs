//! The parameters of queries, and tokens.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Counter, Refusal, Row, invalid, refusal};
use crate::teller::{euros, open};

#[tokio::test]
async fn parameters_are_known_given_once_and_within_their_limits() -> anyhow::Result<()> {
    const LIMIT: &str = "must be 1 to 500";
    let counter = Counter::open().await?;
    let account = &counter.account;
    let row = |name: &str, parameters: String, refused| Row::query(name, "statement", &parameters, refused);
    let with = |more: &str| format!("account_id={account}&{more}");
    let unknown = |field| refusal(400, "unknown-field", Some(field), "not known here");
    counter
        .refuses(&[
            row("an unknown parameter", with("colour=red"), unknown("colour")),
            row("a misspelt parameter", with("limits=5"), unknown("limits")),
            row(
                "a repeated parameter",
                with(&format!("account_id={account}")),
                invalid("account_id", "duplicate field"),
            ),
            row("a repeated limit", with("limit=5&limit=5"), invalid("limit", "duplicate field")),
            row("a missing parameter", String::new(), invalid("account_id", "missing field")),
            row("limit 0", with("limit=0"), invalid("limit", LIMIT)),
            row("limit 501", with("limit=501"), invalid("limit", LIMIT)),
            row("limit 10^8", with("limit=100000000"), invalid("limit", LIMIT)),
            row("limit 10^30", with(&format!("limit=1{}", "0".repeat(30))), invalid("limit", "number")),
            row("limit -1", with("limit=-1"), invalid("limit", "invalid digit")),
            row("limit ten", with("limit=ten"), invalid("limit", "invalid digit")),
            row("an empty limit", with("limit="), invalid("limit", "empty")),
        ])
        .await?;
    counter.stays_as_it_was().await
}

#[tokio::test]
async fn a_cursor_is_one_that_was_given_out_for_the_same_question() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    let bank = counter.bank.surfaces();
    let other = open(bank, "Ben", "EUR").await?;
    let deposited = bank.command("deposit-funds", &euros(&other, "1.00"), &[]).await?.accepted()?;
    let path = format!("/queries/statement?account_id={other}&limit=1");
    let page = bank.query_when_there(&path, deposited.field("token")).await?;
    let foreign = page.json["next"].as_str().context("a second page")?.to_owned();
    counter.events_before += 2;

    let account = &counter.account;
    let row = |name: &str, cursor: &str, says| {
        Row::query(name, "statement", &format!("account_id={account}&cursor={cursor}"), invalid("cursor", says))
    };
    let cut = &foreign[..foreign.len() - 1];
    counter
        .refuses(&[
            row("a garbage cursor", "garbage", "cursor"),
            row("an empty cursor", "", "cursor"),
            row("a cursor with SQL", "%27%20OR%201%3D1--", "cursor"),
            row("a cursor of 5,000 characters", &"A".repeat(5_000), "cursor"),
            row("a cursor that was cut", cut, "unchanged"),
            row("another account's cursor", &foreign, "use `next` of the page before, unchanged"),
        ])
        .await?;
    counter.stays_as_it_was().await
}

/// A token with something done to it, as nobody but the bank should.
fn forged(token: &str, change: impl FnOnce(&mut Value)) -> anyhow::Result<String> {
    let mut wire: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token)?)?;
    change(&mut wire);
    Ok(URL_SAFE_NO_PAD.encode(wire.to_string()))
}

#[tokio::test]
async fn a_token_is_one_that_the_bank_gave_out() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let token = &counter.token;
    let no_token = invalid("Factum-At-Least", "send what Factum-Token said, unchanged");
    let elsewhere = refusal(400, "token-not-applicable", Some("Factum-At-Least"), "ask without it");
    let not_yet = refusal(503, "not-yet", None, "not visible yet: ask again");
    let of_another_system = forged(token, |wire| wire["t"][0]["t"] = json!("shop.orders.order.events"))?;
    let of_no_topic = forged(token, |wire| wire["t"] = json!([]))?;
    let other = json!("6f1a7c1e-0000-4000-8000-000000000001");
    let of_another_incarnation = forged(token, |wire| wire["i"] = other.clone())?;
    let of_another_store = forged(token, |wire| wire["s"] = other.clone())?;
    let from_the_future = forged(token, |wire| wire["t"][0]["p"] = json!(1_000_000))?;
    let row =
        |name: &str, token: &str, refused: Refusal| counter.summary(name, refused).header("factum-at-least", token);
    counter
        .refuses(&[
            row("a garbage token", "garbage", no_token),
            row("an empty token", "", no_token),
            row("a token of 5,000 characters", &"A".repeat(5_000), no_token),
            row("a token with SQL", "' OR '1'='1", no_token),
            row("a token that was cut", &token[..token.len() - 3], no_token),
            row("a token that is JSON", "{}", no_token),
            row("a token of another system", &of_another_system, elsewhere),
            row("a token that no topic follows", &of_no_topic, elsewhere),
            row("a token of another incarnation", &of_another_incarnation, not_yet),
            row("a token of another store", &of_another_store, not_yet),
            row("a token from the future", &from_the_future, not_yet),
        ])
        .await?;
    counter.stays_as_it_was().await
}
