//! What the README shows: accounts, some money, a refusal, a transfer, a stop, and everything is still there.

use anyhow::Context as _;
use serde_json::json;
use system_tests::{Site, Surfaces};

use crate::teller::{ended, euros, open, summary, token, transfer};

#[tokio::test]
async fn the_walk_of_the_readme_survives_a_stop() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let surfaces = bank.surfaces();

    let ann = open(surfaces, "Ann", "EUR").await?;
    let ben = open(surfaces, "Ben", "JPY").await?;
    assert_ne!(ann, ben);
    let deposited = surfaces.command("deposit-funds", &euros(&ann, "125.00"), &[]).await?.accepted()?;
    assert_eq!(deposited.json["version"], 2);
    assert_eq!(deposited.field("stream"), format!("account-{ann}"));
    assert_eq!(deposited.header("etag"), "\"2\"");
    let withdrawn = surfaces.command("withdraw-funds", &euros(&ann, "25.50"), &[]).await?.accepted()?;

    let overdrawn = surfaces.command("withdraw-funds", &euros(&ann, "99.51"), &[]).await?;
    assert_eq!((overdrawn.status, overdrawn.field("code")), (422, "insufficient-funds"));
    assert_eq!(overdrawn.header("content-type"), "application/problem+json");

    let anns = summary(surfaces, &ann, &token(&withdrawn)?).await?;
    assert_eq!(anns["holder"], "Ann");
    assert_eq!(anns["balance"], "99.50");
    assert_eq!(anns["available"], "99.50");
    assert_eq!((&anns["currency"], &anns["status"], &anns["version"]), (&json!("EUR"), &json!("open"), &json!(3)));
    assert_eq!(kinds(surfaces, &ann, &token(&withdrawn)?).await?, ["opened", "deposited", "withdrawn"]);
    let bens = summary(surfaces, &ben, &token(&deposited)?).await?;
    assert_eq!(bens["balance"], "0");

    let cyn = open(surfaces, "Cyn", "EUR").await?;
    let requested = surfaces.command("request-transfer", &transfer(&ann, &cyn, "25.00"), &[]).await?.accepted()?;
    let transferred = ended(surfaces, &requested).await?;
    assert_eq!((&transferred["status"], &transferred["amount"]), (&json!("completed"), &json!("25.00")));
    let requested = surfaces.command("request-transfer", &transfer(&ann, &ben, "1.00"), &[]).await?.accepted()?;
    let rejected = ended(surfaces, &requested).await?;
    assert_eq!((&rejected["status"], &rejected["reason"]), (&json!("rejected"), &json!("currency-mismatch")));

    let ended = bank.stop().await?;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);

    let bank = site.start().await?;
    let surfaces = bank.surfaces();
    let anns = summary(surfaces, &ann, &token(&withdrawn)?).await?;
    assert_eq!((&anns["balance"], &anns["available"], &anns["version"]), (&json!("74.50"), &json!("74.50"), &json!(7)));
    assert_eq!(summary(surfaces, &ben, &token(&deposited)?).await?, bens);
    let again = surfaces.command("withdraw-funds", &euros(&ann, "99.51"), &[]).await?;
    assert_eq!((again.status, again.field("code")), (422, "insufficient-funds"));
    let next = surfaces.command("withdraw-funds", &euros(&ann, "74.50"), &[]).await?.accepted()?;
    assert_eq!(next.json["version"], 8, "the stream goes on where it was");
    let ended = bank.interrupt().await?;
    assert_eq!(ended.status.code(), Some(0), "Ctrl-C stops as cleanly: {}", ended.stderr);
    Ok(())
}

async fn kinds(bank: &Surfaces, account: &str, token: &str) -> anyhow::Result<Vec<String>> {
    let lines = bank.statement(account, token).await?;
    lines.iter().map(|line| Ok(line["kind"].as_str().context("a kind")?.to_owned())).collect()
}
