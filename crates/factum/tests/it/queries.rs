//! The query dispatcher, from the outside.

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
    projections::{Feed, Phase, Watermarks},
    query::{AskOptions, QueryDispatcherBuilder},
    read::{
        Checkpoint, CheckpointMove, Epoch, Key, Lane, MemoryReadStore, ReadError, ReadSnapshot, ReadStore,
        ReadTransaction, Table,
    },
    runtime::ManualClock,
    store::{Fork, History, Identity},
    testing::{NoEvent, SOURCE},
    token::TopicMark,
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
}

impl ReadStore for CountedReads {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.inner.claim(projection)
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.inner.checkpoints(projection)
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.inner.write(projection, epoch, moves, work)
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.fails { Err(ReadError::Unavailable("gone fishing".into())) } else { self.inner.read(work) }
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
    CountedReads { inner: shop(), reads: AtomicUsize::new(0), fails }
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
async fn a_token_waits_until_the_projection_got_there() {
    let world = World::new(Feed::OwnStore);
    world.moved(Lane::own_store(), 4);
    assert_eq!(world.queries().ask(price("tea")).at_least(&token(SOURCE, 4)).await.unwrap().price, 3);
    let asked = world.waiting(token(SOURCE, 6)).await;
    world.moved(Lane::own_store(), 5);
    tokio::task::yield_now().await;
    assert!(!asked.is_finished() && world.reads() == 1);
    world.moved(Lane::own_store(), 7);
    assert_eq!(within(asked).await.unwrap().unwrap().price, 3);
}

#[tokio::test]
async fn a_token_does_not_wait_for_ever() {
    let world = World::new(Feed::OwnStore);
    let asked = world.waiting(token(SOURCE, 6)).await;
    world.clock.advance(WAIT - Duration::from_micros(1));
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    world.clock.advance(Duration::from_micros(1));
    let told = within(asked).await.unwrap();
    assert!(matches!(told, Err(AskError::NotYet)), "{told:?}");
    assert_eq!(world.reads(), 0);
}

#[tokio::test]
async fn a_token_of_another_history_is_told_so_at_once() {
    let elsewhere = Source { store: factum::StoreId::from_uuid(uuid::Uuid::nil()), ..SOURCE };
    let never_heard_of = history(99);
    for source in [elsewhere, never_heard_of] {
        let world = World::new(Feed::OwnStore);
        world.moved(Lane::own_store(), 99);
        let told = within(world.queries().ask(price("tea")).at_least(&token(source, 1)).into_future()).await;
        assert!(matches!(told, Err(AskError::TokenNotApplicable)), "{told:?}");
    }
    // A projection that is fed by topics knows nothing of positions in the own store.
    let world = World::new(Feed::Topics(vec!["a".to_owned()]));
    let told = within(world.queries().ask(price("tea")).at_least(&token(SOURCE, 0)).into_future()).await;
    assert!(matches!(told, Err(AskError::TokenNotApplicable)), "{told:?}");
}

/// A position means the same in every history of the store up to where they parted.
#[tokio::test]
async fn a_token_from_before_a_restore_is_good_for_what_was_kept() {
    let world = World::new(Feed::OwnStore);
    world.moved(Lane::own_store(), 99);
    for (source, position) in [(history(1), 10), (history(2), 10), (SOURCE, 99)] {
        let asked = world.queries().ask(price("tea")).at_least(&token(source, position)).await;
        assert_eq!(asked.unwrap().price, 3, "{source:?} {position}");
    }
    for (source, position) in [(history(1), 11), (history(2), 11), (history(1), 21)] {
        let told = within(world.queries().ask(price("tea")).at_least(&token(source, position)).into_future()).await;
        let Err(AskError::TokenLost { fork }) = told else { panic!("{source:?} {position}: {told:?}") };
        assert_eq!(fork, Position::new(10));
    }
    // What was kept is still waited for.
    let world = World::new(Feed::OwnStore);
    let asked = world.waiting(token(history(1), 7)).await;
    world.moved(Lane::own_store(), 7);
    within(asked).await.unwrap().unwrap();
}

/// Behind the bus: whatever the history in which a message came, it is the same message.
#[tokio::test]
async fn a_token_finds_its_message_on_the_lane_of_any_history_it_is_part_of() {
    let of = |source, forks: &[Fork], position| Token {
        lineage: forks.to_vec(),
        topics: vec![mark("a", 3, position)],
        ..token(source, position)
    };
    let forks = [fork(1, 20), fork(2, 10)];
    let lane = |source| Lane::topic(&source, "a", 3);
    let newest = History { incarnation: SOURCE.incarnation, lineage: forks.to_vec() };
    // (token, what a consumer applied last, in which history, whether it knows of the restores)
    for (token, seen, at, knows) in [
        // A repeat of a command from before the restores, to a consumer that heard nothing since.
        (of(SOURCE, &forks, 8), history(1), 8, false),
        (of(SOURCE, &forks, 8), history(2), 9, false),
        // A token kept since before a restore, and a consumer that was filled anew after it.
        (of(history(1), &[], 8), SOURCE, 12, true),
        (of(history(2), &forks[..1], 8), SOURCE, 12, true),
        (of(history(1), &[], 8), history(2), 9, true),
    ] {
        let world = World::new(Feed::Topics(vec!["a".to_owned()]));
        if knows {
            world.watermarks.learned(KEY, SOURCE.store, newest.clone());
        }
        let asked = world.waiting(token.clone()).await;
        world.moved(lane(seen), 7);
        tokio::task::yield_now().await;
        assert!(!asked.is_finished(), "{token:?}: {seen:?} is behind");
        world.moved(lane(seen), at);
        within(asked).await.unwrap().unwrap();
    }
    // The position of another event, in a history that shares nothing up to there.
    let world = World::new(Feed::Topics(vec!["a".to_owned()]));
    world.moved(lane(history(1)), 15);
    let asked = world.waiting(of(SOURCE, &forks, 15)).await;
    world.moved(lane(SOURCE), 15);
    within(asked).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_token_for_what_a_restore_lost_is_refused_as_soon_as_that_is_known() {
    let world = World::new(Feed::Topics(vec!["a".to_owned()]));
    let lost = Token { topics: vec![mark("a", 3, 15)], ..token(history(1), 15) };
    let asked = world.waiting(lost).await;
    let newest = History { incarnation: SOURCE.incarnation, lineage: vec![fork(1, 20), fork(2, 10)] };
    world.watermarks.learned(KEY, SOURCE.store, newest.clone());
    let told = within(asked).await.unwrap();
    assert!(matches!(told, Err(AskError::TokenLost { fork }) if fork == Position::new(10)), "{told:?}");
    // Hearing from an ancestor again changes nothing.
    world.watermarks.learned(KEY, SOURCE.store, newest.line().nth(1).unwrap());
    let lost = Token { topics: vec![mark("a", 3, 15)], ..token(history(2), 15) };
    let told = within(world.queries().ask(price("tea")).at_least(&lost).into_future()).await;
    assert!(matches!(told, Err(AskError::TokenLost { .. })), "{told:?}");
}

fn mark(topic: &str, partition: u32, position: u64) -> TopicMark {
    TopicMark { topic: topic.to_owned(), partition, position }
}

#[tokio::test]
async fn a_token_waits_for_the_partition_of_its_own_stream() {
    let world = World::new(Feed::Topics(vec!["a".to_owned(), "b".to_owned()]));
    let of = |topics: Vec<TopicMark>| Token { topics, ..token(SOURCE, 50) };
    let asked = world.waiting(of(vec![mark("a", 3, 40), mark("b", 1, 41), mark("elsewhere", 0, 99)])).await;
    // Other partitions, other sources and the own store do not count.
    let stranger = Source { incarnation: Incarnation::from_uuid(uuid::Uuid::nil()), ..SOURCE };
    let unrelated = [Lane::topic(&SOURCE, "a", 4), Lane::topic(&stranger, "a", 3), Lane::own_store()];
    for lane in unrelated {
        world.moved(lane, 99);
    }
    world.moved(Lane::topic(&SOURCE, "a", 3), 40);
    tokio::task::yield_now().await;
    assert!(!asked.is_finished(), "one of two");
    world.moved(Lane::topic(&SOURCE, "b", 1), 41);
    within(asked).await.unwrap().unwrap();
    // Nothing was published there: nothing to wait for.
    within(world.queries().ask(price("tea")).at_least(&of(vec![mark("b", 7, 0)])).into_future()).await.unwrap();
    let told = within(world.queries().ask(price("tea")).at_least(&of(vec![mark("c", 0, 0)])).into_future()).await;
    assert!(matches!(told, Err(AskError::TokenNotApplicable)), "{told:?}");
}

#[tokio::test]
async fn half_a_read_model_answers_nothing() {
    let world = World::new(Feed::OwnStore);
    let refilling = Phase::Refilling { done: 3, total: 9 };
    world.watermarks.set_phase(KEY, refilling);
    let told = within(world.queries().ask(price("tea")).into_future()).await;
    assert!(matches!(told, Err(AskError::Rebuilding { done: 3, total: 9 })), "{told:?}");
    // Who brings a token would rather wait, for both, and no longer than for one.
    let asked = world.waiting(token(SOURCE, 2)).await;
    world.clock.advance(WAIT);
    let told = within(asked).await.unwrap();
    assert!(matches!(told, Err(AskError::Rebuilding { done: 3, total: 9 })), "{told:?}");
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
    let world = World::new(Feed::OwnStore);
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
    let world = World { reads: Arc::new(counted(true)), ..World::new(Feed::OwnStore) };
    let away = world.queries().ask(price("tea")).await;
    let Err(AskError::Unavailable(error)) = away else { panic!("{away:?}") };
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("gone fishing"));
}
