//! Load whose every acknowledgement is remembered, for stories in which somebody dies under it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use system_tests::{Side, Surfaces};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::teller::{euros, open, transfer};

/// A death comes at the earliest when this many commands were acknowledged since the last.
const ACKNOWLEDGED_BEFORE_DEATH: u64 = 20;
/// How long the commands before a death may take.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// One command, sent under its key until it is answered.
#[derive(Debug, Clone)]
struct Sent {
    name: &'static str,
    amount_minor: u64,
    body: Value,
    key: String,
}

/// What the bank has acknowledged: by key, the command and its receipt.
type Acknowledged = Arc<Mutex<HashMap<String, (Sent, Value)>>>;

/// What the senders share.
struct Load {
    seed: u64,
    accounts: Vec<String>,
    next: AtomicU64,
    acknowledged: Acknowledged,
    /// The surfaces while the bank is up and load is wanted; none while it is dead or being examined.
    gate: watch::Receiver<Gate>,
}

/// Whether commands may be sent.
#[derive(Clone)]
enum Gate {
    Open(Surfaces),
    Shut,
    /// Send what has no answer yet, and begin nothing new.
    Last(Surfaces),
}

/// Senders, and what they were told.
pub struct UnderLoad {
    senders: JoinSet<anyhow::Result<()>>,
    gate: watch::Sender<Gate>,
    acknowledged: Acknowledged,
    accounts: usize,
}

impl UnderLoad {
    /// Opens `accounts`, and begins to send commands about them, `senders` at once, in the course of `seed`.
    ///
    /// # Errors
    /// When an account is not opened.
    pub async fn begin(bank: &Surfaces, accounts: usize, senders: usize, seed: u64) -> anyhow::Result<Self> {
        let mut opened = Vec::new();
        for number in 0..accounts {
            opened.push(open(bank, &format!("Holder {number}"), "EUR").await?);
        }
        let (gate, watched) = watch::channel(Gate::Open(bank.clone()));
        let acknowledged = Acknowledged::default();
        let next = AtomicU64::new(0);
        let load = Load { seed, accounts: opened, next, acknowledged: Arc::clone(&acknowledged), gate: watched };
        let load = Arc::new(load);
        let senders = (0..senders).map(|_| sender(Arc::clone(&load))).collect();
        Ok(Self { senders, gate, acknowledged, accounts })
    }

    /// How many commands were acknowledged.
    pub async fn answered(&self) -> usize {
        self.acknowledged.lock().await.len()
    }

    /// Nothing is sent until [`UnderLoad::opens`].
    pub fn shuts(&self) {
        self.gate.send_replace(Gate::Shut);
    }

    /// Commands are sent, to these surfaces.
    pub fn opens(&self, bank: &Surfaces) {
        self.gate.send_replace(Gate::Open(bank.clone()));
    }

    /// Waits until every command has its answer; nothing new is sent.
    ///
    /// # Errors
    /// When one was answered as it must not be.
    pub async fn ends(&mut self, bank: &Surfaces) -> anyhow::Result<()> {
        self.gate.send_replace(Gate::Last(bank.clone()));
        while let Some(ended) = self.senders.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Every acknowledged command is in the log where its receipt says, and no command is there twice.
    ///
    /// # Errors
    /// Names the one that is not.
    pub async fn is_there_once(&self, bank: &Surfaces) -> anyhow::Result<Logs> {
        acknowledged_are_there_once(bank, &self.acknowledged).await
    }

    /// Once every command was answered: each has one event, and each transfer one end. How many transfers there are, and
    /// how many were completed.
    ///
    /// # Errors
    /// When one has none, or two.
    pub async fn is_complete(&self, bank: &Surfaces) -> anyhow::Result<(usize, usize)> {
        let Logs { accounts, transfers } = self.is_there_once(bank).await?;
        let requested = count(&transfers, &["transfer.requested"]);
        let by_hand = ["account.opened", "account.funds-deposited", "account.funds-withdrawn"];
        let recorded = count(&accounts, &by_hand) + requested;
        let answered = self.answered().await;
        ensure!(recorded == self.accounts + answered, "{answered} answered commands, {recorded} events");
        let completed = count(&transfers, &["transfer.completed"]);
        let rejected = count(&transfers, &["transfer.rejected"]);
        ensure!(completed + rejected == requested, "{requested} transfers, {completed} completed, {rejected} rejected");
        ensure!(completed > 0, "no transfer completed: nothing was shown");
        Ok((requested, completed))
    }

    /// Waits until enough commands were acknowledged since the call, or a sender has failed.
    ///
    /// # Errors
    /// What a sender failed with.
    pub async fn works(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let before = self.answered().await as u64;
        while (self.answered().await as u64) < before + ACKNOWLEDGED_BEFORE_DEATH {
            if let Some(ended) = self.senders.try_join_next() {
                ended??;
            }
            ensure!(begun.elapsed() < LOAD_MAX, "no load within {LOAD_MAX:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

impl Load {
    fn command(&self, index: u64) -> Sent {
        let seed = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{} {index}", self.seed).as_bytes()).as_u64_pair().0;
        let mut random = fastrand::Rng::with_seed(seed);
        let account = &self.accounts[random.usize(..self.accounts.len())];
        let amount_minor = random.u64(1..=10_000);
        let amount = format!("{}.{:02}", amount_minor / 100, amount_minor % 100);
        let (name, body) = match random.u8(..6) {
            0 => ("withdraw-funds", euros(account, &amount)),
            1..=3 => ("deposit-funds", euros(account, &amount)),
            _ => {
                let others: Vec<&String> = self.accounts.iter().filter(|other| *other != account).collect();
                ("request-transfer", transfer(account, others[random.usize(..others.len())], &amount))
            }
        };
        Sent { name, amount_minor, body, key: format!("killed-{}-{index}", self.seed) }
    }
}

/// Sends one command after another until the gate says that this is the last.
async fn sender(load: Arc<Load>) -> anyhow::Result<()> {
    let mut gate = load.gate.clone();
    loop {
        if matches!(*gate.wait_for(|gate| !matches!(gate, Gate::Shut)).await?, Gate::Last(_)) {
            return Ok(());
        }
        let sent = load.command(load.next.fetch_add(1, Ordering::Relaxed));
        send_until_answered(&load, &mut gate, sent).await?;
    }
}

async fn send_until_answered(load: &Load, gate: &mut watch::Receiver<Gate>, sent: Sent) -> anyhow::Result<()> {
    loop {
        let open = gate.wait_for(|gate| !matches!(gate, Gate::Shut)).await?.clone();
        let (Gate::Open(bank) | Gate::Last(bank)) = open else { continue };
        match bank.command(sent.name, &sent.body, &[("idempotency-key", &sent.key)]).await {
            // Killed before the answer: nobody knows, so the same key is sent again.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(answer) if answer.status == 200 => {
                load.acknowledged.lock().await.insert(sent.key.clone(), (sent, answer.json));
                return Ok(());
            }
            Ok(answer) if answer.field("code") == "insufficient-funds" => return Ok(()),
            Ok(answer) if answer.status == 503 => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(answer) => anyhow::bail!("{sent:?} was answered {} {}", answer.status, answer.text),
        }
    }
}

/// The log of accounts and that of transfers.
pub struct Logs {
    pub accounts: Vec<Value>,
    pub transfers: Vec<Value>,
}

/// Every acknowledged command is in the log where its receipt says, and no command is there twice.
async fn acknowledged_are_there_once(bank: &Surfaces, acknowledged: &Acknowledged) -> anyhow::Result<Logs> {
    let accounts = bank.events().await?;
    let transfers = bank.events_of(Side::Transfers).await?;
    commands_are_there_once(&accounts)?;
    commands_are_there_once(&transfers)?;
    let acknowledged = acknowledged.lock().await;
    let mut streams = HashSet::new();
    for (sent, receipt) in acknowledged.values() {
        let position = receipt["position"].as_u64().context("a position")?;
        ensure!(streams.insert((&receipt["stream"], &receipt["version"])), "two commands were told {receipt}");
        let log = if sent.name == "request-transfer" { &transfers } else { &accounts };
        let event = log.get(usize::try_from(position)? - 1);
        let event = event.with_context(|| format!("lost: {sent:?}, acknowledged as {receipt}"))?;
        let name = match sent.name {
            "deposit-funds" => "account.funds-deposited",
            "withdraw-funds" => "account.funds-withdrawn",
            _ => "transfer.requested",
        };
        let same = event["stream"] == receipt["stream"]
            && event["version"] == receipt["version"]
            && event["type"] == name
            && event["data"]["amount"] == sent.amount_minor;
        ensure!(same, "{sent:?} was acknowledged as {receipt}, but there is {event}");
    }
    Ok(Logs { accounts, transfers })
}

fn commands_are_there_once(events: &[Value]) -> anyhow::Result<()> {
    let mut commands = HashSet::new();
    for (index, event) in events.iter().enumerate() {
        ensure!(event["position"] == index as u64 + 1, "positions are not dense: {event}");
        // A timer that fired is recorded with what became of it, as one.
        if event["type"] == "timer.fired" {
            continue;
        }
        let command = event["metadata"]["command_id"].as_str().with_context(|| format!("no command id: {event}"))?;
        ensure!(commands.insert(command), "command {command} has two effects, the second is {event}");
    }
    Ok(())
}

/// How many events of these types there are.
fn count(events: &[Value], types: &[&str]) -> usize {
    events.iter().filter(|event| types.iter().any(|name| event["type"] == *name)).count()
}
