//! Money moved at random while everything around breaks. What has no answer is sent again under its key.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use system_tests::{Answer, Surfaces};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

/// How many commands are under way at once.
const SENDERS: u64 = 8;
/// How many accounts they are about.
const ACCOUNTS: u64 = 24;
/// What each account begins with, in euros.
const BEGINS_WITH: &str = "5000.00";
/// How long one answer may take before the same is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long to wait before a command is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long the accounts may take to be opened.
const OPENING_MAX: Duration = Duration::from_secs(60);

/// An acknowledged command.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// Its name.
    pub command: &'static str,
    /// The stream it changed.
    pub stream: String,
    /// The version that stream has since.
    pub version: u64,
    /// Where the event is.
    pub position: u64,
}

/// Commands under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<anyhow::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    bank: Surfaces,
    accounts: Vec<String>,
    /// From one command of a sender to its next.
    pause: Duration,
    next: AtomicU64,
    over: AtomicBool,
    acknowledged: Mutex<HashMap<String, Acknowledged>>,
    refused: AtomicU64,
    again: AtomicU64,
}

/// What was sent, once everything was answered.
#[derive(Debug, Default)]
pub struct Sent {
    /// By key.
    pub acknowledged: HashMap<String, Acknowledged>,
    /// Withdrawals of more than there was, and the like.
    pub refused: u64,
    /// How often one was sent again.
    pub again: u64,
    /// The accounts.
    pub accounts: Vec<String>,
}

impl Load {
    /// Opens accounts, puts money into them, and begins to move it: about `rate` commands a second.
    pub async fn begin(bank: Surfaces, seed: u64, rate: u32) -> anyhow::Result<Self> {
        let mut shared = Shared {
            seed,
            bank,
            accounts: Vec::new(),
            pause: Duration::from_secs(SENDERS) / rate.max(1),
            next: AtomicU64::new(0),
            over: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            refused: AtomicU64::new(0),
            again: AtomicU64::new(0),
        };
        let opening = async {
            for number in 0..ACCOUNTS {
                let open = json!({ "holder": format!("Holder {number}"), "currency": "EUR" });
                let opened = shared.send("open-account", &open, &format!("open-{seed}-{number}")).await?;
                let account = opened.context("an account is opened")?.field("id").to_owned();
                let deposit = json!({ "account_id": account, "amount": BEGINS_WITH, "currency": "EUR" });
                shared.send("deposit-funds", &deposit, &format!("begin-{seed}-{number}")).await?;
                shared.accounts.push(account);
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(OPENING_MAX, opening).await.context("the accounts are not open in time")??;
        let shared = Arc::new(shared);
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let shared = Arc::clone(&shared);
            senders.spawn(async move {
                while !shared.over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    shared.one().await?;
                    tokio::time::sleep_until(begun + shared.pause).await;
                }
                Ok(())
            });
        }
        Ok(Self { shared, senders })
    }

    /// How many commands were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.lock().len()
    }

    /// Fails when a sender was answered what it should never be.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.senders.try_join_next() {
            Some(ended) => ended?,
            None => Ok(()),
        }
    }

    /// Begins nothing new, and waits until everything was answered.
    pub async fn end(mut self) -> anyhow::Result<Sent> {
        self.shared.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.senders.join_next().await {
            ended??;
        }
        Ok(Sent {
            acknowledged: std::mem::take(&mut *self.shared.lock()),
            refused: self.shared.refused.load(Ordering::Relaxed),
            again: self.shared.again.load(Ordering::Relaxed),
            accounts: self.shared.accounts.clone(),
        })
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Acknowledged>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn one(&self) -> anyhow::Result<()> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let (name, body) = self.command(index);
        self.send(name, &body, &format!("{}-{index}", self.seed)).await.map(|_| ())
    }

    fn command(&self, index: u64) -> (&'static str, Value) {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{} {index}", self.seed).as_bytes());
        let mut random = fastrand::Rng::with_seed(id.as_u64_pair().0);
        let first = random.usize(..self.accounts.len());
        let second = (first + random.usize(1..self.accounts.len())) % self.accounts.len();
        let (account, other) = (&self.accounts[first], &self.accounts[second]);
        let amount = format!("{}.{:02}", random.u64(1..100), random.u64(..100));
        let one = |account| json!({ "account_id": account, "amount": amount, "currency": "EUR" });
        match random.u8(..6) {
            0 => ("withdraw-funds", one(account)),
            1 | 2 => ("deposit-funds", one(account)),
            _ => {
                let body = json!({ "from": account, "to": other, "amount": amount, "currency": "EUR" });
                ("request-transfer", body)
            }
        }
    }

    /// Sends one command under its key until it is answered; none: it was refused, as it may be.
    async fn send(&self, name: &'static str, body: &Value, key: &str) -> anyhow::Result<Option<Answer>> {
        loop {
            let headers = [("idempotency-key", key)];
            let answered = tokio::time::timeout(ANSWER_MAX, self.bank.command(name, body, &headers)).await;
            match answered {
                Ok(Ok(answer)) if answer.status == 200 => {
                    let told = Acknowledged {
                        command: name,
                        stream: answer.field("stream").to_owned(),
                        version: answer.json["version"].as_u64().context("a version")?,
                        position: answer.json["position"].as_u64().context("a position")?,
                    };
                    self.lock().insert(key.to_owned(), told);
                    return Ok(Some(answer));
                }
                Ok(Ok(answer)) if answer.field("code") == "insufficient-funds" => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                }
                // Dead, stopped, or not ready: nobody knows what became of it.
                Err(_) | Ok(Err(_)) => {}
                Ok(Ok(answer)) if answer.status == 503 || answer.field("code") == "contended" => {}
                Ok(Ok(answer)) => bail!("{name} {body} was answered {} {}", answer.status, answer.text),
            }
            self.again.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}
