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
    messages::{AccountClosed, AccountMessage, AccountOpened, FundsDeposited, FundsWithdrawn},
    money::Currency,
    queries::{GetAccountSummary, GetAccounts, GetDailyTotals, GetStatement},
    read_models::{AccountSummaries, DailyTotals, StatementLines},
};
use uuid::Uuid;

pub struct World {
    store: Arc<dyn ReadStore>,
    queries: QueryDispatcher,
    epochs: BTreeMap<ProjectionKey, Epoch>,
    /// Balances and versions, by account.
    accounts: BTreeMap<Uuid, (u64, u64, Currency)>,
    _folder: tempfile::TempDir,
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
            .build()
            .unwrap();
        let projections = [
            ProjectionKey::of::<AccountSummaries>(),
            ProjectionKey::of::<DailyTotals>(),
            ProjectionKey::of::<StatementLines>(),
        ];
        let epochs = projections.map(|key| (key, store.claim(key).unwrap())).into();
        Self { store, queries, epochs, accounts: BTreeMap::new(), _folder: folder }
    }

    pub fn opened(&mut self, account: Uuid, holder: Personal<String>, code: &str) {
        let currency = currency(code);
        self.accounts.insert(account, (0, 0, currency));
        let opened = AccountOpened { account_id: account.to_string(), holder, currency };
        self.happened(account, AccountMessage::Opened(opened), testing::NOW);
    }

    pub fn deposited(&mut self, account: Uuid, amount_minor: u64, at: Timestamp) {
        let (balance, _, currency) = self.accounts.get_mut(&account).unwrap();
        *balance += amount_minor;
        let (account_id, balance_minor, currency) = (account.to_string(), *balance, *currency);
        let funds = FundsDeposited { account_id, amount_minor, balance_minor, currency };
        self.happened(account, AccountMessage::Deposited(funds), at);
    }

    pub fn withdrawn(&mut self, account: Uuid, amount_minor: u64, at: Timestamp) {
        let (balance, _, currency) = self.accounts.get_mut(&account).unwrap();
        *balance -= amount_minor;
        let (account_id, balance_minor, currency) = (account.to_string(), *balance, *currency);
        let funds = FundsWithdrawn { account_id, amount_minor, balance_minor, currency };
        self.happened(account, AccountMessage::Withdrawn(funds), at);
    }

    pub fn closed(&mut self, account: Uuid) {
        let closed = AccountClosed { account_id: account.to_string() };
        self.happened(account, AccountMessage::Closed(closed), testing::NOW);
    }

    fn happened(&mut self, account: Uuid, message: AccountMessage, at: Timestamp) {
        let (_, version, _) = self.accounts.get_mut(&account).unwrap();
        *version += 1;
        let mut delivery = testing::delivery(&format!("account-{account}"), *version);
        (delivery.recorded_at, delivery.position) = (at, Position::new(*version));
        self.project::<AccountSummaries>(&message, &delivery);
        self.project::<DailyTotals>(&message, &delivery);
        self.project::<StatementLines>(&message, &delivery);
    }

    fn project<P: Projection<Event = AccountMessage>>(&self, message: &AccountMessage, delivery: &Delivery) {
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

/// The ids on a page of accounts.
pub fn ids(page: &Value) -> Vec<String> {
    let accounts = page["accounts"].as_array().unwrap().iter();
    accounts.map(|account| account["account_id"].as_str().unwrap().to_owned()).collect()
}
