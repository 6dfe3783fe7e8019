//! The derives, each documented as the code it writes.

/// Implements [`trait@Event`](crate::model::Event) for an enum with a newtype variant per kind of fact, and `From`
/// each fact.
///
/// Above each variant, `#[factum(...)]` says
/// - `name`: the fact's name on the wire, written by hand, so that renaming the type changes nothing in the store;
/// - `schema`: the version of its schema, from 1; 1 when left out. A document of a newer one is refused, not guessed;
/// - `tags`: a function from the fact to the [`Tag`](crate::store::Tag)s by which a boundary selects it; none when
///   left out.
///
/// ```
/// use factum::{Event, store::Tag};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct AccountOpened { currency: String }
/// #[derive(Clone, Serialize, Deserialize)]
/// struct FundsDeposited { amount: u64 }
///
/// #[derive(Clone, Event)]
/// enum AccountEvent {
///     #[factum(name = "account.opened", tags = currency)]
///     AccountOpened(AccountOpened),
///     #[factum(name = "account.funds-deposited", schema = 2)]
///     FundsDeposited(FundsDeposited),
/// }
///
/// fn currency(opened: &AccountOpened) -> Vec<Tag> {
///     Tag::new(format!("currency:{}", opened.currency)).into_iter().collect()
/// }
///
/// let event = AccountEvent::from(FundsDeposited { amount: 125 });
/// let mut document = Vec::new();
/// event.encode(&mut document);
/// assert_eq!((event.name(), event.schema()), ("account.funds-deposited", 2));
/// assert_eq!(document, br#"{"amount":125}"#);
/// ```
///
/// writes
///
/// ```
/// # use factum::{DecodeError, Decoded, Event, RawEvent, store::Tag};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Serialize, Deserialize)] struct AccountOpened { currency: String }
/// # #[derive(Clone, Serialize, Deserialize)] struct FundsDeposited { amount: u64 }
/// # #[derive(Clone)] enum AccountEvent { AccountOpened(AccountOpened), FundsDeposited(FundsDeposited) }
/// # fn currency(_: &AccountOpened) -> Vec<Tag> { Vec::new() }
/// impl Event for AccountEvent {
///     fn names() -> &'static [&'static str] {
///         &["account.opened", "account.funds-deposited"]
///     }
///     fn name(&self) -> &'static str {
///         match self {
///             Self::AccountOpened(_) => "account.opened",
///             Self::FundsDeposited(_) => "account.funds-deposited",
///         }
///     }
///     fn schema(&self) -> u32 {
///         match self {
///             Self::AccountOpened(_) => 1,
///             Self::FundsDeposited(_) => 2,
///         }
///     }
///     fn tags(&self) -> Vec<Tag> {
///         match self {
///             Self::AccountOpened(fact) => currency(fact),
///             Self::FundsDeposited(_) => Vec::new(),
///         }
///     }
///     fn encode(&self, out: &mut Vec<u8>) {
///         let written = match self {
///             Self::AccountOpened(fact) => serde_json::to_writer(out, fact),
///             Self::FundsDeposited(fact) => serde_json::to_writer(out, fact),
///         };
///         // Such as a map whose keys are no text: a bug in the type, which the first test of the fact shows.
///         if let Err(source) = written {
///             panic!("event `{}` cannot be written as JSON: {}", self.name(), source);
///         }
///     }
///     fn decode(raw: RawEvent<'_>) -> Result<Decoded<Self>, DecodeError> {
///         match raw.name {
///             "account.opened" => raw.read(1).map(|fact| Decoded::Known(Self::AccountOpened(fact))),
///             "account.funds-deposited" => raw.read(2).map(|fact| Decoded::Known(Self::FundsDeposited(fact))),
///             _ => Ok(Decoded::Unknown),
///         }
///     }
/// }
///
/// impl From<AccountOpened> for AccountEvent {
///     fn from(fact: AccountOpened) -> Self {
///         Self::AccountOpened(fact)
///     }
/// }
///
/// impl From<FundsDeposited> for AccountEvent {
///     fn from(fact: FundsDeposited) -> Self {
///         Self::FundsDeposited(fact)
///     }
/// }
/// ```
///
/// A variant that is no newtype, a name that is missing, written twice or no wire name, two variants around one type,
/// and an enum with parameters do not compile; the error says what to write instead.
pub use factum_macros::Event;

/// Implements [`trait@Message`](crate::model::Message) for a struct with named fields: it gives the name on the wire.
///
/// ```
/// # use factum::Message;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, JsonSchema, Message)]
/// #[factum(name = "bank.accounts.funds-deposited.v1")]
/// struct FundsDeposited { amount: String }
/// # assert_eq!(FundsDeposited::NAME, "bank.accounts.funds-deposited.v1");
/// ```
///
/// writes
///
/// ```
/// # use factum::Message;
/// # #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)] struct FundsDeposited { amount: String }
/// impl Message for FundsDeposited {
///     const NAME: &'static str = "bank.accounts.funds-deposited.v1";
/// }
/// ```
pub use factum_macros::Message;

/// Implements [`trait@Message`](crate::model::Message) and [`trait@Command`](crate::model::Command) for a struct with
/// named fields.
///
/// Above it, `#[factum(...)]` says
/// - `name`: the name on the wire;
/// - `aggregate`: the type that decides about it; it must implement [`Handle`](crate::Handle) for the command;
/// - `id`: the field that says which one, of the aggregate's `Id` type, or an `Option` of it if callers may leave it
///   out. The `Option` is seen by its name: an alias of one is not;
/// - `validate`: optional, a function from `&Self` to `Result<(), InvalidField>`.
///
/// ```
/// # use factum::{Aggregate, Command, Context, Events, Handle, InvalidField, Message, Rejection, testing::NoEvent};
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # use uuid::Uuid;
/// # #[derive(Clone, Default)] struct Account;
/// # #[derive(Debug, thiserror::Error)] #[error("no")] struct No;
/// # impl Rejection for No { fn code(&self) -> &'static str { "no" } }
/// # impl Aggregate for Account {
/// #     const CATEGORY: &'static str = "account";
/// #     type Id = Uuid;
/// #     type Event = NoEvent;
/// #     type Rejection = No;
/// #     fn apply(&mut self, event: &NoEvent) { match *event {} }
/// # }
/// # impl Handle<DepositFunds> for Account {
/// #     fn handle(&self, _: &DepositFunds, _: &Context) -> Result<Events<NoEvent>, No> { Ok(Events::none()) }
/// # }
/// #[derive(Serialize, Deserialize, JsonSchema, Command)]
/// #[factum(name = "deposit-funds", aggregate = Account, id = account_id, validate = DepositFunds::check)]
/// struct DepositFunds {
///     account_id: Uuid,
///     amount: u64,
/// }
///
/// impl DepositFunds {
///     fn check(&self) -> Result<(), InvalidField> {
///         if self.amount == 0 { Err(InvalidField::new("amount", "write more than zero")) } else { Ok(()) }
///     }
/// }
/// # let deposit = DepositFunds { account_id: Uuid::nil(), amount: 0 };
/// # assert_eq!((DepositFunds::NAME, deposit.aggregate_id()), ("deposit-funds", Some(&Uuid::nil())));
/// # assert!(deposit.validate().is_err());
/// ```
///
/// writes
///
/// ```
/// # use factum::{Aggregate, Command, Context, Events, Handle, InvalidField, Message, Rejection, testing::NoEvent};
/// # use uuid::Uuid;
/// # #[derive(Clone, Default)] struct Account;
/// # #[derive(Debug, thiserror::Error)] #[error("no")] struct No;
/// # impl Rejection for No { fn code(&self) -> &'static str { "no" } }
/// # impl Aggregate for Account {
/// #     const CATEGORY: &'static str = "account";
/// #     type Id = Uuid;
/// #     type Event = NoEvent;
/// #     type Rejection = No;
/// #     fn apply(&mut self, event: &NoEvent) { match *event {} }
/// # }
/// # impl Handle<DepositFunds> for Account {
/// #     fn handle(&self, _: &DepositFunds, _: &Context) -> Result<Events<NoEvent>, No> { Ok(Events::none()) }
/// # }
/// # #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// # struct DepositFunds { account_id: Uuid, amount: u64 }
/// # impl DepositFunds { fn check(&self) -> Result<(), InvalidField> { Ok(()) } }
/// impl Message for DepositFunds {
///     const NAME: &'static str = "deposit-funds";
/// }
///
/// impl Command for DepositFunds {
///     type Aggregate = Account;
///
///     fn aggregate_id(&self) -> Option<&<Self::Aggregate as Aggregate>::Id> {
///         let id: &<Self::Aggregate as Aggregate>::Id = &self.account_id;
///         Some(id) // `self.account_id.as_ref()` for an `Option`
///     }
///
///     fn validate(&self) -> Result<(), InvalidField> {
///         DepositFunds::check(self)
///     }
/// }
/// ```
pub use factum_macros::Command;

/// Implements [`trait@Message`](crate::model::Message) and [`trait@Query`](crate::model::Query) for a struct with
/// named fields; [`Answers`](crate::Answers) is written by hand.
///
/// Above it, `#[factum(...)]` says
/// - `name`: the name on the wire;
/// - `reads(…)`: the projections whose read models it reads, which a token waits for.
///
/// ```
/// # use factum::{Answers, Delivery, Message, Projection, Query, QueryError};
/// # use factum::{read::{ReadError, ReadSnapshot, ReadTransaction}, testing::NoEvent};
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default)] struct AccountSummaries;
/// # impl Projection for AccountSummaries {
/// #     const NAME: &'static str = "account-summaries";
/// #     const VERSION: u32 = 1;
/// #     type Event = NoEvent;
/// #     fn project(&self, _: &NoEvent, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> { Ok(()) }
/// # }
/// # impl Answers for AccountSummary {
/// #     type Answer = u64;
/// #     fn answer(&self, _: &mut dyn ReadSnapshot) -> Result<u64, QueryError> { Ok(0) }
/// # }
/// #[derive(Serialize, Deserialize, JsonSchema, Query)]
/// #[factum(name = "account-summary", reads(AccountSummaries))]
/// struct AccountSummary { account_id: String }
/// # assert_eq!((AccountSummary::NAME, AccountSummary::READS[0].name), ("account-summary", "account-summaries"));
/// ```
///
/// writes
///
/// ```
/// # use factum::{Answers, Delivery, Message, Projection, ProjectionKey, Query, QueryError};
/// # use factum::{read::{ReadError, ReadSnapshot, ReadTransaction}, testing::NoEvent};
/// # #[derive(Default)] struct AccountSummaries;
/// # impl Projection for AccountSummaries {
/// #     const NAME: &'static str = "account-summaries";
/// #     const VERSION: u32 = 1;
/// #     type Event = NoEvent;
/// #     fn project(&self, _: &NoEvent, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> { Ok(()) }
/// # }
/// # #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)] struct AccountSummary { account_id: String }
/// # impl Answers for AccountSummary {
/// #     type Answer = u64;
/// #     fn answer(&self, _: &mut dyn ReadSnapshot) -> Result<u64, QueryError> { Ok(0) }
/// # }
/// impl Message for AccountSummary {
///     const NAME: &'static str = "account-summary";
/// }
///
/// impl Query for AccountSummary {
///     const READS: &'static [ProjectionKey] = &[ProjectionKey::of::<AccountSummaries>()];
/// }
/// ```
pub use factum_macros::Query;
