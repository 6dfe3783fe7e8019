//! Rebalancing under work: what is under way is finished or given up first, what was given up is out of reach, and
//! nothing is done twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Assignment, Bus, BusEvent, Case, Offset, TOPIC, TopicPartition, assigned, consumer, from_the_beginning, make_topic,
    nothing_yet, number, partition, receive, send,
};
use crate::{
    bus::{BusError, Consumer},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("work_under_way_holds_its_partitions", |bus| Box::pin(work_under_way_holds_its_partitions(bus))),
    ("a_displaced_member_reads_nothing_more", |bus| Box::pin(a_displaced_member_reads_nothing_more(bus))),
    ("from_one_member_to_two_and_back_every_record_is_done_once", |bus| Box::pin(every_record_is_done_once(bus))),
    ("a_partition_that_comes_back_begins_without_a_position", |bus| Box::pin(a_partition_that_comes_back(bus))),
    ("a_static_assignment_is_nobodys_member", |bus| Box::pin(a_static_assignment_is_nobodys_member(bus))),
];

const PARTITIONS: u32 = 4;

fn all() -> Vec<TopicPartition> {
    (0..PARTITIONS).map(partition).collect()
}

/// A member that has every partition, each from its beginning, with one record waiting on each.
async fn lone_member(bus: &dyn Bus) -> Box<dyn Consumer> {
    make_topic(bus, TOPIC, PARTITIONS).await;
    let mut member = consumer(bus, "group", Assignment::Group).await;
    assert_eq!(assigned(member.as_mut()).await, all());
    from_the_beginning(member.as_mut(), &all()).await;
    for number in 0..PARTITIONS {
        send(bus, &partition(number), [u64::from(number)]).await;
    }
    member
}

async fn work_under_way_holds_its_partitions(bus: Arc<dyn Bus>) {
    let mut first = lone_member(bus.as_ref()).await;
    let BusEvent::Records(..) = ok(first.next().await) else { panic!("expected records") };
    // It works on them, and has not asked for anything since.
    let mut second = consumer(bus.as_ref(), "group", Assignment::Group).await;
    nothing_yet(second.next()).await;
    let revocation = loop {
        match ok(first.next().await) {
            BusEvent::Revoked(_, revocation) => break revocation,
            // Records it had been given before it heard of the second one.
            BusEvent::Records(..) => nothing_yet(second.next()).await,
            BusEvent::Assigned(partitions) => panic!("{partitions:?} were its own already"),
        }
    };
    // It was asked for them, and finishes what it does.
    nothing_yet(second.next()).await;
    drop(revocation);
    assert_eq!(assigned(second.as_mut()).await.len(), PARTITIONS as usize / 2);
}

async fn a_displaced_member_reads_nothing_more(bus: Arc<dyn Bus>) {
    let mut first = lone_member(bus.as_ref()).await;
    receive(first.as_mut(), PARTITIONS as usize).await;
    let mut second = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let BusEvent::Revoked(lost, revocation) = ok(first.next().await) else { panic!("expected a revocation") };
    // From the moment it heard of it, not only once somebody else has them.
    for (partition, number) in lost.iter().zip(100..) {
        send(bus.as_ref(), partition, [number]).await;
        let sought = first.seek(partition, Offset::new(0)).await;
        assert!(matches!(&sought, Err(BusError::NotAssigned(at)) if at == partition), "{sought:?}");
        first.resume(partition);
        assert_eq!(first.position(partition), None);
    }
    nothing_yet(first.next()).await;
    drop(revocation);
    let taken = assigned(second.as_mut()).await;
    from_the_beginning(second.as_mut(), &taken).await;
    let mut numbers: Vec<u64> =
        receive(second.as_mut(), 2 * taken.len()).await.into_iter().map(|(_, number)| number).collect();
    numbers.retain(|number| *number >= 100);
    assert_eq!(numbers.len(), lost.len());
    nothing_yet(first.next()).await;
}

/// Where each partition goes on, kept where every member finds it, as a shared read database does; and what was done.
#[derive(Default)]
struct Shared {
    next: BTreeMap<TopicPartition, Offset>,
    done: BTreeMap<TopicPartition, Vec<u64>>,
}

/// Works until `until` records were done by all members together, or everything it had was taken away.
async fn work(member: &mut dyn Consumer, shared: &Mutex<Shared>, until: usize) {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    while lock().done.values().map(Vec::len).sum::<usize>() < until {
        match ok(member.next().await) {
            BusEvent::Assigned(partitions) => {
                for partition in &partitions {
                    let known = lock().next.get(partition).copied();
                    let at = match known {
                        Some(next) => next,
                        None => ok(member.earliest(partition).await),
                    };
                    ok(member.seek(partition, at).await);
                }
            }
            BusEvent::Records(partition, records) => {
                // Others get a turn while it works, as they do while a transaction is written.
                tokio::task::yield_now().await;
                let mut shared = lock();
                for record in &records {
                    let next = shared.next.get(&partition).copied();
                    assert!(
                        next.is_none_or(|next| next == record.offset),
                        "{partition}: {} after {next:?}",
                        record.offset
                    );
                    shared.next.insert(partition.clone(), record.offset.next());
                    shared.done.entry(partition.clone()).or_default().push(number(record));
                }
            }
            BusEvent::Revoked(_, revocation) => drop(revocation),
        }
    }
}

async fn every_record_is_done_once(bus: Arc<dyn Bus>) {
    const PER_PHASE: u64 = 200;
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    let shared = Mutex::default();
    let mut sent = 0;
    let mut send_more = async || {
        for _ in 0..PER_PHASE {
            let to = partition(u32::try_from(sent % u64::from(PARTITIONS)).unwrap_or_default());
            send(bus.as_ref(), &to, [sent]).await;
            sent += 1;
        }
        usize::try_from(sent).unwrap_or(usize::MAX)
    };
    let mut first = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let until = send_more().await;
    work(first.as_mut(), &shared, until).await;
    // A second one joins amid the work; both go on.
    let until = send_more().await;
    let mut second = consumer(bus.as_ref(), "group", Assignment::Group).await;
    tokio::select! {
        () = work(first.as_mut(), &shared, until) => {}
        () = work(second.as_mut(), &shared, until) => {}
    }
    // And leaves again, with or without having had anything.
    drop(second);
    let until = send_more().await;
    work(first.as_mut(), &shared, until).await;
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (at, done) in shared.done {
        let expected = (0..sent).filter(|number| number % u64::from(PARTITIONS) == u64::from(at.partition));
        assert!(done.iter().copied().eq(expected), "{at}: {done:?}");
    }
    assert_eq!(shared.next.len(), PARTITIONS as usize);
}

async fn a_partition_that_comes_back(bus: Arc<dyn Bus>) {
    let mut first = lone_member(bus.as_ref()).await;
    receive(first.as_mut(), PARTITIONS as usize).await;
    let mut second = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let BusEvent::Revoked(lost, revocation) = ok(first.next().await) else { panic!("expected a revocation") };
    drop(revocation);
    assert_eq!(assigned(second.as_mut()).await.len(), lost.len());
    drop(second);
    let back = assigned(first.as_mut()).await;
    assert_eq!(back.len(), lost.len());
    for partition in &back {
        // Somebody else has read it since: where it goes on is looked up anew.
        assert_eq!(first.position(partition), None);
        send(bus.as_ref(), partition, [7]).await;
    }
    nothing_yet(first.next()).await;
    from_the_beginning(first.as_mut(), &back).await;
    assert_eq!(receive(first.as_mut(), 2 * back.len()).await.len(), 2 * back.len());
}

async fn a_static_assignment_is_nobodys_member(bus: Arc<dyn Bus>) {
    let mut member = lone_member(bus.as_ref()).await;
    receive(member.as_mut(), PARTITIONS as usize).await;
    // Of the same group by name: it takes nothing away from its members, nor from another like it.
    let some = vec![partition(1), partition(3)];
    let mut fixed = Vec::new();
    for _ in 0..2 {
        let mut reader = consumer(bus.as_ref(), "group", Assignment::Static(some.clone())).await;
        assert_eq!(assigned(reader.as_mut()).await, some);
        from_the_beginning(reader.as_mut(), &some).await;
        fixed.push(reader);
    }
    nothing_yet(member.next()).await;
    for reader in &mut fixed {
        let mut received = receive(reader.as_mut(), 2).await;
        received.sort();
        assert_eq!(received, [(partition(1), 1), (partition(3), 3)]);
    }
    send(bus.as_ref(), &partition(1), [9]).await;
    send(bus.as_ref(), &partition(0), [8]).await;
    for reader in &mut fixed {
        assert_eq!(receive(reader.as_mut(), 1).await, [(partition(1), 9)]);
        nothing_yet(reader.next()).await;
    }
    let mut received = receive(member.as_mut(), 2).await;
    received.sort();
    assert_eq!(received, [(partition(0), 8), (partition(1), 9)]);
    drop(fixed);
    nothing_yet(member.next()).await;
}
