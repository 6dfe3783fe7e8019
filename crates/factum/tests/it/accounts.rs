//! Accounts for the tests of dispatchers and projections: a domain made by the derives, with commands that misbehave.

use std::{collections::BTreeMap, fmt, sync::Arc};

use factum::{
    ActorId, Aggregate, AggregateId, Command, CommandDispatcher, CommandId, Context, Delivery, Event, Events, Handle,
    InvalidField, Message, MessageType, OutgoingMessage, Publication, Rejection, RejectionKind, Timestamp,
    dispatch::{CommandDispatcherBuilder, CommandKey, CommandOptions, Surface},
    principal::Principal,
    store::{EngineOptions, EngineStore, EventStore, MemoryStore},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// The account most stories are about.
pub const ACCOUNT: Uuid = Uuid::from_u128(0xacc0);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub currency: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deposited {
    pub amount: u128,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub amount: u128,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {}

/// What the decision knew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Witnessed {
    pub now: Timestamp,
    pub command_id: CommandId,
    pub actor: ActorId,
    pub version: u64,
    pub derived: Uuid,
}

/// A fact that cannot be folded in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursed {}

/// A fact that cannot be written: JSON has no such keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unspeakable {
    pub names: BTreeMap<Vec<u8>, u8>,
}

#[derive(Clone, Debug, PartialEq, Event)]
pub enum AccountEvent {
    #[factum(name = "account.opened")]
    Opened(Opened),
    #[factum(name = "account.deposited")]
    Deposited(Deposited),
    #[factum(name = "account.withdrawn")]
    Withdrawn(Withdrawn),
    #[factum(name = "account.closed")]
    Closed(Closed),
    #[factum(name = "account.witnessed")]
    Witnessed(Witnessed),
    #[factum(name = "account.cursed")]
    Cursed(Cursed),
    #[factum(name = "account.unspeakable")]
    Unspeakable(Unspeakable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRejection {
    AlreadyOpen,
    NotOpen,
    InsufficientFunds,
    Unutterable,
}

impl fmt::Display for AccountRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert_ne!(*self, Self::Unutterable, "words fail me");
        write!(f, "the account says no: {self:?}")
    }
}

impl std::error::Error for AccountRejection {}

impl Rejection for AccountRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyOpen => "already-open",
            Self::NotOpen => "account-not-found",
            Self::InsufficientFunds => "insufficient-funds",
            Self::Unutterable => "unutterable",
        }
    }

    fn kind(&self) -> RejectionKind {
        if *self == Self::NotOpen { RejectionKind::NotFound } else { RejectionKind::Rule }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Account {
    open: bool,
    closed: bool,
    pub balance: u128,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = Uuid;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened(_) => self.open = true,
            AccountEvent::Deposited(Deposited { amount }) => self.balance += amount,
            AccountEvent::Withdrawn(Withdrawn { amount }) => self.balance -= amount,
            AccountEvent::Closed(_) => self.closed = true,
            AccountEvent::Witnessed(_) | AccountEvent::Unspeakable(_) => {}
            AccountEvent::Cursed(_) => panic!("a cursed fact"),
        }
    }
}

fn euro() -> String {
    "EUR".to_owned()
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "open-account", aggregate = Account, id = account_id)]
pub struct OpenAccount {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Uuid>,
    #[serde(default = "euro")]
    pub currency: String,
}

impl Handle<OpenAccount> for Account {
    fn handle(&self, open: &OpenAccount, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        if self.open {
            return Err(AccountRejection::AlreadyOpen);
        }
        Ok(AccountEvent::from(Opened { currency: open.currency.clone() }).into())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "deposit", aggregate = Account, id = account_id, validate = Deposit::check)]
pub struct Deposit {
    pub account_id: Uuid,
    pub amount: u128,
}

impl Deposit {
    fn check(&self) -> Result<(), InvalidField> {
        if self.amount == 0 { Err(InvalidField::new("amount", "write more than zero")) } else { Ok(()) }
    }
}

impl Handle<Deposit> for Account {
    fn handle(&self, deposit: &Deposit, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        if !self.open {
            return Err(AccountRejection::NotOpen);
        }
        Ok(AccountEvent::from(Deposited { amount: deposit.amount }).into())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "withdraw", aggregate = Account, id = account_id)]
pub struct Withdraw {
    pub account_id: Uuid,
    pub amount: u128,
}

impl Handle<Withdraw> for Account {
    fn handle(&self, withdraw: &Withdraw, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        if self.balance < withdraw.amount {
            return Err(AccountRejection::InsufficientFunds);
        }
        Ok(AccountEvent::from(Withdrawn { amount: withdraw.amount }).into())
    }
}

/// Closing what is closed is nothing to do.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "close-account", aggregate = Account, id = account_id)]
pub struct CloseAccount {
    pub account_id: Uuid,
}

impl Handle<CloseAccount> for Account {
    fn handle(&self, _: &CloseAccount, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        Ok(if self.closed { Events::none() } else { AccountEvent::from(Closed {}).into() })
    }
}

/// Records what the decision knows, as often as asked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "witness", aggregate = Account, id = account_id)]
pub struct Witness {
    pub account_id: Uuid,
    pub times: usize,
}

impl Handle<Witness> for Account {
    fn handle(&self, witness: &Witness, context: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        let witnessed = AccountEvent::from(Witnessed {
            now: context.now(),
            command_id: context.command_id(),
            actor: context.actor().clone(),
            version: context.version().get(),
            derived: context.derived_id("label"),
        });
        Ok(vec![witnessed; witness.times].into())
    }
}

/// Where a command's own code panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    Validate,
    Handle,
    Encode,
    Apply,
    Reject,
    Read,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "misbehave", aggregate = Account, id = account_id, validate = Misbehave::check)]
pub struct Misbehave {
    pub account_id: Uuid,
    #[serde(deserialize_with = "read_how")]
    pub how: How,
}

fn read_how<'de, D: Deserializer<'de>>(deserializer: D) -> Result<How, D::Error> {
    let how = How::deserialize(deserializer)?;
    assert_ne!(how, How::Read, "panic in read");
    Ok(how)
}

impl Misbehave {
    fn check(&self) -> Result<(), InvalidField> {
        assert_ne!(self.how, How::Validate, "panic in validate");
        Ok(())
    }
}

impl Handle<Misbehave> for Account {
    fn handle(&self, misbehave: &Misbehave, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        match misbehave.how {
            How::Handle => panic!("panic in handle"),
            How::Encode => Ok(AccountEvent::from(Unspeakable { names: [(vec![1], 1)].into() }).into()),
            How::Apply => Ok(AccountEvent::from(Cursed {}).into()),
            How::Reject => Err(AccountRejection::Unutterable),
            How::Validate | How::Read => Ok(Events::none()),
        }
    }
}

/// An id in the caller's own words.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BookId(pub String);

impl fmt::Display for BookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AggregateId for BookId {
    fn from_uuid(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Book;

impl Aggregate for Book {
    const CATEGORY: &'static str = "book";
    type Id = BookId;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn apply(&mut self, _: &AccountEvent) {}
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "open-book", aggregate = Book, id = book)]
pub struct OpenBook {
    pub book: BookId,
}

impl Handle<OpenBook> for Book {
    fn handle(&self, _: &OpenBook, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        Ok(AccountEvent::from(Opened { currency: euro() }).into())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.accounts.deposited.v1")]
struct PublicDeposit {
    amount: String,
}

/// Tells the world of deposits, and breaks at the closing of an account.
pub struct Deposits;

impl Publication for Deposits {
    const TOPIC: &'static str = "bank.accounts.account.events";
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<PublicDeposit>()];
    type Event = AccountEvent;

    fn translate(event: &AccountEvent, _: &Delivery) -> Option<OutgoingMessage> {
        match event {
            AccountEvent::Deposited(Deposited { amount }) => {
                Some(Self::outgoing(&PublicDeposit { amount: amount.to_string() }))
            }
            AccountEvent::Closed(_) => panic!("panic in translate"),
            _ => None,
        }
    }
}

/// A dispatcher of everything here, to be built.
pub fn builder(store: &Arc<dyn EventStore>) -> CommandDispatcherBuilder {
    CommandDispatcher::builder(Arc::clone(store))
        .service("accounts")
        .handles::<OpenAccount>()
        .handles::<Deposit>()
        .handles::<Withdraw>()
        .handles::<CloseAccount>()
        .handles::<Witness>()
        .handles::<Misbehave>()
        .handles::<OpenBook>()
}

/// A dispatcher of everything here.
pub fn dispatcher(store: &Arc<dyn EventStore>) -> CommandDispatcher {
    builder(store).build().unwrap()
}

/// A dispatcher on which [`ACCOUNT`] is open with this balance: two events.
pub async fn with_balance(store: &Arc<dyn EventStore>, amount: u128) -> CommandDispatcher {
    let commands = dispatcher(store);
    commands.dispatch(open()).await.unwrap();
    commands.dispatch(deposit(amount)).await.unwrap();
    commands
}

pub fn open() -> OpenAccount {
    OpenAccount { account_id: Some(ACCOUNT), currency: euro() }
}

pub const fn deposit(amount: u128) -> Deposit {
    Deposit { account_id: ACCOUNT, amount }
}

pub const fn withdraw(amount: u128) -> Withdraw {
    Withdraw { account_id: ACCOUNT, amount }
}

/// A command id by a number.
pub const fn id(number: u128) -> CommandId {
    CommandId::from_uuid(Uuid::from_u128(number))
}

pub fn principal(actor: &str) -> Principal {
    Principal { actor: ActorId::new(actor).unwrap() }
}

/// The options of a request over HTTP with a key.
pub fn keyed(key: &str) -> CommandOptions {
    let surface = Surface::Http(ActorId::anonymous());
    CommandOptions { key: CommandKey::Keyed { surface, key: key.to_owned() }, ..CommandOptions::default() }
}

/// An empty store in memory.
pub fn memory() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::seeded(7))
}

/// Tells a story on each of our event stores.
pub async fn on_every_store(mut story: impl AsyncFnMut(Arc<dyn EventStore>)) {
    story(memory()).await;
    let dir = tempfile::tempdir().unwrap();
    story(Arc::new(EngineStore::open(dir.path(), EngineOptions::default()).unwrap())).await;
}
