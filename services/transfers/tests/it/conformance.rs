//! A transfer comes to the same whatever happens to messages and processes.

use factum::testing::conformance::{Answer, Asked, Sample, process_manager};
use transfers::{
    domain::{Terms, Transfer, TransferRequested},
    messages::{AccountCredited, AccountMessage, FundsHeld, HoldCaptured, HoldReleased},
    process_managers::{CAPTURE, CREDIT, HOLD},
};

/// An account, by its number.
fn account(number: u64) -> String {
    format!("6f1a7c1e-0000-4000-8000-{number:012}")
}

fn requested(from: u64, to: u64) -> TransferRequested {
    let [from, to] = [from, to].map(|number| account(number).parse().expect("is a UUID"));
    TransferRequested { terms: Terms { from, to, amount: 1_250, currency: "EUR".parse().expect("is a currency") } }
}

/// Account 8 has no money, account 9 is closed.
fn answer(asked: &Asked<'_>) -> Answer<AccountMessage> {
    let account_id = asked.target.id().to_owned();
    let transfer_id = asked.process.id().to_owned();
    match asked.step {
        HOLD if account_id == account(8) => Answer::Refused("insufficient-funds"),
        CREDIT if account_id == account(9) => Answer::Refused("account-closed"),
        HOLD => Answer::Done(FundsHeld { account_id, transfer_id }.into()),
        CREDIT => Answer::Done(AccountCredited { account_id, transfer_id }.into()),
        CAPTURE => Answer::Done(HoldCaptured { account_id, transfer_id }.into()),
        _ => Answer::Done(HoldReleased { account_id, transfer_id }.into()),
    }
}

#[test]
fn transfers_conform() {
    let pairs = [(1, 2), (2, 1), (8, 1), (1, 9), (3, 2)];
    let sample = pairs.iter().zip(1..).fold(Sample::new(), |sample, (&(from, to), number)| {
        let stream = format!("transfer-7a2b8d2f-0000-4000-8000-{number:012}");
        sample.after(&stream, [requested(from, to)])
    });
    process_manager::<Transfer>(sample, answer);
}
