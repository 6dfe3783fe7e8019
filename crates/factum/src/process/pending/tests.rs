use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn stream(process: u64) -> StreamName {
    StreamName::new(format!("order-{process}")).unwrap()
}

/// A timer that the event at a position sets.
fn timer(process: u64, name: &str, position: u64, due: u64) -> Timer {
    Timer {
        stream: stream(process),
        name: name.into(),
        due: at(due),
        set_by: EventId::from_uuid(uuid::Uuid::from_u128(u128::from(position))),
        version: Version::new(1),
        position: Position::new(position),
        correlation_id: CorrelationId::from_uuid(uuid::Uuid::nil()),
    }
}

fn nothing(timers_max: usize) -> Pending {
    Pending::new(Vec::new(), Position::ZERO, timers_max)
}

fn set(pending: &mut Pending, timer: Timer) {
    let position = timer.position;
    pending.change(Change::Set(timer));
    pending.read_to(position);
}

/// Positions of the events that set what is due.
fn due(pending: &Pending, now: u64) -> Vec<u64> {
    pending.due(at(now), 100).iter().map(|timer| timer.position.get()).collect()
}

#[test]
fn timers_are_due_in_the_order_of_their_times() {
    let mut pending = nothing(100);
    for (process, due) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
        set(&mut pending, timer(process, "pay", process, due));
    }
    assert_eq!(pending.next(), Some(at(10)));
    assert_eq!(due(&pending, 9), [0; 0]);
    assert_eq!(due(&pending, 20), [2, 4, 3]);
    assert_eq!(pending.due(at(20), 1).len(), 1);
}

#[test]
fn a_timer_gives_way_to_one_of_its_name() {
    let mut pending = nothing(100);
    set(&mut pending, timer(1, "pay", 1, 10));
    set(&mut pending, timer(1, "ship", 1, 10));
    set(&mut pending, timer(1, "pay", 2, 20));
    assert_eq!(due(&pending, 10), [1]);
    assert_eq!(due(&pending, 20), [1, 2]);
    // That the first one has fired, by another keeper, is old news.
    let old = timer(1, "pay", 1, 10);
    pending.fired(&stream(1), "pay", old.set_by);
    assert_eq!(due(&pending, 20), [1, 2]);
    pending.fired(&stream(1), "pay", timer(1, "pay", 2, 20).set_by);
    assert_eq!(due(&pending, 20), [1]);
    pending.change(Change::Clear { stream: stream(1), name: "ship".into() });
    pending.change(Change::Clear { stream: stream(1), name: "never-set".into() });
    assert_eq!((due(&pending, 20), pending.next()), (vec![], None));
}

#[test]
fn what_fails_waits_longer_each_time_and_not_for_a_clock_that_went_back() {
    let mut pending = nothing(100);
    let pay = timer(1, "pay", 1, 10);
    set(&mut pending, pay.clone());
    for failures in 0..3 {
        pending.failed(&pay, at(100), |so_often| {
            assert_eq!(so_often, failures);
            SECOND * so_often
        });
    }
    assert_eq!((due(&pending, 101), due(&pending, 102)), (vec![], vec![1]));
    pending.try_again_now();
    assert_eq!(due(&pending, 10), [1]);
    // One that was set anew meanwhile has not failed.
    set(&mut pending, timer(1, "pay", 2, 10));
    pending.failed(&pay, at(100), |_| SECOND);
    assert_eq!(due(&pending, 10), [2]);
}

#[test]
fn those_due_last_make_room_and_are_read_again_when_it_is_time() {
    let mut pending = nothing(2);
    let all = [timer(1, "pay", 1, 40), timer(2, "pay", 2, 10), timer(3, "pay", 3, 30), timer(4, "pay", 4, 20)];
    for timer in &all {
        set(&mut pending, timer.clone());
    }
    pending.read_to(Position::new(9));
    assert_eq!(due(&pending, 50), [2, 4]);
    // Nothing that was set after position 0 is sure to be here.
    assert_eq!(pending.complete_to(), Position::ZERO);
    // As long as others are due, there is no room.
    assert_eq!(pending.missing(at(35)), None);
    for timer in [&all[1], &all[3]] {
        pending.fired(&timer.stream, &timer.name, timer.set_by);
    }
    assert_eq!((pending.next(), pending.missing(at(29))), (Some(at(30)), None));
    assert_eq!(pending.missing(at(30)), Some(Position::ZERO));
    pending.reread(at(30));
    for timer in [&all[0], &all[2]] {
        set(&mut pending, timer.clone());
    }
    pending.read_to(Position::new(9));
    assert_eq!((due(&pending, 50), pending.complete_to()), (vec![3, 1], Position::new(9)));
}

#[test]
fn reading_again_does_not_spin_while_what_fails_takes_all_places() {
    let mut pending = nothing(1);
    let (failing, other) = (timer(1, "pay", 1, 10), timer(2, "pay", 2, 20));
    let mut now = at(30);
    for readings in 0..100 {
        for timer in [&failing, &other] {
            set(&mut pending, timer.clone());
        }
        pending.failed(&failing, now, |_| SECOND * 60);
        assert_eq!(pending.missing(now).is_some(), readings == 0, "at most once a second");
        now = pending.next().unwrap().max(now);
        assert_eq!(pending.missing(now), Some(Position::new(1)));
        pending.reread(now);
    }
    assert!(now >= at(30 + 98), "{now}");
}

#[test]
fn what_is_saved_and_read_again_is_what_was_pending() {
    let chance = &mut fastrand::Rng::with_seed(7);
    for round in 0..200 {
        // What happened: timers set, set again, cleared, fired.
        let happened: Vec<(u64, bool, Timer)> = (1..=60)
            .map(|position| (position, chance.u8(..3) > 0, timer(chance.u64(..8), "pay", position, chance.u64(..50))))
            .collect();
        let fold = |pending: &mut Pending, from: u64, to: u64| {
            for (position, sets, timer) in happened.iter().filter(|(position, ..)| (from + 1..=to).contains(position)) {
                if *sets {
                    pending.change(Change::Set(timer.clone()));
                } else {
                    pending.change(Change::Clear { stream: timer.stream.clone(), name: timer.name.clone() });
                }
                pending.read_to(Position::new(*position));
            }
        };
        let mut whole = nothing(100);
        fold(&mut whole, 0, 60);
        // Saved somewhere on the way, with room for some, by a keeper that keeps few; then read on from there.
        let saved_at = chance.u64(..=60);
        let mut before = nothing(chance.usize(1..10));
        fold(&mut before, 0, saved_at);
        let (saved, complete_to) = before.oldest(chance.usize(..6) * 310);
        assert!(complete_to.get() <= saved_at);
        let json = serde_json::to_vec(&saved).unwrap();
        assert!(json.len() <= saved.iter().map(SavedTimer::bytes).sum::<usize>() + 2);
        let saved: Vec<SavedTimer> = serde_json::from_slice(&json).unwrap();
        let timers = saved.into_iter().map(|saved| saved.timer().unwrap()).collect();
        let mut after = Pending::new(timers, complete_to, 100);
        fold(&mut after, complete_to.get(), 60);
        assert_eq!(due(&after, 100), due(&whole, 100), "round {round}, saved at {saved_at}, complete to {complete_to}");
    }
}
