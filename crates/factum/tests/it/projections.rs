//! Projections on the service's own event store.

use std::sync::{Arc, Condvar, Mutex};

use factum::{
    Delivery, Position, Projection, ProjectionKey,
    projections::{self, DynProjection, Phase, ProjectionEnd, ProjectionRunner, Watermarks},
    read::{Key, KeyRange, Lane, ReadError, ReadStore, ReadTransaction, Table},
    runtime::LoopState,
    store::{EventStore, MemoryStore},
};

use crate::{
    accounts::{dispatcher, open},
    faults::{Fault, Faults, faulty, killed_anywhere},
    restored::{copy, forked},
    world::{CounterEvent, Raised, Running, Total, World, eventually, raise, raise_some, running, within, world},
};

/// How a projection of counters folds them: everything here does the same, and has its own way to stumble.
fn fold(
    table: &Table<Total>,
    event: &CounterEvent,
    from: &Delivery,
    tx: &mut dyn ReadTransaction,
) -> Result<(), ReadError> {
    let CounterEvent::Raised(Raised { by }) = event else { return Ok(()) };
    let key = Key::from(from.aggregate_id());
    let mut total = table.get(tx, &key)?.unwrap_or_default();
    total.total += by;
    total.positions.push(from.position.get());
    table.put(tx, &key, &total)
}

macro_rules! projection {
    ($name:ident, $wire:literal, $before:expr) => {
        #[derive(Default)]
        struct $name;

        impl $name {
            const TABLE: Table<Total> = Table::of::<Self>("totals");
        }

        impl Projection for $name {
            const NAME: &'static str = $wire;
            const VERSION: u32 = 1;
            type Event = CounterEvent;

            fn project(
                &self,
                event: &CounterEvent,
                from: &Delivery,
                tx: &mut dyn ReadTransaction,
            ) -> Result<(), ReadError> {
                let before: fn(&Delivery, &mut dyn ReadTransaction) -> Result<(), ReadError> = $before;
                fold(&Self::TABLE, event, from, tx)?;
                before(from, tx)
            }
        }
    };
}

projection!(Plain, "plain", |_, _| Ok(()));

/// Starts the loop of a projection.
fn start(world: &World, projection: DynProjection) -> Running<ProjectionEnd> {
    let (store, read_store) = (world.store.clone(), world.read_store.clone());
    let runner = ProjectionRunner::new(projection, store, read_store, world.watermarks.clone(), world.runtime.clone());
    running(runner.status().clone(), |stop| async move { runner.run(stop).await })
}

fn plain(world: &World) -> Running<ProjectionEnd> {
    start(world, projections::erase::<Plain>())
}

fn rows(read_store: &dyn ReadStore, table: Table<Total>) -> Vec<Total> {
    let mut all = Vec::new();
    read_store
        .read(&mut |read| {
            all = table.page(read, &KeyRange::all(), 1_000)?.documents;
            Ok(())
        })
        .unwrap();
    all
}

/// Every position folded in, in the order in which that was done per counter.
fn folded(read_store: &dyn ReadStore, table: Table<Total>) -> Vec<u64> {
    let rows = rows(read_store, table);
    assert!(rows.iter().all(|row| row.positions.is_sorted_by(|a, b| a < b)), "twice or out of order: {rows:?}");
    let mut positions: Vec<_> = rows.into_iter().flat_map(|row| row.positions).collect();
    positions.sort_unstable();
    positions
}

fn checkpoint(read_store: &dyn ReadStore, key: ProjectionKey) -> u64 {
    let lanes = read_store.checkpoints(key).unwrap();
    lanes.iter().find(|(lane, _)| *lane == Lane::own_store()).map_or(0, |(_, at)| at.position.get())
}

async fn arrives(running: &Running<ProjectionEnd>, position: u64) {
    let story = || format!("{:?}", running.status.report());
    eventually(|| (running.status.report().position.get() >= position).then_some(()), story).await;
}

/// One story: events, a fault somewhere, more events. Says where the fault was, if the story was long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let (world, _bus) = world();
    let faults = Faults::new(at, fault);
    let faulty = faulty(&world, &faults);
    let mut runner = plain(&faulty);
    let mut expected = [0; 4];
    for _ in 0..3 {
        raise_some(world.store.as_ref(), &mut expected).await;
        let arrived = || rows(world.read_store.as_ref(), Plain::TABLE).iter().map(|row| row.total).eq(expected);
        let look = || if faults.take_death() { Some(true) } else { arrived().then_some(false) };
        while eventually(look, || format!("{:?}: {:?}", faults.site(), runner.status.report())).await {
            runner.kill().await;
            runner = plain(&faulty);
        }
    }
    folded(world.read_store.as_ref(), Plain::TABLE);
    faults.release();
    runner.kill().await;
    // What comes after the last commit in the same call may have been cut off: no effect is ahead of its checkpoint.
    assert_eq!(checkpoint(world.read_store.as_ref(), ProjectionKey::of::<Plain>()), 24);
    faults.site()
}

#[tokio::test]
async fn projection_killed_anywhere() {
    let sites = [
        ("read_store.claim", 1),
        ("read_store.checkpoints", 1),
        ("store.heads", 1),
        ("store.read", 1),
        ("read_store.write", 1),
    ];
    killed_anywhere(&sites, story).await;
}

#[tokio::test]
async fn what_was_folded_in_is_not_folded_in_again() {
    let (world, _bus) = world();
    let mut expected = [0; 4];
    for round in 1..=3 {
        raise_some(world.store.as_ref(), &mut expected).await;
        let runner = plain(&world);
        arrives(&runner, 8 * round).await;
        runner.stop().await.unwrap();
    }
    let totals: Vec<_> = rows(world.read_store.as_ref(), Plain::TABLE).iter().map(|row| row.total).collect();
    assert_eq!(totals, expected);
}

#[tokio::test]
async fn who_was_displaced_stands_down() {
    let (world, _bus) = world();
    let mut first = plain(&world);
    raise(world.store.as_ref(), 1, 1).await;
    arrives(&first, 1).await;
    let second = plain(&world);
    arrives(&second, 1).await;
    raise(world.store.as_ref(), 1, 1).await;
    let end = first.ended().await;
    assert!(matches!(end, Err(ProjectionEnd::StoodDown)), "{end:?}");
    assert_eq!(first.status.report().state, LoopState::StoodDown);
    arrives(&second, 2).await;
    assert_eq!(folded(world.read_store.as_ref(), Plain::TABLE), [1, 2]);
    second.stop().await.unwrap();
}

/// An error must not be the chance of a displaced owner: claiming again on each retry would take the projection back.
#[tokio::test]
async fn who_was_displaced_stands_down_also_when_it_has_to_try_again() {
    let (world, _bus) = world();
    let faults = Faults::none();
    let mut first = plain(&faulty(&world, &faults));
    raise(world.store.as_ref(), 1, 1).await;
    arrives(&first, 1).await;
    let second = plain(&world);
    arrives(&second, 1).await;
    faults.arm("read_store.write", Fault::FailBefore);
    raise(world.store.as_ref(), 1, 1).await;
    let end = first.ended().await;
    assert!(matches!(end, Err(ProjectionEnd::StoodDown)), "{end:?}");
    assert_eq!(faults.site(), Some("read_store.write"));
    arrives(&second, 2).await;
    assert_eq!(folded(world.read_store.as_ref(), Plain::TABLE), [1, 2]);
    assert_eq!(second.status.report().state, LoopState::Live);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_of_another_history_stops_it_and_says_why() {
    let (world, _bus) = world();
    for by in 1..=10 {
        raise(world.store.as_ref(), 1, by).await;
    }
    let runner = plain(&world);
    arrives(&runner, 10).await;
    runner.stop().await.unwrap();
    let identity = world.store.identity();
    let all = world.store.as_ref();

    let other: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(99));
    let behind = copy(all, 5, identity.clone()).await;
    let diverged = copy(all, 9, identity.clone()).await;
    dispatcher(&diverged).dispatch(open()).await.unwrap();
    let cut = copy(all, 5, forked(identity, 5)).await;
    raise(cut.as_ref(), 2, 1).await;
    let cut_twice = copy(all, 3, forked(&forked(identity, 10), 3)).await;
    let tampered = copy(all, 9, forked(identity, 10)).await;
    raise(tampered.as_ref(), 2, 1).await;
    for (store, words) in [
        (other, "filled from another event store"),
        (behind, "the store ends at 5, this read model is at 10"),
        (diverged, "event 10 is not the one"),
        (cut, "the store forked at 5, this read model is at 10"),
        (cut_twice, "the store forked at 3, this read model is at 10"),
        (tampered, "event 10 is not the one"),
    ] {
        let watermarks: Arc<Watermarks> = Arc::default();
        let (read_store, runtime) = (world.read_store.clone(), world.runtime.clone());
        let elsewhere = World { store, watermarks, read_store, runtime, bus: world.bus.clone() };
        let mut runner = plain(&elsewhere);
        let end = runner.ended().await;
        assert!(matches!(&end, Err(ProjectionEnd::Foreign(text)) if text.contains(words)), "{words}: {end:?}");
        let report = runner.status.report();
        assert_eq!(report.state, LoopState::Failed);
        assert!(report.last_error.is_some_and(|text| text.contains(words)), "{words}");
    }
    assert_eq!(folded(world.read_store.as_ref(), Plain::TABLE), (1..=10).collect::<Vec<_>>());

    // A restore that took everything over is no other history.
    let restored = copy(all, 10, forked(identity, 10)).await;
    raise(restored.as_ref(), 1, 1).await;
    let world = World { store: restored, ..world };
    let runner = plain(&world);
    arrives(&runner, 11).await;
    runner.stop().await.unwrap();
}

/// Whether the projection stumbles over this event.
fn stumbles(from: &Delivery) -> bool {
    from.position == Position::new(6)
}

projection!(Panics, "panics", |from, _| {
    assert!(!stumbles(from), "it hurts");
    Ok(())
});
projection!(Refuses, "refuses", |from, _| {
    if stumbles(from) { Err(ReadError::Broken("it hurts".to_owned())) } else { Ok(()) }
});
projection!(Overflows, "overflows", |from, tx| {
    if stumbles(from) {
        let name = Overflows::TABLE.name();
        tx.put(name, &"large".into(), vec![b'1'; 2 << 20])?;
    }
    Ok(())
});

/// Whichever way it fails: everybody can see it, what is not parked flows on, and nothing of it is half done.
#[tokio::test]
async fn an_event_that_cannot_be_applied_is_parked_with_what_comes_after_it() {
    let (world, _bus) = world();
    for by in 1..=10 {
        raise(world.store.as_ref(), by % 3, by).await;
    }
    let stumbling = [
        (projections::erase::<Panics>(), Panics::TABLE, ProjectionKey::of::<Panics>(), "it hurts"),
        (projections::erase::<Refuses>(), Refuses::TABLE, ProjectionKey::of::<Refuses>(), "it hurts"),
        (projections::erase::<Overflows>(), Overflows::TABLE, ProjectionKey::of::<Overflows>(), "the limit is"),
    ];
    for (projection, table, key, words) in stumbling {
        let runner = start(&world, projection);
        within(runner.status.shows(|report| report.state == LoopState::Live)).await;
        let report = runner.status.report();
        assert_eq!((report.position.get(), report.parked_keys, report.parked_messages), (10, 1, 2));
        let alarm = &report.alarms["quarantine"];
        assert!(alarm.contains("counter-0") && alarm.contains(words), "{alarm}");
        assert_eq!(folded(world.read_store.as_ref(), table), [1, 2, 3, 4, 5, 7, 8, 10]);
        assert_eq!(checkpoint(world.read_store.as_ref(), key), 10);
        runner.stop().await.unwrap();
    }
}

static GATE: (Mutex<(bool, bool)>, Condvar) = (Mutex::new((false, false)), Condvar::new());

projection!(Gated, "gated", |_, _| {
    let mut gate = GATE.0.lock().unwrap();
    gate.0 = true;
    while !gate.1 {
        gate = GATE.1.wait(gate).unwrap();
    }
    Ok(())
});

/// Opens the gate when it is dropped, so that a test that fails ends.
struct OpensGate;

impl Drop for OpensGate {
    fn drop(&mut self) {
        GATE.0.lock().unwrap().1 = true;
        GATE.1.notify_all();
    }
}

#[tokio::test]
async fn told_to_stop_it_finishes_the_batch_at_hand() {
    let (world, _bus) = world();
    for by in 1..=5 {
        raise(world.store.as_ref(), 1, by).await;
    }
    let gate = OpensGate;
    let runner = start(&world, projections::erase::<Gated>());
    let status = runner.status.clone();
    eventually(|| GATE.0.lock().unwrap().0.then_some(()), || "the batch never starts".to_owned()).await;
    let stopping = tokio::spawn(runner.stop());
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished(), "it left in the middle of a batch");
    drop(gate);
    within(stopping).await.unwrap().unwrap();
    assert_eq!((status.report().state, status.report().position.get()), (LoopState::Stopped, 5));
    assert_eq!(checkpoint(world.read_store.as_ref(), ProjectionKey::of::<Gated>()), 5);
}

static STUCK_AT: Mutex<u64> = Mutex::new(1_500);

projection!(Slow, "slow", |from, _| {
    let stuck = from.position.get() >= *STUCK_AT.lock().unwrap();
    if stuck { Err(ReadError::Broken("not yet".to_owned())) } else { Ok(()) }
});

/// A read model that is filled from the beginning is not whole before it has seen what was there when that began, and
/// a restart must not make it look so.
#[tokio::test]
async fn a_refill_that_was_interrupted_is_still_one() {
    let (mut world, _bus) = world();
    // Each on a counter of its own, so that there is no room to park all that are stuck.
    for counter in 1..=2_000 {
        raise(world.store.as_ref(), counter, 1).await;
    }
    let key = ProjectionKey::of::<Slow>();
    for _ in 0..2 {
        // A new process knows nothing.
        world.watermarks = Arc::default();
        let (store, read_store) = (world.store.clone(), world.read_store.clone());
        let projection = projections::erase::<Slow>();
        let runner =
            ProjectionRunner::new(projection, store, read_store, world.watermarks.clone(), world.runtime.clone());
        assert_eq!(world.watermarks.phase(key), Phase::Refilling { done: 0, total: 0 });
        let runner = running(runner.status().clone(), |stop| async move { runner.run(stop).await });
        within(runner.status.shows(|report| report.state == LoopState::BackingOff)).await;
        assert_eq!(world.watermarks.phase(key), Phase::Refilling { done: 1_599, total: 2_000 });
        runner.kill().await;
        // What comes later is no part of it.
        raise(world.store.as_ref(), 1, 1).await;
    }
    // Those 100 keys are parked.
    *STUCK_AT.lock().unwrap() = 2_001;
    let runner = start(&world, projections::erase::<Slow>());
    within(world.watermarks.whole(key)).await;
    within(runner.status.shows(|report| report.state == LoopState::BackingOff)).await;
    assert_eq!((world.watermarks.phase(key), runner.status.report().position.get()), (Phase::Live, 2_000));
    runner.kill().await;
}

#[tokio::test]
async fn a_read_model_of_an_empty_store_is_whole() {
    let (world, _bus) = world();
    let runner = plain(&world);
    within(world.watermarks.whole(ProjectionKey::of::<Plain>())).await;
    within(runner.status.shows(|report| report.state == LoopState::Live)).await;
    runner.stop().await.unwrap();
}
