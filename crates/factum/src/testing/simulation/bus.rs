//! A bus as a process sees it to which things happen.

use std::sync::Arc;

use super::chaos::{Chaos, Misfortune};
use crate::{
    bus::{
        Bus, BusError, BusEvent, Consumer, ConsumerOptions, NewRecord, Offset, Producer, Record, TopicPartition,
        TopicSpec,
    },
    store::BoxFuture,
};

struct TroubledBus {
    inner: Arc<dyn Bus>,
    chaos: Chaos,
}

struct TroubledProducer {
    inner: Box<dyn Producer>,
    chaos: Chaos,
}

struct TroubledConsumer {
    inner: Box<dyn Consumer>,
    chaos: Chaos,
}

impl Chaos {
    /// The bus as the process sees it.
    pub fn bus(&self, bus: &Arc<dyn Bus>) -> Arc<dyn Bus> {
        Arc::new(TroubledBus { inner: Arc::clone(bus), chaos: self.clone() })
    }

    async fn over_bus<T>(&self, name: &str, call: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
        match self.draw(name) {
            Misfortune::None => call.await,
            Misfortune::Delay(wait) => {
                self.delay(wait).await;
                call.await
            }
            Misfortune::FailBefore => Err(away()),
            Misfortune::FailAfter => call.await.and_then(|_| Err(away())),
            Misfortune::DieBefore => {
                self.die().await;
                Err(away())
            }
            Misfortune::DieAfter => {
                let _ = call.await;
                self.die().await;
                Err(away())
            }
        }
    }
}

fn away() -> BusError {
    BusError::Unavailable("the simulation took it away".into())
}

impl Bus for TroubledBus {
    fn ensure_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(self.chaos.over_bus("bus.ensure_topics", self.inner.ensure_topics(topics)))
    }

    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<u32, BusError>> {
        Box::pin(self.chaos.over_bus("bus.partitions", self.inner.partitions(topic)))
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>> {
        Box::pin(async move {
            let inner = self.chaos.over_bus("bus.producer", self.inner.producer()).await?;
            Ok(Box::new(TroubledProducer { inner, chaos: self.chaos.clone() }) as Box<dyn Producer>)
        })
    }

    fn consumer(&self, options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>> {
        Box::pin(async move {
            let inner = self.chaos.over_bus("bus.consumer", self.inner.consumer(options)).await?;
            Ok(Box::new(TroubledConsumer { inner, chaos: self.chaos.clone() }) as Box<dyn Consumer>)
        })
    }

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        Box::pin(self.chaos.over_bus("bus.tail", self.inner.tail(partition, below)))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.inner.close()
    }
}

impl Producer for TroubledProducer {
    fn produce(&mut self, records: Vec<(TopicPartition, NewRecord)>) -> BoxFuture<'_, Result<Vec<Offset>, BusError>> {
        Box::pin(self.chaos.over_bus("producer.produce", self.inner.produce(records)))
    }
}

impl Consumer for TroubledConsumer {
    // A delay comes before the call: what was received is handed on at once, or a dropped future would lose it.
    fn next(&mut self) -> BoxFuture<'_, Result<BusEvent, BusError>> {
        Box::pin(self.chaos.over_bus("consumer.next", self.inner.next()))
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.position(partition)
    }

    fn seek<'a>(&'a mut self, partition: &'a TopicPartition, offset: Offset) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(self.chaos.over_bus("consumer.seek", self.inner.seek(partition, offset)))
    }

    fn earliest<'a>(&'a mut self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<Offset, BusError>> {
        Box::pin(self.chaos.over_bus("consumer.earliest", self.inner.earliest(partition)))
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.inner.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }

    fn fetches_at_most(&mut self, records: usize) {
        self.inner.fetches_at_most(records);
    }
}
