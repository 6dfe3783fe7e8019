//! Reading: both directions, from anywhere, in batches of any size.

use super::{Case, Store, append, head, position, stream, version, visible};
use crate::{
    store::{Batch, Direction, Position, Selection, Version},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("the_store_is_read_from_anywhere", |store| Box::pin(the_store_is_read_from_anywhere(store))),
    ("a_stream_is_read_from_anywhere", |store| Box::pin(a_stream_is_read_from_anywhere(store))),
    ("the_ends_of_the_numbers_are_numbers_too", |store| Box::pin(the_ends_of_the_numbers(store))),
];

const STREAMS: [&str; 3] = ["account-1", "account-2", "account-3"];
const EVENTS: u64 = 11;

/// Events 1 to 11, in turn on three streams.
async fn fill(store: &Store) {
    for number in 1..=EVENTS {
        append(store, STREAMS[(number % 3) as usize], [number]).await;
    }
    visible(store).await;
}

/// The batch holds the first `limit` of these positions, and tells whether that was all and how far it got.
#[track_caller]
fn assert_batch(batch: &Batch, all: &[u64], limit: usize, considered: u64, what: &str) {
    let found: Vec<u64> = batch.events.iter().map(|event| event.position.get()).collect();
    assert_eq!(found, all[..limit.min(all.len())], "{what}");
    assert_eq!(batch.end, limit >= all.len(), "the end of {what}");
    let read_to = found.last().copied().filter(|_| !batch.end).unwrap_or(considered);
    assert_eq!(batch.read_to, position(read_to), "how far {what} got");
}

async fn the_store_is_read_from_anywhere(store: Store) {
    fill(&store).await;
    for after in 0..=EVENTS + 1 {
        for limit in 1..=EVENTS as usize + 1 {
            let forward: Vec<u64> = (after + 1..=EVENTS).collect();
            let backward: Vec<u64> = (1..after.min(EVENTS + 1)).rev().collect();
            let head = after.max(EVENTS);
            for (direction, positions, end) in [(Direction::Forward, forward, head), (Direction::Backward, backward, 0)]
            {
                let batch = ok(store.read(&Selection::everything(), position(after), direction, limit).await);
                assert_batch(&batch, &positions, limit, end, &format!("{limit} {direction:?} after {after}"));
            }
        }
    }
}

async fn a_stream_is_read_from_anywhere(store: Store) {
    fill(&store).await;
    let positions: Vec<u64> = (1..=EVENTS).filter(|number| number % 3 == 1).collect();
    let count = positions.len() as u64;
    for from in 0..=count + 1 {
        for limit in 1..=positions.len() + 1 {
            let forward: Vec<u64> = positions.iter().copied().skip(from.saturating_sub(1) as usize).collect();
            let backward: Vec<u64> = positions.iter().copied().take(from as usize).rev().collect();
            for (direction, positions, end) in
                [(Direction::Forward, forward, EVENTS), (Direction::Backward, backward, 0)]
            {
                let batch = ok(store.read_stream(&stream(STREAMS[1]), version(from), direction, limit).await);
                assert_batch(&batch, &positions, limit, end, &format!("{limit} {direction:?} from version {from}"));
                assert!(batch.events.iter().all(|event| event.stream == stream(STREAMS[1])));
            }
        }
    }
}

async fn the_ends_of_the_numbers(store: Store) {
    fill(&store).await;
    let everything = Selection::everything();
    let batch = ok(store.read(&everything, Position::MAX, Direction::Backward, 2).await);
    assert_batch(&batch, &[11, 10, 9], 2, 0, "backward from the head");
    let batch = ok(store.read(&everything, Position::MAX, Direction::Forward, 2).await);
    assert_batch(&batch, &[], 2, u64::MAX, "forward from beyond everything");
    let name = stream(STREAMS[1]);
    let batch = ok(store.read_stream(&name, Version::MAX, Direction::Backward, 2).await);
    assert_batch(&batch, &[10, 7, 4, 1], 2, 0, "a stream backward from its end");
    let batch = ok(store.read_stream(&name, Version::MAX, Direction::Forward, 2).await);
    assert_batch(&batch, &[], 2, EVENTS, "a stream forward from beyond its end");
    let batch = ok(store.read(&everything, Position::ZERO, Direction::Forward, usize::MAX).await);
    assert_batch(&batch, &(1..=EVENTS).collect::<Vec<_>>(), usize::MAX, EVENTS, "everything at once");
    assert_eq!(head(&store).await, position(EVENTS));
}
