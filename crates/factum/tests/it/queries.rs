//! The query dispatcher, from the outside.

mod live;
mod tokens;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use factum::{
    Answers, AskError, Delivery, InvalidField, Position, Projection, ProjectionKey, Query, QueryDispatcher, QueryError,
    Runtime, Source, Token,
    dispatch::BuildError,
    input::InvalidInputKind,
    model::Incarnation,
    principal::{Access, Denied},
    projections::{Feed, Phase, Progress, Watermarks},
    query::{AskOptions, QueryDispatcherBuilder},
    read::{Checkpoint, Key, Lane, MemoryReadStore, ReadError, ReadSnapshot, ReadStore, ReadTransaction, Table},
    runtime::ManualClock,
    store::{Fork, Identity},
    testing::{NoEvent, SOURCE},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::task::JoinHandle;

use crate::world::{eventually, within};

#[derive(Default)]
struct Prices;

const PRICES: Table<u64> = Table::of::<Prices>("prices");
const KEY: ProjectionKey = ProjectionKey::of::<Prices>();

impl Projection for Prices {
    const NAME: &'static str = "prices";
    const VERSION: u32 = 1;
    type Event = NoEvent;

    fn project(&self, event: &NoEvent, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        match *event {}
    }
}

/// What something costs; some things break.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "price", reads(Prices))]
struct Price {
    #[serde(deserialize_with = "read_thing")]
    thing: String,
    #[serde(default)]
    times: Option<u64>,
}

fn read_thing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let thing = String::deserialize(deserializer)?;
    assert_ne!(thing, "unreadable", "panic in read");
    Ok(thing)
}

#[derive(Debug, PartialEq, JsonSchema)]
struct Answer {
    price: u64,
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.price, 13, "panic in write");
        self.price.serialize(serializer)
    }
}

impl Answers for Price {
    type Answer = Answer;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Answer, QueryError> {
        assert_ne!(self.thing, "hurtful", "panic in answer");
        if self.times == Some(0) {
            return Err(InvalidField::new("times", "ask for one at least").into());
        }
        let message = format!("nobody sells {}", self.thing);
        let price = PRICES.get(read, &Key::from(self.thing.as_str()))?;
        let price = price.ok_or(QueryError::NotFound { code: "thing-not-found", message })?;
        Ok(Answer { price: price * self.times.unwrap_or(1) })
    }
}

fn price(thing: &str) -> Price {
    Price { thing: thing.to_owned(), times: None }
}

/// A read store in which tea costs 3, bad luck costs 13, and what mud costs cannot be read.
fn shop() -> MemoryReadStore {
    let store = MemoryReadStore::new();
    let epoch = store.claim(KEY).unwrap();
    store
        .write(KEY, epoch, &[], &mut |tx| {
            PRICES.put(tx, &"tea".into(), &3)?;
            PRICES.put(tx, &"luck".into(), &13)?;
            tx.put(PRICES.name(), &"mud".into(), b"{".to_vec())
        })
        .unwrap();
    store
}

/// What counts how often it is read, and fails when told to.
struct CountedReads {
    inner: MemoryReadStore,
    reads: AtomicUsize,
    fails: bool,
    /// Whether it can also be read where somebody must not wait.
    at_once: bool,
    read_at_once: AtomicUsize,
    /// On whose clock each read takes a second.
    slow: Option<ManualClock>,
}

impl ReadStore for CountedReads {
    read_store_passes_on!([inner] claim checkpoints write);

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if let Some(clock) = &self.slow {
            clock.advance(Duration::from_secs(1));
        }
        if self.fails { Err(ReadError::Unavailable("gone fishing".into())) } else { self.inner.read(work) }
    }

    fn try_read(
        &self,
        work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>,
    ) -> Result<bool, ReadError> {
        if !self.at_once {
            return Ok(false);
        }
        self.read_at_once.fetch_add(1, Ordering::SeqCst);
        self.read(work).map(|()| true)
    }
}

/// A dispatcher whose projection of prices is fed by the own store, or by these topics.
struct World {
    watermarks: Arc<Watermarks>,
    reads: Arc<CountedReads>,
    runtime: Runtime,
    clock: ManualClock,
}

const WAIT: Duration = Duration::from_secs(5);

impl World {
    fn new(feed: Feed) -> Self {
        let watermarks: Arc<Watermarks> = Arc::default();
        watermarks.track(KEY, feed, Vec::new());
        let (runtime, clock) = Runtime::manual(1);
        Self { watermarks, reads: Arc::new(counted(false)), runtime, clock }
    }

    fn builder(&self) -> QueryDispatcherBuilder {
        QueryDispatcher::builder(self.reads.clone(), self.watermarks.clone())
            .own_store(&own_store())
            .runtime(self.runtime.clone())
            .token_wait(WAIT)
            .answers::<Price>()
    }

    fn queries(&self) -> QueryDispatcher {
        self.builder().build().unwrap()
    }

    fn moved(&self, lane: Lane, position: u64) {
        let position = Position::new(position);
        let checkpoint = Checkpoint { position, incarnation: SOURCE.incarnation, event_id: None };
        self.watermarks.moved(KEY, [(lane, checkpoint)]);
    }

    /// Asks with a token, and waits until the query waits.
    async fn waiting(&self, token: Token) -> JoinHandle<Result<Answer, AskError>> {
        let queries = self.queries();
        let asked = tokio::spawn(async move { queries.ask(price("tea")).at_least(&token).await });
        eventually(|| self.clock.next_wake(), || "it does not wait".to_owned()).await;
        assert!(!asked.is_finished());
        asked
    }

    fn reads(&self) -> usize {
        self.reads.reads.load(Ordering::SeqCst)
    }
}

fn counted(fails: bool) -> CountedReads {
    let (reads, read_at_once) = (AtomicUsize::new(0), AtomicUsize::new(0));
    CountedReads { inner: shop(), reads, fails, at_once: false, read_at_once, slow: None }
}

/// Worlds in which quick queries are answered on a thread of their own, and where they are asked.
fn both_worlds(fails: bool) -> [World; 2] {
    [false, true].map(|at_once| World {
        reads: Arc::new(CountedReads { at_once, ..counted(fails) }),
        ..World::new(Feed::OwnStore)
    })
}

fn token(source: Source, position: u64) -> Token {
    Token { source, lineage: Vec::new(), position: Position::new(position), topics: Vec::new() }
}

/// The own store: restored at 10, and before that at 20.
fn own_store() -> Identity {
    let Source { store, incarnation } = SOURCE;
    Identity { store, incarnation, forks: vec![fork(1, 20), fork(2, 10)], key: [0; 32] }
}

fn fork(parent: u128, position: u64) -> Fork {
    Fork { parent: history(parent).incarnation, position: Position::new(position) }
}

/// The own store in another history.
fn history(incarnation: u128) -> Source {
    Source { incarnation: Incarnation::from_uuid(uuid::Uuid::from_u128(incarnation)), ..SOURCE }
}

#[tokio::test]
async fn both_doors_give_the_same_answer() {
    let world = World::new(Feed::OwnStore);
    let queries = world.queries();
    assert_eq!(queries.ask(Price { times: Some(2), ..price("tea") }).await.unwrap(), Answer { price: 6 });
    assert_eq!(queries.ask_named("price", "times=2&thing=tea", AskOptions::default()).await.unwrap(), b"6");
    let names: Vec<_> = queries.queries().iter().map(|info| (info.name, info.reads)).collect();
    assert_eq!(names, [("price", &[KEY][..])]);
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_refused_without_a_read() {
    let world = World::new(Feed::OwnStore);
    let queries = world.queries();
    let token = AskOptions { at_least: Some(token(SOURCE, 99)), ..AskOptions::default() };
    for (query_string, kind, field) in [
        ("", InvalidInputKind::Invalid, None),
        ("thing=tea&thing=tea", InvalidInputKind::Invalid, None),
        ("thing=tea&times=x", InvalidInputKind::Invalid, Some("times")),
        ("thing=tea&times=-1", InvalidInputKind::Invalid, Some("times")),
        ("thing=tea&colour=green", InvalidInputKind::UnknownField, Some("colour")),
    ] {
        // Told at once: no token makes it right.
        let refused = within(queries.ask_named("price", query_string, token.clone())).await;
        let Err(AskError::Invalid(invalid)) = refused else { panic!("{query_string}: {refused:?}") };
        assert_eq!(invalid.kind, kind, "{query_string}");
        assert!(field.is_none() || invalid.field.as_deref() == field, "{query_string}: {invalid:?}");
    }
    assert_eq!(world.reads(), 0);
    let refused = queries.ask(Price { times: Some(0), ..price("tea") }).await;
    assert!(matches!(&refused, Err(AskError::Invalid(invalid)) if invalid.field.as_deref() == Some("times")));
}

#[tokio::test]
async fn what_is_not_there_has_a_code() {
    let queries = World::new(Feed::OwnStore).queries();
    let missing = queries.ask(price("gold")).await;
    let Err(AskError::NotFound { code, message }) = missing else { panic!("{missing:?}") };
    assert_eq!((code, message.as_str()), ("thing-not-found", "nobody sells gold"));
    let unknown = queries.ask_named("prize", "", AskOptions::default()).await;
    assert!(matches!(unknown, Err(AskError::UnknownQuery(name)) if name == "prize"));
    let world = World::new(Feed::OwnStore);
    let empty = QueryDispatcher::builder(world.reads.clone(), world.watermarks.clone()).build().unwrap();
    let unknown = empty.ask(price("tea")).await;
    assert!(matches!(unknown, Err(AskError::UnknownQuery(name)) if name == "price"));
    let twice = world.builder().answers::<Price>().build().err();
    assert_eq!(twice, Some(BuildError::DuplicateName { what: "queries", name: "price".to_owned() }));
}

#[tokio::test]
async fn who_may_not_ask_is_told_before_anything_else() {
    let world = World::new(Feed::OwnStore);
    let policy = |access: Access<'_>| {
        assert_eq!((access.name, access.stream), ("price", None));
        if access.principal.actor.as_str() == "ada" { Ok(()) } else { Err(Denied) }
    };
    let queries = world.builder().authorize(policy).build().unwrap();
    let denied = within(queries.ask(price("tea")).at_least(&token(SOURCE, 99)).into_future()).await;
    assert!(matches!(denied, Err(AskError::Denied)), "{denied:?}");
    // Not even that the parameters are wrong.
    let denied = queries.ask_named("price", "colour=green", AskOptions::default()).await;
    assert!(matches!(denied, Err(AskError::Denied)), "{denied:?}");
    assert_eq!(world.reads(), 0);
    queries.ask(price("tea")).principal(crate::accounts::principal("ada")).await.unwrap();
}

#[tokio::test]
async fn half_a_read_model_answers_nothing() {
    let world = World::new(Feed::OwnStore);
    let refilling = Phase::Refilling { done: 3, total: 9 };
    world.watermarks.set_phase(KEY, refilling);
    let told = within(world.queries().ask(price("tea")).into_future()).await;
    assert!(matches!(told, Err(AskError::Rebuilding(Progress { done: 3, total: 9, .. }))), "{told:?}");
    // Who brings a token would rather wait, for both, and no longer than for one.
    let asked = world.waiting(token(SOURCE, 2)).await;
    world.clock.advance(WAIT);
    let told = within(asked).await.unwrap();
    assert!(matches!(told, Err(AskError::Rebuilding(Progress { done: 3, total: 9, .. }))), "{told:?}");
    let asked = world.waiting(token(SOURCE, 2)).await;
    world.moved(Lane::own_store(), 2);
    tokio::task::yield_now().await;
    assert!(!asked.is_finished(), "the position is reached, but the read model is not whole");
    world.watermarks.set_phase(KEY, Phase::Live);
    within(asked).await.unwrap().unwrap();
    world.watermarks.set_phase(KEY, refilling);
    let asked = world.waiting(token(SOURCE, 1)).await;
    world.watermarks.set_phase(KEY, Phase::Live);
    within(asked).await.unwrap().unwrap();
    let asked = world.waiting(token(SOURCE, 3)).await;
    world.clock.advance(WAIT);
    let told = within(asked).await.unwrap();
    assert!(matches!(told, Err(AskError::NotYet)), "{told:?}");
    // Another store's token is not worth a wait.
    world.watermarks.set_phase(KEY, refilling);
    let elsewhere = Source { incarnation: Incarnation::from_uuid(uuid::Uuid::nil()), ..SOURCE };
    let told = within(world.queries().ask(price("tea")).at_least(&token(elsewhere, 1)).into_future()).await;
    assert!(matches!(told, Err(AskError::TokenNotApplicable)), "{told:?}");
}

#[tokio::test]
async fn a_panic_is_told_and_the_next_one_is_answered() {
    for world in both_worlds(false) {
        panics_are_told(&world).await;
        assert_eq!(world.reads.reads.load(Ordering::SeqCst), 4, "each question that gets so far reads once");
    }
}

async fn panics_are_told(world: &World) {
    let policy = |access: Access<'_>| {
        assert_ne!(access.principal.actor.as_str(), "eve", "panic in policy");
        Ok(())
    };
    let queries = world.builder().authorize(policy).build().unwrap();
    for (query_string, words) in
        [("thing=hurtful", "panic in answer"), ("thing=unreadable", "panic in read"), ("thing=luck", "panic in write")]
    {
        let told = queries.ask_named("price", query_string, AskOptions::default()).await;
        assert!(matches!(&told, Err(AskError::Panicked(text)) if text.contains(words)), "{told:?}");
    }
    let told = queries.ask(price("hurtful")).await;
    assert!(matches!(&told, Err(AskError::Panicked(text)) if text.contains("panic in answer")), "{told:?}");
    let told = queries.ask(price("tea")).principal(crate::accounts::principal("eve")).await;
    assert!(matches!(&told, Err(AskError::Panicked(text)) if text.contains("panic in policy")), "{told:?}");
    assert_eq!(queries.ask(price("tea")).await.unwrap().price, 3);
}

#[tokio::test]
async fn a_read_store_that_fails_is_told_by_what_helps() {
    let damaged = World::new(Feed::OwnStore).queries().ask(price("mud")).await;
    assert!(matches!(damaged, Err(AskError::Corrupt(ReadError::Damaged { .. }))), "{damaged:?}");
    for world in both_worlds(true) {
        let away = world.queries().ask(price("tea")).await;
        let Err(AskError::Unavailable(error)) = away else { panic!("{away:?}") };
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("gone fishing"));
    }
}

/// A query that ran out of time said so with an error, and errors were not timed: it was asked where everybody waits for
/// it again and again.
#[tokio::test]
async fn what_fails_slowly_is_asked_elsewhere_from_then_on() {
    for (fails, thing) in [(true, "tea"), (false, "mud")] {
        let world = World::new(Feed::OwnStore);
        let slow = Some(world.clock.clone());
        let world = World { reads: Arc::new(CountedReads { at_once: true, slow, ..counted(fails) }), ..world };
        let queries = world.queries();
        for _ in 0..3 {
            assert!(queries.ask(price(thing)).await.is_err(), "{thing}");
        }
        assert_eq!((world.reads(), world.reads.read_at_once.load(Ordering::SeqCst)), (3, 1), "{thing}");
    }
}
