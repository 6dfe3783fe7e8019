//! Boundaries: an append is refused when something happened that its decision did not know.

use super::{
    Case, Store, append_tagged, command, head, join_all, position, request, spawn_all, stream, tag, tagged, version,
};
use crate::{
    store::{Append, AppendError, Boundary, CLAUSE_NAMES_MAX, Clause, ExpectedVersion, Position, Receipt, Selection},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("nothing_like_it_may_exist", |store| Box::pin(nothing_like_it_may_exist(store))),
    ("only_what_matches_behind_it_crosses_a_boundary", |store| Box::pin(only_what_matches_behind_it(store))),
    ("a_boundary_beyond_the_head_is_refused", |store| Box::pin(a_boundary_beyond_the_head(store))),
    ("an_append_does_not_cross_its_own_boundary", |store| Box::pin(an_append_does_not_cross_its_own(store))),
    ("a_repeat_gets_its_answer_whatever_its_boundary_says_now", |store| Box::pin(a_repeat_gets_its_answer(store))),
    ("versions_are_judged_before_the_boundary", |store| Box::pin(versions_are_judged_first(store))),
    ("what_a_boundary_refused_left_nothing", |store| Box::pin(what_was_refused_left_nothing(store))),
    ("of_racing_appends_with_one_boundary_one_wins", |store| Box::pin(one_of_racing_appends_wins(store))),
    ("racing_appends_that_do_not_touch_all_win", |store| Box::pin(racing_strangers_all_win(store))),
    ("a_boundary_over_a_limit_is_refused", |store| Box::pin(a_boundary_over_a_limit(store))),
];

const REGISTERED: &str = "user.registered";

/// A new user under an address, unless an event of the boundary happened.
fn register(user: u64, address: &str, boundary: Boundary) -> Append {
    let events = vec![tagged(REGISTERED, &[address])];
    request().stream(stream(&format!("user-{user}")), ExpectedVersion::Any, events).unless(boundary)
}

fn nobody_has(address: &str) -> Boundary {
    Boundary::nothing_like(Clause::names([REGISTERED]).tag(tag(address)))
}

/// The boundary was crossed, as these numbers tell.
#[track_caller]
fn assert_crossed(result: Result<Receipt, AppendError>, expected: (usize, u64, u64)) {
    match result {
        Err(AppendError::BoundaryCrossed { clause, after, found }) => {
            assert_eq!((clause, after.get(), found.get()), expected, "(clause, after, found)");
        }
        other => panic!("expected a crossed boundary: {other:?}"),
    }
}

async fn nothing_like_it_may_exist(store: Store) {
    let register = |user, address| register(user, address, nobody_has(address));
    ok(store.append(register(1, "address:ada")).await);
    assert_crossed(store.append(register(2, "address:ada")).await, (0, 0, 1));
    ok(store.append(register(2, "address:bob")).await);
    // Another name with the same tag is something else.
    append_tagged(&store, "user-3", "user.invited", &["address:eve"]).await;
    ok(store.append(register(3, "address:eve")).await);
    assert_eq!(head(&store).await, position(4));
}

async fn only_what_matches_behind_it(store: Store) {
    for (name, tags) in [
        ("seat.offered", &["show:1"][..]),
        ("seat.taken", &["show:1", "seat:a"]),
        ("seat.taken", &["show:2", "seat:a"]),
        ("show.cancelled", &["show:2"]),
    ] {
        append_tagged(&store, "show-1", name, tags).await;
    }
    let taken = Clause::names(["seat.taken", "seat.held"]).and_tags([tag("show:1"), tag("seat:a")]);
    let cancelled = Clause::names(["show.cancelled"]);
    let either = || Selection::of(taken.clone()).or(cancelled.clone());
    let take = |boundary| {
        request().stream(stream("show-9"), ExpectedVersion::Any, vec![tagged("seat.held", &[])]).unless(boundary)
    };
    for (selection, after, crossed) in [
        (taken.clone().into(), 1, Some((0, 1, 2))),
        (either(), 0, Some((0, 0, 2))),
        // The position itself was read.
        (either(), 2, Some((1, 2, 4))),
        (cancelled.clone().into(), 3, Some((0, 3, 4))),
        (Selection::everything(), 3, Some((0, 3, 4))),
        (taken.clone().into(), 2, None),
        (either(), 4, None),
        // All of the tags, not any of them.
        (Clause::tags([tag("show:2"), tag("seat:a")]).into(), 3, None),
        (Clause::tags([tag("seat:b")]).into(), 0, None),
    ] {
        let what = format!("{selection:?} after {after}");
        match (store.append(take(Boundary::new(selection, position(after)))).await, crossed) {
            (result, Some(crossed)) => assert_crossed(result, crossed),
            (result, None) => assert!(result.is_ok(), "{what}: {result:?}"),
        }
    }
}

async fn a_boundary_beyond_the_head(store: Store) {
    let nothing: Selection = Clause::tags([tag("address:nobody")]).into();
    let at = |after| register(1, "address:ada", Boundary::new(nothing.clone(), position(after)));
    let refused = |result: Result<Receipt, AppendError>, expected: (u64, u64)| match result {
        Err(AppendError::BoundaryBeyondHead { after, head }) => assert_eq!((after.get(), head.get()), expected),
        other => panic!("expected a boundary beyond the head: {other:?}"),
    };
    refused(store.append(at(1)).await, (1, 0));
    ok(store.append(at(0)).await);
    refused(store.append(at(2)).await, (2, 1));
    refused(store.append(at(u64::MAX)).await, (u64::MAX, 1));
    ok(store.append(at(1)).await);
    assert_eq!(head(&store).await, position(2));
}

async fn an_append_does_not_cross_its_own(store: Store) {
    let events = vec![tagged(REGISTERED, &["address:ada"]), tagged(REGISTERED, &["address:ada"])];
    let append = request().stream(stream("user-1"), ExpectedVersion::NoStream, events);
    assert_eq!(ok(store.append(append.unless(nobody_has("address:ada"))).await).last, position(2));
}

async fn a_repeat_gets_its_answer(store: Store) {
    let append = |fingerprint| register(1, "address:ada", nobody_has("address:ada")).command(command(1, fingerprint));
    let first = ok(store.append(append(1)).await);
    append_tagged(&store, "user-2", REGISTERED, &["address:ada"]).await;
    // What it appended itself stands behind its boundary by now.
    assert_eq!(ok(store.append(append(1)).await), Receipt { repeated: true, ..first });
    let reused = store.append(append(2)).await;
    assert!(matches!(reused, Err(AppendError::CommandIdReused(_))), "{reused:?}");
    assert_eq!(head(&store).await, position(2));
}

async fn versions_are_judged_first(store: Store) {
    append_tagged(&store, "user-1", REGISTERED, &["address:ada"]).await;
    for boundary in [nobody_has("address:ada"), Boundary::new(Selection::everything(), Position::MAX)] {
        let events = vec![tagged(REGISTERED, &["address:ada"])];
        let append = request().stream(stream("user-1"), ExpectedVersion::NoStream, events).unless(boundary);
        let result = store.append(append).await;
        assert!(matches!(result, Err(AppendError::Conflict { actual, .. }) if actual == version(1)), "{result:?}");
    }
}

async fn what_was_refused_left_nothing(store: Store) {
    append_tagged(&store, "user-1", REGISTERED, &["address:ada"]).await;
    let append = |boundary| {
        register(2, "address:ada", boundary).stream(stream("user-3"), ExpectedVersion::NoStream, vec![tagged("x", &[])])
    };
    let record = command(1, 1);
    assert_crossed(store.append(append(nobody_has("address:ada")).command(record)).await, (0, 0, 1));
    assert_eq!(head(&store).await, position(1));
    assert_eq!(ok(store.command(record.id).await), None);
    // Read again and decided again, under the same command id.
    let read_again = Boundary::new(nobody_has("address:ada").selection, position(1));
    let receipt = ok(store.append(append(read_again).command(record)).await);
    assert!(!receipt.repeated);
    assert_eq!(receipt.streams, [(stream("user-2"), version(1)), (stream("user-3"), version(1))]);
}

async fn one_of_racing_appends_wins(store: Store) {
    const RACERS: u64 = 32;
    const ROUNDS: u64 = 4;
    for round in 0..ROUNDS {
        let address = format!("address:{round}");
        let tasks = spawn_all(RACERS, |racer| {
            let (store, address) = (store.clone(), address.clone());
            // Streams of their own: only the boundary stands between them.
            let append = register(round * RACERS + racer, &address, nobody_has(&address));
            async move { store.append(append).await }
        });
        let (won, lost): (Vec<_>, Vec<_>) = join_all(tasks).await.into_iter().partition(Result::is_ok);
        assert_eq!((won.len() as u64, lost.len() as u64), (1, RACERS - 1), "round {round}");
        for lost in lost {
            assert_crossed(lost, (0, 0, round + 1));
        }
    }
    assert_eq!(head(&store).await, position(ROUNDS));
}

async fn racing_strangers_all_win(store: Store) {
    const RACERS: u64 = 32;
    let tasks = spawn_all(RACERS, |racer| {
        let (store, address) = (store.clone(), format!("address:{racer}"));
        async move { store.append(register(racer, &address, nobody_has(&address))).await }
    });
    for result in join_all(tasks).await {
        ok(result);
    }
    assert_eq!(head(&store).await, position(RACERS));
}

async fn a_boundary_over_a_limit(store: Store) {
    let names = (0..=CLAUSE_NAMES_MAX).map(|number| format!("n{number}"));
    for clause in [Clause::names(names), Clause::names([""])] {
        let result = store.append(register(1, "address:ada", Boundary::nothing_like(clause))).await;
        assert!(matches!(result, Err(AppendError::Refused(_))), "{result:?}");
    }
    assert_eq!(head(&store).await, Position::ZERO);
}
