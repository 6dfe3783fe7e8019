//! Receiving: positions, order, waking, pausing.

use std::sync::Arc;

use super::{
    Assignment, Bus, BusEvent, Case, TOPIC, assigned, consumer, from_the_beginning, make_topic, nothing_yet, number,
    partition, receive, send,
};
use crate::{
    bus::{BusError, Consumer, Offset},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("nothing_is_delivered_before_a_position_is_set", |bus| Box::pin(nothing_before_a_position(bus))),
    ("records_come_in_order_from_the_position", |bus| Box::pin(records_come_in_order(bus))),
    ("a_waiting_consumer_wakes_for_a_new_record", |bus| Box::pin(a_waiting_consumer_wakes(bus))),
    ("a_wait_that_was_given_up_loses_nothing", |bus| Box::pin(a_wait_that_was_given_up_loses_nothing(bus))),
    ("a_busy_partition_does_not_starve_another", |bus| Box::pin(a_busy_partition_starves_nobody(bus))),
    ("a_paused_partition_keeps_its_position", |bus| Box::pin(a_paused_partition_keeps_its_position(bus))),
    ("an_offset_out_of_range_says_where_to_begin", |bus| Box::pin(an_offset_out_of_range(bus))),
    ("only_assigned_partitions_can_be_given_a_position", |bus| Box::pin(only_assigned_partitions(bus))),
    ("a_static_assignment_needs_its_topic", |bus| Box::pin(a_static_assignment_needs_its_topic(bus))),
];

/// A consumer of two partitions, assigned, without a position.
async fn reader(bus: &dyn Bus) -> Box<dyn Consumer> {
    make_topic(bus, TOPIC, 2).await;
    let mut reader = consumer(bus, "group", Assignment::Static(vec![partition(0), partition(1)])).await;
    assert_eq!(assigned(reader.as_mut()).await, [partition(0), partition(1)]);
    reader
}

async fn nothing_before_a_position(bus: Arc<dyn Bus>) {
    let mut reader = reader(bus.as_ref()).await;
    send(bus.as_ref(), &partition(0), [1]).await;
    assert_eq!(reader.position(&partition(0)), None);
    nothing_yet(reader.next()).await;
    from_the_beginning(reader.as_mut(), &[partition(0)]).await;
    assert_eq!(receive(reader.as_mut(), 1).await, [(partition(0), 1)]);
}

async fn records_come_in_order(bus: Arc<dyn Bus>) {
    let offsets = send_many(bus.as_ref()).await;
    let mut reader = consumer(bus.as_ref(), "group", Assignment::Static(vec![partition(0)])).await;
    assigned(reader.as_mut()).await;
    for start in [0, 1, offsets.len() / 2, offsets.len() - 1] {
        ok(reader.seek(&partition(0), offsets[start]).await);
        assert_eq!(reader.position(&partition(0)), Some(offsets[start]));
        let numbers: Vec<u64> =
            receive(reader.as_mut(), offsets.len() - start).await.into_iter().map(|(_, number)| number).collect();
        assert!(numbers.into_iter().eq(start as u64..offsets.len() as u64));
        assert_eq!(reader.position(&partition(0)), offsets.last().map(|last| last.next()));
    }
    nothing_yet(reader.next()).await;
}

/// More than one fetch takes.
async fn send_many(bus: &dyn Bus) -> Vec<Offset> {
    make_topic(bus, TOPIC, 2).await;
    let mut offsets = Vec::new();
    for chunk in 0..3 {
        offsets.extend(send(bus, &partition(0), chunk * 1_000..(chunk + 1) * 1_000).await);
    }
    offsets
}

async fn a_waiting_consumer_wakes(bus: Arc<dyn Bus>) {
    let mut reader = reader(bus.as_ref()).await;
    from_the_beginning(reader.as_mut(), &[partition(0), partition(1)]).await;
    for number in 1..=20 {
        let to = partition(u32::from(number % 3 == 0));
        let waiting = tokio::spawn(async move {
            let received = receive(reader.as_mut(), 1).await;
            (reader, received)
        });
        tokio::task::yield_now().await;
        send(bus.as_ref(), &to, [number]).await;
        let (back, received) = ok(waiting.await);
        assert_eq!(received, [(to, number)]);
        reader = back;
    }
}

async fn a_wait_that_was_given_up_loses_nothing(bus: Arc<dyn Bus>) {
    let mut reader = reader(bus.as_ref()).await;
    from_the_beginning(reader.as_mut(), &[partition(0), partition(1)]).await;
    for number in 1..=20 {
        nothing_yet(reader.next()).await;
        send(bus.as_ref(), &partition(0), [number]).await;
        assert_eq!(receive(reader.as_mut(), 1).await, [(partition(0), number)]);
    }
}

async fn a_busy_partition_starves_nobody(bus: Arc<dyn Bus>) {
    let mut reader = reader(bus.as_ref()).await;
    send(bus.as_ref(), &partition(1), [9]).await;
    send(bus.as_ref(), &partition(0), [0]).await;
    from_the_beginning(reader.as_mut(), &[partition(0), partition(1)]).await;
    for turn in 1..=10 {
        // There is always something more on the first partition.
        send(bus.as_ref(), &partition(0), [turn]).await;
        match ok(reader.next().await) {
            BusEvent::Records(from, records) if from == partition(1) => {
                return assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [9]);
            }
            _ => {}
        }
    }
    panic!("the second partition never had its turn");
}

async fn a_paused_partition_keeps_its_position(bus: Arc<dyn Bus>) {
    let mut reader = reader(bus.as_ref()).await;
    from_the_beginning(reader.as_mut(), &[partition(0), partition(1)]).await;
    reader.pause(&partition(0));
    send(bus.as_ref(), &partition(0), [1]).await;
    send(bus.as_ref(), &partition(1), [2]).await;
    assert_eq!(receive(reader.as_mut(), 1).await, [(partition(1), 2)]);
    nothing_yet(reader.next()).await;
    reader.resume(&partition(0));
    assert_eq!(receive(reader.as_mut(), 1).await, [(partition(0), 1)]);
}

async fn an_offset_out_of_range(bus: Arc<dyn Bus>) {
    let mut reader = reader(bus.as_ref()).await;
    let offsets = send(bus.as_ref(), &partition(0), [1, 2]).await;
    send(bus.as_ref(), &partition(1), [3]).await;
    let beyond = Offset::new(offsets[1].get() + 100);
    ok(reader.seek(&partition(0), beyond).await);
    match reader.next().await {
        Err(BusError::OffsetOutOfRange { partition: at, offset, earliest }) => {
            assert_eq!((at, offset, earliest), (partition(0), beyond, offsets[0]));
        }
        other => panic!("{other:?}"),
    }
    // The others go on, and so does this one once it has a position again.
    from_the_beginning(reader.as_mut(), &[partition(1)]).await;
    assert_eq!(receive(reader.as_mut(), 1).await, [(partition(1), 3)]);
    from_the_beginning(reader.as_mut(), &[partition(0)]).await;
    assert_eq!(receive(reader.as_mut(), 2).await, [(partition(0), 1), (partition(0), 2)]);
    // One beyond the last is no error: it is where the next record goes.
    nothing_yet(reader.next()).await;
}

async fn only_assigned_partitions(bus: Arc<dyn Bus>) {
    let mut reader = reader(bus.as_ref()).await;
    let other = partition(7);
    assert!(matches!(reader.seek(&other, Offset::new(1)).await, Err(BusError::NotAssigned(at)) if at == other));
    assert_eq!(reader.position(&other), None);
    reader.pause(&other);
    reader.resume(&other);
}

async fn a_static_assignment_needs_its_topic(bus: Arc<dyn Bus>) {
    let options = crate::bus::ConsumerOptions {
        group: "group".to_owned(),
        topics: vec![TOPIC.into()],
        assignment: Assignment::Static(vec![partition(0)]),
    };
    assert!(matches!(bus.consumer(options).await.err(), Some(BusError::UnknownTopic(_))));
}
