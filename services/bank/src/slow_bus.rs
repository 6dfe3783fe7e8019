//! A bus that holds one message back, and with it what comes after it on its partition, until it is let go. For tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use factum::bus::{
    Bus, BusError, BusEvent, Consumer, ConsumerOptions, Headers, Offset, Producer, Record, TopicPartition, TopicSpec,
};
use factum::store::BoxFuture;
use tokio::sync::watch;

/// Which message: the topic it is on, and the end of the command id it bears.
pub type HeldBack = Option<(&'static str, &'static str)>;

/// A bus whose consumers do not see what is held back.
pub struct SlowBus {
    bus: Arc<dyn Bus>,
    held_back: watch::Sender<HeldBack>,
}

struct SlowConsumer {
    consumer: Box<dyn Consumer>,
    held_back: watch::Receiver<HeldBack>,
    /// The partitions that stand before what is held back.
    standing: BTreeSet<TopicPartition>,
    /// The partitions that whoever consumes wants to be paused.
    paused: BTreeSet<TopicPartition>,
}

impl SlowBus {
    /// The same bus, but for what it holds back.
    pub fn new(bus: Arc<dyn Bus>, held_back: HeldBack) -> Self {
        Self { bus, held_back: watch::Sender::new(held_back) }
    }

    /// Holds nothing back any more.
    pub fn let_go(&self) {
        self.held_back.send_replace(None);
    }
}

impl Bus for SlowBus {
    fn ensure_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), BusError>> {
        self.bus.ensure_topics(topics)
    }

    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<u32, BusError>> {
        self.bus.partitions(topic)
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>> {
        self.bus.producer()
    }

    fn consumer(&self, options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>> {
        Box::pin(async move {
            let (consumer, held_back) = (self.bus.consumer(options).await?, self.held_back.subscribe());
            let (standing, paused) = <(BTreeSet<_>, BTreeSet<_>)>::default();
            Ok(Box::new(SlowConsumer { consumer, held_back, standing, paused }) as Box<dyn Consumer>)
        })
    }

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        self.bus.tail(partition, below)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.bus.close()
    }
}

fn bears(headers: &Headers, command: &str) -> bool {
    headers.get("ce_commandid").is_some_and(|id| id.ends_with(command.as_bytes()))
}

impl SlowConsumer {
    /// Goes on with what stands, once nothing is held back.
    fn go_on(&mut self) {
        if self.held_back.borrow_and_update().is_none() {
            let wanted = std::mem::take(&mut self.standing).into_iter().filter(|it| !self.paused.contains(it));
            wanted.collect::<Vec<_>>().iter().for_each(|partition| self.consumer.resume(partition));
        }
    }

    /// What of an event may be seen now; the partition stands before the rest.
    async fn seen(&mut self, event: BusEvent) -> Result<Option<BusEvent>, BusError> {
        let held_back = *self.held_back.borrow();
        let (BusEvent::Records(partition, mut records), Some((topic, command))) = (event, held_back) else {
            unreachable!("asked of records only, and while something is held back")
        };
        let held = records.iter().position(|record| bears(&record.headers, command));
        if let Some(held) = held.filter(|_| &*partition.topic == topic) {
            self.consumer.seek(&partition, records[held].offset).await?;
            self.consumer.pause(&partition);
            self.standing.insert(partition.clone());
            records.truncate(held);
        }
        Ok((!records.is_empty()).then_some(BusEvent::Records(partition, records)))
    }
}

impl Consumer for SlowConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<BusEvent, BusError>> {
        Box::pin(async move {
            loop {
                self.go_on();
                let event = tokio::select! {
                    biased;
                    Ok(()) = self.held_back.changed() => continue,
                    event = self.consumer.next() => event?,
                };
                if !matches!(event, BusEvent::Records(..)) || self.held_back.borrow().is_none() {
                    return Ok(event);
                }
                if let Some(seen) = self.seen(event).await? {
                    return Ok(seen);
                }
            }
        })
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    fn seek<'a>(&'a mut self, partition: &'a TopicPartition, offset: Offset) -> BoxFuture<'a, Result<(), BusError>> {
        // It comes to what is held back anew.
        if self.standing.remove(partition) && !self.paused.contains(partition) {
            self.consumer.resume(partition);
        }
        self.consumer.seek(partition, offset)
    }

    fn earliest<'a>(&'a mut self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<Offset, BusError>> {
        self.consumer.earliest(partition)
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.paused.insert(partition.clone());
        self.consumer.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.paused.remove(partition);
        if !self.standing.contains(partition) {
            self.consumer.resume(partition);
        }
    }

    fn fetches_at_most(&mut self, records: usize) {
        self.consumer.fetches_at_most(records);
    }
}
