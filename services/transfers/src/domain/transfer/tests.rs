use factum::testing::{given, given_nothing};

use super::*;

const ID: TransferId = TransferId(Uuid::from_u128(7));
const ADA: AccountId = AccountId(Uuid::from_u128(1));
const BOB: AccountId = AccountId(Uuid::from_u128(2));

fn request(to: AccountId, amount: &str, currency: &str) -> RequestTransfer {
    RequestTransfer {
        transfer_id: Some(ID),
        from: ADA,
        to,
        amount: amount.parse().expect("is an amount"),
        currency: currency.parse().expect("is a currency"),
    }
}

fn requested(amount: u64, currency: &str) -> TransferRequested {
    let currency = currency.parse().expect("is a currency");
    TransferRequested { terms: Terms { from: ADA, to: BOB, amount, currency } }
}

#[test]
fn a_transfer_is_requested_once() {
    given_nothing::<Transfer>().when(request(BOB, "12.50", "EUR")).then([requested(1_250, "EUR")]);
    given::<Transfer>([requested(1_250, "EUR")])
        .when(request(BOB, "12.50", "EUR"))
        .then_rejected_with("transfer-already-exists");
    given::<Transfer>((requested(1_250, "EUR"), TransferRejected { reason: "account-closed".to_owned() }))
        .when(request(BOB, "12.50", "EUR"))
        .then_rejected_with("transfer-already-exists");
}

#[test]
fn a_transfer_goes_from_one_account_to_another() {
    given_nothing::<Transfer>().when(request(ADA, "1", "EUR")).then_rejected_with("transfer-to-itself");
}

#[test]
fn an_amount_fits_its_currency_and_stays_exact_in_json() {
    given_nothing::<Transfer>().when(request(BOB, "0.001", "EUR")).then_invalid("amount");
    given_nothing::<Transfer>().when(request(BOB, "99999999999999.9", "EUR")).then_rejected_with("amount-too-high");
    given_nothing::<Transfer>().when(request(BOB, "9999999999999", "JPY")).then([requested(9_999_999_999_999, "JPY")]);
}
