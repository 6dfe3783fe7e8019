//! A source was restored to before what a consumer with effects has dealt with: it stands still until an operator lets it
//! go on, which is recorded.

use std::sync::Arc;

use factum::{
    bus::{Assignment, ConsumerOptions, MemoryBus, TopicPartition},
    consumer::{ConsumerEnd, EffectConsumer},
    forks::{FORK_ACCEPTED, Forks, LeftFork},
    runtime::LoopState,
    store::{Direction, EventStore, MemoryStore, Position, RecordedEvent, Selection},
};
use serde_json::Value;

use crate::{
    effects::{Noting, notes},
    faults::{Fault, Faults, faulty},
    operator::{because, operator},
    restored::{copy, forked, progress, put_progress},
    world::{
        Running, TOPIC, World, eventually, message, partition_of, partitions, raise, raise_some, running, within, world,
    },
};

const COUNTERS: usize = 4;
/// Far more calls than a consumer makes in a story.
const CALLS_MAX: u64 = 200;

/// The consumer, with operators who look at what it has.
fn started(world: &World) -> (Running<ConsumerEnd>, Arc<Forks>) {
    operated(world, world)
}

fn operated(world: &World, operators: &World) -> (Running<ConsumerEnd>, Arc<Forks>) {
    let options =
        ConsumerOptions { group: "noting".to_owned(), topics: vec![TOPIC.into()], assignment: Assignment::Everything };
    let (bus, store, runtime) = (world.bus.clone(), world.store.clone(), world.runtime.clone());
    let forks = Forks::new(Some(operators.store.clone()), Some(operators.bus.clone()), factum::Runtime::tokio());
    let forks = Arc::new(forks);
    let consumer = EffectConsumer::new("noting", Arc::new(Noting(store.clone())), options, bus, store, runtime);
    let consumer = consumer.forks(&forks);
    let status = consumer.status().clone();
    (running(status, |stop| async move { consumer.run(stop).await }), forks)
}

/// The positions noted, of whichever counter.
async fn noted(store: &dyn EventStore) -> Vec<u64> {
    let mut all: Vec<u64> = notes(store).await.into_iter().flat_map(|(_, positions)| positions).collect();
    all.sort_unstable();
    all
}

async fn notes_come_to(store: &dyn EventStore, expected: &[u64], story: &str) {
    let noting = async {
        while noted(store).await != expected {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(crate::world::WAIT_MAX, noting).await.is_err() {
        panic!("{story}: {:?} instead of {expected:?}", noted(store).await);
    }
}

async fn decisions(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let all = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).await.unwrap();
    all.events.into_iter().filter(|event| &*event.name == FORK_ACCEPTED).collect()
}

/// Positions of messages on a partition, of the history that was there at first.
fn on(bus: &MemoryBus, partition: &TopicPartition) -> Vec<u64> {
    bus.records(partition).iter().map(|record| message(record).position.get()).collect()
}

/// Both sides have done their work; then the source is restored, and something new happens there. What was noted, and what
/// is new; what was lost, by partition.
struct Story {
    world: World,
    other: World,
    fork: u64,
    before: Vec<u64>,
    new: Vec<u64>,
    lost: Vec<(TopicPartition, Vec<u64>)>,
}

async fn restored() -> Story {
    let (mut world, bus) = world();
    let other = World { store: Arc::new(MemoryStore::seeded(2)), ..world.clone() };
    let mut expected = [0; COUNTERS];
    for _ in 0..3 {
        raise_some(world.store.as_ref(), &mut expected).await;
    }
    world.publishes().await;
    let (consumer, _) = started(&other);
    consumer.status.shows(|report| report.processed == 3 * COUNTERS as u64).await;
    consumer.stop().await.unwrap();
    let before = noted(other.store.as_ref()).await;
    let head = world.store.heads().await.unwrap().synced.get();
    let fork = head / 2;
    let mut lost: Vec<(TopicPartition, Vec<u64>)> =
        partitions().map(|partition| (partition.clone(), on(&bus, &partition))).collect();
    lost.iter_mut().for_each(|(_, positions)| positions.retain(|position| *position > fork));
    lost.retain(|(_, positions)| !positions.is_empty());
    assert!(!lost.is_empty() && before.len() == 3 * COUNTERS);

    let store = copy(world.store.as_ref(), fork, forked(world.store.identity(), fork)).await;
    put_progress(store.as_ref(), &progress(world.store.as_ref()).await).await;
    world.store = store;
    let mut new = Vec::new();
    for counter in 0..COUNTERS as u64 {
        new.push(raise(world.store.as_ref(), counter, 1).await.get());
    }
    world.publishes().await;
    Story { world, other, fork, before, new, lost }
}

/// Waits until every partition that lost something stands still.
async fn stands(forks: &Forks, lost: usize) -> Vec<LeftFork> {
    for _ in 0..100_000 {
        let listed = forks.list().await.unwrap();
        if listed.len() == lost {
            return listed;
        }
        tokio::task::yield_now().await;
    }
    panic!("{:?}", forks.list().await)
}

#[tokio::test]
async fn beyond_a_fork_it_stands_still_until_that_is_accepted_and_goes_on_from_there() {
    let Story { world, other, fork, before, new, lost } = restored().await;
    let (consumer, forks) = started(&other);
    let listed = stands(&forks, lost.len()).await;
    for (listed, (partition, positions)) in listed.iter().zip(&lost) {
        let LeftFork { consumer, partition: at, source, history, watermark, heard, .. } = listed;
        assert_eq!((&**consumer, at, *source), ("noting", partition, world.store.identity().store));
        assert_eq!((listed.fork.get(), *history), (fork, world.store.identity().incarnation));
        assert_eq!(watermark.get(), *positions.last().unwrap());
        let heard_of: Vec<u64> = heard.messages.iter().map(|message| message.position.get()).collect();
        assert_eq!((heard_of.as_slice(), heard.count, heard.all), (positions.as_slice(), positions.len() as u64, true));
    }
    let report = consumer.status.report();
    let alarm = &report.alarms[&lost[0].0.to_string()];
    assert!(alarm.contains(&format!("source forked at {fork}")) && alarm.contains("/admin/forks"), "{alarm}");
    assert!(decisions(other.store.as_ref()).await.is_empty());

    // Nothing is accepted without a reason, or for somebody else.
    let unknown = forks.accept(Some("notes"), because("lost"), operator()).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no consumer `notes` with effects runs here, only noting");

    let accepted = forks.accept(Some("noting"), because("the disk of accounts was lost"), operator()).await.unwrap();
    assert!(accepted.iter().all(|accepted| accepted.goes_on), "{accepted:?}");
    assert_eq!(accepted.into_iter().map(|accepted| accepted.fork).collect::<Vec<_>>(), listed);
    let mut expected = [before.clone(), new].concat();
    expected.sort_unstable();
    notes_come_to(other.store.as_ref(), &expected, "accepted").await;
    eventually(|| consumer.status.report().alarms.is_empty().then_some(()), || "an alarm stays".to_owned()).await;
    assert_eq!(forks.list().await.unwrap(), []);

    // Recorded once, with who and why and what was heard.
    assert_eq!(forks.accept(None, because("again"), operator()).await.unwrap(), []);
    let recorded = decisions(other.store.as_ref()).await;
    assert_eq!(recorded.len(), lost.len());
    for (event, (partition, positions)) in recorded.iter().zip(&lost) {
        let document: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(event.metadata.actor, operator());
        assert_eq!(document["reason"], "the disk of accounts was lost");
        assert_eq!((&document["partition"], &document["fork"]), (&partition.partition.into(), &fork.into()));
        assert_eq!((&document["messages"], &document["all"]), (&positions.len().into(), &true.into()));
    }

    // Progress names the present history; a restart goes on as if nothing had happened.
    consumer.stop().await.unwrap();
    let progress = other.store.progress(&format!("noting/{TOPIC}")).await.unwrap().value.unwrap();
    let incarnation = world.store.identity().incarnation.to_string();
    assert!(String::from_utf8(progress).unwrap().contains(&incarnation));
    let (consumer, forks) = started(&other);
    expected.push(raise(world.store.as_ref(), 0, 1).await.get());
    expected.sort_unstable();
    world.publishes().await;
    notes_come_to(other.store.as_ref(), &expected, "started again").await;
    assert!(consumer.status.report().alarms.is_empty());
    assert_eq!(forks.list().await.unwrap(), []);
    consumer.stop().await.unwrap();
}

/// One story: a fault somewhere in a consumer whose fork is accepted.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let Story { other, before, new, lost, .. } = restored().await;
    let faults = Faults::new(at, fault);
    let harmed = faulty(&other, &faults);
    let (mut consumer, mut forks) = operated(&harmed, &other);
    let mut expected = [before, new].concat();
    expected.sort_unstable();
    let going_on = async {
        while noted(other.store.as_ref()).await != expected {
            if faults.take_death() {
                let (next, next_forks) = operated(&harmed, &other);
                std::mem::replace(&mut consumer, next).kill().await;
                forks = next_forks;
            }
            if !forks.list().await.unwrap().is_empty() {
                // Whoever dies over it has it accepted all the same.
                let accepting = forks.accept(None, because("lost"), operator());
                tokio::select! {
                    biased;
                    accepted = accepting => drop(accepted.unwrap()),
                    () = async { while !faults.is_dead() { tokio::task::yield_now().await } } => {}
                }
            }
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(crate::world::WAIT_MAX, going_on).await.is_err() {
        panic!("call {at}, {fault:?} at {:?}: {:?}", faults.site(), noted(other.store.as_ref()).await);
    }
    assert_eq!(decisions(other.store.as_ref()).await.len(), lost.len(), "call {at}, {fault:?} at {:?}", faults.site());
    consumer.kill().await;
    // Whatever was written down of it, the next one goes on.
    let (consumer, forks) = started(&other);
    consumer.status.shows(|report| report.state == LoopState::Live).await;
    assert_eq!(forks.list().await.unwrap(), [], "call {at}, {fault:?} at {:?}", faults.site());
    assert_eq!(noted(other.store.as_ref()).await, expected);
    consumer.stop().await.unwrap();
    faults.site()
}

#[tokio::test]
async fn killed_anywhere_while_a_fork_is_accepted_it_goes_on_from_there() {
    for fault in Fault::ALL {
        let mut sites = Vec::new();
        for at in 1..CALLS_MAX {
            match within(story(at, fault)).await {
                Some(site) => sites.push(site),
                None => break,
            }
        }
        for site in ["bus.consumer", "store.append", "store.advance_progress", "consumer.seek"] {
            assert!(sites.contains(&site), "{site} was never hit by {fault:?}: {sites:?}");
        }
        assert!(sites.len() < CALLS_MAX as usize - 1);
    }
}

/// What was accepted is accepted of that fork: another restore is another decision.
#[tokio::test]
async fn a_restore_after_that_is_decided_about_anew() {
    let Story { mut world, other, lost, .. } = restored().await;
    let (consumer, forks) = started(&other);
    stands(&forks, lost.len()).await;
    forks.accept(None, because("once"), operator()).await.unwrap();
    let home = partition_of(0);
    consumer.status.shows(|report| report.alarms.is_empty()).await;

    let store = copy(world.store.as_ref(), 3, forked(world.store.identity(), 3)).await;
    put_progress(store.as_ref(), &progress(world.store.as_ref()).await).await;
    world.store = store;
    world.publishes().await;
    let text = || consumer.status.report().alarms.get(&home.to_string()).cloned();
    let text = eventually(text, || "nothing is said of the second restore".to_owned()).await;
    assert!(text.contains("source forked at 3"), "{text}");
    let listed = forks.list().await.unwrap();
    assert!(listed.iter().all(|listed| listed.fork.get() == 3), "{listed:?}");
    let recorded = decisions(other.store.as_ref()).await.len();
    let accepted = forks.accept(None, because("twice"), operator()).await.unwrap();
    assert!(accepted.iter().all(|accepted| accepted.goes_on));
    assert_eq!(decisions(other.store.as_ref()).await.len(), recorded + accepted.len());
    consumer.stop().await.unwrap();
}
