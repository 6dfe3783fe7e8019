//! Who uses the bank: sends each command under a key until it has an answer, and writes down what it was told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use factum::{
    ActorId, DispatchError,
    dispatch::{CommandKey, CommandOptions, Surface},
    runtime::Task,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Kind, World, lock};

/// How long a client waits for an answer before it asks again.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// The longest time between two commands of a client.
const THINK_MAX: Duration = Duration::from_secs(2);
/// How often a command is sent at most.
const SENDS_MAX: u32 = 2_000;
const CLIENTS_MAX: u64 = 4;
const COMMANDS_MAX: u64 = 12;
/// The name of the first late comer.
const LATE_COMER: u128 = 100;
/// What an account begins with, in minor units.
const FIRST_DEPOSIT: u64 = 10_000;

/// What clients were told, by all of them.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) accounts: Vec<Uuid>,
    /// By account, in minor units.
    pub(crate) deposited: BTreeMap<Uuid, u64>,
    pub(crate) withdrawn: BTreeMap<Uuid, u64>,
    /// Accepted transfers with their amount.
    pub(crate) transfers: BTreeMap<Uuid, Transfer>,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) from: Uuid,
    pub(crate) to: Uuid,
    pub(crate) amount: u64,
}

/// Every client at work.
pub(crate) struct Clients {
    tasks: Vec<Task>,
    ledger: Arc<Mutex<Ledger>>,
}

struct Client {
    world: World,
    name: u128,
    sent: u64,
    ledger: Arc<Mutex<Ledger>>,
}

/// The account of a client that there may be.
pub(crate) fn any_account(world: &World) -> Uuid {
    Uuid::from_u128(1 + u128::from(world.random_below(CLIENTS_MAX)))
}

/// Sets all clients to work.
pub(crate) fn all(world: &World) -> Clients {
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let count = 1 + world.random_below(CLIENTS_MAX);
    let tasks = (1..=u128::from(count))
        .map(|name| {
            let client = Client { world: world.clone(), name, sent: 0, ledger: Arc::clone(&ledger) };
            world.runtime().spawn(client.work(0))
        })
        .collect();
    Clients { tasks, ledger }
}

/// One more client, who sends commands for certain.
pub(crate) fn late_comer(world: &World, ledger: Ledger) -> Clients {
    let name = LATE_COMER + ledger.accounts.len() as u128;
    let ledger = Arc::new(Mutex::new(ledger));
    let client = Client { world: world.clone(), name, sent: 0, ledger: Arc::clone(&ledger) };
    Clients { tasks: vec![world.runtime().spawn(client.work(COMMANDS_MAX))], ledger }
}

impl Clients {
    /// Waits until each of them has all its answers.
    pub(crate) async fn finish(mut self) -> Ledger {
        for task in &mut self.tasks {
            task.join().await.expect("a client ends by itself");
        }
        std::mem::take(&mut *lock(&self.ledger))
    }
}

impl Client {
    async fn work(mut self, least: u64) {
        let account = Uuid::from_u128(self.name);
        let open = json!({ "account_id": account, "holder": format!("Holder {}", self.name), "currency": "EUR" });
        assert!(self.send(Kind::Accounts, "open-account", open).await);
        self.deposit(account, FIRST_DEPOSIT).await;
        lock(&self.ledger).accounts.push(account);
        for _ in 0..least + self.world.random_below(COMMANDS_MAX) {
            self.world.pause(THINK_MAX).await;
            let amount = 1 + self.world.random_below(4_000);
            match self.world.random_below(6) {
                0 => self.deposit(account, amount).await,
                1 => self.withdraw(account, amount).await,
                _ => self.transfer(account, amount).await,
            }
        }
    }

    async fn deposit(&mut self, account: Uuid, amount: u64) {
        let body = json!({ "account_id": account, "amount": decimal(amount), "currency": "EUR" });
        if self.send(Kind::Accounts, "deposit-funds", body).await {
            *lock(&self.ledger).deposited.entry(account).or_default() += amount;
        }
    }

    async fn withdraw(&mut self, account: Uuid, amount: u64) {
        let body = json!({ "account_id": account, "amount": decimal(amount), "currency": "EUR" });
        if self.send(Kind::Accounts, "withdraw-funds", body).await {
            *lock(&self.ledger).withdrawn.entry(account).or_default() += amount;
        }
    }

    /// To whoever has an account, or to nobody.
    async fn transfer(&mut self, from: Uuid, amount: u64) {
        let known = lock(&self.ledger).accounts.clone();
        let index = self.world.random_below(known.len() as u64 + 1) as usize;
        let to = known.get(index).copied().unwrap_or(Uuid::from_u128(999));
        if to == from {
            return;
        }
        let id = Uuid::from_u128(self.name << 64 | u128::from(self.sent + 1));
        let body = json!({ "transfer_id": id, "from": from, "to": to, "amount": decimal(amount), "currency": "EUR" });
        if self.send(Kind::Transfers, "request-transfer", body).await {
            lock(&self.ledger).transfers.insert(id, Transfer { from, to, amount });
        }
    }

    /// Sends a command until it has an answer: whether it was accepted.
    async fn send(&mut self, to: Kind, command: &str, body: Value) -> bool {
        self.sent += 1;
        let actor = ActorId::new(&format!("client-{}", self.name)).expect("is an actor");
        let key = CommandKey::Keyed { surface: Surface::Http(actor), key: format!("key-{}", self.sent) };
        let options = CommandOptions { key, ..CommandOptions::default() };
        let body = body.to_string();
        for _ in 0..SENDS_MAX {
            if let Some(service) = self.world.service(to) {
                let sending = service.commands().dispatch_named(command, body.as_bytes(), options.clone());
                match self.world.runtime().within(ANSWER_WAIT, sending).await {
                    Some(Ok(_)) => {
                        lock(&self.ledger).acknowledged += 1;
                        return true;
                    }
                    Some(Err(DispatchError::Rejected(_))) => {
                        lock(&self.ledger).refused += 1;
                        return false;
                    }
                    Some(Err(DispatchError::Unavailable(_) | DispatchError::Contended { .. })) | None => {}
                    Some(Err(error)) => panic!("{command}: {error:?}"),
                }
            }
            self.world.pause(THINK_MAX).await;
        }
        panic!("{command} has no answer after {SENDS_MAX} attempts");
    }
}

/// Minor units as a decimal.
pub(crate) fn decimal(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}
