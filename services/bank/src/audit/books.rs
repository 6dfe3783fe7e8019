//! A small bank that can be made to lie, for tests of the audit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::client::Surfaces;
use crate::client::fake::{Answered, Asked, FakeServer};

pub const ANN: &str = "018f3c1e-0000-7000-8000-000000000001";
pub const BEN: &str = "018f3c1e-0000-7000-8000-000000000002";
/// A transfer of 25.00 EUR from Ann to Cyn.
pub const PAID: &str = "018f3c1e-0000-7000-8000-0000000000f1";
pub const AT: &str = "2026-11-23T10:00:00Z";
pub const DAY: &str = "2026-11-23";
/// Long enough for a loopback answer, short enough to wait for it to pass.
pub const SHORT: Duration = Duration::from_millis(300);

/// What the fake bank answers.
#[derive(Clone, Default)]
pub struct Books {
    pub events: Vec<serde_json::Value>,
    pub of_transfers: Vec<serde_json::Value>,
    pub transfers: BTreeMap<&'static str, serde_json::Value>,
    pub summaries: BTreeMap<String, serde_json::Value>,
    pub statements: BTreeMap<String, Vec<serde_json::Value>>,
    /// The ids that each list of accounts shows; under no name, all of them.
    pub lists: BTreeMap<&'static str, Vec<&'static str>>,
    /// What moved, by day and currency.
    pub days: BTreeMap<(&'static str, &'static str), [&'static str; 3]>,
    pub failed: Option<&'static str>,
}

/// The books, and the server that shows them.
pub struct FakeBank {
    pub books: Arc<Mutex<Books>>,
    pub server: FakeServer,
    transfers: FakeServer,
}

impl Books {
    /// Ann has 99.50 EUR after three events, Ben closed his account in yen.
    pub fn sound() -> Self {
        let mut books = Self::default();
        books.event(ANN, 1, "account.opened", &json!({ "holder": "Ann", "currency": "EUR" }));
        books.event(BEN, 1, "account.opened", &json!({ "holder": "Ben", "currency": "JPY" }));
        books.deposit_for_ann(2, 12_500, 12_500);
        let withdrawn = json!({ "amount": 2_550, "currency": "EUR", "balance": 9_950 });
        books.event(ANN, 3, "account.funds-withdrawn", &withdrawn);
        books.event(BEN, 2, "account.closed", &json!({}));
        books.line(ANN, &json!({ "version": 1, "at": AT, "kind": "opened", "balance": "0.00" }));
        books.line(
            ANN,
            &json!({ "version": 2, "at": AT, "kind": "deposited", "amount": "125.00", "balance": "125.00" }),
        );
        books
            .line(ANN, &json!({ "version": 3, "at": AT, "kind": "withdrawn", "amount": "-25.50", "balance": "99.50" }));
        books.line(BEN, &json!({ "version": 1, "at": AT, "kind": "opened", "balance": "0" }));
        books.line(BEN, &json!({ "version": 2, "at": AT, "kind": "closed", "balance": "0" }));
        books.summary(ANN, "Ann", "open", "99.50", "EUR", 3);
        books.summary(BEN, "Ben", "closed", "0", "JPY", 2);
        books.lists = [("", vec![ANN, BEN]), ("Ann", vec![ANN]), ("Ben", vec![BEN])].into();
        books.days.insert((DAY, "EUR"), ["125.00", "25.50", "0.00"]);
        books.days.insert((DAY, "JPY"), ["0", "0", "0"]);
        books
    }

    /// The sound books, and a transfer that completed: Ann has 74.50 EUR, Cyn 25.00.
    pub fn with_a_transfer() -> Self {
        const CYN: &str = "018f3c1e-0000-7000-8000-000000000003";
        let mut books = Self::sound();
        books.event(CYN, 1, "account.opened", &json!({ "holder": "Cyn", "currency": "EUR" }));
        let moved = |balance: i64, held: i64| json!({ "transfer_id": PAID, "amount": 2_500, "currency": "EUR", "balance": balance, "held": held });
        books.event(ANN, 4, "account.funds-held", &moved(9_950, 2_500));
        books.event(CYN, 2, "account.credited", &moved(2_500, 0));
        books.event(ANN, 5, "account.hold-captured", &moved(7_450, 0));
        let terms = json!({ "from": ANN, "to": CYN, "amount": 2_500, "currency": "EUR" });
        for (name, data) in [
            ("transfer.requested", &terms),
            ("transfer.funds-held", &terms),
            ("transfer.target-credited", &json!({ "from": ANN })),
            ("transfer.completed", &json!({})),
        ] {
            let position = books.of_transfers.len() + 1;
            books.of_transfers.push(json!({
                "position": position, "stream": format!("transfer-{PAID}"), "version": position, "type": name,
                "data": data, "metadata": { "command_id": format!("command-{position}"), "recorded_at": AT }
            }));
        }
        books.transfers.insert(
            PAID,
            json!({
                "transfer_id": PAID, "from": ANN, "to": CYN, "amount": "25.00", "currency": "EUR", "status": "completed"
            }),
        );
        let line = |version: u64, kind: &str, amount: Option<&str>, balance: &str| {
            let mut line =
                json!({ "version": version, "at": AT, "kind": kind, "balance": balance, "transfer_id": PAID });
            amount.into_iter().for_each(|amount| line["amount"] = json!(amount));
            line
        };
        books.line(ANN, &line(4, "held", None, "99.50"));
        books.line(ANN, &line(5, "captured", Some("-25.00"), "74.50"));
        books.line(CYN, &json!({ "version": 1, "at": AT, "kind": "opened", "balance": "0.00" }));
        books.line(CYN, &line(2, "credited", Some("25.00"), "25.00"));
        books.summary(ANN, "Ann", "open", "74.50", "EUR", 5);
        books.summary(CYN, "Cyn", "open", "25.00", "EUR", 2);
        books.lists.insert("", vec![ANN, BEN, CYN]);
        books.lists.insert("Cyn", vec![CYN]);
        books.days.insert((DAY, "EUR"), ["125.00", "25.50", "25.00"]);
        books
    }

    pub fn event(&mut self, account: &str, version: u64, name: &str, data: &serde_json::Value) {
        let position = self.events.len() + 1;
        self.events.push(json!({
            "position": position, "stream": format!("account-{account}"), "version": version, "type": name,
            "data": data, "metadata": { "command_id": format!("command-{position}"), "recorded_at": AT }
        }));
    }

    pub fn deposit_for_ann(&mut self, version: u64, amount: i64, balance: i64) {
        let data = json!({ "amount": amount, "currency": "EUR", "balance": balance });
        self.event(ANN, version, "account.funds-deposited", &data);
    }

    pub fn line(&mut self, account: &str, line: &serde_json::Value) {
        self.statements.entry(account.to_owned()).or_default().push(line.clone());
    }

    pub fn summary(&mut self, account: &str, holder: &str, status: &str, balance: &str, currency: &str, version: u64) {
        let summary = json!({
            "account_id": account, "holder": holder, "status": status, "balance": balance, "available": balance,
            "currency": currency, "version": version, "updated_at": AT
        });
        self.summaries.insert(account.to_owned(), summary);
    }

    /// Pages are as small as can be, so that every walk crosses some.
    fn answer(&self, asked: &Asked) -> Answered {
        let account = asked.parameter("account_id").unwrap_or_default();
        match asked.path_and_query.split('?').next().unwrap() {
            "/readyz" => match &self.failed {
                None => Answered::json(&json!({ "ready": true, "reason": "", "loops": [] })),
                Some(reason) => Answered::raw(503, &json!({ "ready": false, "reason": reason }).to_string()),
            },
            "/admin/events" => {
                let after: usize = asked.parameter("after").unwrap().parse().unwrap();
                Answered::lines(&self.events.iter().skip(after).take(2).cloned().collect::<Vec<_>>())
            }
            "/queries/account-summary" => match self.summaries.get(account) {
                Some(summary) => Answered::json(summary),
                None => Answered::problem(404, "account-not-found"),
            },
            "/queries/statement" => {
                let lines = self.statements.get(account).map(Vec::as_slice).unwrap_or_default();
                let from = asked.parameter("cursor").map_or(0, |cursor| cursor.replace("%2F", "").parse().unwrap());
                let next = (from + 2 < lines.len()).then(|| format!("/{}", from + 2));
                Answered::json(&json!({ "lines": lines.iter().skip(from).take(2).collect::<Vec<_>>(), "next": next }))
            }
            "/queries/transfer" => match self.transfers.get(asked.parameter("transfer_id").unwrap()) {
                Some(transfer) => Answered::json(transfer),
                None => Answered::problem(404, "transfer-not-found"),
            },
            "/queries/accounts" => {
                let listed = &self.lists[asked.parameter("holder").unwrap_or_default()];
                let summaries: Vec<_> = listed.iter().filter_map(|account| self.summaries.get(*account)).collect();
                let from = asked.parameter("cursor").map_or(0, |cursor| cursor.parse().unwrap());
                let next = (from + 1 < summaries.len()).then(|| (from + 1).to_string());
                Answered::json(&json!({ "accounts": summaries.get(from..=from).unwrap_or_default(), "next": next }))
            }
            "/queries/daily-totals" => {
                let (date, currency) = (asked.parameter("date").unwrap(), asked.parameter("currency").unwrap());
                let [deposited, withdrawn, transferred] = self.days[&(date, currency)];
                Answered::json(&json!({
                    "date": date, "currency": currency, "deposited": deposited, "withdrawn": withdrawn,
                    "transferred": transferred
                }))
            }
            other => panic!("the audit asks for {other}"),
        }
    }
}

impl Books {
    fn answer_of_transfers(&self, asked: &Asked) -> Answered {
        match asked.path_and_query.split('?').next().unwrap() {
            "/readyz" => Answered::json(&json!({ "ready": true, "reason": "", "loops": [] })),
            "/admin/events" => {
                let after: usize = asked.parameter("after").unwrap().parse().unwrap();
                Answered::lines(&self.of_transfers.iter().skip(after).take(2).cloned().collect::<Vec<_>>())
            }
            other => panic!("the audit asks transfers for {other}"),
        }
    }
}

impl FakeBank {
    pub async fn with(books: Books) -> Self {
        let books = Arc::new(Mutex::new(books));
        let shown = Arc::clone(&books);
        let server = FakeServer::start(move |asked| shown.lock().unwrap().answer(asked)).await;
        let shown = Arc::clone(&books);
        let transfers = FakeServer::start(move |asked| shown.lock().unwrap().answer_of_transfers(asked)).await;
        Self { books, server, transfers }
    }

    pub fn client(&self) -> BankClient {
        let others = self.server.address;
        BankClient::at(Surfaces { accounts: others, transfers: self.transfers.address, statements: others })
    }

    pub async fn audit(&self, catch_up: Duration) -> Report {
        audit(&self.client(), catch_up).await.unwrap()
    }
}

/// Makes sound books lie, and expects the audit to find exactly these differences.
pub async fn finds(lie: impl FnOnce(&mut Books), differences: &[&str]) {
    finds_in(Books::sound(), lie, differences).await;
}

/// The same of other books.
pub async fn finds_in(mut books: Books, lie: impl FnOnce(&mut Books), differences: &[&str]) {
    lie(&mut books);
    let bank = FakeBank::with(books).await;
    let report = bank.audit(SHORT).await;
    let found = report.differences();
    assert!(!report.is_clean());
    assert_eq!(found.len(), differences.len(), "{found:?}");
    for (found, expected) in found.iter().zip(differences) {
        assert!(found.contains(expected), "expected {expected:?}, found {found:?}");
    }
}
