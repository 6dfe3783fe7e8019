//! Reading by selection: what matches, all of it, once, however small the pages.

use super::{Case, Store, append_tagged, join_all, position, spawn_all, stream, tag, tagged, visible};
use crate::{
    store::{
        CLAUSE_NAMES_MAX, CLAUSE_TAGS_MAX, Clause, Direction, ExpectedVersion, InvalidSelection, Position,
        SELECTION_CLAUSES_MAX, Selection, StoreError, Subscription,
    },
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("a_selection_is_any_of_its_clauses", |store| Box::pin(a_selection_is_any_of_its_clauses(store))),
    ("a_selection_is_read_from_anywhere", |store| Box::pin(a_selection_is_read_from_anywhere(store))),
    ("what_does_not_match_is_passed_over", |store| Box::pin(what_does_not_match_is_passed_over(store))),
    ("a_subscription_gets_on_over_what_is_filtered", |store| Box::pin(a_subscription_gets_on(store))),
    ("hostile_names_and_tags_select_only_themselves", |store| Box::pin(hostile_names_and_tags(store))),
    ("pages_miss_nothing_while_others_append", |store| Box::pin(pages_miss_nothing_while_others_append(store))),
    ("a_selection_over_a_limit_is_refused", |store| Box::pin(a_selection_over_a_limit_is_refused(store))),
];

/// Every position of a selection from `after` on, read in pages of at most `limit`; and how far that got.
async fn walk(
    store: &Store,
    selection: &Selection,
    after: Position,
    direction: Direction,
    limit: usize,
) -> (Vec<u64>, Position) {
    let (mut found, mut at) = (Vec::new(), after);
    loop {
        let batch = ok(store.read(selection, at, direction, limit).await);
        assert!(batch.events.len() <= limit, "{} events, {limit} were asked for", batch.events.len());
        for event in &batch.events {
            let (last, here) = (found.last().copied().unwrap_or(after.get()), event.position.get());
            let (is_ahead, is_read) = match direction {
                Direction::Forward => (here > last, event.position <= batch.read_to),
                Direction::Backward => (here < last, event.position >= batch.read_to),
            };
            assert!(is_ahead, "{here} comes after {last}, {direction:?}");
            assert!(is_read, "{here} lies beyond {}, up to where it was read", batch.read_to);
            assert!(
                selection.matches(&event.name, event.tags.iter().map(crate::Tag::as_str)),
                "{here} was not selected"
            );
            found.push(here);
        }
        let gets_on = if direction == Direction::Forward { batch.read_to > at } else { batch.read_to < at };
        assert!(batch.end || gets_on, "a read that is not at the end gets on from {at}");
        at = batch.read_to;
        if batch.end {
            return (found, at);
        }
    }
}

/// Events 1 to 9: (name, tags).
const EVENTS: [(&str, &[&str]); 9] = [
    ("account.opened", &["holder:ada", "currency:EUR"]),
    ("account.opened", &["holder:bob"]),
    ("account.funds-deposited", &["currency:EUR"]),
    ("account.funds-deposited", &[]),
    ("account.closed", &["holder:ada"]),
    ("account.opened", &["currency:EUR", "note:x", "holder:ada"]),
    ("account.funds-deposited", &["holder:ada:2", "holder:ad"]),
    ("account.Opened", &["holder:Ada"]),
    ("account.opened.v2", &["note:holder:ada"]),
];

async fn fill(store: &Store) {
    for (number, (name, tags)) in (0..).zip(EVENTS) {
        append_tagged(store, &format!("account-{}", number % 2), name, tags).await;
    }
    visible(store).await;
}

fn names<const N: usize>(names: [&'static str; N]) -> Clause {
    Clause::names(names)
}

fn tags<const N: usize>(texts: [&str; N]) -> Clause {
    Clause::tags(texts.map(tag))
}

/// Each with the positions it is to find.
fn selections() -> Vec<(Selection, &'static [u64])> {
    vec![
        (Selection::everything(), &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (names(["account.opened"]).into(), &[1, 2, 6]),
        (names(["account.closed", "account.funds-deposited"]).into(), &[3, 4, 5, 7]),
        (tags(["holder:ada"]).into(), &[1, 5, 6]),
        (tags(["holder:ada", "currency:EUR"]).into(), &[1, 6]),
        (names(["account.closed", "account.opened"]).tag(tag("holder:ada")).into(), &[1, 5, 6]),
        (names(["account.funds-deposited"]).tag(tag("holder:ada")).into(), &[]),
        // Any of the clauses; what matches two of them comes once.
        (Selection::of(names(["account.closed"])).or(tags(["currency:EUR"])).or(tags(["holder:ada"])), &[1, 3, 5, 6]),
        (Selection::of(names(["account.lost"])).or(tags(["holder:nobody"])), &[]),
        (tags(["holder:ad"]).into(), &[7]),
    ]
}

async fn a_selection_is_any_of_its_clauses(store: Store) {
    fill(&store).await;
    for (selection, expected) in selections() {
        let (found, read_to) = walk(&store, &selection, Position::ZERO, Direction::Forward, 100).await;
        assert_eq!((&found[..], read_to), (expected, position(9)), "{selection:?}");
    }
}

async fn a_selection_is_read_from_anywhere(store: Store) {
    fill(&store).await;
    for (selection, expected) in selections() {
        for after in 0..=10 {
            for limit in [1, 2, 3, 100] {
                let what = format!("{selection:?} after {after}, {limit} at a time");
                let ahead: Vec<u64> = expected.iter().copied().filter(|at| *at > after).collect();
                let walked = walk(&store, &selection, position(after), Direction::Forward, limit).await;
                assert_eq!(walked, (ahead, position(after.max(9))), "{what}, forward");
                let behind: Vec<u64> = expected.iter().copied().filter(|at| *at < after).rev().collect();
                let walked = walk(&store, &selection, position(after), Direction::Backward, limit).await;
                assert_eq!(walked, (behind, Position::ZERO), "{what}, backward");
            }
        }
        let walked = walk(&store, &selection, Position::MAX, Direction::Backward, 2).await;
        assert_eq!(walked, (expected.iter().copied().rev().collect(), Position::ZERO), "{selection:?} from the end");
    }
}

async fn what_does_not_match_is_passed_over(store: Store) {
    const BETWEEN: u64 = 500;
    for _ in 0..3 {
        append_tagged(&store, "account-1", "account.opened", &["holder:ada"]).await;
        let others = (0..BETWEEN).map(|_| tagged("account.funds-deposited", &[])).collect();
        ok(store.append(super::request().stream(stream("account-2"), ExpectedVersion::Any, others)).await);
    }
    let head = 3 * (BETWEEN + 1);
    visible(&store).await;
    let opened = names(["account.opened"]).into();
    let expected: Vec<u64> = (0..3).map(|round| round * (BETWEEN + 1) + 1).collect();
    for limit in [1, 10] {
        let walked = walk(&store, &opened, Position::ZERO, Direction::Forward, limit).await;
        assert_eq!(walked, (expected.clone(), position(head)));
        let walked = walk(&store, &opened, position(head + 1), Direction::Backward, limit).await;
        assert_eq!(walked, (expected.iter().copied().rev().collect(), Position::ZERO));
    }
    let nothing = tags(["holder:nobody"]).into();
    assert_eq!(walk(&store, &nothing, Position::ZERO, Direction::Forward, 1).await, (Vec::new(), position(head)));
}

/// A reader that follows a narrow selection can say how far it is, although nothing was for it.
async fn a_subscription_gets_on(store: Store) {
    fill(&store).await;
    let closed = names(["account.closed"]);
    let mut subscription = Subscription::new(store.clone(), closed.into(), Position::ZERO);
    let mut found = Vec::new();
    while subscription.position() < position(9) {
        found.extend(ok(subscription.next(1).await).events.iter().map(|event| event.position.get()));
    }
    assert_eq!(found, [5]);
    // The same when it is live.
    let follower = tokio::spawn(async move {
        let mut found = Vec::new();
        while subscription.position() < position(12) {
            found.extend(ok(subscription.next(1).await).events.iter().map(|event| event.position.get()));
        }
        found
    });
    for name in ["account.opened", "account.closed", "account.opened"] {
        append_tagged(&store, "account-1", name, &[]).await;
    }
    assert_eq!(ok(follower.await), [11]);
}

async fn hostile_names_and_tags(store: Store) {
    let longest = format!("k:{}", "v".repeat(253));
    let almost = format!("k:{}w", "v".repeat(252));
    let texts = [
        "k:'; DROP TABLE events; --",
        "k:\"",
        "k:%",
        "k:_",
        "k:*",
        "k:v",
        "k:V",
        "k:v ",
        "k::v",
        "k:v,k:%",
        "k:ü😀",
        "k:u\u{308}",
        &longest,
        &almost,
    ];
    for text in texts {
        append_tagged(&store, "account-1", text, &[text]).await;
    }
    visible(&store).await;
    for (at, text) in (1..).zip(texts) {
        for clause in [Clause::names([text.to_owned()]), tags([text]), tags([text]).name(text.to_owned())] {
            let found = walk(&store, &clause.into(), Position::ZERO, Direction::Forward, 100).await.0;
            assert_eq!(found, [at], "{text}");
        }
    }
}

async fn pages_miss_nothing_while_others_append(store: Store) {
    const WRITERS: u64 = 4;
    const APPENDS: u64 = 40;
    let writers = spawn_all(WRITERS, |writer| {
        let store = store.clone();
        async move {
            for round in 0..APPENDS {
                let parity = if (writer + round).is_multiple_of(2) { "parity:even" } else { "parity:odd" };
                append_tagged(&store, &format!("account-{writer}"), "account.opened", &[parity]).await;
            }
        }
    });
    let even: Selection = tags(["parity:even"]).into();
    let reader = tokio::spawn({
        let (store, even) = (store.clone(), even.clone());
        async move {
            let (mut found, mut at) = (Vec::new(), Position::ZERO);
            while at < position(WRITERS * APPENDS) {
                let batch = ok(store.read(&even, at, Direction::Forward, 3).await);
                found.extend(batch.events.iter().map(|event| event.position.get()));
                at = batch.read_to;
                tokio::task::yield_now().await;
            }
            found
        }
    });
    join_all(writers).await;
    visible(&store).await;
    let found = ok(reader.await);
    assert_eq!(found, walk(&store, &even, Position::ZERO, Direction::Forward, 1_000).await.0);
    assert_eq!(found.len() as u64, WRITERS * APPENDS / 2);
}

async fn a_selection_over_a_limit_is_refused(store: Store) {
    fill(&store).await;
    let numbered = |count: usize| (0..count).map(|number| format!("n{number}"));
    let clauses = |count: usize| (1..count).fold(Selection::of(names(["a"])), |all, _| all.or(names(["a"])));
    let allowed = Clause::names(numbered(CLAUSE_NAMES_MAX)).and_tags(vec![tag("k:v"); CLAUSE_TAGS_MAX]);
    for selection in [allowed.into(), clauses(SELECTION_CLAUSES_MAX)] {
        assert!(walk(&store, &selection, Position::ZERO, Direction::Forward, 1).await.0.is_empty());
    }
    for selection in [
        Clause::names(numbered(CLAUSE_NAMES_MAX + 1)).into(),
        Clause::tags(vec![tag("k:v"); CLAUSE_TAGS_MAX + 1]).into(),
        clauses(SELECTION_CLAUSES_MAX + 1),
        names([""]).into(),
        names(["account\0opened"]).into(),
    ] {
        let Err(expected) = Selection::check(&selection) else { panic!("{selection:?}") };
        let refused = store.read(&selection, Position::ZERO, Direction::Forward, 1).await;
        let said = |found: &InvalidSelection| *found == expected;
        assert!(matches!(&refused, Err(StoreError::InvalidSelection(found)) if said(found)), "{refused:?}");
    }
}
