//! Selections and boundaries.

use factum_engine::{
    Append, AppendError, Boundary, Clause, Direction, Drive, Engine, Entropy, ExpectedVersion, NewEvent, Options,
    Position, ReadError, SELECTION_CLAUSES_MAX, Selection, Tag,
};

use crate::support::{command, event, now, open, stream};

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a valid tag")
}

fn tags(texts: &[&str]) -> Clause {
    Clause::tags(texts.iter().map(|text| tag(text)))
}

fn names(names: &[&'static str]) -> Clause {
    Clause::names(names.iter().copied())
}

fn named(name: &'static str, tags: &[&str]) -> NewEvent {
    NewEvent { name: name.into(), tags: tags.iter().map(|text| tag(text)).collect(), ..event(name) }
}

fn append(events: Vec<NewEvent>) -> Append {
    Append::new(7).stream(stream("course-1"), ExpectedVersion::Any, events)
}

/// Three courses and who attends them, in six events.
fn courses(engine: &Engine) {
    for events in [
        vec![named("course.defined", &["course:1"])],
        vec![named("course.defined", &["course:2"]), named("student.enrolled", &["student:ada"])],
        vec![named("student.subscribed", &["course:1", "student:ada"])],
        vec![named("student.subscribed", &["course:2", "student:ada"]), named("course.closed", &["course:1"])],
    ] {
        engine.append(append(events)).expect("accepted");
    }
}

fn read_all(engine: &Engine, selection: &Selection, direction: Direction, limit: usize) -> Vec<u64> {
    let mut after = if direction == Direction::Forward { Position::ZERO } else { Position::MAX };
    let mut positions = Vec::new();
    loop {
        let page = engine.read(selection, after, direction, limit).expect("readable");
        assert!(page.events.len() <= limit);
        positions.extend(page.events.iter().map(|event| event.position().get()));
        assert!(page.end || page.read_to != after, "a page that is not the last goes on");
        after = page.read_to;
        if page.end {
            let edge = if direction == Direction::Forward { engine.heads().written } else { Position::ZERO };
            assert_eq!(page.read_to, edge);
            return positions;
        }
    }
}

#[test]
fn a_selection_is_read_in_both_directions_and_any_pages() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    courses(&engine);
    for (selection, expected) in [
        (Selection::everything(), vec![1, 2, 3, 4, 5, 6]),
        (names(&["course.defined"]).into(), vec![1, 2]),
        (names(&["course.defined", "course.closed"]).into(), vec![1, 2, 6]),
        (tags(&["student:ada"]).into(), vec![3, 4, 5]),
        (tags(&["student:ada", "course:2"]).into(), vec![5]),
        (names(&["student.subscribed"]).tag(tag("course:1")).into(), vec![4]),
        (Selection::of(tags(&["course:2"])).or(names(&["course.closed"])).or(tags(&["course:2"])), vec![2, 5, 6]),
        (tags(&["course:3"]).into(), vec![]),
        (Selection::of(tags(&["course:3"])).or(Clause::everything()), vec![1, 2, 3, 4, 5, 6]),
    ] {
        for limit in [1, 2, 5, 100] {
            assert_eq!(read_all(&engine, &selection, Direction::Forward, limit), expected, "{selection:?}");
            let backward: Vec<u64> = expected.iter().rev().copied().collect();
            assert_eq!(read_all(&engine, &selection, Direction::Backward, limit), backward, "{selection:?}");
        }
    }
}

#[test]
fn a_page_of_a_selection_says_how_far_it_came_although_nothing_matched() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    courses(&engine);
    let nothing = Selection::of(tags(&["course:3"]));
    let page = engine.read(&nothing, Position::new(2), Direction::Forward, 10).expect("readable");
    assert_eq!((page.events.len(), page.read_to, page.end), (0, Position::new(6), true));
    let page = engine.read(&nothing, Position::new(9), Direction::Forward, 10).expect("readable");
    assert_eq!((page.read_to, page.end), (Position::new(9), true));
    let page = engine.read(&nothing, Position::new(5), Direction::Backward, 10).expect("readable");
    assert_eq!((page.events.len(), page.read_to, page.end), (0, Position::ZERO, true));
}

#[test]
fn a_selection_over_its_limits_is_refused_by_reads_and_appends() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let many = (0..SELECTION_CLAUSES_MAX).fold(Selection::everything(), |all, _| all.or(Clause::everything()));
    let unnameable = Selection::of(Clause::names(["a\0b"]));
    for selection in [many, unnameable] {
        let page = engine.read(&selection, Position::ZERO, Direction::Forward, 1);
        assert!(matches!(page, Err(ReadError::InvalidSelection(_))), "{page:?}");
        let boundary = Boundary::nothing_like(selection);
        let refused = engine.append(append(vec![event("x")]).unless(boundary));
        assert!(matches!(refused, Err(AppendError::InvalidSelection(_))), "{refused:?}");
    }
    assert_eq!(engine.heads().written, Position::ZERO);
}

#[test]
fn an_append_behind_its_boundary_is_refused_with_the_clause_and_the_event_that_crossed_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    courses(&engine);
    let closed = || Selection::of(tags(&["course:3"])).or(names(&["course.closed"]).tag(tag("course:1")));
    match engine.append(append(vec![event("late")]).unless(Boundary::new(closed(), Position::new(5)))) {
        Err(AppendError::BoundaryCrossed { clause, after, found }) => {
            assert_eq!((clause, after, found), (1, Position::new(5), Position::new(6)));
        }
        other => panic!("{other:?}"),
    }
    // The earliest of several is named, with the first clause that it matches.
    let wide = Selection::of(tags(&["course:2"])).or(tags(&["student:ada"]));
    match engine.append(append(vec![event("late")]).unless(Boundary::nothing_like(wide))) {
        Err(AppendError::BoundaryCrossed { clause, found, .. }) => assert_eq!((clause, found.get()), (0, 2)),
        other => panic!("{other:?}"),
    }
    let read = engine.read(&closed(), Position::ZERO, Direction::Forward, 10).expect("readable");
    let receipt = engine.append(append(vec![event("in time")]).unless(Boundary::new(closed(), read.read_to)));
    assert_eq!(receipt.expect("nothing new").first, Position::new(7));
}

#[test]
fn a_boundary_beyond_the_head_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let beyond = |after| append(vec![event("x")]).unless(Boundary::new(tags(&["a:b"]), Position::new(after)));
    match engine.append(beyond(1)) {
        Err(AppendError::BoundaryBeyondHead { after, head }) => {
            assert_eq!((after, head), (Position::new(1), Position::ZERO));
        }
        other => panic!("{other:?}"),
    }
    engine.append(beyond(0)).expect("the beginning is never beyond");
    engine.append(beyond(1)).expect("the head is not beyond itself");
}

#[test]
fn a_boundary_is_judged_against_what_is_staged_before_it_in_the_same_group() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1));
    let engine = Engine::open(directory.path(), options).expect("opens");
    courses(&engine);
    let taken = || Boundary::nothing_like(tags(&["email:ada"]));
    let claim = || append(vec![event("other"), named("email.claimed", &["email:ada"])]).unless(taken());
    let tickets = [
        engine.submit(claim()),
        engine.submit(claim()),
        // Up to the first claim, which is staged only: that is a fair boundary.
        engine.submit(append(vec![event("x")]).unless(Boundary::new(tags(&["email:ada"]), Position::new(8)))),
        engine.submit(append(vec![event("x")]).unless(Boundary::new(tags(&["email:ada"]), Position::new(10)))),
    ];
    engine.step();
    let [first, second, third, beyond] = tickets.map(now);
    assert_eq!(first.expect("the first to claim").last, Position::new(8));
    match second {
        Err(AppendError::BoundaryCrossed { clause: 0, after, found }) => {
            assert_eq!((after, found), (Position::ZERO, Position::new(8)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(third.expect("not behind").last, Position::new(9));
    assert!(matches!(beyond, Err(AppendError::BoundaryBeyondHead { head, .. }) if head == Position::new(9)));
}

#[test]
fn a_repeat_is_answered_although_its_own_events_crossed_its_boundary_and_versions_come_before_the_boundary() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let claim = || {
        append(vec![named("email.claimed", &["email:ada"])])
            .unless(Boundary::nothing_like(tags(&["email:ada"])))
            .command(command(1, 1))
    };
    let first = engine.append(claim()).expect("accepted");
    let again = engine.append(claim()).expect("a repeat");
    assert!(again.repeated && again.first == first.first);
    let both = Append::new(7)
        .stream(stream("course-1"), ExpectedVersion::NoStream, vec![event("x")])
        .unless(Boundary::nothing_like(tags(&["email:ada"])));
    assert!(matches!(engine.append(both), Err(AppendError::Conflict { .. })));
}

#[test]
fn of_racing_appends_with_one_boundary_exactly_one_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    for round in 0..20 {
        let seat = format!("seat:{round}");
        let accepted: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|_| {
                    let (engine, seat) = (&engine, &seat);
                    scope.spawn(move || {
                        let claim = append(vec![named("seat.taken", &[seat])]);
                        engine.append(claim.unless(Boundary::nothing_like(tags(&[seat])))).is_ok()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| usize::from(racer.join().expect("no panic"))).sum()
        });
        assert_eq!(accepted, 1);
    }
}

#[test]
fn a_page_of_many_clauses_ends_after_bounded_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    for _ in 0..40 {
        let events = (0..1_000).map(|number| match number % 2 {
            0 => named("x", &["a:0", "b:0", "c:0"]),
            _ => named("x", &["a:1", "b:1", "c:1"]),
        });
        engine.append(append(events.collect())).expect("accepted");
    }
    // Nothing matches, and each clause tries every event; what is left of the page's work in the end is less than a
    // step for each.
    let selection = Selection::of(tags(&["a:0", "a:1"])).or(tags(&["b:0", "b:1"])).or(tags(&["c:0", "c:1"]));
    let page = engine.read(&selection, Position::ZERO, Direction::Forward, 10).expect("readable");
    assert!(!page.end && page.events.is_empty(), "{page:?}");
    assert!((20_000..35_000).contains(&page.read_to.get()), "{page:?}");
    let page = engine.read(&selection, Position::MAX, Direction::Backward, 10).expect("readable");
    assert!(!page.end && (5_000..20_000).contains(&page.read_to.get()), "{page:?}");
    assert_eq!(read_all(&engine, &selection, Direction::Forward, 10), []);
}
