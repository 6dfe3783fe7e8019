//! The read models come to the same whatever happens to messages and processes.

use factum::testing::conformance::{Sample, projection};
use statements::{
    messages::{
        ACCOUNT_TOPIC, AccountClosed, AccountCredited, AccountMessage, AccountOpened, FundsDeposited, FundsHeld,
        FundsWithdrawn, HoldCaptured, HoldReleased, TRANSFER_TOPIC, TransferCompleted, TransferMessage,
        TransferRejected, TransferRequested,
    },
    money::Currency,
    read_models::{AccountSummaries, DailyTotals, StatementLines, Transfers},
};
use uuid::Uuid;

use crate::world::{account, currency, known, transfer};

/// An account of the sample, and what is in it.
struct Book {
    account_id: String,
    balance_minor: u64,
    held_minor: u64,
    currency: Currency,
}

impl Book {
    fn new(number: u64) -> Self {
        let account_id = account(number).to_string();
        Self { account_id, balance_minor: 0, held_minor: 0, currency: currency("EUR") }
    }

    fn opened(&self) -> AccountMessage {
        let (account_id, currency) = (self.account_id.clone(), self.currency);
        AccountMessage::Opened(AccountOpened { account_id, holder: known("Ada"), currency })
    }

    fn deposited(&mut self, amount_minor: u64) -> AccountMessage {
        self.balance_minor += amount_minor;
        let (account_id, balance_minor, available_minor, currency) = self.now();
        let available_minor = Some(available_minor);
        AccountMessage::Deposited(FundsDeposited { account_id, amount_minor, balance_minor, available_minor, currency })
    }

    fn withdrawn(&mut self, amount_minor: u64) -> AccountMessage {
        self.balance_minor -= amount_minor;
        let (account_id, balance_minor, available_minor, currency) = self.now();
        let available_minor = Some(available_minor);
        AccountMessage::Withdrawn(FundsWithdrawn { account_id, amount_minor, balance_minor, available_minor, currency })
    }

    fn held(&mut self, transfer: Uuid, amount_minor: u64) -> AccountMessage {
        self.held_minor += amount_minor;
        let (account_id, balance_minor, available_minor, currency) = self.now();
        let transfer_id = transfer.to_string();
        let held = FundsHeld { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        AccountMessage::Held(held)
    }

    fn captured(&mut self, transfer: Uuid, amount_minor: u64) -> AccountMessage {
        (self.balance_minor, self.held_minor) = (self.balance_minor - amount_minor, self.held_minor - amount_minor);
        let (account_id, balance_minor, available_minor, currency) = self.now();
        let transfer_id = transfer.to_string();
        let captured = HoldCaptured { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        AccountMessage::Captured(captured)
    }

    fn released(&mut self, transfer: Uuid, amount_minor: u64) -> AccountMessage {
        self.held_minor -= amount_minor;
        let (account_id, balance_minor, available_minor, currency) = self.now();
        let transfer_id = transfer.to_string();
        let released = HoldReleased { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        AccountMessage::Released(released)
    }

    fn credited(&mut self, transfer: Uuid, amount_minor: u64) -> AccountMessage {
        self.balance_minor += amount_minor;
        let (account_id, balance_minor, available_minor, currency) = self.now();
        let transfer_id = transfer.to_string();
        let credited =
            AccountCredited { account_id, transfer_id, amount_minor, balance_minor, available_minor, currency };
        AccountMessage::Credited(credited)
    }

    fn closed(&self) -> AccountMessage {
        AccountMessage::Closed(AccountClosed { account_id: self.account_id.clone() })
    }

    fn now(&self) -> (String, u64, u64, Currency) {
        (self.account_id.clone(), self.balance_minor, self.balance_minor - self.held_minor, self.currency)
    }
}

/// Two accounts with one holder: money comes in, goes out, and from one to the other; one is closed. A third one has
/// nothing to do with them.
fn accounts() -> Sample<AccountMessage> {
    let (mut ada, mut eve, mut bob) = (Book::new(1), Book::new(2), Book::new(3));
    let [of_ada, of_eve, of_bob] = [1, 2, 3].map(|number| format!("account-{}", account(number)));
    let [arrives, returns] = [transfer(1), transfer(2)];
    Sample::new()
        .on_topic(ACCOUNT_TOPIC)
        .after(&of_ada, vec![ada.opened(), ada.deposited(10_000), ada.held(arrives, 2_500)])
        .after(&of_eve, vec![eve.opened(), eve.credited(arrives, 2_500)])
        .after(&of_bob, vec![bob.opened(), bob.deposited(70)])
        .after(&of_ada, vec![ada.captured(arrives, 2_500), ada.held(returns, 1), ada.withdrawn(99)])
        .after(&of_eve, vec![eve.withdrawn(2_500), eve.closed()])
        .after(&of_ada, vec![ada.released(returns, 1), ada.deposited(5)])
        .after(&of_bob, vec![bob.withdrawn(7)])
}

fn transfers() -> Sample<TransferMessage> {
    (1..=5).fold(Sample::new().on_topic(TRANSFER_TOPIC), |sample, number| {
        let transfer_id = transfer(number).to_string();
        let requested = TransferRequested {
            transfer_id: transfer_id.clone(),
            from: account(1).to_string(),
            to: account(2).to_string(),
            amount_minor: 100 + number,
            currency: currency("EUR"),
        };
        let end = if number % 2 == 0 {
            TransferMessage::Completed(TransferCompleted { transfer_id: transfer_id.clone() })
        } else {
            let reason = "insufficient-funds".to_owned();
            TransferMessage::Rejected(TransferRejected { transfer_id: transfer_id.clone(), reason })
        };
        sample.after(&format!("transfer-{transfer_id}"), vec![TransferMessage::Requested(requested), end])
    })
}

#[test]
fn account_summaries_conform() {
    projection::<AccountSummaries>(accounts());
}

#[test]
fn statement_lines_conform() {
    projection::<StatementLines>(accounts());
}

#[test]
fn daily_totals_conform() {
    projection::<DailyTotals>(accounts());
}

#[test]
fn transfers_conform() {
    projection::<Transfers>(transfers());
}
