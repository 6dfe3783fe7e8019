mod holds;

use factum::testing::{given, given_nothing};

use super::*;
use crate::domain::money::{Amount, Currency};

fn id() -> AccountId {
    AccountId(Uuid::from_u128(7))
}

fn amount(text: &str) -> Amount {
    text.parse().expect("is an amount")
}

fn currency(code: &str) -> Currency {
    code.parse().expect("is a currency")
}

fn holder() -> factum::Personal<String> {
    factum::Personal::known("Ada Lovelace".to_owned())
}

fn opened() -> AccountEvent {
    AccountOpened { holder: holder(), currency: currency("EUR") }.into()
}

fn deposited(amount: u64, balance: u64) -> AccountEvent {
    FundsDeposited { amount, currency: currency("EUR"), balance, held: 0 }.into()
}

fn withdrawn(amount: u64, balance: u64) -> AccountEvent {
    FundsWithdrawn { amount, currency: currency("EUR"), balance, held: 0 }.into()
}

fn closed() -> AccountEvent {
    AccountClosed {}.into()
}

fn open() -> OpenAccount {
    OpenAccount { account_id: Some(id()), holder: holder(), currency: currency("EUR") }
}

fn deposit(text: &str, code: &str) -> DepositFunds {
    DepositFunds { account_id: id(), amount: amount(text), currency: currency(code) }
}

fn withdraw(text: &str) -> WithdrawFunds {
    WithdrawFunds { account_id: id(), amount: amount(text), currency: currency("EUR") }
}

fn close() -> CloseAccount {
    CloseAccount { account_id: id() }
}

#[test]
fn an_account_is_opened_once() {
    given_nothing::<Account>().when(open()).then([opened()]);
    given::<Account>([opened()]).when(open()).then_rejected_with("account-already-exists");
    given::<Account>([opened(), closed()]).when(open()).then_rejected_with("account-already-exists");
}

#[test]
fn money_comes_in_and_goes_out() {
    given::<Account>([opened()]).when(deposit("125.00", "EUR")).then([deposited(12_500, 12_500)]);
    given::<Account>([opened(), deposited(12_500, 12_500)]).when(withdraw("25.50")).then([withdrawn(2_550, 9_950)]);
    given::<Account>([opened(), deposited(100, 100)]).when(withdraw("1")).then([withdrawn(100, 0)]);
}

#[test]
fn nobody_takes_out_more_than_is_there() {
    given::<Account>([opened()]).when(withdraw("0.01")).then_rejected_with("insufficient-funds");
    given::<Account>([opened(), deposited(100, 100)]).when(withdraw("1.01")).then_rejected_with("insufficient-funds");
}

#[test]
fn currencies_do_not_mix() {
    given::<Account>([opened()]).when(deposit("5", "JPY")).then_rejected_with("currency-mismatch");
    given::<Account>([opened()]).when(deposit("0.001", "EUR")).then_invalid("amount");
}

#[test]
fn nothing_happens_to_an_account_that_is_not_open() {
    given_nothing::<Account>().when(deposit("1", "EUR")).then_rejected_with("account-not-found");
    given_nothing::<Account>().when(withdraw("1")).then_rejected_with("account-not-found");
    given_nothing::<Account>().when(close()).then_rejected_with("account-not-found");
    given::<Account>([opened(), closed()]).when(deposit("1", "EUR")).then_rejected_with("account-closed");
    given::<Account>([opened(), closed()]).when(withdraw("1")).then_rejected_with("account-closed");
    given::<Account>([opened(), closed()]).when(close()).then_rejected_with("account-closed");
}

#[test]
fn only_an_empty_account_is_closed() {
    given::<Account>([opened()]).when(close()).then([closed()]);
    given::<Account>([opened(), deposited(1, 1)]).when(close()).then_rejected_with("account-not-empty");
    given::<Account>([opened(), deposited(1, 1), withdrawn(1, 0)]).when(close()).then([closed()]);
}

#[test]
fn a_balance_stays_exact_in_json() {
    let full = AccountRejection::BALANCE_MINOR_MAX;
    given::<Account>([opened(), deposited(full, full)])
        .when(deposit("0.01", "EUR"))
        .then_rejected_with("balance-too-high");
}

#[test]
fn a_holder_has_a_name_one_can_print() {
    for name in ["", "a\0b", "line\nbreak", &"x".repeat(201)] {
        let command = OpenAccount { holder: factum::Personal::known(name.to_owned()), ..open() };
        given_nothing::<Account>().when(command).then_invalid("holder");
    }
    let command = OpenAccount { holder: factum::Personal::known("名".repeat(200)), ..open() };
    given_nothing::<Account>()
        .when(command.clone())
        .then([AccountOpened { holder: command.holder, currency: currency("EUR") }]);
}
