//! Reactors: each effect at least once and under one id, in order per stream, and never for anything that was not new.

mod quarantine;
mod restores;
mod topics;
mod troubles;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use factum::{
    Delivery, EventId, Position, Service,
    model::EffectId,
    reactor::{EffectError, Outside, Reactions, Reactor, ReactorEnd, ReactorRunner, Since},
    read::{MemoryReadStore, ReadStore},
    rebuild::Operation,
    runtime::{LoopState, Runtime},
    service::settle,
    store::{Direction, EventStore, Selection},
};

use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    world::{CounterEvent, Raised, Running, World, eventually, raise, raise_some, running, within, world},
};

const COUNTERS: usize = 3;
const ROUNDS: usize = 3;

/// What somebody outside was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) id: EffectId,
    pub(super) event: EventId,
    pub(super) stream: String,
    pub(super) position: u64,
    pub(super) what: String,
}

type Answer = Box<dyn FnMut(&Told) -> Result<(), EffectError> + Send>;

/// Somebody outside, who remembers everything and answers as told.
#[derive(Clone)]
pub(super) struct Receiver(Arc<Mutex<(Vec<Told>, Answer)>>);

impl Receiver {
    pub(super) fn new() -> Self {
        Self::answering(|_| Ok(()))
    }

    pub(super) fn answering(answer: impl FnMut(&Told) -> Result<(), EffectError> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), Box::new(answer)))))
    }

    pub(super) fn answer(&self, answer: impl FnMut(&Told) -> Result<(), EffectError> + Send + 'static) {
        self.0.lock().unwrap().1 = Box::new(answer);
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().0.clone()
    }

    /// What was told about each stream: each position once, in the order in which it was first told.
    pub(super) fn firsts(&self) -> BTreeMap<String, Vec<u64>> {
        let mut firsts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for told in self.told() {
            let positions = firsts.entry(told.stream).or_default();
            if !positions.contains(&told.position) {
                positions.push(told.position);
            }
        }
        firsts
    }

    /// How many different effects were had.
    pub(super) fn distinct(&self) -> usize {
        self.told().iter().map(|told| told.id).collect::<BTreeSet<_>>().len()
    }

    fn take(&self, told: Told) -> Result<(), EffectError> {
        let (all, answer) = &mut *self.0.lock().unwrap();
        all.push(told.clone());
        answer(&told)
    }

    pub(super) fn tell(&self, what: &str, outside: &Outside) -> Result<(), EffectError> {
        let delivery = outside.delivery();
        self.take(Told {
            id: outside.id(),
            event: delivery.event_id,
            stream: delivery.stream.to_string(),
            position: delivery.position.get(),
            what: what.to_owned(),
        })
    }
}

/// Tells of every raise from the beginning on.
pub(super) struct Telling(pub(super) Receiver);

impl Reactor for Telling {
    const NAME: &'static str = "telling";
    const SINCE: Since = Since::Beginning;
    type Event = CounterEvent;
    type Effect = String;

    fn react(&self, event: &CounterEvent, _: &Delivery) -> Reactions<String> {
        Reactions::maybe(match event {
            CounterEvent::Raised(Raised { by }) => Some(format!("raised by {by}")),
            CounterEvent::Polished(_) => None,
        })
    }

    async fn perform(&self, what: &String, outside: &Outside) -> Result<(), EffectError> {
        self.0.tell(what, outside)
    }
}

pub(super) fn start(world: &World, reactor: impl Reactor) -> Running<ReactorEnd> {
    let runner = ReactorRunner::new(reactor, world.store.clone(), world.runtime.clone());
    running(runner.status().clone(), |stop| async move { runner.run(stop).await })
}

/// The positions of all raises, by stream.
pub(super) async fn raises(store: &dyn EventStore) -> BTreeMap<String, Vec<u64>> {
    let batch = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 10_000).await.unwrap();
    let mut raises: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in batch.events.iter().filter(|event| &*event.name == "counter.raised") {
        raises.entry(event.stream.to_string()).or_default().push(event.position.get());
    }
    raises
}

pub(super) async fn arrives<E>(running: &Running<E>, store: &dyn EventStore) {
    let head = store.heads().await.unwrap().synced;
    within(running.status.shows(|report| report.position >= head)).await;
}

async fn told_everything(world: &World, receiver: &Receiver, faults: &Faults) -> bool {
    loop {
        if faults.take_death() {
            return false;
        }
        if receiver.firsts() == raises(world.store.as_ref()).await {
            return true;
        }
        tokio::task::yield_now().await;
    }
}

/// One story: events, a fault somewhere, more events. Says where the fault was, if the story was long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, _bus) = world();
    let (faults, receiver) = (Faults::new(at, fault), Receiver::new());
    let harmed = faulty(&world, &faults);
    let begin = || start(&harmed, Telling(receiver.clone()));
    let (mut reactor, mut expected) = (begin(), [0; COUNTERS]);
    for _ in 0..ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
        while !within(told_everything(&world, &receiver, &faults)).await {
            reactor.kill().await;
            reactor = begin();
        }
    }
    reactor.kill().await;
    // As many ids as raises: a repeat is known by its id.
    assert_eq!(receiver.distinct(), COUNTERS * ROUNDS);
    faults.site()
}

#[tokio::test]
async fn reactor_killed_anywhere() {
    let sites = [("store.claim_progress", 1), ("store.read", 1), ("store.advance_progress", 1)];
    killed_anywhere(&sites, story).await;
}

/// Killed while somebody is being told: what was not told to the end is told again, under the same id.
#[tokio::test]
async fn killed_in_the_middle_of_an_effect_it_has_it_again_under_the_same_id() {
    struct Hanging(Receiver);
    impl Reactor for Hanging {
        const NAME: &'static str = Telling::NAME;
        const SINCE: Since = Since::Beginning;
        type Event = CounterEvent;
        type Effect = ();

        fn react(&self, _: &CounterEvent, _: &Delivery) -> Reactions<()> {
            Reactions::one(())
        }

        async fn perform(&self, (): &(), outside: &Outside) -> Result<(), EffectError> {
            self.0.tell("", outside)?;
            std::future::pending().await
        }
    }
    let (world, _bus) = world();
    let world = World { runtime: Runtime::tokio(), ..world };
    raise(world.store.as_ref(), 1, 1).await;
    let receiver = Receiver::new();
    let hanging = start(&world, Hanging(receiver.clone()));
    eventually(|| (receiver.told().len() == 1).then_some(()), || "it is told".to_owned()).await;
    assert_eq!(hanging.status.report().position, Position::ZERO, "it is not done");
    hanging.kill().await;
    let telling = start(&world, Telling(receiver.clone()));
    arrives(&telling, world.store.as_ref()).await;
    telling.stop().await.unwrap();
    assert_eq!((receiver.told().len(), receiver.distinct()), (2, 1));
}

#[tokio::test]
async fn stopped_and_started_again_it_repeats_nothing() {
    let (world, _bus) = world();
    let (receiver, mut expected) = (Receiver::new(), [0; COUNTERS]);
    for round in 1..=ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
        let reactor = start(&world, Telling(receiver.clone()));
        arrives(&reactor, world.store.as_ref()).await;
        assert_eq!(reactor.status.report().state, LoopState::Live);
        reactor.stop().await.unwrap();
        assert_eq!(receiver.told().len(), round * COUNTERS);
    }
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
}

#[tokio::test]
async fn twin_reactor_alive() {
    let (world, _bus) = world();
    let (receiver, mut expected) = (Receiver::new(), [0; COUNTERS]);
    let mut first = start(&world, Telling(receiver.clone()));
    within(first.status.shows(|report| report.state == LoopState::Live)).await;
    let second = start(&world, Telling(receiver.clone()));
    within(second.status.shows(|report| report.state == LoopState::Live)).await;
    raise_some(world.store.as_ref(), &mut expected).await;
    let end = first.ended().await;
    assert!(matches!(end, Err(ReactorEnd::StoodDown)), "{end:?}");
    arrives(&second, world.store.as_ref()).await;
    raise_some(world.store.as_ref(), &mut expected).await;
    arrives(&second, world.store.as_ref()).await;
    second.stop().await.unwrap();
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
    assert_eq!(receiver.distinct(), 2 * COUNTERS);
}

/// Tells of what happens from its first start on, as a reactor does unless it says otherwise.
struct News(Receiver);

impl Reactor for News {
    const NAME: &'static str = "news";
    type Event = CounterEvent;
    type Effect = ();

    fn react(&self, _: &CounterEvent, _: &Delivery) -> Reactions<()> {
        Reactions::one(())
    }

    async fn perform(&self, (): &(), outside: &Outside) -> Result<(), EffectError> {
        self.0.tell("", outside)
    }
}

#[tokio::test]
async fn a_new_reactor_lets_the_past_rest_and_misses_nothing_after_its_first_start() {
    let (world, _bus) = world();
    for _ in 0..5 {
        raise(world.store.as_ref(), 1, 1).await;
    }
    let receiver = Receiver::new();
    let service = || async {
        let builder = Service::builder("shop", "counters").store(world.store.clone()).runtime(Runtime::tokio());
        builder.reacts(News(receiver.clone())).start().await.unwrap()
    };
    let first = service().await;
    // At once: the loop may not have begun.
    raise(world.store.as_ref(), 1, 1).await;
    within(settle(&[&first])).await.unwrap();
    assert_eq!(receiver.firsts(), BTreeMap::from([("counter-1".to_owned(), vec![6])]));
    drop(first);
    // While it is not there; it is not new any more.
    raise(world.store.as_ref(), 1, 1).await;
    let second = service().await;
    within(settle(&[&second])).await.unwrap();
    assert_eq!(receiver.firsts(), BTreeMap::from([("counter-1".to_owned(), vec![6, 7])]));
    assert_eq!(receiver.told().len(), 2);
    let loops = second.health().loops();
    assert!(loops.iter().any(|(name, report)| name == "reactor news" && report.state == LoopState::Live), "{loops:?}");
}

/// Read models are begun anew, one after the other; nobody outside hears of it.
#[tokio::test]
async fn refilling_read_models_has_no_effect_outside() {
    use factum::{prelude::ReadTransaction, read::ReadError};
    #[derive(Default)]
    struct Seen;
    impl factum::Projection for Seen {
        const NAME: &'static str = "seen";
        const VERSION: u32 = 1;
        type Event = CounterEvent;

        fn project(&self, _: &CounterEvent, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> {
            Ok(())
        }
    }
    let (world, _bus) = world();
    let (receiver, mut expected) = (Receiver::new(), [0; COUNTERS]);
    for _ in 0..ROUNDS {
        raise_some(world.store.as_ref(), &mut expected).await;
        let read_store: Arc<dyn ReadStore> = Arc::new(MemoryReadStore::default());
        let builder = Service::builder("shop", "counters").store(world.store.clone()).read_store(read_store);
        let service = builder.projects::<Seen>().reacts(Telling(receiver.clone())).start().await.unwrap();
        within(settle(&[&service])).await.unwrap();
        service.read_models().request(Some("seen"), Operation::Rebuild).unwrap();
        within(service.read_models().idle()).await;
        within(settle(&[&service])).await.unwrap();
        drop(service);
    }
    assert_eq!(receiver.told().len(), COUNTERS * ROUNDS);
    assert_eq!(receiver.firsts(), raises(world.store.as_ref()).await);
}

#[tokio::test]
async fn ids_are_derived_from_reactor_event_and_place() {
    struct Twice(Receiver);
    impl Reactor for Twice {
        const NAME: &'static str = "twice";
        const SINCE: Since = Since::Beginning;
        type Event = CounterEvent;
        type Effect = u8;

        fn react(&self, _: &CounterEvent, _: &Delivery) -> Reactions<u8> {
            Reactions::one(0).and(1)
        }

        async fn perform(&self, place: &u8, outside: &Outside) -> Result<(), EffectError> {
            self.0.tell(&place.to_string(), outside)
        }
    }
    let (world, _bus) = world();
    raise(world.store.as_ref(), 1, 1).await;
    raise(world.store.as_ref(), 1, 1).await;
    let receiver = Receiver::new();
    let (one, two) = (start(&world, Telling(receiver.clone())), start(&world, Twice(receiver.clone())));
    arrives(&one, world.store.as_ref()).await;
    arrives(&two, world.store.as_ref()).await;
    assert_eq!(receiver.distinct(), 6);
    for told in receiver.told() {
        let place = if told.what == "1" { 1 } else { 0 };
        let reactor = if told.what.len() == 1 { "twice" } else { "telling" };
        assert_eq!(told.id.as_uuid(), told.event.derive(&format!("reactor {reactor} {place}")));
    }
}

/// Where it begins is written down before there is anything to do.
#[tokio::test]
async fn a_new_reactor_that_is_killed_before_anything_happens_has_begun() {
    let (world, _bus) = world();
    raise(world.store.as_ref(), 1, 1).await;
    let receiver = Receiver::new();
    let first = start(&world, News(receiver.clone()));
    within(first.status.shows(|report| report.state == LoopState::Live)).await;
    first.kill().await;
    raise(world.store.as_ref(), 1, 1).await;
    let second = start(&world, News(receiver.clone()));
    arrives(&second, world.store.as_ref()).await;
    second.stop().await.unwrap();
    assert_eq!(receiver.firsts(), BTreeMap::from([("counter-1".to_owned(), vec![2])]));
}
