//! Peers that hold on to what they are given: the others are served meanwhile, memory and files stay bounded, and it
//! passes.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use system_tests::{Process, Side};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Counter;
use crate::teller::euros;

/// How many connections are held idle.
const IDLE: usize = 10_000;
/// How many processes hold them: each has room for its part under any common limit of open files.
const IDLE_PROCESSES: usize = 10;
/// How long opening them may take.
const HELD_WITHIN: Duration = Duration::from_secs(60);
/// How long one answer to somebody else may take meanwhile: far more than it does, far less than waiting for a peer.
const SERVED_WITHIN: Duration = Duration::from_secs(5);
/// How many requests of others are looked at, at least.
const OTHERS: usize = 20;
/// More than the bank is ever resident with here, in kB.
const RESIDENT_KB_MAX: u64 = 400 << 10;
/// As many files as the bank ever asks for.
const FILES_MAX: usize = 16_384;
/// How long it may take until everything is given back.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
/// How many peers send a byte a second.
const SLOW: usize = 50;
/// Lines of the account whose pages nobody reads: a full page.
const LINES: usize = 500;
/// How many peers never read. Each is answered until the buffers of its socket are full.
const DEAF: usize = 16;
/// How many of those pages each peer asks for without reading one.
const PIPELINED: usize = 200;

impl Counter {
    /// A deposit on a connection of its own, and a query: how long each took at most.
    async fn serves_others(&self) -> anyhow::Result<Duration> {
        let fresh = system_tests::Surfaces::above(self.site.port_base());
        let begun = Instant::now();
        fresh.command("deposit-funds", &euros(&self.account, "0.01"), &[]).await?.accepted()?;
        let command = begun.elapsed();
        let path = format!("/queries/account-summary?account_id={}", self.account);
        let begun = Instant::now();
        fresh.query(&path, &[]).await?.accepted()?;
        let slowest = command.max(begun.elapsed());
        ensure!(slowest < SERVED_WITHIN, "others wait for {slowest:?}");
        Ok(slowest)
    }

    fn open_files(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.bank.process().id()))?.count())
    }

    fn resident_kb(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.bank.process().id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    fn is_bounded(&self) -> anyhow::Result<()> {
        let (files, resident_kb) = (self.open_files()?, self.resident_kb()?);
        ensure!(files <= FILES_MAX, "{files} open files");
        ensure!(resident_kb <= RESIDENT_KB_MAX, "{resident_kb} kB resident");
        Ok(())
    }

    /// Files are given back, and the audit is clean.
    async fn recovers(mut self, files_before: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        // The test's own connections come and go.
        while self.open_files()? > files_before + SLOW {
            ensure!(begun.elapsed() < RECOVERED_WITHIN, "{} files are still open", self.open_files()?);
            sleep(Duration::from_millis(20)).await;
        }
        self.serves_others().await?;
        self.events_before = self.bank.surfaces().events().await?.len();
        self.stays_as_it_was().await
    }
}

#[tokio::test]
async fn ten_thousand_idle_connections_keep_nobody_out() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let files_before = counter.open_files()?;
    let address = counter.bank.surfaces().address(Side::Write).to_string();
    let count = (IDLE / IDLE_PROCESSES).to_string();
    let mut slowest = counter.serves_others().await?;
    let mut peers = Vec::new();
    for number in 0..IDLE_PROCESSES {
        let mut command = Command::new(env!("CARGO_BIN_EXE_idle_peers"));
        command.args([&address, &count]);
        peers.push(Process::start(command, counter.site.folder(), &format!("peers-{number}"))?);
    }
    let begun = Instant::now();
    let mut others = 0;
    while others < OTHERS || peers.iter().any(|peer| !peer.stdout().contains("holding")) {
        for peer in &mut peers {
            ensure!(!peer.has_ended()?, "a peer was refused: {}", peer.stderr());
        }
        slowest = slowest.max(counter.serves_others().await?);
        counter.is_bounded()?;
        others += 1;
        ensure!(begun.elapsed() < HELD_WITHIN, "{IDLE} connections are not taken within {HELD_WITHIN:?}");
    }
    println!(
        "{IDLE} idle connections within {:?}: {others} others served, the slowest in {slowest:?}; {} files, {} kB",
        begun.elapsed(),
        counter.open_files()?,
        counter.resident_kb()?
    );
    drop(peers);
    counter.recovers(files_before).await
}

/// Sends a byte a second; answers what it is told at the end.
async fn byte_a_second(address: std::net::SocketAddr, begin: String) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(begin.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        match timeout(Duration::from_secs(1), stream.read_to_end(&mut answer)).await {
            Ok(read) => {
                read?;
                return Ok(String::from_utf8(answer)?);
            }
            // One that was closed cannot be written to: what it was told is read next.
            Err(_) => drop(stream.write_all(b" ").await),
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_a_byte_a_second_is_told_that_it_is_too_late() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let files_before = counter.open_files()?;
    let address = counter.bank.surfaces().address(Side::Write);
    let head = "POST /commands/deposit-funds HTTP/1.1\r\nhost: bank\r\ncontent-type: application/json\r\n";
    let in_its_head = head.to_owned() + "x-slow:";
    let in_its_body = head.to_owned() + "content-length: 1000\r\n\r\n{";
    let mut slow = JoinSet::new();
    for number in 0..SLOW {
        let begin = if number % 2 == 0 { &in_its_head } else { &in_its_body };
        slow.spawn(byte_a_second(address, begin.clone()));
    }
    let mut told = 0;
    while told < SLOW {
        counter.serves_others().await?;
        counter.is_bounded()?;
        while let Some(ended) = slow.try_join_next() {
            let answer = ended??;
            let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer:?}"))?;
            let problem: Value = serde_json::from_str(body)?;
            ensure!(head.starts_with("HTTP/1.1 408 "), "{answer}");
            ensure!(head.contains("application/problem+json"), "{answer}");
            ensure!(problem["code"] == "request-timeout", "{answer}");
            told += 1;
        }
    }
    counter.recovers(files_before).await
}

#[tokio::test]
async fn a_client_that_never_reads_costs_the_others_nothing() -> anyhow::Result<()> {
    let counter = Counter::open().await?;
    let files_before = counter.open_files()?;
    let bank = counter.bank.surfaces();
    let mut last = counter.token.clone();
    for _ in 0..LINES {
        let deposited = bank.command("deposit-funds", &euros(&counter.account, "0.01"), &[]).await?.accepted()?;
        deposited.field("token").clone_into(&mut last);
    }
    let path = format!("/queries/statement?account_id={}&limit={LINES}", counter.account);
    let page = bank.query_when_there(&path, &last).await?.text.len();
    let request = format!("GET {path} HTTP/1.1\r\nhost: bank\r\n\r\n").repeat(PIPELINED);
    let resident_before_kb = counter.resident_kb()?;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        let mut stream = TcpStream::connect(bank.address(Side::Read)).await?;
        // What does not fit into the sockets' buffers is not waited for: nobody reads.
        let _ = timeout(Duration::from_millis(50), stream.write_all(request.as_bytes())).await;
        deaf.push(stream);
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..OTHERS {
        slowest = slowest.max(counter.serves_others().await?);
        counter.is_bounded()?;
    }
    let asked_kb = (page * PIPELINED * DEAF) >> 10;
    let resident_kb = counter.resident_kb()?;
    println!(
        "{asked_kb} kB asked for and not read: {resident_before_kb} kB became {resident_kb} kB, others {slowest:?}"
    );
    drop(deaf);
    counter.recovers(files_before).await
}
