//! What a load run sends: every account and every operation is a function of the seed and its index, whatever the
//! concurrency, so that a repeated run repeats the same commands under the same keys.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Log;

/// The currencies of the accounts, with their decimals; one of them has none.
const CURRENCIES: [(&str, u32); 3] = [("EUR", 2), ("USD", 2), ("JPY", 0)];
/// The largest amount, in minor units.
const AMOUNT_MAX: u64 = 50_000;
/// Of this many operations one is a withdrawal of far more than is there.
const OVERDRAW_ONE_IN: u64 = 20;
/// What such a withdrawal is multiplied by.
const OVERDRAW_FACTOR: u64 = 1_000_000;
/// Of this many transfers one is of far more than is there.
const OVERDRAWN_TRANSFER_ONE_IN: u64 = 20;
/// Of this many transfers one may go to any account, whatever its currency.
const STRAY_TRANSFER_ONE_IN: u64 = 10;
/// How often another account is drawn until its currency fits.
const TARGET_DRAWS_MAX: usize = 32;

/// A run's commands.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many accounts there are; at least one.
    pub accounts: u64,
}

/// One command of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedCommand {
    /// Who decides about it.
    pub to: Log,
    /// The command's wire name.
    pub name: &'static str,
    /// Its JSON body.
    pub body: Value,
    /// The same for the same seed and index.
    pub idempotency_key: String,
    /// The account or transfer it changes.
    pub subject: Uuid,
}

impl Plan {
    /// Opens account `index`, from 0.
    pub fn opening(&self, index: u64) -> PlannedCommand {
        let account = self.account_id(index);
        let holder = format!("Holder {index} of run {}", self.seed);
        PlannedCommand {
            to: Log::Accounts,
            name: "open-account",
            body: json!({ "account_id": account, "holder": holder, "currency": self.currency(index).0 }),
            idempotency_key: format!("load-{}-open-{index}", self.seed),
            subject: account,
        }
    }

    /// Operation `index`, from 0: a deposit or a withdrawal, now and then of far too much.
    pub fn operation(&self, index: u64) -> PlannedCommand {
        let mut random = self.random("operation", index);
        let account_index = random.u64(0..self.accounts);
        let (currency, decimals) = self.currency(account_index);
        let account = self.account_id(account_index);
        let amount = random.u64(1..=AMOUNT_MAX);
        let (name, amount) = if random.u64(0..OVERDRAW_ONE_IN) == 0 {
            ("withdraw-funds", amount * OVERDRAW_FACTOR)
        } else if random.bool() {
            ("deposit-funds", amount)
        } else {
            ("withdraw-funds", amount)
        };
        PlannedCommand {
            to: Log::Accounts,
            name,
            body: json!({ "account_id": account, "amount": decimal(amount, decimals), "currency": currency }),
            idempotency_key: format!("load-{}-operation-{index}", self.seed),
            subject: account,
        }
    }

    /// Transfer `index`, from 0: between two accounts, most of one currency, now and then of far too much. A run needs
    /// two accounts for it.
    pub fn transfer(&self, index: u64) -> PlannedCommand {
        let mut random = self.random("transfer", index);
        let from = random.u64(0..self.accounts);
        let (currency, decimals) = self.currency(from);
        // Anyone but the source.
        let mut draw = || (from + random.u64(1..self.accounts.max(2))) % self.accounts.max(2);
        let stray = index.is_multiple_of(STRAY_TRANSFER_ONE_IN);
        let drawn: Vec<u64> = (0..TARGET_DRAWS_MAX).map(|_| draw()).collect();
        let fitting = drawn.iter().find(|to| stray || self.currency(**to).0 == currency);
        let to = *fitting.unwrap_or(&drawn[0]);
        let much = if random.u64(0..OVERDRAWN_TRANSFER_ONE_IN) == 0 { OVERDRAW_FACTOR } else { 1 };
        let amount = random.u64(1..=AMOUNT_MAX) * much;
        let transfer =
            Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("bank load, seed {}, transfer {index}", self.seed).as_bytes());
        PlannedCommand {
            to: Log::Transfers,
            name: "request-transfer",
            body: json!({
                "transfer_id": transfer, "from": self.account_id(from), "to": self.account_id(to),
                "amount": decimal(amount, decimals), "currency": currency
            }),
            idempotency_key: format!("load-{}-transfer-{index}", self.seed),
            subject: transfer,
        }
    }

    fn account_id(&self, index: u64) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("bank load, seed {}, account {index}", self.seed).as_bytes())
    }

    fn currency(&self, index: u64) -> (&'static str, u32) {
        self.random("currency", index).choice(CURRENCIES).expect("there are currencies")
    }

    /// A generator of its own for each thing, so that no draw depends on the order of others.
    fn random(&self, what: &str, index: u64) -> fastrand::Rng {
        let name = format!("{} {what} {index}", self.seed);
        let (seed, _) = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).as_u64_pair();
        fastrand::Rng::with_seed(seed)
    }
}

fn decimal(minor: u64, decimals: u32) -> String {
    let unit = 10_u64.pow(decimals);
    match decimals {
        0 => minor.to_string(),
        _ => format!("{}.{:0width$}", minor / unit, minor % unit, width = decimals as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_seed_and_an_index_make_one_command_and_another_seed_makes_another() {
        let plan = Plan { seed: 7, accounts: 10 };
        assert_eq!(plan.opening(3), Plan { seed: 7, accounts: 10 }.opening(3));
        assert_eq!(plan.operation(99), Plan { seed: 7, accounts: 10 }.operation(99));
        let other = Plan { seed: 8, accounts: 10 };
        assert_ne!(plan.opening(3).subject, other.opening(3).subject);
        assert_ne!(plan.operation(99).idempotency_key, other.operation(99).idempotency_key);
    }

    #[test]
    fn operations_stay_on_the_accounts_and_in_their_currency() {
        let plan = Plan { seed: 1, accounts: 20 };
        let openings: Vec<PlannedCommand> = (0..20).map(|index| plan.opening(index)).collect();
        let holders: HashSet<&str> = openings.iter().filter_map(|open| open.body["holder"].as_str()).collect();
        assert_eq!(holders.len(), 20, "holders are distinct");
        let mut names = HashSet::new();
        for index in 0..2_000 {
            let operation = plan.operation(index);
            let opening = openings.iter().find(|open| open.subject == operation.subject).unwrap();
            assert_eq!(operation.body["currency"], opening.body["currency"]);
            let has_decimals = operation.body["amount"].as_str().unwrap().contains('.');
            assert_eq!(has_decimals, operation.body["currency"] != "JPY");
            names.insert(operation.name);
        }
        assert_eq!(names.len(), 2, "deposits and withdrawals are mixed");
        let currencies: HashSet<&str> = openings.iter().filter_map(|open| open.body["currency"].as_str()).collect();
        assert_eq!(currencies.len(), 3);
    }

    #[test]
    fn transfers_go_between_two_accounts_most_of_one_currency() {
        let plan = Plan { seed: 1, accounts: 20 };
        let currency = |id: &Value| {
            let opened = (0..20).map(|index| plan.opening(index)).find(|open| open.body["account_id"] == *id);
            opened.map(|open| open.body["currency"].clone()).expect("it is an account of the run")
        };
        let (mut transfers, mut strays) = (HashSet::new(), 0);
        for index in 0..500 {
            let PlannedCommand { body, subject, .. } = plan.transfer(index);
            assert_ne!(body["from"], body["to"]);
            assert_eq!(currency(&body["from"]), body["currency"], "the source pays in its own");
            strays += usize::from(currency(&body["to"]) != body["currency"]);
            transfers.insert(subject);
        }
        assert_eq!(transfers.len(), 500);
        assert!((1..100).contains(&strays), "{strays} go to an account in another currency");
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        assert_eq!(decimal(5, 2), "0.05");
        assert_eq!(decimal(12_500, 2), "125.00");
        assert_eq!(decimal(12_500, 0), "12500");
    }
}
