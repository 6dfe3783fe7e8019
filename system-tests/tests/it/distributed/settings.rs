//! Where the cluster is, and how it is spoken to: by option, by environment, by file.

use std::{fs, process::Command};

use anyhow::ensure;
use serde_json::json;
use system_tests::{PortBase, Process, binary};

use super::{Service, Town, relay_of_accounts, says};
use crate::teller::open;

const PROGRAMS: [&str; 3] = ["accounts", "transfers", "statements"];

/// What a program says that refuses to start, and that it leaves nothing behind.
fn refused(program: &str, file: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("settings.toml"), file)?;
    let mut command = Command::new(binary(program)?);
    command.current_dir(folder.path()).args(["--config", "settings.toml", "--port", "0"]).args(arguments);
    let output = command.output()?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && told.lines().count() == 1, "{program}: {}: {told}", output.status);
    ensure!(!folder.path().join("data").exists(), "{program} made something: {told}");
    Ok(told)
}

#[test]
fn what_kafka_must_not_be_told_and_what_is_no_setting_is_refused_before_anything_is_made() -> anyhow::Result<()> {
    let properties = |line: &str| format!("[kafka]\nbootstrap = \"127.0.0.1:9\"\n[kafka.properties]\n{line}\n");
    let cases: [(String, &[&str], &str); 11] = [
        (String::new(), &["--kafka", "nowhere"], "`nowhere` is no list of brokers"),
        (String::new(), &["--kafka", ""], "`` is no list of brokers"),
        (String::new(), &["--kafka-topic-prefix", "test."], "name the cluster with --kafka"),
        ("[kafka.properties]\nclient.rack = 1".to_owned(), &[], "name the cluster with --kafka"),
        (String::new(), &["--kafka", "a:1", "--kafka-topic-prefix", "a-b"], "Kafka topic prefix: `a-b` cannot begin"),
        (String::new(), &["--kafka", "a:1", "--kafka-replication", "0"], "--kafka-replication"),
        ("[kafka]\nbrokers = \"a:1\"".to_owned(), &[], "settings.toml, line 2: unknown field `brokers`"),
        (properties("acks = 1"), &[], "`acks` cannot be set: acknowledged means on all replicas in sync"),
        (properties("enable.auto.commit = true"), &[], "`enable.auto.commit` cannot be set"),
        (properties("linger.mss = 3"), &[], "`linger.mss` = `3` is no setting of librdkafka"),
        (properties("linger.ms = [3]"), &[], "`linger.ms` is a text, a number, true or false"),
    ];
    for program in PROGRAMS {
        for (file, arguments, expected) in &cases {
            let told = refused(program, file, arguments)?;
            ensure!(told.contains(expected), "{program} {arguments:?} {file:?}: {told}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_named_in_a_file_and_the_environment_wins() -> anyhow::Result<()> {
    let Some(town) = Town::on_shared("Kafka by file and environment")? else { return Ok(()) };
    let [broker, prefix] = [town.broker(), town.prefix()];
    let file = town.site().folder().join("accounts.toml");
    // Nothing is where the file says; names with dots are written as they are, or in quotes.
    let settings = "[kafka]\nbootstrap = \"127.0.0.1:9\"\ntopic_prefix = \"nobody.\"\nin_sync_min = 1\n\
                    [kafka.properties]\nclient.rack = \"a\"\n\"socket.nagle.disable\" = true\nstatistics.interval.ms = 0\n";
    fs::write(&file, settings)?;
    let ports = PortBase::take()?;
    let mut command = Command::new(binary("accounts")?);
    command.current_dir(town.site().folder()).arg("--config").arg(&file);
    command.env("ACCOUNTS_KAFKA", broker).env("ACCOUNTS_KAFKA_TOPIC_PREFIX", prefix);
    command.env("ACCOUNTS_PORT", (ports.get() + 1).to_string());
    let mut accounts = Process::start(command, town.site().folder(), "by-file")?;
    says(&mut accounts, "accounts listens on ").await?;
    let bank = system_tests::Surfaces::above(ports.get());
    let opened = open(&bank, "Ada", "EUR").await?;
    relay_of_accounts(&bank, |relay| relay["lag"] == json!(0) && relay["sent"] == json!(1)).await?;

    // Those who are told the same by options meet it.
    let _statements = town.start(Service::Statements).await?;
    let path = format!("/queries/account-summary?account_id={opened}");
    super::until(&town.surfaces(), (system_tests::Side::Read, &path), |status, _| status == 200).await?;
    Ok(())
}
