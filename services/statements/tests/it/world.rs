//! Read models in a database of their own, fed by hand and asked as a client asks.

use std::{collections::BTreeMap, sync::Arc};

use factum::{
    AskError, Delivery, Personal, Position, Projection, ProjectionKey, QueryDispatcher, Timestamp,
    projections::Watermarks,
    query::AskOptions,
    read::{Epoch, ReadStore},
    testing,
};
use factum_sqlite::{SqliteOptions, SqliteReadStore};
use serde_json::{Value, json};
use statements::{
    messages::{
        AccountClosed, AccountCredited, AccountMessage, AccountOpened, FundsDeposited, FundsHeld, FundsWithdrawn,
        HoldCaptured, HoldReleased, TransferCompleted, TransferMessage, TransferRejected, TransferRequested,
    },
    money::Currency,
    queries::{GetAccountSummary, GetAccounts, GetDailyTotals, GetStatement, GetTransfer},
    read_models::{AccountSummaries, DailyTotals, StatementLines, Transfers},
};
use uuid::Uuid;

pub struct World {
    store: Arc<dyn ReadStore>,
    queries: QueryDispatcher,
    epochs: BTreeMap<ProjectionKey, Epoch>,
    accounts: BTreeMap<Uuid, Account>,
    /// The versions of their streams.
    transfers: BTreeMap<Uuid, u64>,
    _folder: tempfile::TempDir,
}

#[derive(Clone, Copy)]
struct Account {
    balance: u64,
    held: u64,
    version: u64,
    currency: Currency,
}

impl Account {
    fn available(&self) -> u64 {
        self.balance - self.held
    }
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ReadStore> =
            Arc::new(SqliteReadStore::open(folder.path().join("read.db"), SqliteOptions::default()).unwrap());
        let queries = QueryDispatcher::builder(Arc::clone(&store), Arc::new(Watermarks::default()))
            .answers::<GetAccountSummary>()
            .answers::<GetAccounts>()
            .answers::<GetDailyTotals>()
            .answers::<GetStatement>()
            .answers::<GetTransfer>()
            .build()
            .unwrap();
        let projections = [
            ProjectionKey::of::<AccountSummaries>(),
            ProjectionKey::of::<DailyTotals>(),
            ProjectionKey::of::<StatementLines>(),
            ProjectionKey::of::<Transfers>(),
        ];
        let epochs = projections.map(|key| (key, store.claim(key).unwrap())).into();
        Self { store, queries, epochs, accounts: BTreeMap::new(), transfers: BTreeMap::new(), _folder: folder }
    }

    pub fn opened(&mut self, account: Uuid, holder: Personal<String>, code: &str) {
        let currency = currency(code);
        self.accounts.insert(account, Account { balance: 0, held: 0, version: 0, currency });
        let opened = AccountOpened { account_id: account.to_string(), holder, currency };
        self.happened(account, AccountMessage::Opened(opened), testing::NOW);
    }

    pub fn deposited(&mut self, account: Uuid, amount_minor: u64, at: Timestamp) {
        let now = self.now(account, |account| account.balance += amount_minor);
        let (account_id, currency) = (account.to_string(), now.currency);
        let (balance_minor, available_minor) = (now.balance, Some(now.available()));
        let funds = FundsDeposited { account_id, amount_minor, balance_minor, available_minor, currency };
        self.happened(account, AccountMessage::Deposited(funds), at);
    }

    pub fn withdrawn(&mut self, account: Uuid, amount_minor: u64, at: Timestamp) {
        let now = self.now(account, |account| account.balance -= amount_minor);
        let (account_id, currency) = (account.to_string(), now.currency);
        let (balance_minor, available_minor) = (now.balance, Some(now.available()));
        let funds = FundsWithdrawn { account_id, amount_minor, balance_minor, available_minor, currency };
        self.happened(account, AccountMessage::Withdrawn(funds), at);
    }

    /// As it was said before there were holds.
    pub fn deposited_long_ago(&mut self, account: Uuid, amount_minor: u64) {
        let now = self.now(account, |account| account.balance += amount_minor);
        let (account_id, currency, balance_minor) = (account.to_string(), now.currency, now.balance);
        let funds = FundsDeposited { account_id, amount_minor, balance_minor, available_minor: None, currency };
        self.happened(account, AccountMessage::Deposited(funds), testing::NOW);
    }

    pub fn held(&mut self, account: Uuid, transfer: Uuid, amount_minor: u64) {
        let now = self.now(account, |account| account.held += amount_minor);
        let (account_id, transfer_id, currency) = (account.to_string(), transfer.to_string(), now.currency);
        let (balance_minor, available_minor) = (now.balance, now.available());
        let hold = FundsHeld { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        self.happened(account, AccountMessage::Held(hold), testing::NOW);
    }

    pub fn credited(&mut self, account: Uuid, transfer: Uuid, amount_minor: u64, at: Timestamp) {
        let now = self.now(account, |account| account.balance += amount_minor);
        let (account_id, transfer_id, currency) = (account.to_string(), transfer.to_string(), now.currency);
        let (balance_minor, available_minor) = (now.balance, now.available());
        let credit =
            AccountCredited { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        self.happened(account, AccountMessage::Credited(credit), at);
    }

    pub fn captured(&mut self, account: Uuid, transfer: Uuid, amount_minor: u64, at: Timestamp) {
        let now = self.now(account, |account| {
            account.balance -= amount_minor;
            account.held -= amount_minor;
        });
        let (account_id, transfer_id, currency) = (account.to_string(), transfer.to_string(), now.currency);
        let (balance_minor, available_minor) = (now.balance, now.available());
        let hold = HoldCaptured { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        self.happened(account, AccountMessage::Captured(hold), at);
    }

    pub fn released(&mut self, account: Uuid, transfer: Uuid, amount_minor: u64) {
        let now = self.now(account, |account| account.held -= amount_minor);
        let (account_id, transfer_id, currency) = (account.to_string(), transfer.to_string(), now.currency);
        let (balance_minor, available_minor) = (now.balance, now.available());
        let hold = HoldReleased { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        self.happened(account, AccountMessage::Released(hold), testing::NOW);
    }

    pub fn transfer_requested(&mut self, transfer: Uuid, [from, to]: [Uuid; 2], amount_minor: u64, code: &str) {
        let (transfer_id, currency) = (transfer.to_string(), currency(code));
        let [from, to] = [from, to].map(|account| account.to_string());
        let requested = TransferRequested { transfer_id, from, to, amount_minor, currency };
        self.told(transfer, TransferMessage::Requested(requested));
    }

    pub fn transfer_completed(&mut self, transfer: Uuid) {
        let completed = TransferCompleted { transfer_id: transfer.to_string() };
        self.told(transfer, TransferMessage::Completed(completed));
    }

    pub fn transfer_rejected(&mut self, transfer: Uuid, reason: &str) {
        let rejected = TransferRejected { transfer_id: transfer.to_string(), reason: reason.to_owned() };
        self.told(transfer, TransferMessage::Rejected(rejected));
    }

    pub fn closed(&mut self, account: Uuid) {
        let closed = AccountClosed { account_id: account.to_string() };
        self.happened(account, AccountMessage::Closed(closed), testing::NOW);
    }

    fn now(&mut self, account: Uuid, change: impl FnOnce(&mut Account)) -> Account {
        let account = self.accounts.get_mut(&account).unwrap();
        change(account);
        *account
    }

    fn happened(&mut self, account: Uuid, message: AccountMessage, at: Timestamp) {
        let version = self.now(account, |account| account.version += 1).version;
        let mut delivery = testing::delivery(&format!("account-{account}"), version);
        (delivery.recorded_at, delivery.position) = (at, Position::new(version));
        self.project::<AccountSummaries>(&message, &delivery);
        self.project::<DailyTotals>(&message, &delivery);
        self.project::<StatementLines>(&message, &delivery);
    }

    fn told(&mut self, transfer: Uuid, message: TransferMessage) {
        let version = self.transfers.entry(transfer).or_default();
        *version += 1;
        let delivery = testing::delivery(&format!("transfer-{transfer}"), *version);
        self.project::<Transfers>(&message, &delivery);
    }

    fn project<P: Projection>(&self, message: &P::Event, delivery: &Delivery) {
        let key = ProjectionKey::of::<P>();
        let work = &mut |tx: &mut dyn factum::read::ReadTransaction| P::default().project(message, delivery, tx);
        self.store.write(key, self.epochs[&key], &[], work).unwrap();
    }

    /// What a client gets for `name?parameters`: the document, or the error.
    pub async fn ask(&self, name: &str, parameters: &str) -> Result<Value, AskError> {
        let answer = self.queries.ask_named(name, parameters, AskOptions::default()).await?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    /// The field that is to blame for the refusal of `name?parameters`.
    pub async fn blamed(&self, name: &str, parameters: &str) -> String {
        match self.ask(name, parameters).await {
            Err(AskError::Invalid(invalid)) => {
                assert_eq!(invalid.kind.code(), "invalid", "{name}?{parameters}");
                invalid.field.unwrap()
            }
            other => panic!("{name}?{parameters} answers {other:?}"),
        }
    }

    pub async fn totals(&self, date: &str, currency: &str) -> [String; 3] {
        let answer = self.ask("daily-totals", &format!("date={date}&currency={currency}")).await.unwrap();
        assert_eq!((&answer["date"], &answer["currency"]), (&json!(date), &json!(currency)));
        ["deposited", "withdrawn", "transferred"].map(|field| answer[field].as_str().unwrap().to_owned())
    }
}

pub fn currency(code: &str) -> Currency {
    serde_json::from_value(json!(code)).unwrap()
}

pub fn known(holder: &str) -> Personal<String> {
    Personal::known(holder.to_owned())
}

pub fn account(number: u64) -> Uuid {
    // As random as the ids of real accounts: their order says nothing about when they were opened.
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes())
}

pub fn transfer(number: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, &number.to_be_bytes())
}

/// The ids on a page of accounts.
pub fn ids(page: &Value) -> Vec<String> {
    let accounts = page["accounts"].as_array().unwrap().iter();
    accounts.map(|account| account["account_id"].as_str().unwrap().to_owned()).collect()
}
