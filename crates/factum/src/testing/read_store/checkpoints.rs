//! Checkpoints: moved with the effects they stand for, by the owner, from where it left them.

use std::collections::BTreeSet;

use super::{BALANCES, Case, LINES, claimed, get, pairs, put, read, rows, write};
use crate::{
    model::{EventId, Incarnation, ProjectionKey},
    read::{Checkpoint, CheckpointMove, Epoch, Lane, ReadError, ReadStore},
    store::Position,
    testing::{SOURCE, case::ok},
};

pub(super) const CASES: &[Case] = &[
    ("a_checkpoint_moves_with_its_effects", a_checkpoint_moves_with_its_effects),
    ("a_checkpoint_moves_only_from_where_it_is", a_checkpoint_moves_only_from_where_it_is),
    ("several_lanes_move_together_or_not_at_all", several_lanes_move_together_or_not_at_all),
    ("failed_work_moves_no_checkpoint", failed_work_moves_no_checkpoint),
    ("a_claim_fences_the_owner_before", a_claim_fences_the_owner_before),
    ("every_claim_gets_an_epoch_of_its_own", every_claim_gets_an_epoch_of_its_own),
    ("projections_and_versions_have_their_own_checkpoints", projections_and_versions_have_their_own_checkpoints),
];

fn at(position: u64) -> Checkpoint {
    let event_id = EventId::from_uuid(uuid::Uuid::from_u128(u128::from(position)));
    Checkpoint { position: Position::new(position), incarnation: SOURCE.incarnation, event_id: Some(event_id) }
}

fn step(lane: &Lane, previous: Option<Checkpoint>, next: Checkpoint) -> CheckpointMove {
    CheckpointMove { lane: lane.clone(), previous, next }
}

/// Puts `key` and moves checkpoints.
fn advance(store: &dyn ReadStore, epoch: Epoch, moves: &[CheckpointMove], key: &str) -> Result<(), ReadError> {
    store.write(BALANCES, epoch, moves, &mut |tx| {
        put(tx, key, "1");
        Ok(())
    })
}

#[track_caller]
fn assert_moved(result: Result<(), ReadError>, lane: &Lane) {
    match result {
        Err(ReadError::Moved { projection, lane: named }) => {
            assert_eq!((projection, named.as_str()), (BALANCES.to_string(), lane.as_str()));
        }
        other => panic!("expected Moved: {other:?}"),
    }
}

#[track_caller]
fn assert_fenced(result: Result<(), ReadError>, by: Epoch) {
    match result {
        Err(ReadError::Fenced { projection, current, .. }) => {
            assert_eq!((projection, current), (BALANCES.to_string(), by.0));
        }
        other => panic!("expected Fenced: {other:?}"),
    }
}

fn a_checkpoint_moves_with_its_effects(store: &dyn ReadStore) {
    assert_eq!(ok(store.checkpoints(BALANCES)), []);
    let (epoch, lane) = (claimed(store), Lane::own_store());
    ok(advance(store, epoch, &[step(&lane, None, at(7))], "a"));
    assert_eq!(ok(store.checkpoints(BALANCES)), [(lane.clone(), at(7))]);
    let without_id = Checkpoint { event_id: None, position: Position::MAX, ..at(7) };
    ok(advance(store, epoch, &[step(&lane, Some(at(7)), without_id)], "b"));
    assert_eq!(ok(store.checkpoints(BALANCES)), [(lane, without_id)]);
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1"), ("b", "1")])));
}

fn a_checkpoint_moves_only_from_where_it_is(store: &dyn ReadStore) {
    let (epoch, lane) = (claimed(store), Lane::own_store());
    assert_moved(advance(store, epoch, &[step(&lane, Some(at(1)), at(2))], "a"), &lane);
    ok(advance(store, epoch, &[step(&lane, None, at(2))], "b"));
    let stranger = Incarnation::from_uuid(uuid::Uuid::from_u128(9));
    let wrong = [
        None,
        Some(at(1)),
        Some(at(3)),
        Some(Checkpoint { event_id: None, ..at(2) }),
        Some(Checkpoint { event_id: at(3).event_id, ..at(2) }),
        Some(Checkpoint { incarnation: stranger, ..at(2) }),
    ];
    for previous in wrong {
        assert_moved(advance(store, epoch, &[step(&lane, previous, at(4))], "c"), &lane);
    }
    assert_eq!(ok(store.checkpoints(BALANCES)), [(lane.clone(), at(2))]);
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("b", "1")])));
    ok(advance(store, epoch, &[step(&lane, Some(at(2)), at(4))], "d"));
}

fn several_lanes_move_together_or_not_at_all(store: &dyn ReadStore) {
    let epoch = claimed(store);
    let topic = "bank.accounts.account.events";
    let (first, second) = (Lane::topic(&SOURCE, topic, 0), Lane::topic(&SOURCE, topic, 1));
    let offset = Lane::offset("a topic's name with 'quotes' and \"more\"", 0);
    ok(advance(store, epoch, &[step(&first, None, at(1)), step(&second, None, at(2))], "a"));
    let torn = [step(&first, Some(at(1)), at(3)), step(&second, Some(at(1)), at(4))];
    assert_moved(advance(store, epoch, &torn, "b"), &second);
    let mut lanes = ok(store.checkpoints(BALANCES));
    lanes.sort_by_key(|(lane, _)| lane.clone());
    assert_eq!(lanes, [(first.clone(), at(1)), (second, at(2))]);
    // Twice on one lane: the second step starts where the first one ended.
    let chain = [step(&first, Some(at(1)), at(5)), step(&offset, None, at(1)), step(&first, Some(at(5)), at(6))];
    ok(advance(store, epoch, &chain, "c"));
    let lanes = ok(store.checkpoints(BALANCES));
    assert_eq!(lanes.len(), 3);
    assert!(lanes.contains(&(first, at(6))) && lanes.contains(&(offset, at(1))), "{lanes:?}");
    read(store, |snapshot| assert_eq!(get(snapshot, "b"), None));
}

fn failed_work_moves_no_checkpoint(store: &dyn ReadStore) {
    let (epoch, lane) = (claimed(store), Lane::own_store());
    let result = store.write(BALANCES, epoch, &[step(&lane, None, at(1))], &mut |tx| {
        put(tx, "a", "1");
        Err(ReadError::Broken("no".to_owned()))
    });
    assert!(matches!(result, Err(ReadError::Broken(_))), "{result:?}");
    assert_eq!(ok(store.checkpoints(BALANCES)), []);
}

fn a_claim_fences_the_owner_before(store: &dyn ReadStore) {
    let lane = Lane::own_store();
    let displaced = claimed(store);
    ok(advance(store, displaced, &[step(&lane, None, at(1))], "a"));
    let owner = claimed(store);
    assert!(owner > displaced, "{owner:?} must be above {displaced:?}");
    assert_fenced(advance(store, displaced, &[step(&lane, Some(at(1)), at(2))], "b"), owner);
    assert_fenced(advance(store, displaced, &[], "b"), owner);
    // An epoch that nobody was given owns nothing either.
    assert_fenced(advance(store, Epoch(owner.0 + 1), &[], "b"), owner);
    // Being displaced is what it learns, also where its view of the checkpoint is outdated.
    ok(advance(store, owner, &[step(&lane, Some(at(1)), at(2))], "c"));
    assert_fenced(advance(store, displaced, &[step(&lane, Some(at(1)), at(2))], "b"), owner);
    assert_eq!(ok(store.checkpoints(BALANCES)), [(lane.clone(), at(2))]);
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1"), ("c", "1")])));
    let back = claimed(store);
    ok(advance(store, back, &[step(&lane, Some(at(2)), at(3))], "d"));
}

fn every_claim_gets_an_epoch_of_its_own(store: &dyn ReadStore) {
    const CLAIMS: usize = 8;
    let epochs: BTreeSet<Epoch> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..CLAIMS).map(|_| scope.spawn(|| claimed(store))).collect();
        claims.into_iter().filter_map(|claim| claim.join().ok()).collect()
    });
    assert_eq!(epochs.len(), CLAIMS, "{epochs:?}");
    assert!(!epochs.contains(&Epoch::default()), "epoch 0 is the one before the first claim");
    let last = epochs.last().copied().unwrap_or_default();
    ok(advance(store, last, &[], "a"));
}

fn projections_and_versions_have_their_own_checkpoints(store: &dyn ReadStore) {
    let lane = Lane::own_store();
    let next_version = ProjectionKey { version: 2, ..BALANCES };
    let other = ProjectionKey { name: "totals", version: 1 };
    let epoch = claimed(store);
    for (number, projection) in [(1, next_version), (2, other)] {
        let epoch = ok(store.claim(projection));
        ok(store.write(projection, epoch, &[step(&lane, None, at(number))], &mut |_| Ok(())));
        ok(store.claim(projection));
    }
    // Neither was it fenced by their claims, nor is its lane where theirs are.
    ok(advance(store, epoch, &[step(&lane, None, at(3))], "a"));
    for (number, projection) in [(3, BALANCES), (1, next_version), (2, other)] {
        assert_eq!(ok(store.checkpoints(projection)), [(lane.clone(), at(number))]);
    }
}

pub(super) fn everything_committed_survives_reopening(open: &dyn Fn() -> Box<dyn ReadStore>) {
    let lane = Lane::own_store();
    let mut last = Epoch::default();
    for round in 1..=3 {
        let store = open();
        let before = if round == 1 { None } else { Some(at(round - 1)) };
        assert_eq!(
            ok(store.checkpoints(BALANCES)),
            before.map(|at| (lane.clone(), at)).into_iter().collect::<Vec<_>>()
        );
        read(&*store, |snapshot| assert_eq!(rows(snapshot, LINES).len() as u64, round - 1));
        if round > 1 {
            // Reopening is no claim: the owner's epoch is in force until another one claims.
            write(&*store, last, |tx| assert_eq!(get(tx, &(round - 1).to_string()).as_deref(), Some("1")));
        }
        let epoch = claimed(&*store);
        assert!(epoch > last, "{epoch:?} must be above {last:?}, which was given before the store was opened again");
        last = epoch;
        ok(advance(&*store, epoch, &[step(&lane, before, at(round))], &round.to_string()));
    }
}
