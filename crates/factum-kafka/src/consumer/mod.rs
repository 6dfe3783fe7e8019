//! Receives: what the reader sees. librdkafka is spoken to by a thread of its own ([`worker`]); between the two is what
//! [`state`] holds.

mod discovery;
mod state;
mod worker;

use std::sync::Arc;

use factum::{
    bus::{Assignment, BusError, BusEvent, Consumer, ConsumerOptions, FETCH_RECORDS_MAX, Offset, TopicPartition},
    store::BoxFuture,
};
use tokio::sync::watch;

use self::{discovery::Discovery, state::Shared};
use crate::{client::Common, looker::Looker, topics::blocking};

/// A consumer on Kafka. Dropping it leaves its group.
pub(crate) struct KafkaConsumer {
    common: Arc<Common>,
    looker: Arc<Looker>,
    shared: Arc<Shared>,
    closed: watch::Receiver<bool>,
    records_max: usize,
    /// Ends with it.
    _discovery: Option<Discovery>,
}

impl KafkaConsumer {
    pub(crate) async fn new(
        common: Arc<Common>,
        looker: Arc<Looker>,
        options: ConsumerOptions,
    ) -> Result<Self, BusError> {
        common.open()?;
        if let Assignment::Static(partitions) = &options.assignment {
            for partition in partitions {
                let (looker, partition) = (looker.clone(), partition.clone());
                blocking(move || looker.exists(&partition)).await?;
            }
        }
        let shared = Arc::new(Shared::new());
        let starting = (common.clone(), looker.clone(), shared.clone(), options.clone());
        blocking(move || {
            let (common, looker, shared, options) = starting;
            worker::start(&common, looker, shared, &options)
        })
        .await?;
        let discovery = match options.assignment {
            Assignment::Group => None,
            Assignment::Static(partitions) => {
                shared.add(partitions);
                None
            }
            Assignment::Everything => Some(Discovery::start(looker.clone(), shared.clone(), options.topics)),
        };
        let closed = common.closed.subscribe();
        Ok(Self { common, looker, shared, closed, records_max: FETCH_RECORDS_MAX, _discovery: discovery })
    }
}

impl Consumer for KafkaConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<BusEvent, BusError>> {
        Box::pin(async move {
            loop {
                self.common.open()?;
                if let Some(event) = Shared::next(&self.shared, self.records_max) {
                    return event;
                }
                tokio::select! {
                    biased;
                    // The sender lives as long as the bus's parts do.
                    _ = self.closed.wait_for(|closed| *closed) => return Err(BusError::Closed),
                    () = self.shared.news() => {}
                }
            }
        })
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.shared.position(partition)
    }

    fn seek<'a>(&'a mut self, partition: &'a TopicPartition, offset: Offset) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(async move { self.shared.seek(partition, offset) })
    }

    fn earliest<'a>(&'a mut self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<Offset, BusError>> {
        let (looker, partition) = (self.looker.clone(), partition.clone());
        Box::pin(blocking(move || Ok(looker.ends(&partition)?.earliest)))
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.shared.pause(partition);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.shared.resume(partition);
    }

    fn fetches_at_most(&mut self, records: usize) {
        self.records_max = records.clamp(1, FETCH_RECORDS_MAX);
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.shared.end();
    }
}
