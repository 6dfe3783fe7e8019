//! Load ends with a clean audit, and the audit is no formality: one altered amount and it fails.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rusqlite::Connection;
use serde_json::Value;
use system_tests::Site;

use crate::teller::audit_report;

/// How long the load may take, on a busy machine.
const LOAD_MAX: Duration = Duration::from_secs(240);

#[tokio::test]
async fn load_ends_clean_and_an_altered_amount_does_not() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let options = ["--accounts", "40", "--operations", "2000", "--transfers", "500"];
    let options = [&options[..], &["--concurrency", "32", "--seed", "1", "--json"]].concat();

    let load = site.run_tool("load", &options, LOAD_MAX).await?;

    ensure!(load.status.success(), "{}{}", load.stdout, load.stderr);
    let result: Value = serde_json::from_str(&load.stdout)?;
    let operations = &result["operations"];
    assert_eq!(result["audit"]["clean"], true);
    assert_eq!(result["opened"]["accepted"], 40);
    let answered = ["accepted", "insufficient_funds"].map(|count| operations[count].as_u64().unwrap_or_default());
    assert_eq!(answered[0] + answered[1], 2_000);
    assert!(answered[1] > 0, "some withdrawals are refused: {operations}");
    let (requested, ends) = (&result["transfers"], &result["ends"]);
    assert_eq!((&requested["accepted"], &ends["open"]), (&500.into(), &0.into()), "{requested}");
    assert_eq!(result["audit"]["transfers"], 500);
    let rejected = ends["rejected"].as_object().context("the rejected, by reason")?;
    let rejections: u64 = rejected.values().filter_map(Value::as_u64).sum();
    assert_eq!(ends["completed"].as_u64(), Some(500 - rejections), "{ends}");
    for reason in ["insufficient-funds", "currency-mismatch"] {
        assert!(rejected.contains_key(reason), "a transfer is rejected for each reason: {ends}");
    }
    let events = bank.surfaces().events().await?;
    let by_hand = ["account.opened", "account.funds-deposited", "account.funds-withdrawn"];
    let by_hand = events.iter().filter(|event| by_hand.iter().any(|name| event["type"] == *name));
    assert_eq!(by_hand.count() as u64, 40 + answered[0], "one event a command");

    bank.stop().await?;
    let altered = alter_one_amount(&site)?;
    let bank = site.start().await?;

    let (report, status) = audit_report(&site).await?;
    assert_eq!(status, Some(1));
    assert_eq!(report["clean"], false);
    assert_eq!(report["differences_total"], 1, "{report:#}");
    let difference = report["differences"][0].as_str().context("a difference")?;
    assert!(difference.contains("its statement at version"), "{altered}: {difference}");
    bank.stop().await?;
    Ok(())
}

/// Adds one cent to the amount of some statement line in the read database; answers the line as it was.
fn alter_one_amount(site: &Site) -> anyhow::Result<String> {
    let database = Connection::open(site.data().join("statements/read.db"))?;
    let mut tables = database.prepare("SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'document'")?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for table in &tables {
        let line =
            format!("SELECT key, document FROM \"{table}\" WHERE json_type(document, '$.amount') IS NOT NULL LIMIT 1");
        let found = database.query_row(&line, [], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)));
        let Ok((key, document)) = found else { continue };
        let mut altered: Value = serde_json::from_str(&document)?;
        altered["amount"] = one_more(&altered["amount"])?;
        let update = format!("UPDATE \"{table}\" SET document = ?1 WHERE key = ?2");
        assert_eq!(database.execute(&update, (altered.to_string(), key))?, 1);
        return Ok(document);
    }
    anyhow::bail!("no document with an amount in {tables:?}")
}

/// The amount with its last digit changed, whether it is a number or a decimal text.
fn one_more(amount: &Value) -> anyhow::Result<Value> {
    if let Some(number) = amount.as_i64() {
        return Ok(Value::from(number + 1));
    }
    let text = amount.as_str().context("an amount is a number or a text")?;
    let (head, last) = text.split_at(text.len() - 1);
    Ok(Value::from(format!("{head}{}", if last == "1" { "2" } else { "1" })))
}
