//! A reader in another language, with other people's Kafka and CloudEvents packages, that knows of the services what their
//! `contract/` folders say, and nothing else: it comes to the same balances as their own queries.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use system_tests::{Ended, Process, Side, python, tools};

use super::{PATIENCE, Service, Town, until};
use crate::teller::{ended, euros, open, summary, token, transfer};

/// How long the reader may take: longer than it gives itself.
const READER_MAX: Duration = Duration::from_secs(90);
/// What happens besides what the story does by name.
const LOAD: [&str; 11] =
    ["--accounts", "12", "--operations", "120", "--transfers", "30", "--concurrency", "8", "--seed", "7", "--json"];
const CONTRACTS: [&str; 2] = ["accounts", "transfers"];

fn contracts() -> anyhow::Result<[PathBuf; 2]> {
    let services = tools().join("../services").canonicalize()?;
    Ok(CONTRACTS.map(|service| services.join(service).join("contract")))
}

/// Lets other people's Python do something with the reader.
async fn run(python: &Path, folder: &Path, arguments: &[&str]) -> anyhow::Result<Ended> {
    let mut command = Command::new(python);
    command.current_dir(tools().join("foreign-reader")).env("PYTHONDONTWRITEBYTECODE", "1").args(arguments);
    Process::start(command, folder, "foreign-reader")?.end_within(READER_MAX).await
}

async fn read(python: &Path, town: &Town, contracts: &[PathBuf; 2]) -> anyhow::Result<Ended> {
    let [accounts, transfers] = contracts.each_ref().map(|path| path.to_str().expect("paths of tests are text"));
    let arguments = ["reader.py", "--kafka", town.broker(), "--topic-prefix", town.prefix(), accounts, transfers];
    run(python, town.site().folder(), &arguments).await
}

/// An amount as a number of the currency's smallest unit: what the decimal string says without its point.
fn minor(amount: &Value) -> anyhow::Result<i64> {
    let text = amount.as_str().with_context(|| format!("{amount} is no amount"))?;
    Ok(text.replace('.', "").parse()?)
}

/// Accounts and transfers of every kind and end.
async fn live_a_little(town: &Town) -> anyhow::Result<()> {
    let bank = town.surfaces();
    let (ada, bob) = (open(&bank, "Ada", "EUR").await?, open(&bank, "Bob <\"'\\ 👩‍🚀>", "EUR").await?);
    let (yen, dinars) = (open(&bank, "Yuki", "JPY").await?, open(&bank, "Khalid", "KWD").await?);
    bank.command("deposit-funds", &euros(&ada, "125.00"), &[]).await?.accepted()?;
    bank.command("withdraw-funds", &euros(&ada, "0.01"), &[]).await?.accepted()?;
    for (account, amount, currency) in [(&yen, "12500", "JPY"), (&dinars, "1.250", "KWD")] {
        let body = json!({ "account_id": account, "amount": amount, "currency": currency });
        bank.command("deposit-funds", &body, &[]).await?.accepted()?;
    }
    // One that goes through, one that is refused at its source and one at its target.
    for (to, amount, status) in [(&bob, "25.00", "completed"), (&bob, "500.00", "rejected"), (&yen, "1.00", "rejected")]
    {
        let requested = bank.command("request-transfer", &transfer(&ada, to, amount), &[]).await?.accepted()?;
        let shown = ended(&bank, &requested).await?;
        ensure!(shown["status"] == status, "{shown}");
    }
    let closed = open(&bank, "Cem", "EUR").await?;
    let closed = bank.command("close-account", &json!({ "account_id": closed }), &[]).await?.accepted()?;
    ensure!(summary(&bank, closed.field("id"), &token(&closed)?).await?["status"] == "closed", "not closed");
    let load = town.site().run_tool("load", &LOAD, PATIENCE).await?;
    ensure!(load.status.success(), "{}: {}{}", load.status, load.stdout, load.stderr);
    Ok(())
}

/// Lets every relay publish again all that it has published.
async fn say_it_all_again(town: &Town) -> anyhow::Result<()> {
    let bank = town.surfaces();
    let path = "/admin/relays";
    for side in [Side::Write, Side::Transfers] {
        let told = bank.send(side, "GET", path, Vec::new(), &[]).await?.accepted()?.json;
        for relay in told["relays"].as_array().context("relays")? {
            let rewind = json!({ "topic": relay["topic"], "to": 0 }).to_string().into_bytes();
            let json = [("content-type", "application/json")];
            bank.send(side, "POST", "/admin/relays/rewind", rewind, &json).await?.accepted()?;
        }
        until(&bank, (side, path), |_, told| {
            let relays = told["relays"].as_array().filter(|relays| !relays.is_empty());
            let again = |relay: &Value| relay["lag"] == 0 && relay["resent"].as_u64() > Some(0);
            relays.is_some_and(|relays| relays.iter().all(again))
        })
        .await?;
    }
    Ok(())
}

/// Holds what the reader came to against what the bank answers.
async fn is_what_the_bank_answers(town: &Town, read: &Value) -> anyhow::Result<()> {
    let bank = town.surfaces();
    let opened = |events: Vec<Value>, kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    let accounts = read["accounts"].as_object().context("accounts")?;
    ensure!(accounts.len() == opened(bank.events().await?, "account.opened"), "{} accounts", accounts.len());
    for (id, account) in accounts {
        let shown = bank.query(&format!("/queries/account-summary?account_id={id}"), &[]).await?.accepted()?.json;
        for name in ["holder", "currency", "status"] {
            ensure!(account[name] == shown[name], "{account} and {shown}");
        }
        let read = [&account["balance_minor"], &account["available_minor"]].map(Value::as_i64);
        ensure!(read == [Some(minor(&shown["balance"])?), Some(minor(&shown["available"])?)], "{account} and {shown}");
    }
    let transfers = read["transfers"].as_object().context("transfers")?;
    let requested = opened(bank.events_of(Side::Transfers).await?, "transfer.requested");
    ensure!(transfers.len() == requested, "{} transfers", transfers.len());
    for (id, transfer) in transfers {
        let shown = bank.query(&format!("/queries/transfer?transfer_id={id}"), &[]).await?.accepted()?.json;
        ensure!(minor(&shown["amount"])? == transfer["amount_minor"].as_i64().context("an amount")?, "{shown}");
        for name in ["from", "to", "currency", "status", "reason"] {
            ensure!(transfer.get(name) == shown.get(name), "{transfer} and {shown}");
        }
    }
    Ok(())
}

/// A contract that asks of deposits what they do not have.
fn broken(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to.join("schemas"))?;
    for part in ["asyncapi.yaml", "index.json"] {
        fs::copy(from.join(part), to.join(part))?;
    }
    for schema in fs::read_dir(from.join("schemas"))? {
        let schema = schema?;
        let mut is: Value = serde_json::from_slice(&fs::read(schema.path())?)?;
        if is["title"] == "FundsDeposited" {
            is["required"].as_array_mut().context("required")?.push("colour".into());
        }
        fs::write(to.join("schemas").join(schema.file_name()), is.to_string())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_reader_that_knows_only_the_contracts_comes_to_the_same_balances() -> anyhow::Result<()> {
    let story = "a_foreign_reader_that_knows_only_the_contracts_comes_to_the_same_balances";
    let Some(town) = Town::on_shared(story)? else { return Ok(()) };
    let folder = town.site().folder();
    let Some(python) = python(story, "foreign-reader/requirements.txt", folder).await? else { return Ok(()) };
    let finds = run(&python, folder, &["-m", "unittest"]).await?;
    ensure!(finds.status.success() && finds.stderr.contains("OK"), "{}", finds.stderr);

    let _running = town.start_all([Service::Accounts, Service::Transfers, Service::Statements]).await?;
    live_a_little(&town).await?;
    say_it_all_again(&town).await?;
    town.audit().await?;
    let contracts = contracts()?;
    let done = read(&python, &town, &contracts).await?;
    ensure!(done.status.success() && done.stderr.is_empty(), "{}: {}", done.status, done.stderr);
    let came_to: Value = serde_json::from_str(&done.stdout)?;
    is_what_the_bank_answers(&town, &came_to).await?;
    // Everything was there twice, and of everything there was something.
    ensure!(came_to["resent"].as_u64() >= Some(200), "{came_to}");
    let kinds = came_to["messages"].as_object().context("messages")?.len();
    ensure!(kinds >= 15, "only {kinds} kinds of message: {}", came_to["messages"]);

    // It is seen to find something.
    let [accounts, transfers] = contracts;
    let other = folder.join("broken");
    broken(&accounts, &other)?;
    let done = read(&python, &town, &[other, transfers]).await?;
    ensure!(!done.status.success() && done.stderr.contains("'colour' is a required property"), "{}", done.stderr);
    Ok(())
}
