//! Threads append and read at the same time. Each call is noted with when it began and ended; afterwards there must be one
//! order of all calls, in keeping with these times, in which each sees what the ones before it left.
//!
//! Versions and positions make that cheap to decide. After the run every position is known, and so, for each call, which
//! heads of the store its answer fits: an append made one head, a read of a stream fits every head from its last event up
//! to the one before the next. Given each call the lowest head that fits and is not below that of a call that ended
//! before it began, an order exists if and only if no call is given more than it can have.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use factum_engine::{
    Append, AppendError, Direction, Durability, Engine, ExpectedVersion, Options, Position, Selection, StreamName,
    Version,
};

use crate::support::{Chance, event, number_from_environment, stream, wait};

const THREADS: u64 = 6;
const CALLS: u64 = 250;
const STREAMS: [&str; 3] = ["a", "b", "c"];

/// What a call was answered.
#[derive(Debug, Clone, PartialEq)]
enum Saw {
    /// Its events now stand from the first position to the last.
    Appended(RangeInclusive<u64>),
    /// A stream is at this version.
    Version(&'static str, u64),
    /// Everything up to here can be read.
    Head(u64),
}

/// A call, from one tick of a clock that all threads share to another.
#[derive(Debug, Clone)]
struct Call {
    began: u64,
    ended: u64,
    saw: Saw,
}

/// What the store says in the end: the ends of batches, and by stream the position of each version.
struct Truth {
    batches: Vec<u64>,
    streams: HashMap<String, Vec<u64>>,
}

impl Truth {
    /// The heads of the store that the answer fits; an append comes right before the last of its own.
    fn heads(&self, saw: &Saw) -> Option<RangeInclusive<u64>> {
        let heads = match saw {
            Saw::Appended(positions) => *positions.end()..=*positions.end(),
            Saw::Head(head) => *head..=*head,
            Saw::Version(stream, version) => {
                let positions = self.streams.get(*stream).map_or(&[][..], Vec::as_slice);
                let from = match version {
                    0 => 0,
                    version => *positions.get(*version as usize - 1)?,
                };
                from..=positions.get(*version as usize).map_or(u64::MAX, |next| next - 1)
            }
        };
        // Between two batches, not within one.
        let end = self.batches.iter().copied().find(|end| end >= heads.start()).unwrap_or(0);
        heads.contains(&end).then_some(end.max(*heads.start())..=*heads.end())
    }

    /// Whether there is an order; if not, the call that has no place in it.
    fn order(&self, calls: &[Call]) -> Result<(), Call> {
        let mut by_begin: Vec<&Call> = calls.iter().collect();
        by_begin.sort_by_key(|call| call.began);
        // Calls under way, with the head they were given, and the highest given to one that has ended.
        let (mut under_way, mut highest): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
        for call in by_begin {
            under_way.retain(|(ended, head)| {
                let over = *ended < call.began;
                highest = if over { highest.max(*head) } else { highest };
                !over
            });
            let heads = self.heads(&call.saw).ok_or(call.clone())?;
            let fits = match &call.saw {
                // Whoever ended before it began cannot have seen it.
                Saw::Appended(positions) => highest < *positions.start(),
                Saw::Version(..) | Saw::Head(_) => highest <= *heads.end(),
            };
            if !fits {
                return Err(call.clone());
            }
            under_way.push((call.ended, highest.max(*heads.start())));
        }
        Ok(())
    }
}

/// One thread's calls.
fn calls(engine: &Engine, clock: &AtomicU64, seed: u64) -> Vec<Call> {
    let mut chance = Chance::new(seed);
    let mut known: HashMap<&str, u64> = HashMap::new();
    (0..CALLS)
        .map(|_| {
            let name = *chance.choice(&STREAMS);
            let began = clock.fetch_add(1, Ordering::SeqCst);
            let saw = match chance.below(6) {
                0 => Saw::Head(engine.heads().synced.get()),
                1 => Saw::Version(name, engine.stream_version(&stream(name)).expect("readable").get()),
                2 => Saw::Version(name, read_version(engine, &stream(name))),
                3 => {
                    let page = engine.read(&Selection::everything(), Position::new(u64::MAX), Direction::Backward, 1);
                    let events = page.expect("readable").events;
                    Saw::Head(events.first().map_or(0, |event| event.position().get()))
                }
                _ => append(engine, name, known.get(name).copied().unwrap_or(0), &mut chance),
            };
            let ended = clock.fetch_add(1, Ordering::SeqCst);
            if let Saw::Version(name, version) = saw {
                known.insert(name, version);
            }
            Call { began, ended, saw }
        })
        .collect()
}

fn read_version(engine: &Engine, name: &StreamName) -> u64 {
    let page = engine.read_stream(name, Version::MAX, Direction::Backward, 1).expect("readable");
    page.events.first().map_or(0, |event| event.version().get())
}

/// Appends at the version the thread knows of; a conflict tells it another.
fn append(engine: &Engine, name: &'static str, version: u64, chance: &mut Chance) -> Saw {
    let events = (0..=chance.below(3)).map(|_| event("one more")).collect();
    let append = Append::new(1).stream(stream(name), ExpectedVersion::Exact(Version::new(version)), events);
    let answer = if chance.once_in(2) { engine.append(append) } else { wait(engine.submit(append)) };
    match answer {
        Ok(receipt) => Saw::Appended(receipt.first.get()..=receipt.last.get()),
        Err(AppendError::Conflict { actual, .. }) => Saw::Version(name, actual.get()),
        Err(error) => panic!("{error:?}"),
    }
}

fn truth(engine: &Engine, calls: &[Call]) -> Truth {
    let mut streams: HashMap<String, Vec<u64>> = HashMap::new();
    let page = engine.read(&Selection::everything(), Position::ZERO, Direction::Forward, usize::MAX).expect("readable");
    for event in &page.events {
        streams.entry(event.stream().to_owned()).or_default().push(event.position().get());
    }
    let ends = calls.iter().filter_map(|call| match &call.saw {
        Saw::Appended(positions) => Some(*positions.end()),
        _ => None,
    });
    let mut batches: Vec<u64> = std::iter::once(0).chain(ends).collect();
    batches.sort_unstable();
    Truth { batches, streams }
}

/// A run of several threads on a new store.
fn run(seed: u64) -> (Truth, Vec<Call>) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().segment_bytes(8 << 10).durability(Durability::Synced);
    let engine = Engine::open(directory.path(), options).expect("opens");
    let clock = AtomicU64::new(1);
    let calls: Vec<Call> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (engine, clock) = (&engine, &clock);
                scope.spawn(move || calls(engine, clock, seed * THREADS + thread))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    (truth(&engine, &calls), calls)
}

#[test]
fn concurrent_appends_and_reads_have_an_order_in_which_each_sees_what_was_before_it() {
    let seed = number_from_environment("FACTUM_PROOF_SEED", 1);
    let (truth, calls) = run(seed);
    let appends = calls.iter().filter(|call| matches!(call.saw, Saw::Appended(_))).count();
    println!("seed {seed}: {} calls, {appends} of them appended", calls.len());
    assert!(appends > 50 && truth.batches.len() == appends + 1);
    if let Err(call) = truth.order(&calls) {
        panic!("seed {seed}: {call:?} has no place in any order of {calls:#?}");
    }
}

/// Otherwise the test above proves nothing.
#[test]
fn a_history_without_an_order_is_recognised() {
    let truth = Truth { batches: vec![0, 2, 3], streams: HashMap::from([("a".to_owned(), vec![1, 2, 3])]) };
    let call = |began, ended, saw| Call { began, ended, saw };
    let first = call(1, 4, Saw::Appended(1..=2));
    let second = call(5, 8, Saw::Appended(3..=3));
    let with = |others: &[Call]| truth.order(&[&[first.clone(), second.clone()], others].concat());
    assert!(with(&[]).is_ok());
    // While an append is under way a reader may see it or not; once it was seen, it stays.
    assert!(with(&[call(6, 7, Saw::Version("a", 2)), call(9, 10, Saw::Version("a", 3))]).is_ok());
    assert!(with(&[call(6, 7, Saw::Head(3))]).is_ok());
    assert!(with(&[call(2, 3, Saw::Head(0))]).is_ok());
    for wrong in [
        // Stale: the append had been answered.
        vec![call(9, 10, Saw::Version("a", 2))],
        vec![call(9, 10, Saw::Head(2))],
        vec![call(5, 6, Saw::Version("a", 0))],
        // Early: the append had not begun.
        vec![call(2, 3, Saw::Head(3))],
        vec![call(2, 3, Saw::Version("a", 3))],
        // Half of an append.
        vec![call(2, 3, Saw::Version("a", 1))],
        vec![call(2, 3, Saw::Head(1))],
        // Seen, and gone again.
        vec![call(2, 2, Saw::Head(2)), call(3, 3, Saw::Head(0))],
        // A version there never was.
        vec![call(9, 10, Saw::Version("a", 4))],
    ] {
        assert!(with(&wrong).is_err(), "{wrong:?}");
    }
    // Two appends in the wrong order.
    let swapped = [call(1, 2, Saw::Appended(3..=3)), call(3, 4, Saw::Appended(1..=2))];
    assert!(truth.order(&swapped).is_err());
}
