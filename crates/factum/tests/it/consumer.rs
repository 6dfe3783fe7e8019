//! The watermark and gap rules, poison, and histories that fork, as a read model sees them.

mod ahead;
mod earlier;
mod refill;
mod regrown;

use std::sync::Arc;

use factum::{
    ActorId, Delivery, EventId, ProjectionKey, RawEvent,
    bus::{Bus, Envelope, Headers, MemoryBus, NewRecord, Offset, Origin, TopicPartition, TopicSpec},
    consumer::ConsumerEnd,
    model::{CorrelationId, Incarnation, Source, StoreId},
    projections::{self, AnyProjection, ApplyError, DynProjection, Phase},
    read::{Checkpoint, CheckpointMove, Lane, MemoryReadStore, ReadTransaction},
    runtime::{LoopState, StatusReport},
    store::{Fork, Position, StreamName, Version},
    testing::NOW,
};
use uuid::Uuid;

use crate::world::{POISON, Running, TOPIC, Totals, World, eventually, totals, world};

/// A message of a hand-made history: everything is on one counter, and raises it by one.
#[derive(Clone)]
struct Letter {
    incarnation: u128,
    position: u64,
    previous: u64,
    by: u64,
    lineage: Vec<(u128, u64)>,
}

fn letter(previous: u64, position: u64) -> Letter {
    Letter { incarnation: 1, position, previous, by: 1, lineage: Vec::new() }
}

impl Letter {
    /// The same in a later incarnation.
    fn restored(self, incarnation: u128, lineage: &[(u128, u64)]) -> Self {
        Self { incarnation, lineage: lineage.to_vec(), ..self }
    }

    fn by(self, by: u64) -> Self {
        Self { by, ..self }
    }

    fn source(&self) -> Source {
        source(self.incarnation)
    }

    fn record(&self) -> NewRecord {
        let fork = |(parent, position): &(u128, u64)| Fork {
            parent: Incarnation::from_uuid(Uuid::from_u128(*parent)),
            position: Position::new(*position),
        };
        // A restore keeps the events up to its fork.
        let kept = self.lineage.iter().find(|(_, fork)| self.position <= *fork);
        let recorded_in = kept.map_or(self.incarnation, |(parent, _)| *parent);
        let id = Uuid::from_u128(recorded_in << 64 | u128::from(self.position));
        let envelope = Envelope {
            id: EventId::from_uuid(id),
            origin: Origin { system: "shop".into(), service: "counters".into(), source: self.source() },
            name: "shop.counters.raised.v1".to_owned(),
            stream: StreamName::new("counter-1").unwrap(),
            key: StreamName::new("counter-1").unwrap(),
            version: Version::new(self.position),
            recorded_at: NOW,
            position: Position::new(self.position),
            previous: Position::new(self.previous),
            lineage: self.lineage.iter().map(fork).collect(),
            command_id: None,
            correlation_id: CorrelationId::from_uuid(Uuid::from_u128(3)),
            causation_id: None,
            actor: ActorId::system(),
            data: format!("{{\"by\":{}}}", self.by).into(),
        };
        envelope.encode()
    }
}

fn source(incarnation: u128) -> Source {
    let incarnation = Incarnation::from_uuid(Uuid::from_u128(incarnation));
    Source { store: StoreId::from_uuid(Uuid::from_u128(9)), incarnation }
}

fn with_header(record: NewRecord, name: &str, text: &str) -> NewRecord {
    let mut headers = Headers::new();
    for (own, value) in record.headers.iter() {
        let value = if own == name { text.as_bytes().to_vec() } else { value.to_owned() };
        headers.push(own.to_owned(), value);
    }
    NewRecord { headers, ..record }
}

fn home() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

/// A topic with one partition, and nobody who publishes on it.
async fn quiet_world() -> (World, MemoryBus) {
    let (world, bus) = world();
    world.bus.ensure_topics(&[TopicSpec::new(TOPIC, 1).unwrap()]).await.unwrap();
    (world, bus)
}

async fn send(bus: &dyn Bus, letters: impl IntoIterator<Item = Letter>) {
    let records = letters.into_iter().map(|letter| (home(), letter.record())).collect();
    bus.producer().await.unwrap().produce(records).await.unwrap();
}

/// A record that is no message: its partition stands still before it.
async fn send_junk(bus: &dyn Bus) {
    let junk = NewRecord { key: "k".into(), headers: Headers::new(), value: "hello".into(), timestamp: NOW };
    bus.producer().await.unwrap().produce(vec![(home(), junk)]).await.unwrap();
}

/// The positions folded in, in order.
fn folded(world: &World) -> Vec<u64> {
    totals(world.read_store.as_ref()).into_iter().next().unwrap_or_default().positions
}

/// Waits until exactly these positions were folded in and every record was dealt with.
async fn folds(world: &World, bus: &MemoryBus, expected: &[u64]) {
    let end = bus.records(&home()).last().map_or(0, |last| last.offset.get() + 1);
    let at_end = || checkpoint(world, &Lane::offset(TOPIC, 0)).is_some_and(|at| at.position.get() == end);
    let story = || format!("expected {expected:?}, folded {:?}", folded(world));
    eventually(|| (folded(world) == expected && at_end()).then_some(()), story).await;
}

fn checkpoint(world: &World, lane: &Lane) -> Option<Checkpoint> {
    let all = world.read_store.checkpoints(ProjectionKey::of::<Totals>()).unwrap();
    all.into_iter().find(|(own, _)| own == lane).map(|(_, at)| at)
}

/// Waits for an alarm that says this.
async fn alarm(consumer: &Running<ConsumerEnd>, text: &str) {
    consumer.status.shows(|report| report.alarms.values().any(|alarm| alarm.contains(text))).await;
}

async fn no_alarm(consumer: &Running<ConsumerEnd>) {
    consumer.status.shows(|report| report.alarms.is_empty()).await;
}

/// A consumer that had applied everything showed a lag: after a restart the whole log, and with several partitions the
/// distance between their last messages.
#[tokio::test]
async fn a_consumer_that_has_everything_shows_no_lag() {
    let (world, bus) = world();
    world.bus.ensure_topics(&[TopicSpec::new(TOPIC, 2).unwrap()]).await.unwrap();
    let [first, second] = [0, 1].map(|partition| TopicPartition::new(TOPIC, partition));
    let records = vec![(first, letter(0, 9).record()), (second, letter(0, 4).record())];
    bus.producer().await.unwrap().produce(records).await.unwrap();
    for _ in 0..2 {
        let consumer = world.consumer();
        let reached = |report: &StatusReport| report.state == LoopState::Live && report.position.get() == 9;
        consumer.status.shows(reached).await;
        assert_eq!(consumer.status.report().target.get(), 9);
        consumer.stop().await.unwrap();
    }
    assert_eq!(folded(&world).len(), 2);
}

#[tokio::test]
async fn everything_delivered_twice_changes_nothing() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    let letters = [letter(0, 3), letter(3, 4), letter(4, 9)];
    for letter in &letters {
        send(&bus, [letter.clone(), letter.clone()]).await;
    }
    send(&bus, letters.clone()).await;
    send(&bus, letters.into_iter().rev()).await;
    folds(&world, &bus, &[3, 4, 9]).await;
    consumer.status.shows(|report| report.dropped == 9 && report.processed == 3).await;
    no_alarm(&consumer).await;
    assert_eq!(checkpoint(&world, &Lane::topic(&source(1), TOPIC, 0)).unwrap().position.get(), 9);
}

#[tokio::test]
async fn a_gap_is_reported_and_nothing_after_it_applied_until_it_is_filled() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 1), letter(5, 6), letter(6, 7)]).await;
    folds(&world, &bus, &[1]).await;
    let lane = Lane::topic(&source(1), TOPIC, 0);
    alarm(&consumer, "published again from position 1 on").await;
    let (about, text) = consumer.status.report().alarms.pop_first().unwrap();
    assert_eq!(about, lane.as_str());
    for named in [source(1).store.to_string(), format!("{TOPIC}/0"), "up to 6".to_owned()] {
        assert!(text.contains(&named), "{named}: {text}");
    }
    // A restart forgets that it looked, and looks again.
    consumer.stop().await.unwrap();
    let consumer = world.consumer();
    send(&bus, [letter(7, 8)]).await;
    alarm(&consumer, "up to 7").await;
    folds(&world, &bus, &[1]).await;
    // The relay was told to publish again.
    send(&bus, [letter(1, 5), letter(5, 6), letter(6, 7), letter(7, 8), letter(8, 9)]).await;
    folds(&world, &bus, &[1, 5, 6, 7, 8, 9]).await;
    no_alarm(&consumer).await;
}

/// A partition lost everything but what was sent on top just then; after a restore all of it was sent again, in the history
/// that goes on. In the one before nothing is missing any more, and nobody would ever fill it: the alarm stayed, and what was
/// filled anew could not answer.
#[tokio::test]
async fn a_gap_that_was_left_in_an_earlier_history_is_filled_by_the_later_one() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(5, 6)]).await;
    alarm(&consumer, "published again from position 0 on").await;
    let again = |previous, position| letter(previous, position).restored(2, &[(1, 8)]);
    send(&bus, [again(0, 1)]).await;
    folds(&world, &bus, &[1]).await;
    alarm(&consumer, "up to 5").await;
    send(&bus, [again(1, 5), again(5, 6), again(6, 9)]).await;
    folds(&world, &bus, &[1, 5, 6, 9]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn a_gap_that_the_partition_itself_can_fill_is_filled() {
    let (world, bus) = quiet_world().await;
    send(&bus, (1..=5).map(|position| letter(position - 1, position))).await;
    // The place to resume reading is a place, no proof: this one is too far.
    let key = ProjectionKey::of::<Totals>();
    let epoch = world.read_store.claim(key).unwrap();
    let next =
        Checkpoint { position: Position::new(3), incarnation: Incarnation::from_uuid(Uuid::nil()), event_id: None };
    let step = CheckpointMove { lane: Lane::offset(TOPIC, 0), previous: None, next };
    world.read_store.write(key, epoch, &[step], &mut |_| Ok(())).unwrap();
    let consumer = world.consumer();
    folds(&world, &bus, &[1, 2, 3, 4, 5]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn an_offset_out_of_range_is_read_from_the_beginning() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, (1..=5).map(|position| letter(position - 1, position))).await;
    folds(&world, &bus, &[1, 2, 3, 4, 5]).await;
    // With the consumer running: the topic is empty again, and then has everything and more.
    bus.lose_records(&home(), Offset::new(0));
    send(&bus, (1..=7).map(|position| letter(position - 1, position))).await;
    folds(&world, &bus, &[1, 2, 3, 4, 5, 6, 7]).await;
    consumer.stop().await.unwrap();
    // And with the consumer stopped: it has less than was read.
    bus.lose_records(&home(), Offset::new(0));
    send(&bus, [letter(7, 8)]).await;
    let consumer = world.consumer();
    folds(&world, &bus, &[1, 2, 3, 4, 5, 6, 7, 8]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn other_records_at_offsets_that_were_read_are_noticed_at_the_start() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 1), letter(0, 1), letter(1, 2), letter(1, 2)]).await;
    folds(&world, &bus, &[1, 2]).await;
    consumer.stop().await.unwrap();
    // The topic is made anew without the re-sends: as long as before, with more in it. No gap gives it away.
    bus.lose_records(&home(), Offset::new(0));
    send(&bus, (1..=4).map(|position| letter(position - 1, position))).await;
    let consumer = world.consumer();
    folds(&world, &bus, &[1, 2, 3, 4]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn a_record_that_is_no_message_stops_its_partition() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 1)]).await;
    send_junk(&bus).await;
    send(&bus, [letter(1, 2)]).await;
    alarm(&consumer, "no message").await;
    assert_eq!(folded(&world), [1]);
    // The operator cuts it away.
    bus.lose_records(&home(), Offset::new(1));
    send(&bus, [letter(1, 2)]).await;
    folds(&world, &bus, &[1, 2]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn a_restored_source_goes_on_where_both_histories_agree() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 2), letter(2, 4)]).await;
    folds(&world, &bus, &[2, 4]).await;
    // Restored at 5: what was published up to there is shared.
    let restored = |previous, position| letter(previous, position).restored(2, &[(1, 5)]);
    send(&bus, [restored(2, 4), restored(4, 6), restored(6, 7)]).await;
    folds(&world, &bus, &[2, 4, 6, 7]).await;
    // The old machine was still alive: its history was left.
    send(&bus, [letter(4, 6), letter(6, 8), restored(7, 9)]).await;
    folds(&world, &bus, &[2, 4, 6, 7, 9]).await;
    no_alarm(&consumer).await;
    consumer.stop().await.unwrap();
    // That it was left is not forgotten in a restart; and a second restore is one more step.
    let consumer = world.consumer();
    let again = |previous, position| letter(previous, position).restored(3, &[(1, 5), (2, 9)]);
    send(&bus, [letter(4, 20), again(9, 10), restored(9, 11)]).await;
    folds(&world, &bus, &[2, 4, 6, 7, 9, 10]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn event_store_restored_to_before_what_was_applied_stops_the_consumer() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 2), letter(2, 4)]).await;
    folds(&world, &bus, &[2, 4]).await;
    send(&bus, [letter(2, 4).restored(2, &[(1, 3)])]).await;
    alarm(&consumer, "source forked at 3, you are at 4: rebuild").await;
    assert_eq!(folded(&world), [2, 4], "no event is dropped as a re-send, none applied on top of another history");
    assert_eq!(checkpoint(&world, &Lane::offset(TOPIC, 0)).unwrap().position.get(), 2);
}

#[tokio::test]
async fn a_read_model_filled_anew_leaves_out_what_a_restore_lost() {
    let (world, bus) = quiet_world().await;
    let lost = |previous, position| letter(previous, position).by(1_000);
    send(&bus, [letter(0, 2), letter(2, 4), lost(4, 6), lost(6, 7)]).await;
    let consumer = world.consumer();
    folds(&world, &bus, &[2, 4, 6, 7]).await;
    let restored = |previous, position| letter(previous, position).restored(2, &[(1, 5)]);
    send(&bus, [restored(4, 6), restored(6, 8)]).await;
    alarm(&consumer, "source forked at 5, you are at 7: rebuild").await;
    consumer.stop().await.unwrap();
    // Rebuilt, as it says.
    let world = World { read_store: Arc::new(MemoryReadStore::default()), ..world };
    let consumer = world.consumer();
    folds(&world, &bus, &[2, 4, 6, 8]).await;
    assert_eq!(totals(world.read_store.as_ref())[0].total, 4);
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn a_fork_of_a_fork_counts_where_the_histories_really_part() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 2), letter(2, 4)]).await;
    folds(&world, &bus, &[2, 4]).await;
    // Restored at 8, and then that one at 3.
    send(&bus, [letter(2, 4).restored(3, &[(1, 8), (2, 3)])]).await;
    alarm(&consumer, "source forked at 3, you are at 4: rebuild").await;
}

#[tokio::test]
async fn a_history_that_does_not_descend_from_the_applied_one_stops_the_consumer() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 2)]).await;
    folds(&world, &bus, &[2]).await;
    send(&bus, [letter(0, 3).restored(7, &[(6, 1)])]).await;
    alarm(&consumer, "does not descend from").await;
    assert_eq!(folded(&world), [2]);
}

#[tokio::test]
async fn another_event_at_an_applied_position_stops_the_consumer() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 2)]).await;
    folds(&world, &bus, &[2]).await;
    let forged = with_header(letter(0, 2).record(), "ce_id", &Uuid::from_u128(77).to_string());
    bus.producer().await.unwrap().produce(vec![(home(), forged)]).await.unwrap();
    alarm(&consumer, "where").await;
    assert!(consumer.status.report().last_error.unwrap().contains("rebuild this projection"));
}

#[tokio::test]
async fn sources_on_one_topic_do_not_mix() {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 5), letter(5, 6)]).await;
    let stranger = Source { store: StoreId::from_uuid(Uuid::from_u128(10)), ..source(1) };
    let origin = Origin { system: "shop".into(), service: "shelves".into(), source: stranger };
    let record = with_header(letter(0, 1).record(), "ce_source", &origin.to_string());
    bus.producer().await.unwrap().produce(vec![(home(), record)]).await.unwrap();
    folds(&world, &bus, &[5, 6, 1]).await;
    no_alarm(&consumer).await;
}

#[tokio::test]
async fn a_read_model_that_is_being_filled_says_so() {
    let (world, bus) = quiet_world().await;
    let key = ProjectionKey::of::<Totals>();
    send(&bus, (1..=5).map(|position| letter(position - 1, position))).await;
    send_junk(&bus).await;
    send(&bus, [letter(6, 7)]).await;
    let consumer = world.consumer();
    assert!(matches!(world.watermarks.phase(key), Phase::Refilling { .. }), "before anything is known");
    alarm(&consumer, "stands still").await;
    eventually(
        || (world.watermarks.phase(key) == Phase::Refilling { done: 5, total: 7 }).then_some(()),
        || format!("{:?}", world.watermarks.phase(key)),
    )
    .await;
    assert_eq!(consumer.status.report().state, LoopState::CatchingUp);
    bus.lose_records(&home(), Offset::new(5));
    send(&bus, [letter(5, 6), letter(6, 7)]).await;
    folds(&world, &bus, &[1, 2, 3, 4, 5, 6, 7]).await;
    consumer.status.shows(|report| report.state == LoopState::Live).await;
    assert_eq!(world.watermarks.phase(key), Phase::Live);
    consumer.stop().await.unwrap();
    // Filled once, it is whole, also before its consumer runs again.
    let consumer = world.consumer();
    consumer.status.shows(|report| report.state == LoopState::Live).await;
    assert_eq!(world.watermarks.phase(key), Phase::Live);
}
