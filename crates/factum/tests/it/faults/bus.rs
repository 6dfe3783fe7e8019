//! A bus that meets faults.

use std::sync::Arc;

use factum::{
    bus::{
        Bus, BusError, BusEvent, Consumer, ConsumerOptions, NewRecord, Offset, Producer, Record, TopicPartition,
        TopicSpec,
    },
    store::BoxFuture,
};

use super::{Faults, bus_fails};

pub(super) struct FaultyBus {
    pub(super) inner: Arc<dyn Bus>,
    pub(super) faults: Faults,
}

impl Bus for FaultyBus {
    fn ensure_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(self.faults.around("bus.ensure_topics", bus_fails, self.inner.ensure_topics(topics)))
    }

    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<u32, BusError>> {
        Box::pin(self.faults.around("bus.partitions", bus_fails, self.inner.partitions(topic)))
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>> {
        Box::pin(self.faults.around("bus.producer", bus_fails, async {
            let producer = FaultyProducer { inner: self.inner.producer().await?, faults: self.faults.clone() };
            Ok(Box::new(producer) as Box<dyn Producer>)
        }))
    }

    fn consumer(&self, options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>> {
        Box::pin(self.faults.around("bus.consumer", bus_fails, async {
            let consumer = FaultyConsumer { inner: self.inner.consumer(options).await?, faults: self.faults.clone() };
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        }))
    }

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        Box::pin(self.faults.around("bus.tail", bus_fails, self.inner.tail(partition, below)))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.inner.close()
    }
}

struct FaultyProducer {
    inner: Box<dyn Producer>,
    faults: Faults,
}

impl Producer for FaultyProducer {
    fn produce(
        &mut self,
        mut records: Vec<(TopicPartition, NewRecord)>,
    ) -> BoxFuture<'_, Result<Vec<Offset>, BusError>> {
        Box::pin(async move {
            // Two faults can happen here: with all of the records sent, and with some.
            let Some(fault) = self.faults.turn("producer.produce, some sent") else {
                return self.faults.around("producer.produce", bus_fails, self.inner.produce(records)).await;
            };
            if !fault.is_before() {
                records.truncate(records.len() / 2);
                self.inner.produce(records).await?;
            }
            if fault.is_death() { self.faults.die().await } else { Err(bus_fails()) }
        })
    }
}

struct FaultyConsumer {
    inner: Box<dyn Consumer>,
    faults: Faults,
}

impl Consumer for FaultyConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<BusEvent, BusError>> {
        Box::pin(self.faults.around("consumer.next", bus_fails, self.inner.next()))
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.position(partition)
    }

    fn seek<'a>(&'a mut self, partition: &'a TopicPartition, offset: Offset) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(self.faults.around("consumer.seek", bus_fails, self.inner.seek(partition, offset)))
    }

    fn earliest<'a>(&'a mut self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<Offset, BusError>> {
        Box::pin(self.faults.around("consumer.earliest", bus_fails, self.inner.earliest(partition)))
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.inner.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }
}
