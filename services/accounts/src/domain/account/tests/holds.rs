//! What a transfer does to the two accounts it is between.

use super::*;

fn transfer(number: u128) -> TransferId {
    TransferId(Uuid::from_u128(number))
}

fn minor(amount: u64) -> std::num::NonZeroU64 {
    std::num::NonZeroU64::new(amount).expect("is not zero")
}

fn hold(transfer_id: TransferId, amount: u64) -> HoldFunds {
    HoldFunds { account_id: id(), transfer_id, amount_minor: minor(amount), currency: currency("EUR") }
}

fn credit(transfer_id: TransferId, amount: u64) -> CreditAccount {
    CreditAccount { account_id: id(), transfer_id, amount_minor: minor(amount), currency: currency("EUR") }
}

fn capture(transfer_id: TransferId) -> CaptureHold {
    CaptureHold { account_id: id(), transfer_id }
}

fn release(transfer_id: TransferId) -> ReleaseHold {
    ReleaseHold { account_id: id(), transfer_id }
}

fn held(transfer_id: TransferId, amount: u64, balance: u64, held: u64) -> AccountEvent {
    FundsHeld { transfer_id, amount, currency: currency("EUR"), balance, held }.into()
}

fn credited(transfer_id: TransferId, amount: u64, balance: u64, held: u64) -> AccountEvent {
    AccountCredited { transfer_id, amount, currency: currency("EUR"), balance, held }.into()
}

fn captured(transfer_id: TransferId, amount: u64, balance: u64, held: u64) -> AccountEvent {
    HoldCaptured { transfer_id, amount, currency: currency("EUR"), balance, held }.into()
}

fn released(transfer_id: TransferId, amount: u64, balance: u64, held: u64) -> AccountEvent {
    HoldReleased { transfer_id, amount, currency: currency("EUR"), balance, held }.into()
}

fn with_funds(balance: u64) -> [AccountEvent; 2] {
    [opened(), deposited(balance, balance)]
}

#[test]
fn money_is_held_and_then_taken() {
    given::<Account>(with_funds(10_000))
        .when(hold(transfer(1), 2_550))
        .then([held(transfer(1), 2_550, 10_000, 2_550)])
        .when(capture(transfer(1)))
        .then([captured(transfer(1), 2_550, 7_450, 0)])
        .when(withdraw("74.50"))
        .then([withdrawn(7_450, 0)])
        .when(close())
        .then([closed()]);
}

#[test]
fn money_is_held_and_then_given_back() {
    given::<Account>(with_funds(100))
        .when(hold(transfer(1), 100))
        .then([held(transfer(1), 100, 100, 100)])
        .when(release(transfer(1)))
        .then([released(transfer(1), 100, 100, 0)])
        .when(withdraw("1"))
        .then([withdrawn(100, 0)]);
}

#[test]
fn several_transfers_hold_money_beside_each_other() {
    given::<Account>(with_funds(100))
        .when(hold(transfer(1), 60))
        .then([held(transfer(1), 60, 100, 60)])
        .when(hold(transfer(2), 40))
        .then([held(transfer(2), 40, 100, 100)])
        .when(release(transfer(1)))
        .then([released(transfer(1), 60, 100, 40)])
        .when(credit(transfer(3), 5))
        .then([credited(transfer(3), 5, 105, 40)])
        .when(capture(transfer(2)))
        .then([captured(transfer(2), 40, 65, 0)]);
}

#[test]
fn what_is_held_is_neither_taken_out_nor_held_again() {
    given::<Account>(with_funds(100))
        .when(hold(transfer(1), 60))
        .then([held(transfer(1), 60, 100, 60)])
        .when(withdraw("0.41"))
        .then_rejected(AccountRejection::InsufficientFunds { available: 40, currency: currency("EUR") })
        .when(hold(transfer(2), 41))
        .then_rejected(AccountRejection::InsufficientFunds { available: 40, currency: currency("EUR") })
        .when(withdraw("0.40"))
        .then([FundsWithdrawn { amount: 40, currency: currency("EUR"), balance: 60, held: 60 }]);
}

#[test]
fn a_deposit_leaves_holds_as_they_are() {
    given::<Account>(with_funds(100))
        .when(hold(transfer(1), 100))
        .then([held(transfer(1), 100, 100, 100)])
        .when(deposit("0.50", "EUR"))
        .then([FundsDeposited { amount: 50, currency: currency("EUR"), balance: 150, held: 100 }])
        .when(withdraw("0.51"))
        .then_rejected_with("insufficient-funds");
}

#[test]
fn nothing_is_captured_or_released_that_is_not_held() {
    for transfer_id in [transfer(1), transfer(2)] {
        let story = given::<Account>([
            opened(),
            deposited(100, 100),
            held(transfer(1), 60, 100, 60),
            captured(transfer(1), 60, 40, 0),
            held(transfer(2), 10, 40, 10),
            released(transfer(2), 10, 40, 0),
        ]);
        story
            .when(capture(transfer_id))
            .then_rejected(AccountRejection::HoldNotFound)
            .when(release(transfer_id))
            .then_rejected(AccountRejection::HoldNotFound);
    }
    given::<Account>(with_funds(1)).when(capture(transfer(9))).then_rejected_with("hold-not-found");
}

#[test]
fn a_transfer_has_one_hold() {
    given::<Account>(with_funds(100))
        .when(hold(transfer(1), 1))
        .then([held(transfer(1), 1, 100, 1)])
        .when(hold(transfer(1), 1))
        .then_rejected(AccountRejection::HoldAlreadyExists);
}

#[test]
fn an_account_has_a_limited_number_of_holds() {
    let most = AccountRejection::HOLDS_MAX as u64;
    let holds = (1..=most).map(|number| held(transfer(number.into()), 1, 5_000, number));
    given::<Account>(with_funds(5_000).into_iter().chain(holds).collect::<Vec<_>>())
        .when(hold(transfer(0), 1))
        .then_rejected(AccountRejection::TooManyHolds)
        .when(release(transfer(7)))
        .then([released(transfer(7), 1, 5_000, most - 1)])
        .when(hold(transfer(0), 1))
        .then([held(transfer(0), 1, 5_000, most)]);
}

#[test]
fn an_account_with_holds_is_not_closed() {
    given::<Account>(with_funds(100))
        .when(hold(transfer(1), 100))
        .then([held(transfer(1), 100, 100, 100)])
        .when(close())
        .then_rejected(AccountRejection::HoldsPending)
        .when(capture(transfer(1)))
        .then([captured(transfer(1), 100, 0, 0)])
        .when(close())
        .then([closed()]);
}

#[test]
fn a_transfer_needs_open_accounts_in_its_currency() {
    let yen = currency("JPY");
    given_nothing::<Account>().when(hold(transfer(1), 1)).then_rejected_with("account-not-found");
    given_nothing::<Account>().when(credit(transfer(1), 1)).then_rejected_with("account-not-found");
    given_nothing::<Account>().when(capture(transfer(1))).then_rejected_with("account-not-found");
    given_nothing::<Account>().when(release(transfer(1))).then_rejected_with("account-not-found");
    let closed = || given::<Account>([opened(), closed()]);
    closed().when(hold(transfer(1), 1)).then_rejected_with("account-closed");
    closed().when(credit(transfer(1), 1)).then_rejected_with("account-closed");
    closed().when(capture(transfer(1))).then_rejected_with("account-closed");
    closed().when(release(transfer(1))).then_rejected_with("account-closed");
    let open = || given::<Account>(with_funds(100));
    open().when(HoldFunds { currency: yen, ..hold(transfer(1), 1) }).then_rejected_with("currency-mismatch");
    open().when(CreditAccount { currency: yen, ..credit(transfer(1), 1) }).then_rejected_with("currency-mismatch");
}

#[test]
fn a_credit_keeps_the_balance_exact_in_json() {
    let full = AccountRejection::BALANCE_MINOR_MAX;
    given::<Account>(with_funds(full - 1))
        .when(credit(transfer(1), 1))
        .then([credited(transfer(1), 1, full, 0)])
        .when(credit(transfer(2), 1))
        .then_rejected_with("balance-too-high")
        .when(credit(transfer(2), full + 1))
        .then_invalid("amount_minor")
        .when(hold(transfer(2), full + 1))
        .then_invalid("amount_minor")
        .when(hold(transfer(2), full))
        .then([held(transfer(2), full, full, full)]);
}

#[test]
fn events_from_before_there_were_holds_held_nothing() {
    let data = br#"{"amount":100,"currency":"EUR","balance":100}"#;
    for name in ["account.funds-deposited", "account.funds-withdrawn"] {
        let event = <AccountEvent as factum::Event>::decode(factum::RawEvent { name, schema: 1, data });
        let held = match event.expect("is read") {
            factum::Decoded::Known(AccountEvent::FundsDeposited(deposited)) => deposited.held,
            factum::Decoded::Known(AccountEvent::FundsWithdrawn(withdrawn)) => withdrawn.held,
            other => panic!("{name} is read as {other:?}"),
        };
        assert_eq!(held, 0);
    }
}

/// What there must be: a balance, and what is held of it by transfer.
#[derive(Default)]
struct Model {
    balance: u64,
    holds: std::collections::BTreeMap<TransferId, u64>,
}

impl Model {
    fn held(&self) -> u64 {
        self.holds.values().sum()
    }

    fn available(&self) -> u64 {
        self.balance - self.held()
    }

    /// Something is asked of the account, and it must answer as money is counted.
    fn go_on(
        &mut self,
        story: factum::testing::Story<Account>,
        random: &mut fastrand::Rng,
    ) -> factum::testing::Story<Account> {
        let (transfer_id, amount) = (transfer(random.u128(..4)), random.u64(1..50));
        let covered = amount <= self.available();
        match random.u8(..5) {
            0 => {
                self.balance += amount;
                story.when(credit(transfer_id, amount)).then([credited(transfer_id, amount, self.balance, self.held())])
            }
            1 if self.holds.contains_key(&transfer_id) => {
                story.when(hold(transfer_id, amount)).then_rejected_with("hold-already-exists")
            }
            1 if covered => {
                self.holds.insert(transfer_id, amount);
                story.when(hold(transfer_id, amount)).then([held(transfer_id, amount, self.balance, self.held())])
            }
            1 => story.when(hold(transfer_id, amount)).then_rejected_with("insufficient-funds"),
            2 => match self.holds.remove(&transfer_id) {
                None => story.when(capture(transfer_id)).then_rejected_with("hold-not-found"),
                Some(amount) => {
                    self.balance -= amount;
                    story.when(capture(transfer_id)).then([captured(transfer_id, amount, self.balance, self.held())])
                }
            },
            3 => match self.holds.remove(&transfer_id) {
                None => story.when(release(transfer_id)).then_rejected_with("hold-not-found"),
                Some(amount) => {
                    story.when(release(transfer_id)).then([released(transfer_id, amount, self.balance, self.held())])
                }
            },
            _ if covered => {
                self.balance -= amount;
                let (balance, held, currency) = (self.balance, self.held(), currency("EUR"));
                let withdrawn = FundsWithdrawn { amount, currency, balance, held };
                story.when(withdraw(&format!("0.{amount:02}"))).then([withdrawn])
            }
            _ => story.when(withdraw(&format!("0.{amount:02}"))).then_rejected_with("insufficient-funds"),
        }
    }
}

#[test]
fn whatever_comes_in_whatever_order_money_is_neither_lost_nor_made() {
    const SEEDS: u64 = 50;
    const COMMANDS: usize = 60;
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let (mut random, mut model) = (fastrand::Rng::with_seed(seed), Model::default());
        let mut story = given::<Account>([opened()]);
        for _ in 0..COMMANDS {
            story = model.go_on(story, &mut random).then_state(|account| {
                let funds = account.funds().expect("it stays open");
                assert_eq!((funds.balance(), funds.available()), (model.balance, model.available()));
                assert_eq!(funds.has_holds(), !model.holds.is_empty());
            });
        }
    }
}
