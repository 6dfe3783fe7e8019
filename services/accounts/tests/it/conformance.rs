//! Who is told of what stays the same whatever happens to events and processes.

use accounts::{
    Webhook,
    domain::{AccountEvent, FundsDeposited, FundsWithdrawn},
    reactors::LargeWithdrawals,
};
use factum::testing::conformance::{Sample, reactor};

const LIMIT: u64 = 100;

fn deposited(amount: u64) -> AccountEvent {
    let currency = "EUR".parse().unwrap();
    AccountEvent::FundsDeposited(FundsDeposited { amount, currency, balance: amount, held: 0 })
}

fn withdrawn(amount: u64) -> AccountEvent {
    let currency = "EUR".parse().unwrap();
    AccountEvent::FundsWithdrawn(FundsWithdrawn { amount, currency, balance: 0, held: 0 })
}

#[test]
fn large_withdrawals_conform() {
    let sample = (1..=4).fold(Sample::new(), |sample, number| {
        let account = format!("account-{}", number % 2);
        sample.after(&account, vec![deposited(90_000), withdrawn(10_000 + number), withdrawn(number)])
    });
    reactor(|| LargeWithdrawals::new(Webhook::new("http://localhost/told", LIMIT).unwrap()), sample);
}
