//! Groups: partitions divided, given up and taken over.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Assignment, Bus, BusEvent, Case, TOPIC, TopicPartition, assigned, consumer, from_the_beginning, make_topic,
    nothing_yet, partition, receive, send,
};
use crate::{
    bus::{Consumer, Revocation},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("a_lone_member_reads_every_partition", |bus| Box::pin(a_lone_member_reads_everything(bus))),
    ("members_divide_the_partitions", |bus| Box::pin(members_divide_the_partitions(bus))),
    ("a_partition_moves_only_after_it_was_given_up", |bus| Box::pin(a_partition_moves_after_it_was_given_up(bus))),
    ("what_a_member_leaves_behind_is_taken_over", |bus| Box::pin(what_is_left_behind_is_taken_over(bus))),
    ("groups_do_not_touch_each_other", |bus| Box::pin(groups_do_not_touch_each_other(bus))),
    ("a_topic_made_later_is_assigned", |bus| Box::pin(a_topic_made_later_is_assigned(bus))),
    ("whoever_reads_everything_shares_with_nobody", |bus| Box::pin(whoever_reads_everything_shares_nothing(bus))),
];

const PARTITIONS: u32 = 4;

fn all() -> Vec<TopicPartition> {
    (0..PARTITIONS).map(partition).collect()
}

async fn revoked(member: &mut dyn Consumer) -> (Vec<TopicPartition>, Revocation) {
    match ok(member.next().await) {
        BusEvent::Revoked(partitions, revocation) => (partitions, revocation),
        other => panic!("expected a revocation, got {other:?}"),
    }
}

async fn a_lone_member_reads_everything(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    let mut member = consumer(bus.as_ref(), "group", Assignment::Group).await;
    assert_eq!(assigned(member.as_mut()).await, all());
    from_the_beginning(member.as_mut(), &all()).await;
    for number in 0..PARTITIONS {
        send(bus.as_ref(), &partition(number), [u64::from(number)]).await;
    }
    let received: BTreeSet<u64> =
        receive(member.as_mut(), PARTITIONS as usize).await.into_iter().map(|(_, number)| number).collect();
    assert!(received.into_iter().eq(0..u64::from(PARTITIONS)));
}

async fn members_divide_the_partitions(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    let mut first = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let mut own: BTreeSet<_> = assigned(first.as_mut()).await.into_iter().collect();
    let mut second = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let (given_up, revocation) = revoked(first.as_mut()).await;
    assert!(!revocation.lost());
    assert_eq!(given_up.len(), PARTITIONS as usize / 2, "{given_up:?}");
    own.retain(|partition| !given_up.contains(partition));
    drop(revocation);
    let taken: BTreeSet<_> = assigned(second.as_mut()).await.into_iter().collect();
    assert!(own.is_disjoint(&taken), "{own:?} {taken:?}");
    assert!(own.union(&taken).cloned().eq(all()));
}

async fn a_partition_moves_after_it_was_given_up(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    let mut first = consumer(bus.as_ref(), "group", Assignment::Group).await;
    assigned(first.as_mut()).await;
    let mut second = consumer(bus.as_ref(), "group", Assignment::Group).await;
    nothing_yet(second.next()).await;
    let (mut given_up, revocation) = revoked(first.as_mut()).await;
    nothing_yet(second.next()).await;
    // What is revoked delivers nothing more, and what stays does, at the latest once the rest was let go.
    for partition in &given_up {
        assert_eq!(first.position(partition), None);
    }
    let kept: Vec<_> = all().into_iter().filter(|partition| !given_up.contains(partition)).collect();
    from_the_beginning(first.as_mut(), &kept).await;
    send(bus.as_ref(), &kept[0], [1]).await;
    drop(revocation);
    assert_eq!(receive(first.as_mut(), 1).await, [(kept[0].clone(), 1)]);
    given_up.sort();
    assert_eq!(assigned(second.as_mut()).await, given_up);
}

async fn what_is_left_behind_is_taken_over(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    let mut first = consumer(bus.as_ref(), "group", Assignment::Group).await;
    assigned(first.as_mut()).await;
    let mut second = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let (_, revocation) = revoked(first.as_mut()).await;
    drop(revocation);
    let mut own: BTreeSet<_> = assigned(second.as_mut()).await.into_iter().collect();
    drop(first);
    own.extend(assigned(second.as_mut()).await);
    assert!(own.into_iter().eq(all()));
    // One that leaves while it is asked to give something up has given it up.
    let mut third = consumer(bus.as_ref(), "group", Assignment::Group).await;
    drop(second);
    let mut own = BTreeSet::new();
    while own.len() < all().len() {
        own.extend(assigned(third.as_mut()).await);
    }
}

async fn groups_do_not_touch_each_other(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    let mut first = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let mut other = consumer(bus.as_ref(), "another", Assignment::Group).await;
    for member in [&mut first, &mut other] {
        assert_eq!(assigned(member.as_mut()).await, all());
        from_the_beginning(member.as_mut(), &all()).await;
    }
    send(bus.as_ref(), &partition(2), [1, 2]).await;
    for member in [&mut first, &mut other] {
        assert_eq!(receive(member.as_mut(), 2).await, [(partition(2), 1), (partition(2), 2)]);
    }
}

async fn a_topic_made_later_is_assigned(bus: Arc<dyn Bus>) {
    let mut member = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let mut alone = consumer(bus.as_ref(), "group", Assignment::Everything).await;
    nothing_yet(member.next()).await;
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    for member in [&mut member, &mut alone] {
        assert_eq!(assigned(member.as_mut()).await, all());
        from_the_beginning(member.as_mut(), &all()).await;
    }
    send(bus.as_ref(), &partition(0), [1]).await;
    for member in [&mut member, &mut alone] {
        assert_eq!(receive(member.as_mut(), 1).await, [(partition(0), 1)]);
    }
}

async fn whoever_reads_everything_shares_nothing(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, PARTITIONS).await;
    let mut first = consumer(bus.as_ref(), "group", Assignment::Everything).await;
    assert_eq!(assigned(first.as_mut()).await, all());
    let mut second = consumer(bus.as_ref(), "group", Assignment::Everything).await;
    assert_eq!(assigned(second.as_mut()).await, all());
    let mut member = consumer(bus.as_ref(), "group", Assignment::Group).await;
    assert_eq!(assigned(member.as_mut()).await, all());
    nothing_yet(first.next()).await;
}
