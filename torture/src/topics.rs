//! What is on the topics of a service beside what its events say should be there.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use factum::{
    Position, Selection,
    bus::{Assignment, Bus, BusEvent, ConsumerOptions, Envelope, Record, TopicPartition, partition_of},
    model::EventId,
    relay::DynPublication,
    store::{Direction, EventStore},
};

/// How many events are read at once.
const EVENTS_MAX: usize = 1_000;
/// How long the next records of a partition may take that is known to have some.
const RECORDS_WAIT_MAX: Duration = Duration::from_secs(30);

/// What the topics of a service held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Published {
    /// Records, whatever they are.
    pub records: u64,
    /// Messages that a reader takes.
    pub messages: u64,
    /// Messages that it has had already.
    pub sent_again: u64,
    /// Messages behind a hole that was filled later.
    pub behind_a_hole: u64,
}

/// A message that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    position: Position,
    id: EventId,
    key: String,
    name: String,
    data: Bytes,
}

/// Compares what is published with the translations of a store's events: on each partition a reader from the beginning takes exactly
/// those, in order.
///
/// # Errors
/// They differ; the store or the bus cannot be read.
pub async fn compare(
    bus: &dyn Bus,
    store: &dyn EventStore,
    publications: &[DynPublication],
) -> anyhow::Result<Published> {
    let mut sum = Published::default();
    let mut expected = translations(store, publications).await?;
    for publication in publications {
        for partition in 0..publication.partitions() {
            let place = TopicPartition::new(publication.topic(), partition);
            let should = expected.remove(&place).unwrap_or_default();
            one(bus, &place, &should, &mut sum).await.with_context(|| place.to_string())?;
        }
    }
    ensure!(expected.is_empty(), "messages for partitions that are none: {:?}", expected.keys());
    Ok(sum)
}

/// What should be there, by partition.
async fn translations(
    store: &dyn EventStore,
    publications: &[DynPublication],
) -> anyhow::Result<BTreeMap<TopicPartition, Vec<Message>>> {
    let (source, everything) = (store.identity().source(), Selection::everything());
    let mut all: BTreeMap<TopicPartition, Vec<Message>> = BTreeMap::new();
    let mut after = Position::ZERO;
    loop {
        let batch = store.read(&everything, after, Direction::Forward, EVENTS_MAX).await?;
        for event in &batch.events {
            for publication in publications {
                let Some(message) = publication.translate(event, source)? else { continue };
                let key = message.key(&event.stream).to_string();
                let partition = partition_of(key.as_bytes(), publication.partitions());
                all.entry(TopicPartition::new(publication.topic(), partition)).or_default().push(Message {
                    position: event.position,
                    id: event.id,
                    key,
                    name: message.name.to_owned(),
                    data: message.data.into(),
                });
            }
        }
        if batch.end {
            return Ok(all);
        }
        after = batch.read_to;
    }
}

async fn one(bus: &dyn Bus, place: &TopicPartition, should: &[Message], sum: &mut Published) -> anyhow::Result<()> {
    let (mut taken, mut watermark) = (0, Position::ZERO);
    for record in records(bus, place).await? {
        sum.records += 1;
        let Envelope { position, previous, id, name, data, .. } = Envelope::decode(&record.headers, &record.value)?;
        let is = Message { position, id, key: String::from_utf8_lossy(&record.key).into_owned(), name, data };
        // Also what comes again, or behind a hole, says what its event says.
        let known = should.binary_search_by_key(&position, |message| message.position);
        let meant = known.ok().map(|at| &should[at]);
        ensure!(meant == Some(&is), "{is:?} is there instead of {meant:?}");
        if position <= watermark {
            sum.sent_again += 1;
        } else if previous > watermark {
            sum.behind_a_hole += 1;
        } else {
            ensure!(known == Ok(taken), "{is:?} is there instead of {:?}", should.get(taken));
            (taken, watermark) = (taken + 1, position);
            sum.messages += 1;
        }
    }
    match should.get(taken) {
        Some(missing) => bail!("{missing:?} and {} more are not there", should.len() - taken - 1),
        None => Ok(()),
    }
}

/// Everything on a partition.
async fn records(bus: &dyn Bus, place: &TopicPartition) -> anyhow::Result<Vec<Record>> {
    let Some(last) = bus.tail(place, None).await? else { return Ok(Vec::new()) };
    let assignment = Assignment::Static(vec![place.clone()]);
    let (group, topics) = ("torture".to_owned(), vec![place.topic.clone()]);
    let mut consumer = bus.consumer(ConsumerOptions { group, topics, assignment }).await?;
    let mut all = Vec::new();
    while consumer.position(place).is_none_or(|next| next <= last.offset) {
        let event = tokio::time::timeout(RECORDS_WAIT_MAX, consumer.next()).await;
        match event.context("no records although there are some")?? {
            BusEvent::Assigned(_) => {
                let earliest = consumer.earliest(place).await?;
                consumer.seek(place, earliest).await?;
            }
            BusEvent::Records(_, records) => all.extend(records),
            BusEvent::Revoked(..) => bail!("a static assignment was revoked"),
        }
    }
    Ok(all)
}
