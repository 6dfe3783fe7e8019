//! The bus.

use std::sync::Arc;

use factum::{
    bus::{Bus, BusError, Consumer, ConsumerOptions, Offset, Producer, Record, TopicPartition, TopicSpec},
    store::BoxFuture,
};

use crate::{
    KafkaOptions, OptionError,
    client::Common,
    consumer::KafkaConsumer,
    looker::Looker,
    producer::{Idle, KafkaProducer},
    topics::{self, blocking},
};

/// The bus on Apache Kafka. Cheap to clone; clones are the same bus. Call it on a tokio runtime with time.
///
/// Nothing is connected before it is used: a broker that is away is [`BusError::Unavailable`] of each call, and found
/// again by itself.
#[derive(Clone)]
pub struct KafkaBus {
    common: Arc<Common>,
    looker: Arc<Looker>,
    idle: Arc<Idle>,
}

impl KafkaBus {
    /// A bus on a cluster. Asks no broker.
    ///
    /// # Errors
    /// [`OptionError::Property`] names what is misspelt, [`OptionError::Together`] what does not go together.
    pub fn new(options: KafkaOptions) -> Result<Self, OptionError> {
        let common = Arc::new(Common::new(options));
        let looker = Arc::new(Looker::new(common.clone())?);
        Ok(Self { common, looker, idle: Arc::default() })
    }
}

impl Bus for KafkaBus {
    fn ensure_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(topics::ensure(&self.common, &self.looker, topics))
    }

    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<u32, BusError>> {
        let (looker, topic) = (self.looker.clone(), topic.to_owned());
        Box::pin(blocking(move || looker.partitions(&topic)))
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>> {
        let (common, looker, idle) = (self.common.clone(), self.looker.clone(), self.idle.clone());
        Box::pin(blocking(move || Ok(Box::new(KafkaProducer::new(common, looker, idle)?) as Box<dyn Producer>)))
    }

    fn consumer(&self, options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>> {
        let (common, looker) = (self.common.clone(), self.looker.clone());
        Box::pin(async move {
            let consumer = KafkaConsumer::new(common, looker, options).await?;
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        })
    }

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        let (looker, partition) = (self.looker.clone(), partition.clone());
        Box::pin(blocking(move || looker.tail(&partition, below)))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BusError>> {
        let (common, idle) = (self.common.clone(), self.idle.clone());
        Box::pin(async move {
            common.closed.send_replace(true);
            idle.end(&common);
            blocking(move || {
                common.ended();
                Ok(())
            })
            .await
        })
    }
}
