//! Generations: several read models of one projection beside each other, of which one answers.

use std::sync::Arc;

use super::{BALANCES, LINES, claimed, get, pairs, put, read, rows, write};
use crate::{
    model::{Incarnation, ProjectionKey},
    read::{
        Checkpoint, CheckpointMove, Claimed, Epoch, GENERATIONS_KEPT_MAX, Generation, Generations, Key, Lane,
        ReadError, ReadStore, Role, StoredModel, TableName,
    },
    store::Position,
    testing::case::ok,
};

pub(super) type Case = (&'static str, fn(&dyn ReadStore));

pub(super) const CASES: &[Case] = &[
    ("the_first_generation_is_live_from_its_first_claim_on", the_first_generation_is_live_from_its_first_claim_on),
    ("a_generation_begins_empty_and_unseen", a_generation_begins_empty_and_unseen),
    ("a_view_reads_the_live_tables_of_other_projections", a_view_reads_the_live_tables_of_other_projections),
    ("a_switch_is_seen_whole_or_not_at_all", a_switch_is_seen_whole_or_not_at_all),
    ("a_switch_needs_both_epochs_and_a_live_one_to_leave", a_switch_needs_both_epochs_and_a_live_one_to_leave),
    ("a_switch_keeps_one_and_retires_what_was_kept_before", a_switch_keeps_one_and_retires_what_was_kept_before),
    ("roles_change_but_not_which_one_answers", roles_change_but_not_which_one_answers),
    ("what_is_discarded_is_gone_and_its_feeder_fenced", what_is_discarded_is_gone_and_its_feeder_fenced),
    ("an_inspection_sees_every_generation_as_of_one_moment", an_inspection_sees_every_generation_as_of_one_moment),
];

#[track_caller]
fn generations(store: &dyn ReadStore) -> &dyn Generations {
    match store.generations() {
        Some(generations) => generations,
        None => panic!("this store holds no generations"),
    }
}

fn at(position: u64) -> Checkpoint {
    let incarnation = Incarnation::from_uuid(uuid::Uuid::from_u128(1));
    Checkpoint { position: Position::new(position), incarnation, event_id: None }
}

fn step(previous: Option<u64>, next: u64) -> CheckpointMove {
    CheckpointMove { lane: Lane::own_store(), previous: previous.map(at), next: at(next) }
}

/// Claims a view and writes one row to it.
#[track_caller]
fn fill(view: &dyn ReadStore, key: &str, previous: Option<u64>, next: u64) -> Epoch {
    let epoch = claimed(view);
    ok(view.write(BALANCES, epoch, &[step(previous, next)], &mut |tx| {
        put(tx, key, "1");
        Ok(())
    }));
    epoch
}

fn begun(store: &dyn ReadStore) -> (Generation, Arc<dyn ReadStore>) {
    let generation = ok(generations(store).begin(BALANCES, Role::Filling));
    (generation, generations(store).view(BALANCES, generation))
}

fn model(generation: Generation, role: Role) -> StoredModel {
    StoredModel { name: BALANCES.name.to_owned(), version: BALANCES.version, generation, role }
}

fn the_first_generation_is_live_from_its_first_claim_on(store: &dyn ReadStore) {
    assert_eq!(ok(generations(store).models()), []);
    fill(store, "a", None, 1);
    assert_eq!(ok(generations(store).models()), [model(Generation::FIRST, Role::Live)]);
    let first = generations(store).view(BALANCES, Generation::FIRST);
    assert_eq!(ok(first.checkpoints(BALANCES)), [(Lane::own_store(), at(1))]);
    read(&*first, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1")])));
}

fn a_generation_begins_empty_and_unseen(store: &dyn ReadStore) {
    let owner = fill(store, "a", None, 1);
    let (second, view) = begun(store);
    assert!(second > Generation::FIRST, "{second:?}");
    assert_eq!(ok(view.checkpoints(BALANCES)), []);
    read(&*view, |snapshot| assert_eq!(rows(snapshot, LINES), []));
    fill(&*view, "b", None, 7);
    // Neither does who asks see it, nor is who feeds the live one fenced.
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1")])));
    assert_eq!(ok(store.checkpoints(BALANCES)), [(Lane::own_store(), at(1))]);
    write(store, owner, |tx| assert_eq!(get(tx, "b"), None));
    read(&*view, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("b", "1")])));
    assert_eq!(ok(view.checkpoints(BALANCES)), [(Lane::own_store(), at(7))]);
    let models = [model(Generation::FIRST, Role::Live), model(second, Role::Filling)];
    assert_eq!(ok(generations(store).models()), models);
    assert!(generations(store).begin(BALANCES, Role::Live).is_err(), "a generation becomes live by a switch");
}

fn a_view_reads_the_live_tables_of_other_projections(store: &dyn ReadStore) {
    let other = ProjectionKey { name: "rates", version: 3 };
    let rates = TableName { projection: other, table: "rates" };
    let epoch = ok(store.claim(other));
    ok(store.write(other, epoch, &[], &mut |tx| tx.put(rates, &Key::from("EUR"), b"7".to_vec())));
    let (_, view) = begun(store);
    let epoch = claimed(&*view);
    write(&*view, epoch, |tx| assert_eq!(ok(tx.get(rates, &Key::from("EUR"))), Some(b"7".to_vec())));
}

fn a_switch_is_seen_whole_or_not_at_all(store: &dyn ReadStore) {
    let from = Claimed { generation: Generation::FIRST, epoch: fill(store, "a", None, 1) };
    let (second, view) = begun(store);
    let to = Claimed { generation: second, epoch: fill(&*view, "b", None, 1) };
    read(store, |snapshot| {
        assert_eq!(get(snapshot, "a").as_deref(), Some("1"));
        ok(generations(store).switch(BALANCES, from, to));
        // What was begun before goes on as it began.
        assert_eq!(rows(snapshot, LINES), pairs([("a", "1")]));
    });
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("b", "1")])));
    let models = [model(Generation::FIRST, Role::Kept), model(second, Role::Live)];
    assert_eq!(ok(generations(store).models()), models);
    // The one before is still fed, and can be switched back to.
    let first = generations(store).view(BALANCES, Generation::FIRST);
    write(&*first, from.epoch, |tx| put(tx, "c", "2"));
    ok(generations(store).switch(BALANCES, to, from));
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1"), ("c", "2")])));
}

fn a_switch_needs_both_epochs_and_a_live_one_to_leave(store: &dyn ReadStore) {
    let from = Claimed { generation: Generation::FIRST, epoch: fill(store, "a", None, 1) };
    let (second, view) = begun(store);
    let to = Claimed { generation: second, epoch: fill(&*view, "b", None, 1) };
    let displaced = |claimed: Claimed| Claimed { epoch: Epoch(claimed.epoch.0 - 1), ..claimed };
    let generations = generations(store);
    for (from, to) in [(displaced(from), to), (from, displaced(to))] {
        let result = generations.switch(BALANCES, from, to);
        assert!(matches!(result, Err(ReadError::Fenced { .. })), "{result:?}");
    }
    assert!(generations.switch(BALANCES, to, from).is_err(), "what is not live cannot be left");
    assert!(generations.switch(BALANCES, from, from).is_err(), "what is live cannot become it");
    let nowhere = Claimed { generation: Generation(second.0 + 1), epoch: Epoch(0) };
    assert!(generations.switch(BALANCES, from, nowhere).is_err(), "what is not there cannot become live");
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1")])));
}

fn a_switch_keeps_one_and_retires_what_was_kept_before(store: &dyn ReadStore) {
    let other = ProjectionKey { name: "rates", version: 3 };
    ok(store.claim(other));
    let others = ok(generations(store).begin(other, Role::Kept));
    let mut live = Claimed { generation: Generation::FIRST, epoch: fill(store, "a", None, 1) };
    for _ in 0..2 {
        let (next, view) = begun(store);
        let to = Claimed { generation: next, epoch: fill(&*view, "b", None, 1) };
        ok(generations(store).switch(BALANCES, live, to));
        live = to;
    }
    let roles: Vec<_> = ok(generations(store).models())
        .into_iter()
        .map(|model| (model.name == BALANCES.name, model.generation, model.role))
        .collect();
    let (second, third) = (Generation(2), Generation(3));
    let expected = [
        (true, Generation::FIRST, Role::Retired),
        (true, second, Role::Kept),
        (true, third, Role::Live),
        (false, Generation::FIRST, Role::Live),
        (false, others, Role::Kept),
    ];
    assert_eq!(roles, expected);
    assert!(roles.iter().filter(|(own, _, role)| *own && *role == Role::Kept).count() <= GENERATIONS_KEPT_MAX);
    // On the way back, too.
    let (fourth, _) = begun(store);
    ok(generations(store).set_role(BALANCES, fourth, Role::Kept));
    let to = Claimed { generation: second, epoch: claimed(&*generations(store).view(BALANCES, second)) };
    ok(generations(store).switch(BALANCES, live, to));
    let kept: Vec<_> = ok(generations(store).models());
    let kept = kept.iter().filter(|model| model.is_of(BALANCES) && model.role == Role::Kept);
    assert_eq!(kept.map(|model| model.generation).collect::<Vec<_>>(), [third]);
}

fn roles_change_but_not_which_one_answers(store: &dyn ReadStore) {
    fill(store, "a", None, 1);
    let (second, _) = begun(store);
    let generations = generations(store);
    ok(generations.set_role(BALANCES, second, Role::Replacing));
    let models = [model(Generation::FIRST, Role::Live), model(second, Role::Replacing)];
    assert_eq!(ok(generations.models()), models);
    assert!(generations.set_role(BALANCES, second, Role::Live).is_err(), "a generation becomes live by a switch");
    assert!(generations.set_role(BALANCES, Generation::FIRST, Role::Kept).is_err(), "one must answer");
    assert!(generations.set_role(BALANCES, Generation(9), Role::Kept).is_err(), "it is not there");
    assert_eq!(ok(generations.models()), models);
}

fn what_is_discarded_is_gone_and_its_feeder_fenced(store: &dyn ReadStore) {
    fill(store, "a", None, 1);
    let (second, view) = begun(store);
    let epoch = fill(&*view, "b", None, 1);
    for _ in 0..2 {
        ok(generations(store).discard(&model(second, Role::Filling)));
    }
    assert_eq!(ok(generations(store).models()), [model(Generation::FIRST, Role::Live)]);
    assert_eq!(ok(view.checkpoints(BALANCES)), []);
    read(&*view, |snapshot| assert_eq!(rows(snapshot, LINES), []));
    let late = view.write(BALANCES, epoch, &[], &mut |tx| {
        put(tx, "c", "1");
        Ok(())
    });
    assert!(matches!(late, Err(ReadError::Fenced { .. })), "{late:?}");
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1")])));
    let (third, _) = begun(store);
    assert!(third > second, "a number is never used again: {third:?}");
}

fn an_inspection_sees_every_generation_as_of_one_moment(store: &dyn ReadStore) {
    let owner = fill(store, "a", None, 1);
    let (second, view) = begun(store);
    fill(&*view, "a", None, 1);
    ok(generations(store).inspect(&mut |inspection| {
        assert_eq!(ok(inspection.checkpoints(BALANCES, Generation::FIRST)), [(Lane::own_store(), at(1))]);
        ok(store.write(BALANCES, owner, &[step(Some(1), 2)], &mut |tx| {
            put(tx, "b", "2");
            Ok(())
        }));
        for generation in [Generation::FIRST, second] {
            assert_eq!(ok(inspection.checkpoints(BALANCES, generation)), [(Lane::own_store(), at(1))]);
            assert_eq!(ok(inspection.tables(BALANCES, generation)), ["lines"]);
            let found = ok(inspection.rows(BALANCES, generation, "lines", None, usize::MAX));
            assert_eq!(found, [(Key::from("a"), b"1".to_vec())]);
        }
        Ok(())
    }));
    ok(generations(store).inspect(&mut |inspection| {
        let first = Generation::FIRST;
        assert_eq!(ok(inspection.rows(BALANCES, first, "lines", None, 1)), [(Key::from("a"), b"1".to_vec())]);
        let rest = ok(inspection.rows(BALANCES, first, "lines", Some(&Key::from("a")), 9));
        assert_eq!(rest, [(Key::from("b"), b"2".to_vec())]);
        assert_eq!(ok(inspection.rows(BALANCES, first, "nothing", None, 9)), []);
        Ok(())
    }));
}

/// Which generation answers, and what the others are there for, outlives the process.
pub(super) fn roles_survive_reopening(open: &dyn Fn() -> Box<dyn ReadStore>) {
    let store = open();
    let from = Claimed { generation: Generation::FIRST, epoch: fill(&*store, "a", None, 1) };
    let (second, view) = begun(&*store);
    let to = Claimed { generation: second, epoch: fill(&*view, "b", None, 1) };
    ok(generations(&*store).switch(BALANCES, from, to));
    let (third, _) = begun(&*store);
    drop((view, store));
    let store = open();
    let models = [model(Generation::FIRST, Role::Kept), model(second, Role::Live), model(third, Role::Filling)];
    assert_eq!(ok(generations(&*store).models()), models);
    read(&*store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("b", "1")])));
    assert_eq!(ok(store.checkpoints(BALANCES)), [(Lane::own_store(), at(1))]);
}
