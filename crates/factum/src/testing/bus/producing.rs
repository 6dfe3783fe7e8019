//! Topics, sending, and what stands at a partition's end.

use std::sync::Arc;

use super::{
    Assignment, Bus, Case, NOW, OTHER_TOPIC, TOPIC, TopicPartition, TopicSpec, assigned, consumer, from_the_beginning,
    make_topic, number, partition, receive, record, send,
};
use crate::{bus::BusError, testing::case::ok};

pub(super) const CASES: &[Case] = &[
    ("a_topic_is_made_once_and_keeps_its_partitions", |bus| Box::pin(a_topic_is_made_once(bus))),
    ("a_topic_that_is_not_there_is_unknown", |bus| Box::pin(a_topic_that_is_not_there_is_unknown(bus))),
    ("records_get_ascending_offsets_in_order", |bus| Box::pin(records_get_ascending_offsets(bus))),
    ("a_record_comes_back_as_it_was_sent", |bus| Box::pin(a_record_comes_back_as_it_was_sent(bus))),
    ("the_tail_is_the_last_record_or_the_last_below", |bus| Box::pin(the_tail_is_the_last_record(bus))),
    ("a_record_that_is_too_large_stops_the_whole_call", |bus| Box::pin(too_large_stops_the_call(bus))),
    ("a_closed_bus_answers_closed", |bus| Box::pin(a_closed_bus_answers_closed(bus))),
];

async fn a_topic_is_made_once(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, 3).await;
    make_topic(bus.as_ref(), TOPIC, 3).await;
    assert_eq!(ok(bus.partitions(TOPIC).await), 3);
    let other = [ok(TopicSpec::new(OTHER_TOPIC, 1)), ok(TopicSpec::new(TOPIC, 4))];
    match bus.ensure_topics(&other).await {
        Err(BusError::WrongPartitionCount { topic, expected: 4, actual: 3 }) => assert_eq!(&*topic, TOPIC),
        other => panic!("{other:?}"),
    }
    let unlikely = TopicSpec { name: "no-topic".into(), partitions: 1 };
    assert!(matches!(bus.ensure_topics(&[unlikely]).await, Err(BusError::InvalidTopic { .. })));
    let unlikely = TopicSpec { name: TOPIC.into(), partitions: 0 };
    assert!(matches!(bus.ensure_topics(&[unlikely]).await, Err(BusError::InvalidTopic { .. })));
}

async fn a_topic_that_is_not_there_is_unknown(bus: Arc<dyn Bus>) {
    let unknown = |error: Option<BusError>| assert!(matches!(error, Some(BusError::UnknownTopic(_))), "{error:?}");
    unknown(bus.partitions(TOPIC).await.err());
    unknown(bus.tail(&partition(0), None).await.err());
    unknown(ok(bus.producer().await).produce(vec![(partition(0), record(1))]).await.err());
    make_topic(bus.as_ref(), TOPIC, 1).await;
    unknown(bus.tail(&partition(1), None).await.err());
    unknown(ok(bus.producer().await).produce(vec![(partition(1), record(1))]).await.err());
}

async fn records_get_ascending_offsets(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, 2).await;
    let mut producer = ok(bus.producer().await);
    let mixed = [(0, 1), (1, 2), (0, 3), (1, 4), (0, 5)];
    let records = mixed.iter().map(|(to, number)| (partition(*to), record(*number))).collect();
    let first = ok(producer.produce(records).await);
    let second = ok(producer.produce(vec![(partition(0), record(6))]).await);
    assert_eq!(first.len(), 5);
    for lane in [[first[0], first[2], first[4], second[0]].as_slice(), [first[1], first[3]].as_slice()] {
        for pair in lane.windows(2) {
            assert_eq!(pair[1], pair[0].next());
        }
    }
    assert_eq!(ok(producer.produce(Vec::new()).await), []);
}

async fn a_record_comes_back_as_it_was_sent(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, 1).await;
    let mut sent = record(1);
    sent.value = Vec::new().into();
    let offset = ok(ok(bus.producer().await).produce(vec![(partition(0), sent.clone())]).await)[0];
    let back = ok(bus.tail(&partition(0), None).await);
    let back = back.unwrap_or_else(|| panic!("the record is gone"));
    assert_eq!((back.offset, back.key, back.value), (offset, sent.key, sent.value));
    assert_eq!((back.headers, back.timestamp), (sent.headers, NOW));
}

async fn the_tail_is_the_last_record(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, 2).await;
    assert_eq!(ok(bus.tail(&partition(0), None).await), None);
    let offsets = send(bus.as_ref(), &partition(0), [1, 2, 3]).await;
    send(bus.as_ref(), &partition(1), [9]).await;
    let tail = async |below| ok(bus.tail(&partition(0), below).await).map(|record| (record.offset, number(&record)));
    assert_eq!(tail(None).await, Some((offsets[2], 3)));
    assert_eq!(tail(Some(offsets[2].next())).await, Some((offsets[2], 3)));
    assert_eq!(tail(Some(offsets[2].next().next())).await, Some((offsets[2], 3)));
    assert_eq!(tail(Some(offsets[2])).await, Some((offsets[1], 2)));
    assert_eq!(tail(Some(offsets[0])).await, None);
}

async fn too_large_stops_the_call(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, 1).await;
    let mut huge = record(2);
    huge.value = vec![b'1'; 64 << 20].into();
    let records = vec![(partition(0), record(1)), (partition(0), huge)];
    match ok(bus.producer().await).produce(records).await {
        Err(BusError::TooLarge { partition: at, bytes, limit }) => {
            assert_eq!(at, partition(0));
            assert!(bytes > limit);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ok(bus.tail(&partition(0), None).await), None);
}

async fn a_closed_bus_answers_closed(bus: Arc<dyn Bus>) {
    make_topic(bus.as_ref(), TOPIC, 1).await;
    let mut reader = consumer(bus.as_ref(), "group", Assignment::Static(vec![partition(0)])).await;
    let partitions = assigned(reader.as_mut()).await;
    from_the_beginning(reader.as_mut(), &partitions).await;
    let waiting = tokio::spawn(async move { reader.next().await.err() });
    ok(bus.close().await);
    ok(bus.close().await);
    assert!(matches!(ok(waiting.await), Some(BusError::Closed)));
    if let Ok(mut producer) = bus.producer().await {
        assert!(matches!(producer.produce(vec![(partition(0), record(1))]).await, Err(BusError::Closed)));
    }
}

/// One round of opening a bus again and again.
pub(super) async fn reopened(bus: Arc<dyn Bus>, round: u64) {
    const PER_ROUND: u64 = 10;
    if round > 1 {
        assert_eq!(ok(bus.partitions(TOPIC).await), 2, "topics are kept");
    }
    make_topic(bus.as_ref(), TOPIC, 2).await;
    for number in 0..PER_ROUND {
        let to = TopicPartition::new(TOPIC, u32::from(number % 2 == 1));
        send(bus.as_ref(), &to, [(round - 1) * PER_ROUND + number]).await;
    }
    let mut reader = consumer(bus.as_ref(), "group", Assignment::Group).await;
    let partitions = assigned(reader.as_mut()).await;
    from_the_beginning(reader.as_mut(), &partitions).await;
    let expected = round * PER_ROUND;
    let received = receive(reader.as_mut(), usize::try_from(expected).unwrap_or(usize::MAX)).await;
    for odd in [0, 1] {
        let lane = received.iter().filter(|(from, _)| from.partition == odd).map(|(_, number)| *number);
        assert!(lane.eq((0..expected).filter(|number| number % 2 == u64::from(odd))), "{received:?}");
    }
    if round.is_multiple_of(2) {
        ok(bus.close().await);
    }
}
