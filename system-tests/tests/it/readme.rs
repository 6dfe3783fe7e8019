//! The README's requests do what the README says, to the letter.

use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;
use system_tests::Site;

#[tokio::test]
async fn the_requests_of_the_readme_answer_as_it_says() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let answers = run(&site)?;
    assert_eq!(answers.len(), 7, "{answers:#?}");
    assert_eq!(answers[3]["version"], 3, "the withdrawal: {}", answers[3]);
    assert_eq!((&answers[4]["status"], &answers[4]["code"]), (&422.into(), &"insufficient-funds".into()));
    assert_eq!((&answers[5]["holder"], &answers[5]["balance"]), (&"Ada".into(), &"99.50".into()));
    assert_eq!(answers[6]["lines"].as_array().map(Vec::len), Some(3), "{}", answers[6]);

    bank.interrupt().await?;
    let bank = site.start().await?;
    let question = format!("/queries/account-summary?account_id={}", text(&answers[5], "account_id")?);
    let again = bank.surfaces().query(&question, &[]).await?;
    assert_eq!(again.json, answers[5], "the same answer after a restart");
    Ok(())
}

/// The README's block of requests, run by a shell against this site; what each printed.
fn run(site: &Site) -> anyhow::Result<Vec<Value>> {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```sh\n").context("a block of requests")?;
    let (script, _) = rest.split_once("```").context("its end")?;
    let script = script
        .replace(":7001", &format!(":{}", site.port_base() + 1))
        .replace(":7003", &format!(":{}", site.port_base() + 3));
    let output =
        Command::new("bash").args(["-e", "-o", "pipefail", "-c", &script]).current_dir(site.folder()).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    documents.collect::<Result<_, _>>().with_context(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text<'a>(document: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    document[field].as_str().with_context(|| format!("{field} in {document}"))
}
