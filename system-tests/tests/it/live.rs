//! A browser's view of an account: events as they come, and back again where they were left.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use system_tests::{Side, Site, Surfaces};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);
const ACCOUNT: &str = "6f1a7c1e-0000-4000-8000-000000000001";

/// The reader of one stream.
struct Reader {
    stream: TcpStream,
    text: String,
}

impl Reader {
    async fn open(surfaces: &Surfaces, headers: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(surfaces.address(Side::Read)).await?;
        let request = format!(
            "GET /queries/account-summary/live?account_id={ACCOUNT} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\
             {headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(Self { stream, text: String::new() })
    }

    /// The value of the next field of a name.
    async fn field(&mut self, name: &str) -> anyhow::Result<String> {
        let begin = format!("{name}: ");
        loop {
            let found = self.text.split_inclusive("\r\n").flat_map(|chunk| chunk.split_inclusive('\n'));
            let mut passed = 0;
            for line in found {
                passed += line.len();
                if let Some(value) = line.strip_prefix(&begin).and_then(|line| line.strip_suffix('\n')) {
                    let value = value.trim_end().to_owned();
                    self.text.drain(..passed);
                    return Ok(value);
                }
            }
            ensure!(self.more().await? > 0, "it ends without another {name}: {}", self.text);
        }
    }

    async fn more(&mut self) -> anyhow::Result<usize> {
        let mut bytes = [0; 4_096];
        let read = timeout(LIMIT, self.stream.read(&mut bytes)).await.context("nothing comes")??;
        self.text.push_str(std::str::from_utf8(&bytes[..read])?);
        Ok(read)
    }

    /// The next event that shows this balance; its id.
    async fn shows(&mut self, balance: &str) -> anyhow::Result<String> {
        for _ in 0..10 {
            let id = self.field("id").await?;
            let answer: Value = serde_json::from_str(&self.field("data").await?)?;
            if answer["balance"] == balance {
                return Ok(id);
            }
        }
        bail!("{balance} is never shown")
    }
}

#[tokio::test]
async fn an_account_is_watched_live_over_a_restart() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let deposit = async |surfaces: &Surfaces, amount: &str| {
        let deposit = json!({ "account_id": ACCOUNT, "amount": amount, "currency": "EUR" });
        surfaces.command("deposit-funds", &deposit, &[]).await?.accepted()
    };
    let mut early = Reader::open(bank.surfaces(), "").await?;
    ensure!(early.field("content-type").await? == "application/problem+json", "{}", early.text);
    let account = json!({ "account_id": ACCOUNT, "holder": "Ada", "currency": "EUR" });
    let opened = bank.surfaces().command("open-account", &account, &[]).await?.accepted()?;
    let at_least = format!("Factum-At-Least: {}\r\n", opened.header("factum-token"));

    let mut reader = Reader::open(bank.surfaces(), &at_least).await?;
    ensure!(reader.field("content-type").await? == "text/event-stream", "{}", reader.text);
    reader.shows("0.00").await?;
    deposit(bank.surfaces(), "1.50").await?;
    let id = reader.shows("1.50").await?;
    let ended = bank.stop().await?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    while reader.more().await? > 0 {}
    ensure!(reader.text.ends_with("0\r\n\r\n"), "the stream is cut, not ended: {}", reader.text);

    let bank = site.start().await?;
    let mut reader = Reader::open(bank.surfaces(), &format!("Last-Event-ID: {id}\r\n")).await?;
    reader.shows("1.50").await?;
    deposit(bank.surfaces(), "2.00").await?;
    reader.shows("3.50").await?;
    drop(reader);
    bank.stop().await?;
    Ok(())
}
