//! Messages that fail for good: their key is parked, the others flow on; and what operators do about it.

mod all;
mod decided;
mod meanwhile;

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use factum::{
    AskError, Delivery, ProjectionKey, QueryDispatcher, RawEvent, Runtime, Token,
    projections::{self, AnyProjection, ApplyError, DynProjection, ProjectionEnd, ProjectionRunner},
    quarantine::{Handled, Listed, PARKED_KEYS_MAX, PARKED_MESSAGES_MAX, Quarantine, QuarantineError},
    read::{KeyRange, MemoryReadStore, ReadError, ReadSnapshot, ReadTransaction},
    store::{EventStore, MemoryStore},
    token::TopicMark,
};

use crate::{
    operator::{because, operator},
    world::{
        CounterEvent, POISON, Raised, Running, TOPIC, Total, Totals, World, append, eventually, partition_of, raise,
        raise_some, running, totals, world,
    },
};

/// The projection, which can take everything once it is cured.
struct Curable {
    totals: DynProjection,
    cured: Arc<AtomicBool>,
    /// Panics instead of saying no.
    panics: bool,
    /// Applying what was poison ends when this is free.
    applying: Arc<Mutex<()>>,
    /// How often that was begun.
    begun: Arc<AtomicUsize>,
}

impl AnyProjection for Curable {
    fn key(&self) -> ProjectionKey {
        self.totals.key()
    }

    fn apply(&self, raw: RawEvent<'_>, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ApplyError> {
        let poison = format!("{{\"by\":{POISON}}}");
        if raw.data != poison.as_bytes() {
            return self.totals.apply(raw, delivery, tx);
        }
        if self.cured.load(Ordering::SeqCst) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            drop(self.applying.lock().unwrap());
            return self.totals.apply(RawEvent { data: br#"{"by":1}"#, ..raw }, delivery, tx);
        }
        // What it wrote before it failed must be gone.
        self.totals.apply(RawEvent { data: br#"{"by":1000000}"#, ..raw }, delivery, tx)?;
        if self.panics { Err(ApplyError::Panicked("boo".to_owned())) } else { self.totals.apply(raw, delivery, tx) }
    }

    fn parks_by<'a>(&self, delivery: &'a Delivery) -> Cow<'a, str> {
        self.totals.parks_by(delivery)
    }
}

/// Which loop feeds it: the rules are the same.
#[derive(Clone, Copy, Debug)]
enum Fed {
    ByTopic,
    ByOwnStore,
}

const EVERY: [Fed; 2] = [Fed::ByTopic, Fed::ByOwnStore];

/// A loop that parks, and an operator beside it.
struct Ward {
    world: World,
    quarantine: Arc<Quarantine>,
    /// Where decisions are recorded.
    decisions: Arc<dyn EventStore>,
    cured: Arc<AtomicBool>,
    applying: Arc<Mutex<()>>,
    begun: Arc<AtomicUsize>,
    fed: Fed,
    _relay: Running<factum::relay::RelayEnd>,
    running: Option<Feeding>,
}

enum Feeding {
    ByTopic(Running<factum::consumer::ConsumerEnd>),
    ByOwnStore(Running<ProjectionEnd>),
}

impl Ward {
    fn open(fed: Fed) -> Self {
        // Of its own: the events of the world are only what happens to counters.
        Self::deciding(fed, Arc::new(MemoryStore::seeded(9)))
    }

    /// One whose decisions are recorded here.
    fn deciding(fed: Fed, decisions: Arc<dyn EventStore>) -> Self {
        let (world, _bus) = world();
        let quarantine = Arc::new(Quarantine::new(Some(decisions.clone()), Runtime::tokio()));
        let relay = world.relay();
        let (cured, applying, begun) = Default::default();
        let mut ward = Self { world, quarantine, decisions, cured, applying, begun, fed, _relay: relay, running: None };
        ward.start();
        ward
    }

    fn start(&mut self) {
        let totals = match self.fed {
            Fed::ByTopic => projections::erase::<Totals>(),
            Fed::ByOwnStore => projections::erase::<OwnTotals>(),
        };
        let (cured, applying, begun) = (self.cured.clone(), self.applying.clone(), self.begun.clone());
        let curable = Box::new(Curable { totals, cured, panics: false, applying, begun });
        let quarantine = &self.quarantine;
        self.running = Some(match self.fed {
            Fed::ByTopic => Feeding::ByTopic(self.world.consumer_at(curable, quarantine)),
            Fed::ByOwnStore => {
                let World { store, read_store, watermarks, runtime, .. } = self.world.clone();
                let runner =
                    ProjectionRunner::new(curable, store, read_store, watermarks, runtime).quarantine(quarantine);
                Feeding::ByOwnStore(running(runner.status().clone(), |stop| async move { runner.run(stop).await }))
            }
        });
    }

    async fn stop(&mut self) {
        match self.running.take() {
            Some(Feeding::ByTopic(running)) => running.stop().await.unwrap(),
            Some(Feeding::ByOwnStore(running)) => running.stop().await.unwrap(),
            None => {}
        }
    }

    /// The read database is lost, what is parked with it; another process knows nothing but what is recorded.
    async fn begin_anew(&mut self) {
        self.stop().await;
        self.world.read_store = Arc::new(MemoryReadStore::default());
        self.world.watermarks = Arc::default();
        self.quarantine = Arc::new(Quarantine::new(Some(self.decisions.clone()), Runtime::tokio()));
        self.start();
    }

    fn report(&self) -> factum::runtime::StatusReport {
        match &self.running {
            Some(Feeding::ByTopic(running)) => running.status.report(),
            Some(Feeding::ByOwnStore(running)) => running.status.report(),
            None => panic!("it does not run"),
        }
    }

    async fn raise(&self, counter: u64, by: u64) -> u64 {
        raise(self.world.store.as_ref(), counter, by).await.get()
    }

    /// Waits until so many keys and messages are parked.
    async fn parks(&self, keys: u64, messages: u64) {
        let parked = || (self.report().parked_keys, self.report().parked_messages);
        eventually(|| (parked() == (keys, messages)).then_some(()), || format!("{:?}", self.report())).await;
        assert_eq!(self.report().alarms.contains_key("quarantine"), keys > 0, "{:?}", self.report());
    }

    async fn listed(&self) -> Vec<Listed> {
        self.quarantine.list(100).await.unwrap()
    }

    async fn retry(&self, key: &str) -> Result<Handled, QuarantineError> {
        self.quarantine.retry("totals", key, operator()).await
    }

    /// Discards the first message of a key.
    async fn discard(&self, key: &str) -> Result<Handled, QuarantineError> {
        let first = self.quarantine.show("totals", key, None, 1).await?.remove(0).1.messages.remove(0).event_id;
        self.quarantine.discard("totals", key, first, because("sent by a robot"), operator()).await
    }
}

fn handled(done: u64, left: u64, failed: Option<&str>) -> Handled {
    Handled { done, left, failed: failed.map(str::to_owned) }
}

/// The same totals, of the own events.
#[derive(Default)]
struct OwnTotals;

impl factum::Projection for OwnTotals {
    const NAME: &'static str = <Totals as factum::Projection>::NAME;
    const VERSION: u32 = <Totals as factum::Projection>::VERSION;
    type Event = CounterEvent;

    fn project(&self, event: &CounterEvent, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        match event {
            CounterEvent::Raised(Raised { by }) => {
                let message = crate::world::CounterMessage::Raised(Raised { by: *by });
                Totals.project(&message, from, tx)
            }
            CounterEvent::Polished(_) => Ok(()),
        }
    }
}

#[tokio::test]
async fn poison_message_parks_its_key_and_the_others_flow_on() {
    for fed in EVERY {
        let ward = Ward::open(fed);
        let store = ward.world.store.as_ref();
        let mut expected = [0; 10];
        raise_some(store, &mut expected).await;
        ward.world.shows(&expected).await;
        // All of them go on but the one, also those on its partition.
        let shares = |sick: &u64| (0..10).any(|other| other != *sick && partition_of(other) == partition_of(*sick));
        let sick = (0..10).find(shares).unwrap();
        let key = &*format!("counter-{sick}");
        let poison = ward.raise(sick, POISON).await;
        for counter in 0..10 {
            ward.raise(counter, 1).await;
            expected[counter as usize] += u64::from(counter != sick);
        }
        ward.parks(1, 2).await;
        ward.world.shows(&expected).await;
        let [Listed { handler, version, about, .. }] = &ward.listed().await[..] else { panic!("one key") };
        assert_eq!((handler.as_str(), *version, about.key.as_str()), ("totals", Some(1), key));
        assert_eq!((about.position, about.messages, about.attempts), (poison, 2, 1));
        assert!(about.reason.contains("more than a counter can bear"), "{about:?}");
        assert_eq!(about.topic.as_deref(), matches!(fed, Fed::ByTopic).then_some(TOPIC));
        let report = ward.report();
        assert_eq!(report.position, report.target, "what is parked is not behind");

        // Tried again too early, it stays; the rest behind it is not touched.
        let again = ward.retry(key).await.unwrap();
        assert_eq!((again.done, again.left), (0, 2), "{again:?}");
        assert!(again.failed.unwrap().contains("more than a counter can bear"));
        assert_eq!(ward.listed().await[0].about.attempts, 2);

        // Cured, it is caught up with in order, and flows on.
        ward.cured.store(true, Ordering::SeqCst);
        assert_eq!(ward.retry(key).await.unwrap(), handled(2, 0, None));
        ward.parks(0, 0).await;
        ward.raise(sick, 5).await;
        expected[sick as usize] += 1 + 1 + 5;
        ward.world.shows(&expected).await;
        ward.world.folded_once_and_in_order();
    }
}

#[tokio::test]
async fn with_no_room_left_for_a_key_the_partition_stands_still_until_there_is() {
    let ward = Ward::open(Fed::ByTopic);
    ward.raise(1, POISON).await;
    for _ in 1..PARKED_MESSAGES_MAX {
        ward.raise(1, 1).await;
    }
    ward.parks(1, PARKED_MESSAGES_MAX as u64).await;
    ward.raise(1, 1).await;
    let stands = || ward.report().alarms.get(&partition_of(1).to_string()).cloned();
    let alarm = eventually(stands, || format!("{:?}", ward.report())).await;
    assert!(alarm.contains("1000 messages of key counter-1 are parked already"), "{alarm}");
    ward.cured.store(true, Ordering::SeqCst);
    assert_eq!(ward.retry("counter-1").await.unwrap(), handled(PARKED_MESSAGES_MAX as u64, 0, None));
    ward.world.shows(&[PARKED_MESSAGES_MAX as u64 + 1]).await;
    ward.parks(0, 0).await;
    eventually(|| stands().is_none().then_some(()), || format!("{:?}", ward.report())).await;
}

#[tokio::test]
async fn with_no_room_left_for_keys_the_own_store_waits_until_there_is() {
    let ward = Ward::open(Fed::ByOwnStore);
    for counter in 0..=PARKED_KEYS_MAX as u64 {
        ward.raise(counter, POISON).await;
    }
    ward.raise(5_000, 1).await;
    ward.parks(PARKED_KEYS_MAX as u64, PARKED_KEYS_MAX as u64).await;
    let stuck = || ward.report().last_error.filter(|error| error.contains("100 keys are parked already"));
    eventually(stuck, || format!("{:?}", ward.report())).await;
    assert_eq!(totals(ward.world.read_store.as_ref()), []);
    // Room for one, and it goes on.
    ward.discard("counter-3").await.unwrap();
    ward.world.shows(&[1]).await;
}

#[tokio::test]
async fn a_projection_that_panics_parks_too_and_trouble_of_the_store_does_not() {
    let (world, _bus) = world();
    let _relay = world.relay();
    let totals_of = projections::erase::<Totals>();
    let (cured, applying, begun) = Default::default();
    let panics = Curable { totals: totals_of, cured, panics: true, applying, begun };
    let consumer = world.consumer_of(Box::new(panics));
    append(world.store.as_ref(), 1, CounterEvent::Raised(Raised { by: POISON })).await;
    raise(world.store.as_ref(), 2, 2).await;
    let parked = || consumer.status.report().parked_keys == 1;
    eventually(|| parked().then_some(()), || format!("{:?}", consumer.status.report())).await;
    world.shows(&[2]).await;
    let shown: Vec<Total> = totals(world.read_store.as_ref());
    assert_eq!(shown.len(), 1, "{shown:?}");
}

/// How many counters there are.
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, factum::Query)]
#[factum(name = "count-totals", reads(Totals))]
struct CountTotals {}

impl factum::Answers for CountTotals {
    type Answer = usize;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<usize, factum::QueryError> {
        Ok(crate::world::TOTALS.page(read, &KeyRange::all(), 100)?.documents.len())
    }
}

#[tokio::test]
async fn a_token_for_what_is_parked_is_told_so_and_everybody_else_is_answered() {
    for fed in EVERY {
        let ward = Ward::open(fed);
        let World { store, read_store, watermarks, .. } = &ward.world;
        for by in [1, POISON, 10] {
            ward.raise(1, by).await;
        }
        ward.raise(2, 5).await;
        ward.parks(1, 2).await;
        let queries = QueryDispatcher::builder(read_store.clone(), watermarks.clone())
            .own_store(store.identity())
            .answers::<CountTotals>()
            .build()
            .unwrap();
        let token = |counter: u64, position: u64| {
            let mark = TopicMark { topic: TOPIC.to_owned(), partition: partition_of(counter).partition, position };
            Token::of(store.identity(), factum::Position::new(position), vec![mark])
        };
        let ask = |counter, position| queries.ask(CountTotals {}).at_least(&token(counter, position)).into_future();
        // What came before the poison is to be seen, and so is what is not of its key.
        for seen in [ask(1, 1), ask(2, 4)] {
            assert_eq!(seen.await.unwrap(), 2, "{fed:?}");
        }
        for parked in [ask(1, 2), ask(1, 3)] {
            let told = parked.await;
            assert!(matches!(told, Err(AskError::Quarantined)), "{fed:?}: {told:?}");
        }
        assert_eq!(queries.ask(CountTotals {}).await.unwrap(), 2, "without a token as before");
        ward.discard("counter-1").await.unwrap();
        assert!(matches!(ask(1, 3).await, Err(AskError::Quarantined)), "it waits to be tried again");
        ward.retry("counter-1").await.unwrap();
        assert_eq!(ask(1, 3).await.unwrap(), 2);
    }
}
