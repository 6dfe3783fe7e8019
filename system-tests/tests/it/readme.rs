//! The README's requests do what the README says, to the letter.

use anyhow::Context as _;
use serde_json::Value;
use system_tests::Site;

use crate::page_requests;

#[tokio::test]
async fn the_requests_of_the_readme_answer_as_it_says() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let ports = [1, 2, 3].map(|service| (7000 + service, site.port_base() + service));
    let answers = page_requests::run(include_str!("../../../README.md"), &ports, site.folder())?;
    assert_eq!(answers.len(), 10, "{answers:#?}");
    assert_eq!(answers[3]["version"], 3, "the withdrawal: {}", answers[3]);
    assert_eq!((&answers[4]["status"], &answers[4]["code"]), (&422.into(), &"insufficient-funds".into()));
    assert_eq!((&answers[5]["holder"], &answers[5]["balance"]), (&"Ada".into(), &"99.50".into()));
    assert_eq!(answers[6]["lines"].as_array().map(Vec::len), Some(3), "{}", answers[6]);
    assert_eq!(answers[7]["version"], 1, "the transfer: {}", answers[7]);
    assert_eq!(
        (&answers[8]["status"], &answers[8]["amount"]),
        (&"completed".into(), &"25.00".into()),
        "{}",
        answers[8]
    );
    assert_eq!((&answers[9]["holder"], &answers[9]["balance"]), (&"Bob".into(), &"25.00".into()), "{}", answers[9]);

    bank.interrupt().await?;
    let bank = site.start().await?;
    let question = format!("/queries/account-summary?account_id={}", text(&answers[9], "account_id")?);
    let again = bank.surfaces().query(&question, &[]).await?;
    assert_eq!(again.json, answers[9], "the same answer after a restart");
    Ok(())
}

fn text<'a>(document: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    document[field].as_str().with_context(|| format!("{field} in {document}"))
}
