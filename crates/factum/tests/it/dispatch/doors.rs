//! The two doors, and what is judged before anything is looked up.

use std::sync::{Arc, Mutex};

use factum::{
    Aggregate, Command, CommandDispatcher, Context, DispatchError, Events, ExpectedVersion, Handle, RejectionKind,
    Runtime, Version,
    dispatch::{BuildError, CommandOptions},
    input::{InvalidInputKind, UnknownFields},
    principal::{Access, Denied},
    store::{EventStore, MemoryStore},
    testing::{FaultyStore, StoreCall},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    accounts::{
        ACCOUNT, Account, AccountEvent, AccountRejection, BookId, CloseAccount, Deposits, OpenBook, builder, deposit,
        dispatcher, memory, on_every_store, open, principal, withdraw,
    },
    watched::everything,
};

/// A step of the story, through one door or the other.
async fn step<C: Command>(commands: &CommandDispatcher, named: bool, command: C, expected: ExpectedVersion) -> String {
    let options = CommandOptions { expected, principal: principal("ada"), ..CommandOptions::default() };
    if named {
        let body = serde_json::to_vec(&command).unwrap();
        format!("{:?}", commands.dispatch_named(C::NAME, &body, options).await.map_err(|error| error.to_string()))
    } else {
        format!("{:?}", commands.dispatch(command).options(options).await.map_err(|error| error.to_string()))
    }
}

#[tokio::test]
async fn both_doors_lead_to_equal_outcomes() {
    let mut told = Vec::new();
    for named in [false, true] {
        // The same seeds give the same ids.
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(7));
        let commands = builder(&store).publishes::<Deposits>().runtime(Runtime::manual(3).0).build().unwrap();
        let outcomes = [
            step(&commands, named, deposit(1), ExpectedVersion::Any).await,
            step(&commands, named, open(), ExpectedVersion::NoStream).await,
            step(&commands, named, open(), ExpectedVersion::Any).await,
            step(&commands, named, deposit(0), ExpectedVersion::Any).await,
            step(&commands, named, deposit(10), ExpectedVersion::Exact(Version::new(1))).await,
            step(&commands, named, deposit(10), ExpectedVersion::Exact(Version::new(1))).await,
            step(&commands, named, withdraw(11), ExpectedVersion::Any).await,
            step(&commands, named, CloseAccount { account_id: ACCOUNT }, ExpectedVersion::Any).await,
            step(&commands, named, CloseAccount { account_id: ACCOUNT }, ExpectedVersion::Any).await,
        ];
        told.push((outcomes, everything(store.as_ref()).await));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].1.len(), 3);
    assert!(told[0].0[0].contains("the account says no: NotOpen"), "{}", told[0].0[0]);
}

#[tokio::test]
async fn nobody_handles_it() {
    let (watched, store) = FaultyStore::new(&memory()).shared();
    let commands = CommandDispatcher::builder(store).handles::<OpenBook>().build().unwrap();
    let typed = commands.dispatch(deposit(1)).await;
    assert!(matches!(typed, Err(DispatchError::UnknownCommand(name)) if name == "deposit"));
    let named = commands.dispatch_named("deposit", b"not even JSON", CommandOptions::default()).await;
    assert!(matches!(named, Err(DispatchError::UnknownCommand(name)) if name == "deposit"));
    assert_eq!(watched.total(), 0);
    assert_eq!(
        commands.commands().iter().map(|info| (info.name, info.category)).collect::<Vec<_>>(),
        [("open-book", "book")]
    );
}

#[tokio::test]
async fn a_document_that_does_not_fit_is_refused_with_its_field() {
    let (watched, store) = FaultyStore::new(&memory()).shared();
    let commands = dispatcher(&store);
    let account = ACCOUNT.to_string();
    let too_deep = format!(r#"{{"account_id":"{account}","amount":1,"x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for (body, kind, field) in [
        ("", InvalidInputKind::Malformed, None),
        ("[]", InvalidInputKind::Malformed, None),
        (r#"{"account_id":1,"amount":1}"#, InvalidInputKind::Invalid, Some("account_id")),
        (&format!(r#"{{"account_id":"{account}"}}"#), InvalidInputKind::Invalid, Some("amount")),
        (&format!(r#"{{"account_id":"{account}","amount":-1}}"#), InvalidInputKind::Invalid, Some("amount")),
        (&format!(r#"{{"account_id":"{account}","amount":0}}"#), InvalidInputKind::Invalid, Some("amount")),
        (
            &format!(r#"{{"account_id":"{account}","amount":1,"x":[{{"y":1}}]}}"#),
            InvalidInputKind::UnknownField,
            Some("x"),
        ),
        (&format!(r#"{{"account_id":"{account}","amount":1,"amount":1}}"#), InvalidInputKind::Invalid, Some("amount")),
        (&too_deep, InvalidInputKind::UnknownField, Some("x")),
    ] {
        let refused = commands.dispatch_named("deposit", body.as_bytes(), CommandOptions::default()).await;
        let Err(DispatchError::Invalid(invalid)) = refused else { panic!("{body}: {refused:?}") };
        assert_eq!((invalid.kind, invalid.field.as_deref()), (kind, field), "{body}");
    }
    let ignoring = CommandOptions { unknown_fields: UnknownFields::Ignore, ..CommandOptions::default() };
    let refused = commands.dispatch_named("deposit", too_deep.as_bytes(), ignoring).await;
    assert!(
        matches!(&refused, Err(DispatchError::Invalid(invalid)) if invalid.kind == InvalidInputKind::Malformed),
        "{refused:?}"
    );
    assert_eq!(watched.total(), 0, "nothing is looked up for what is no command");
}

#[tokio::test]
async fn the_bus_may_add_fields() {
    let commands = dispatcher(&memory());
    let body = format!(r#"{{"account_id":"{ACCOUNT}","currency":"EUR","added":{{"later":[1]}}}}"#);
    let options = CommandOptions { unknown_fields: UnknownFields::Ignore, ..CommandOptions::default() };
    commands.dispatch_named("open-account", body.as_bytes(), options).await.unwrap();
}

#[tokio::test]
async fn an_id_that_makes_no_stream_is_the_callers_mistake() {
    let commands = dispatcher(&memory());
    for book in ["x".repeat(300), "a\nb".to_owned(), "\0".to_owned()] {
        let refused = commands.dispatch(OpenBook { book: BookId(book.clone()) }).await;
        assert!(
            matches!(&refused, Err(DispatchError::Invalid(invalid)) if invalid.kind == InvalidInputKind::Invalid),
            "{book:?}: {refused:?}"
        );
    }
    let odd = "1-2'); DROP TABLE events; -- ü".to_owned();
    let receipt = commands.dispatch(OpenBook { book: BookId(odd.clone()) }).await.unwrap();
    assert_eq!((receipt.aggregate_id(), receipt.stream.category()), (odd.as_str(), "book"));
}

#[tokio::test]
async fn who_may_not_is_told_before_anything_is_looked_up() {
    let (watched, store) = FaultyStore::new(&memory()).shared();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let policy = move |access: Access<'_>| {
        let stream = access.stream.map(ToString::to_string);
        seen.lock().unwrap().push((access.principal.actor.as_str().to_owned(), access.name.to_owned(), stream));
        Err(Denied)
    };
    let commands = builder(&store).authorize(policy).build().unwrap();
    let typed = commands.dispatch(deposit(0)).principal(principal("eve")).command_id(crate::accounts::id(1)).await;
    assert!(matches!(typed, Err(DispatchError::Denied)), "{typed:?}");
    let body = serde_json::to_vec(&deposit(1)).unwrap();
    let named = commands.dispatch_named("deposit", &body, crate::accounts::keyed("k")).await;
    assert!(matches!(named, Err(DispatchError::Denied)), "{named:?}");
    assert_eq!(watched.total(), 0);
    let stream = Some(format!("account-{ACCOUNT}"));
    assert_eq!(
        *asked.lock().unwrap(),
        [
            ("eve".to_owned(), "deposit".to_owned(), stream.clone()),
            ("anonymous".to_owned(), "deposit".to_owned(), stream)
        ]
    );
}

#[tokio::test]
async fn a_no_keeps_its_code_and_kind() {
    let store = memory();
    let commands = dispatcher(&store);
    let not_open = commands.dispatch(deposit(1)).await;
    assert!(matches!(not_open, Err(DispatchError::Rejected(AccountRejection::NotOpen))), "{not_open:?}");
    let body = serde_json::to_vec(&deposit(1)).unwrap();
    let Err(DispatchError::Rejected(no)) = commands.dispatch_named("deposit", &body, CommandOptions::default()).await
    else {
        panic!("must be rejected")
    };
    assert_eq!(
        (no.code, no.kind, no.message.as_str()),
        ("account-not-found", RejectionKind::NotFound, "the account says no: NotOpen")
    );
    let body = serde_json::to_vec(&withdraw(1)).unwrap();
    let Err(DispatchError::Rejected(no)) = commands.dispatch_named("withdraw", &body, CommandOptions::default()).await
    else {
        panic!("must be rejected")
    };
    assert_eq!((no.code, no.kind), ("insufficient-funds", RejectionKind::Rule));
    assert!(everything(store.as_ref()).await.is_empty());
}

#[tokio::test]
async fn nothing_to_do_is_accepted_and_its_token_stands_for_what_is_there() {
    on_every_store(async |inner| {
        let (watched, store) = FaultyStore::new(&inner).shared();
        let commands = builder(&store).publishes::<Deposits>().build().unwrap();
        commands.dispatch(open()).await.unwrap();
        let deposited = commands.dispatch(deposit(5)).await.unwrap();
        let closed = commands.dispatch(CloseAccount { account_id: ACCOUNT }).await.unwrap();
        let appends = watched.count(StoreCall::Append);
        let again = commands.dispatch(CloseAccount { account_id: ACCOUNT }).await.unwrap();
        assert_eq!(watched.count(StoreCall::Append), appends);
        assert_eq!((again.version, again.position, again.repeated), (closed.version, closed.position, false));
        assert_eq!((again.token().source, again.token().position), (closed.token().source, closed.position));
        // The translation of a closing is broken: whoever waits for it must not be told that it is there.
        assert_eq!(closed.token().topics[0].position, closed.position.get());
        assert_eq!(again.token().topics, closed.token().topics);
        assert_eq!(deposited.token().topics[0].position, deposited.position.get());
    })
    .await;
}

/// Nothing happens in a book that nobody opened.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "look-at-account", aggregate = Account, id = account_id)]
struct LookAt {
    account_id: uuid::Uuid,
}

impl Handle<LookAt> for Account {
    fn handle(&self, _: &LookAt, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        Ok(Events::none())
    }
}

#[tokio::test]
async fn nothing_to_do_on_nothing_is_accepted_too() {
    let store = memory();
    let commands = builder(&store).handles::<LookAt>().publishes::<Deposits>().build().unwrap();
    let receipt = commands.dispatch(LookAt { account_id: ACCOUNT }).await.unwrap();
    assert_eq!((receipt.version.get(), receipt.position.get()), (0, 0));
    assert_eq!(receipt.token().topics.iter().map(|mark| mark.position).collect::<Vec<_>>(), [0]);
    assert_eq!(receipt.token().to_string().parse().as_ref(), Ok(receipt.token()));
}

/// The mark is looked for as far back as it takes.
#[tokio::test]
async fn nothing_to_do_long_after_the_last_message() {
    let store = memory();
    let commands = builder(&store).handles::<LookAt>().publishes::<Deposits>().build().unwrap();
    commands.dispatch(open()).await.unwrap();
    let deposited = commands.dispatch(deposit(5)).await.unwrap();
    commands.dispatch(crate::accounts::Witness { account_id: ACCOUNT, times: 200 }).await.unwrap();
    let receipt = commands.dispatch(LookAt { account_id: ACCOUNT }).await.unwrap();
    assert_eq!((receipt.version.get(), receipt.position.get()), (202, 202));
    assert_eq!(receipt.token().topics, deposited.token().topics);
}

#[derive(Clone, Debug, Default)]
struct Impostor;

impl Aggregate for Impostor {
    const CATEGORY: &'static str = "account";
    type Id = uuid::Uuid;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn apply(&mut self, _: &AccountEvent) {}
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "impose", aggregate = Impostor, id = account_id)]
struct Impose {
    account_id: uuid::Uuid,
}

impl Handle<Impose> for Impostor {
    fn handle(&self, _: &Impose, _: &Context) -> Result<Events<AccountEvent>, AccountRejection> {
        Ok(Events::none())
    }
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let twice = builder(&memory()).handles::<crate::accounts::Deposit>().build().err();
    assert_eq!(twice, Some(BuildError::DuplicateName { what: "commands", name: "deposit".to_owned() }));
    let impostor = builder(&memory()).handles::<Impose>().build().err();
    assert_eq!(impostor, Some(BuildError::DuplicateName { what: "aggregates", name: "account".to_owned() }));
    let mut many = builder(&memory());
    for _ in 0..100 {
        many = many.publishes::<Deposits>();
    }
    assert!(matches!(many.build().err(), Some(BuildError::TokenTooLong { bytes }) if bytes > 4_096));
}
