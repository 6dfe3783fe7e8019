//! Given–when–then tells stories, and tells them well when they end differently.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use factum::{
    Aggregate, Command, CommandId, Context, Event, Events, Handle, InvalidField, Rejection, RejectionCode, Timestamp,
    testing::{self, COMMAND_ID, NOW, given, given_nothing},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Opened {
    id: Uuid,
    by: String,
    at: Timestamp,
    on_version: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deposited {
    amount: u64,
    /// Lost on the wire.
    #[serde(skip)]
    note: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Closed {}

#[derive(Clone, Debug, PartialEq, Event)]
enum AccountEvent {
    #[factum(name = "account.opened", schema = 2)]
    Opened(Opened),
    #[factum(name = "account.funds-deposited")]
    Deposited(Deposited),
    #[factum(name = "account.closed")]
    Closed(Closed),
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum AccountRejection {
    #[error("there are {balance} left")]
    NotEmpty { balance: u64 },
    #[error("it is closed")]
    Closed,
}

impl Rejection for AccountRejection {
    /// One is missing, for the story that notices.
    const CODES: &'static [RejectionCode] = &[RejectionCode::rule("account-not-empty")];

    fn code(&self) -> &'static str {
        match self {
            Self::NotEmpty { .. } => "account-not-empty",
            Self::Closed => "account-closed",
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Account {
    balance: u64,
    closed: bool,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = Uuid;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened(_) => {}
            AccountEvent::Deposited(deposited) => self.balance += deposited.amount,
            AccountEvent::Closed(_) => self.closed = true,
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "open-account", aggregate = Account, id = account_id)]
struct OpenAccount {
    account_id: Option<Uuid>,
}

impl Handle<OpenAccount> for Account {
    fn handle(&self, _: &OpenAccount, context: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let id = context.stream().as_str().strip_prefix("account-").and_then(|id| id.parse().ok());
        let id = id.expect("the stream is named after a UUID");
        let by = context.actor().as_str().to_owned();
        let opened = Opened { id, by, at: context.now(), on_version: context.version().get() };
        Ok(AccountEvent::from(opened).into())
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "deposit-funds", aggregate = Account, id = account_id, validate = DepositFunds::check)]
struct DepositFunds {
    account_id: Uuid,
    amount: u64,
    /// Lost on the wire, and so before the decision.
    #[serde(skip)]
    bonus: u64,
}

impl DepositFunds {
    fn check(&self) -> Result<(), InvalidField> {
        if self.amount == 0 { Err(InvalidField::new("amount", "write more than zero")) } else { Ok(()) }
    }
}

impl Handle<DepositFunds> for Account {
    fn handle(&self, command: &DepositFunds, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        if self.closed {
            return Err(AccountRejection::Closed);
        }
        Ok(AccountEvent::from(deposited(command.amount + command.bonus)).into())
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "close-account", aggregate = Account, id = account_id)]
struct CloseAccount {
    account_id: Uuid,
}

impl Handle<CloseAccount> for Account {
    fn handle(&self, _: &CloseAccount, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        match (self.closed, self.balance) {
            (true, _) => Ok(Events::none()),
            (false, 0) => Ok(AccountEvent::from(Closed {}).into()),
            (false, balance) => Err(AccountRejection::NotEmpty { balance }),
        }
    }
}

/// A command whose decision takes chance from outside.
#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "deposit-something", aggregate = Account, id = account_id)]
struct DepositSomething {
    account_id: Uuid,
}

impl Handle<DepositSomething> for Account {
    fn handle(&self, _: &DepositSomething, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        static CALLS: AtomicU64 = AtomicU64::new(1);
        Ok(AccountEvent::from(deposited(CALLS.fetch_add(1, Ordering::Relaxed))).into())
    }
}

const ID: Uuid = Uuid::from_u128(7);

fn opened() -> Opened {
    Opened { id: ID, by: testing::ACTOR.to_owned(), at: NOW, on_version: 0 }
}

fn deposited(amount: u64) -> Deposited {
    Deposited { amount, note: 0 }
}

fn deposit(amount: u64) -> DepositFunds {
    DepositFunds { account_id: ID, amount, bonus: 0 }
}

fn close() -> CloseAccount {
    CloseAccount { account_id: ID }
}

/// What the story says when it ends differently.
fn told<T>(story: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(story)) else { panic!("the story should have ended differently") };
    *panic.downcast::<String>().expect("stories end with formatted messages")
}

#[test]
fn a_story_folds_what_happened_and_goes_on_after_each_command() {
    given::<Account>((opened(), deposited(3)))
        .then_state(|account| assert_eq!(account.balance, 3))
        .when(close())
        .then_rejected(AccountRejection::NotEmpty { balance: 3 })
        .when(close())
        .then_rejected_with("account-not-empty")
        .when(deposit(4))
        .then([deposited(4)])
        .then_state(|account| assert_eq!(account.balance, 7));
    given::<Account>([Closed {}]).when(close()).then_nothing().then_state(|account| assert!(account.closed));
    given::<Account>([opened()]).when(deposit(0)).then_invalid("amount").when(close()).then([Closed {}]);
}

#[test]
fn a_decision_sees_who_asks_when_and_which_version_of_which_aggregate() {
    let later = NOW.plus(Duration::from_secs(60));
    let open = || OpenAccount { account_id: None };
    let asked = given_nothing::<Account>().as_actor("ada").at(later).for_id(ID).when(open());
    asked.then([Opened { by: "ada".to_owned(), at: later, ..opened() }]);
    let asked = given::<Account>((opened(), deposited(1))).for_id(ID).when(open());
    asked.then([Opened { on_version: 2, ..opened() }]);
    let derived = COMMAND_ID.derive("account");
    given_nothing::<Account>().when(open()).then([Opened { id: derived, ..opened() }]);
    let other = CommandId::from_uuid(Uuid::from_u128(9));
    let derived = other.derive("account");
    given_nothing::<Account>().with_command_id(other).when(open()).then([Opened { id: derived, ..opened() }]);
}

#[test]
fn each_command_of_a_story_has_an_id_of_its_own() {
    let open = || OpenAccount { account_id: None };
    let story = given_nothing::<Account>().when(open()).then([Opened { id: COMMAND_ID.derive("account"), ..opened() }]);
    let message =
        told(|| story.when(open()).then([Opened { id: COMMAND_ID.derive("account"), on_version: 1, ..opened() }]));
    assert!(message.contains("≠ account.opened"), "{message}");
}

#[test]
fn a_rejection_that_documents_would_not_list_is_noticed() {
    let message = told(|| given::<Account>([Closed {}]).when(deposit(1)).then_rejected(AccountRejection::Closed));
    assert!(message.contains(r#"code: "account-closed""#) && message.contains("list it there"), "{message}");
}

#[test]
fn a_story_that_ends_differently_is_told_from_its_beginning() {
    let message = told(|| {
        given::<Account>([opened()])
            .when(deposit(2))
            .then([deposited(2)])
            .when(deposit(5))
            .then((deposited(6), Closed {}))
    });
    let id = ID.to_string();
    let expected = [
        "the story ends differently",
        "given",
        &format!(
            r#"  account.opened (schema 2) {{"id":"{id}","by":"tester","at":"2026-11-23T09:30:00.000000Z","on_version":0}}"#
        ),
        &format!(r#"  (deposit-funds {{"account_id":"{id}","amount":2}} by tester at 2026-11-23T09:30:00.000000Z)"#),
        r#"  account.funds-deposited {"amount":2}"#,
        "when",
        &format!(r#"  deposit-funds {{"account_id":"{id}","amount":5}} by tester at 2026-11-23T09:30:00.000000Z"#),
        "expected",
        r#"  ≠ account.funds-deposited {"amount":6}"#,
        "  ≠ account.closed {}",
        "got",
        r#"  ≠ account.funds-deposited {"amount":5}"#,
        "",
    ];
    assert_eq!(message, expected.join("\n"));
}

#[test]
fn every_kind_of_ending_is_told_where_another_was_expected() {
    let account = || given::<Account>((opened(), deposited(1)));
    let endings = [
        (
            told(|| account().when(close()).then([Closed {}])),
            "expected\n  ≠ account.closed {}\ngot\n  rejected with account-not-empty: there are 1 left (NotEmpty { balance: 1 })",
        ),
        (told(|| account().when(deposit(1)).then_nothing()), "expected\n  nothing\ngot\n  ≠ account.funds-deposited"),
        (
            told(|| account().when(deposit(0)).then_nothing()),
            "expected\n  nothing\ngot\n  amount is invalid: write more than zero",
        ),
        (
            told(|| account().when(deposit(1)).then_rejected(AccountRejection::Closed)),
            "expected\n  rejected with account-closed: it is closed (Closed)\ngot\n    account.funds-deposited",
        ),
        (
            told(|| account().when(close()).then_rejected(AccountRejection::NotEmpty { balance: 2 })),
            "there are 2 left (NotEmpty { balance: 2 })\ngot\n  rejected with account-not-empty: there are 1 left",
        ),
        (
            told(|| account().when(close()).then_rejected_with("account-closed")),
            "expected\n  rejected with account-closed\ngot\n  rejected with account-not-empty",
        ),
        (
            told(|| account().when(deposit(0)).then_invalid("currency")),
            "expected\n  currency is invalid\ngot\n  amount is invalid",
        ),
        (
            told(|| account().when(deposit(1)).then_invalid("amount")),
            "expected\n  amount is invalid\ngot\n    account.funds-deposited",
        ),
    ];
    for (message, part) in endings {
        assert!(message.contains(part), "{message}\nshould say\n{part}");
    }
}

#[test]
fn what_does_not_survive_the_wire_ends_the_story() {
    let lost = || Deposited { amount: 1, note: 9 };
    let message = told(|| given::<Account>([lost()]));
    assert!(message.contains("note: 9") && message.contains("note: 0"), "{message}");
    // Expected and got look the same in JSON: the difference is shown all the same.
    let message = told(|| given::<Account>([opened()]).when(deposit(1)).then([lost()]));
    assert!(message.contains(r#"≠ account.funds-deposited {"amount":1} that is Deposited("#), "{message}");
    // The command decides as it arrives, without what never travelled.
    given::<Account>([opened()]).when(DepositFunds { bonus: 5, ..deposit(1) }).then([deposited(1)]);
}

#[test]
fn a_decision_that_takes_chance_from_outside_ends_the_story() {
    let message = told(|| given::<Account>([opened()]).when(DepositSomething { account_id: ID }).then_nothing());
    assert!(message.contains("was decided twice"), "{message}");
}

#[test]
fn a_command_for_another_aggregate_is_no_part_of_the_story() {
    let message = told(|| given::<Account>([opened()]).for_id(Uuid::from_u128(8)).when(deposit(1)).then_nothing());
    assert!(message.starts_with("the story is about account 00000000-"), "{message}");
}

#[test]
fn a_delivery_is_the_same_every_time_and_another_for_another_event() {
    let delivery = testing::delivery("account-7", 2);
    assert_eq!(delivery, testing::delivery("account-7", 2));
    assert_eq!((delivery.aggregate_id(), delivery.version.get(), delivery.position.get()), ("7", 2, 2));
    assert_ne!(delivery.event_id, testing::delivery("account-7", 3).event_id);
    assert_ne!(delivery.event_id, testing::delivery("account-8", 2).event_id);
    assert!(told(|| testing::delivery("account-7", 0)).contains("counted from 1"));
}
