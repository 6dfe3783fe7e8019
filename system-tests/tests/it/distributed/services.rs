//! `cargo xtask services`: one broker for whoever asks, also after it was killed or stopped, and clear words without the programs
//! it needs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use local_services::{KafkaOptions, answers, home, own_kafka_for_tests};
use serde_json::Value;
use system_tests::{Ended, Process, binary};
use tempfile::TempDir;

use super::PATIENCE;

/// The command with a home of its own, so that it meets no broker that others use: it lives in the folder that cargo built it
/// into, which is known by this mark.
struct Own {
    folder: TempDir,
    program: PathBuf,
}

impl Own {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("CACHEDIR.TAG"), "")?;
        fs::create_dir(folder.path().join("debug"))?;
        fs::create_dir(folder.path().join("local-services"))?;
        let program = folder.path().join("debug/xtask");
        fs::copy(binary("xtask")?, &program)?;
        Ok(Self { folder, program })
    }

    fn start(&self, name: &str, arguments: &[&str], path: Option<&Path>) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.program);
        command.arg("services").args(arguments);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        Process::start(command, self.folder.path(), name)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let ended = self.start("services", arguments, None)?.end_within(PATIENCE).await?;
        ensure!(ended.status.success(), "{arguments:?}: {}", ended.stderr);
        Ok(ended.stdout)
    }

    /// Where the broker is, and its process; none: it does not run.
    async fn status(&self) -> anyhow::Result<Option<(String, u64)>> {
        let told: Value = serde_json::from_str(&self.run(&["status", "--json"]).await?)?;
        let kafka = &told["kafka"];
        Ok(kafka["bootstrap"].as_str().map(str::to_owned).zip(kafka["pid"].as_u64()))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Of a test that failed half-way: nobody else would end it.
        let _ = Command::new(&self.program).args(["services", "down"]).output();
    }
}

fn signal(name: &str, process: u64) -> anyhow::Result<()> {
    ensure!(Command::new("kill").args(["-s", name, &process.to_string()]).status()?.success(), "kill {process}");
    Ok(())
}

#[tokio::test]
async fn services_up_is_one_broker_for_whoever_asks_however_the_last_one_ended() -> anyhow::Result<()> {
    let story = "services_up_is_one_broker_for_whoever_asks_however_the_last_one_ended";
    let own = Own::new()?;
    // What was fetched is taken from where every test has it.
    if own_kafka_for_tests(story, KafkaOptions::new(own.folder.path().join("asked"))).is_none() {
        return Ok(());
    }
    symlink(home()?.join("kafka"), own.folder.path().join("local-services/kafka"))?;
    assert_eq!(own.status().await?, None);
    assert_eq!(own.run(&["down"]).await?, "nothing ran\n");

    let at_once: Vec<Process> =
        (0..3).map(|n| own.start(&format!("up-{n}"), &["up"], None)).collect::<Result<_, _>>()?;
    let mut said = Vec::new();
    for process in at_once {
        let Ended { status, stdout, stderr } = process.end_within(PATIENCE).await?;
        ensure!(status.success(), "{stderr}");
        said.push(stdout);
    }
    let (first, process) = own.status().await?.context("it runs")?;
    assert!(said.iter().all(|said| said.contains(&format!("{first}: process {process}"))), "{said:?}");
    assert!(said.iter().all(|said| said.contains(&format!("export FACTUM_TEST_KAFKA={first}"))), "{said:?}");
    assert_eq!(own.run(&["up"]).await?, said[0], "it is left alone");

    signal("KILL", process)?;
    assert_eq!(own.status().await?, None);
    own.run(&["up"]).await?;
    let (_, process) = own.status().await?.context("it runs again")?;

    // One that is stopped answers nobody: another takes its place, and it is not left behind.
    signal("STOP", process)?;
    own.run(&["up"]).await?;
    assert!(signal("CONT", process).is_err(), "process {process} is still there");
    let (bootstrap, _) = own.status().await?.context("it runs again")?;
    assert!(answers(&bootstrap));
    assert_eq!(own.run(&["down"]).await?, "Kafka has ended\n");
    assert!(!answers(&bootstrap));
    assert_eq!(own.run(&["down"]).await?, "nothing ran\n");
    Ok(())
}

#[tokio::test]
async fn services_up_names_the_program_that_the_machine_lacks() -> anyhow::Result<()> {
    let own = Own::new()?;
    let programs = own.folder.path().join("programs");
    fs::create_dir(&programs)?;
    let up = async || own.start("up", &["up"], Some(&programs))?.end_within(PATIENCE).await;
    let without_java = up().await?;
    assert_eq!(without_java.status.code(), Some(1), "{}", without_java.stdout);
    assert!(without_java.stderr.starts_with("error: java is needed for Kafka"), "{}", without_java.stderr);

    // A Java that is there, as far as asking for its version goes.
    symlink("/bin/true", programs.join("java"))?;
    let without_maven = up().await?;
    assert_eq!(without_maven.status.code(), Some(1), "{}", without_maven.stdout);
    assert!(without_maven.stderr.starts_with("error: mvn is needed for fetching Kafka"), "{}", without_maven.stderr);
    assert!(without_maven.stderr.ends_with("install it\n"), "{}", without_maven.stderr);
    assert_eq!(own.status().await?, None);
    Ok(())
}
