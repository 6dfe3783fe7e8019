//! A hundred at once: no deposit lost, one winner where a version is expected, one effect of one key.

use std::collections::{BTreeSet, HashSet};

use anyhow::Context as _;
use serde_json::Value;
use system_tests::{Answer, Site, Surfaces};
use tokio::task::JoinSet;

use crate::teller::{audit_is_clean, euros, open, summary, token};

/// How many at once.
const RACERS: usize = 100;

/// Sends the same deposit `RACERS` times at once.
async fn race(bank: &Surfaces, body: &Value, headers: &[(&'static str, &'static str)]) -> anyhow::Result<Vec<Answer>> {
    let mut racing = JoinSet::new();
    for _ in 0..RACERS {
        let (bank, body, headers) = (bank.clone(), body.clone(), headers.to_vec());
        racing.spawn(async move { bank.command("deposit-funds", &body, &headers).await });
    }
    racing.join_all().await.into_iter().collect()
}

/// How many events there are of the account, by their data.
async fn deposits(bank: &Surfaces, account: &str) -> anyhow::Result<usize> {
    let stream = format!("account-{account}");
    let events = bank.events().await?;
    Ok(events.iter().filter(|event| event["stream"] == *stream && event["type"] == "account.funds-deposited").count())
}

#[tokio::test]
async fn a_hundred_deposits_at_once_all_succeed_and_add_up() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let ann = open(bank.surfaces(), "Ann", "EUR").await?;

    let answers = race(bank.surfaces(), &euros(&ann, "1.01"), &[]).await?;

    let mut versions = BTreeSet::new();
    let mut last = None;
    for answer in answers {
        let answer = answer.accepted()?;
        let version = answer.json["version"].as_u64().context("a version")?;
        if versions.last().is_none_or(|newest| *newest < version) {
            last = Some(token(&answer)?);
        }
        versions.insert(version);
    }
    assert_eq!(versions, (2..=101).collect(), "each has a version of its own");
    let shown = summary(bank.surfaces(), &ann, &last.context("a token")?).await?;
    assert_eq!((shown["balance"].as_str(), shown["version"].as_u64()), (Some("101.00"), Some(101)));
    audit_is_clean(&site).await
}

#[tokio::test]
async fn of_a_hundred_that_expect_the_same_version_one_succeeds() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let ann = open(bank.surfaces(), "Ann", "EUR").await?;

    let answers = race(bank.surfaces(), &euros(&ann, "1.00"), &[("if-match", "\"1\"")]).await?;

    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    assert_eq!(lost.len(), RACERS - 1);
    for answer in lost {
        assert_eq!((answer.status, answer.field("code")), (412, "not-expected"), "{}", answer.text);
        assert!(!answer.json["expected"].is_null() && !answer.json["actual"].is_null(), "{}", answer.text);
    }
    assert_eq!(deposits(bank.surfaces(), &ann).await?, 1);
    audit_is_clean(&site).await
}

#[tokio::test]
async fn one_key_has_one_effect_whatever_happens_in_between() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let ann = open(bank.surfaces(), "Ann", "EUR").await?;
    let body = euros(&ann, "10.00");
    let key = [("idempotency-key", "the-same-key")];

    let first = race(bank.surfaces(), &body, &key).await?;
    bank.kill()?;
    let bank = site.start().await?;
    let second = race(bank.surfaces(), &body, &key).await?;

    let mut answers = HashSet::new();
    for answer in first.into_iter().chain(second) {
        answers.insert(answer.accepted()?.text);
    }
    assert_eq!(answers.len(), 1, "every repeat gets the first answer: {answers:?}");
    assert_eq!(deposits(bank.surfaces(), &ann).await?, 1);

    let reused = bank.surfaces().command("deposit-funds", &euros(&ann, "11.00"), &key).await?;
    assert_eq!((reused.status, reused.field("code")), (422, "command-id-reused"), "{}", reused.text);
    let another_command = bank.surfaces().command("withdraw-funds", &body, &key).await?;
    assert_eq!(another_command.field("code"), "command-id-reused", "{}", another_command.text);
    assert_eq!(deposits(bank.surfaces(), &ann).await?, 1);
    audit_is_clean(&site).await
}
