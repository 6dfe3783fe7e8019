//! What the derives write behaves as the traits promise.

use factum::{
    Aggregate, Answers, Command, Context, DecodeError, Decoded, Event, Events, Handle, InvalidField, Message,
    Projection, ProjectionKey, Query, QueryError, RawEvent, Rejection,
    read::{ReadError, ReadSnapshot, ReadTransaction},
    store::Tag,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Opened {
    holder: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deposited {
    amount: u64,
}

#[derive(Clone, Debug, PartialEq, Event)]
enum AccountEvent {
    #[factum(name = "account.opened")]
    Opened(Opened),
    #[factum(name = "account.funds-deposited", schema = 3, tags = deposit_tags)]
    Deposited(Deposited),
}

fn deposit_tags(deposited: &Deposited) -> Vec<Tag> {
    Tag::new(format!("amount:{}", deposited.amount)).into_iter().collect()
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("no")]
struct Refused;

impl Rejection for Refused {
    fn code(&self) -> &'static str {
        "refused"
    }
}

#[derive(Clone, Default)]
struct Account;

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = Uuid;
    type Event = AccountEvent;
    type Rejection = Refused;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened(_) | AccountEvent::Deposited(_) => {}
        }
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "deposit-funds", aggregate = Account, id = account_id, validate = DepositFunds::check)]
struct DepositFunds {
    account_id: Uuid,
    amount: u64,
}

impl DepositFunds {
    fn check(&self) -> Result<(), InvalidField> {
        if self.amount == 0 { Err(InvalidField::new("amount", "write an amount above zero")) } else { Ok(()) }
    }
}

impl Handle<DepositFunds> for Account {
    fn handle(&self, command: &DepositFunds, _: &Context) -> Result<Events<AccountEvent>, Refused> {
        Ok(Events::from(AccountEvent::from(Deposited { amount: command.amount })))
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "open-account")]
#[factum(aggregate = Account, id = account_id)]
struct OpenAccount {
    account_id: Option<Uuid>,
}

impl Handle<OpenAccount> for Account {
    fn handle(&self, _: &OpenAccount, _: &Context) -> Result<Events<AccountEvent>, Refused> {
        Err(Refused)
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.funds-deposited.v1")]
struct FundsDeposited {
    amount: u64,
}

#[derive(Default)]
struct Summaries;

#[derive(Default)]
struct Lines;

impl Projection for Summaries {
    const NAME: &'static str = "summaries";
    const VERSION: u32 = 2;
    type Event = AccountEvent;

    fn project(&self, _: &AccountEvent, _: &factum::Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        Ok(())
    }
}

impl Projection for Lines {
    const NAME: &'static str = "lines";
    const VERSION: u32 = 1;
    type Event = AccountEvent;

    fn project(&self, _: &AccountEvent, _: &factum::Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        Ok(())
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "account-summary", reads(Summaries, Lines))]
struct AccountSummary {
    account_id: Uuid,
}

impl Answers for AccountSummary {
    type Answer = Uuid;

    fn answer(&self, _: &mut dyn ReadSnapshot) -> Result<Uuid, QueryError> {
        Ok(self.account_id)
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
enum NothingEverHappens {}

fn encoded(event: &AccountEvent) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes
}

#[test]
fn an_event_carries_the_names_schemas_and_tags_of_its_variants() {
    let opened = AccountEvent::from(Opened { holder: "h-1".into() });
    let deposited = AccountEvent::from(Deposited { amount: 7 });
    assert_eq!(AccountEvent::names(), ["account.opened", "account.funds-deposited"]);
    assert_eq!((opened.name(), opened.schema(), opened.tags()), ("account.opened", 1, vec![]));
    assert_eq!((deposited.name(), deposited.schema()), ("account.funds-deposited", 3));
    assert_eq!(deposited.tags(), [Tag::new("amount:7").unwrap()]);
}

#[test]
fn an_event_is_written_as_the_fact_alone_after_what_is_there_and_comes_back() {
    let event = AccountEvent::from(Deposited { amount: 7 });
    assert_eq!(encoded(&event), br#"{"amount":7}"#);
    let mut bytes = b"before ".to_vec();
    event.encode(&mut bytes);
    assert_eq!(bytes, br#"before {"amount":7}"#);
    let raw = RawEvent { name: event.name(), schema: event.schema(), data: &encoded(&event) };
    assert_eq!(AccountEvent::decode(raw).unwrap(), Decoded::Known(event));
}

#[test]
fn older_schemas_are_read_newer_ones_and_broken_documents_refused_and_unknown_names_left_alone() {
    let raw = |name, schema, data| AccountEvent::decode(RawEvent { name, schema, data });
    let older = raw("account.funds-deposited", 2, br#"{"amount":1,"since_dropped":true}"#);
    assert_eq!(older.unwrap(), Decoded::Known(Deposited { amount: 1 }.into()));
    let newer = raw("account.funds-deposited", 4, br#"{"amount":1}"#);
    assert!(matches!(newer, Err(DecodeError::NewerSchema { found: 4, known: 3, .. })), "{newer:?}");
    let broken = raw("account.opened", 1, b"{}");
    assert!(matches!(&broken, Err(DecodeError::Malformed { name, .. }) if name == "account.opened"), "{broken:?}");
    // Not even looked at: what is not for this reader may be anything.
    assert_eq!(raw("account.closed", 9, b"not JSON").unwrap(), Decoded::Unknown);
}

#[test]
fn an_enum_without_variants_knows_no_name() {
    assert!(NothingEverHappens::names().is_empty());
    let raw = RawEvent { name: "account.opened", schema: 1, data: b"{}" };
    assert_eq!(NothingEverHappens::decode(raw).unwrap(), Decoded::Unknown);
}

#[test]
fn a_command_has_its_name_its_aggregate_and_its_check() {
    let id = Uuid::from_u128(7);
    let deposit = DepositFunds { account_id: id, amount: 0 };
    assert_eq!(DepositFunds::NAME, "deposit-funds");
    assert_eq!(deposit.aggregate_id(), Some(&id));
    assert_eq!(deposit.validate().unwrap_err().field, "amount");
    assert_eq!(DepositFunds { amount: 1, ..deposit }.validate(), Ok(()));
}

#[test]
fn a_command_whose_id_is_an_option_may_leave_it_out() {
    let id = Uuid::from_u128(7);
    assert_eq!(OpenAccount::NAME, "open-account");
    assert_eq!(OpenAccount { account_id: None }.aggregate_id(), None);
    assert_eq!(OpenAccount { account_id: Some(id) }.aggregate_id(), Some(&id));
    assert_eq!(OpenAccount { account_id: None }.validate(), Ok(()));
}

#[test]
fn a_message_has_its_name() {
    assert_eq!(FundsDeposited::NAME, "bank.accounts.funds-deposited.v1");
}

#[test]
fn a_query_has_its_name_and_the_projections_it_reads() {
    assert_eq!(AccountSummary::NAME, "account-summary");
    assert_eq!(AccountSummary::READS, [ProjectionKey::of::<Summaries>(), ProjectionKey::of::<Lines>()]);
    assert_eq!(AccountSummary::READS[0], ProjectionKey { name: "summaries", version: 2 });
}

#[test]
fn what_cannot_be_derived_is_refused_with_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
