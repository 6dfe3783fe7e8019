//! What comes next on the bus, fetched and read while the records before it are applied.

use std::sync::Arc;

use super::records::Records;
use crate::{
    bus::{BusError, BusEvent, Consumer, Offset, Revocation, TopicPartition},
    runtime::{Runtime, meanwhile},
};

/// A consumer of the bus that may be one event ahead of its loop, so that memory is bounded by what one fetch brings.
/// The event counts for nothing before its turn: the partitions of a revocation go to nobody else, and records of a
/// partition that goes on elsewhere meanwhile are forgotten.
pub(super) struct FetchAhead {
    consumer: Box<dyn Consumer>,
    ahead: Option<Result<Fetched, BusError>>,
}

/// What a fetch brought.
pub(super) enum Fetched {
    Assigned(Vec<TopicPartition>),
    Records(TopicPartition, Arc<Records>),
    Revoked(Vec<TopicPartition>, Revocation),
}

impl From<BusEvent> for Fetched {
    fn from(event: BusEvent) -> Self {
        match event {
            BusEvent::Assigned(partitions) => Self::Assigned(partitions),
            BusEvent::Records(partition, records) => Self::Records(partition, Arc::new(Records::new(records))),
            BusEvent::Revoked(partitions, revocation) => Self::Revoked(partitions, revocation),
        }
    }
}

impl FetchAhead {
    pub(super) fn new(consumer: Box<dyn Consumer>) -> Self {
        Self { consumer, ahead: None }
    }

    /// What comes next. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Fetched, BusError> {
        match self.ahead.take() {
            Some(event) => event,
            None => self.consumer.next().await.map(Fetched::from),
        }
    }

    /// Waits for work on what came last; fetches what comes next meanwhile, and reads it as messages.
    pub(super) async fn during<T>(&mut self, runtime: &Runtime, work: impl Future<Output = T>) -> T {
        meanwhile(work, self.fetch_and_read(runtime)).await.0
    }

    /// Dropping the future loses nothing.
    async fn fetch_and_read(&mut self, runtime: &Runtime) {
        if self.ahead.is_none() {
            self.ahead = Some(self.consumer.next().await.map(Fetched::from));
        }
        if let Some(Ok(Fetched::Records(_, records))) = &self.ahead {
            let records = Arc::clone(records);
            // What fails now is read by whoever takes it.
            let _ = runtime.blocking(move || records.read_ahead()).await;
        }
    }

    /// Whether a partition is to be given up next: where it stands is its next owner's business.
    pub(super) fn gives_up(&self, partition: &TopicPartition) -> bool {
        matches!(&self.ahead, Some(Ok(Fetched::Revoked(revoked, _))) if revoked.contains(partition))
    }

    /// Lets a partition go on elsewhere.
    pub(super) async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        let outdated = |event: &Result<Fetched, BusError>| match event {
            Ok(Fetched::Records(of, _)) | Err(BusError::OffsetOutOfRange { partition: of, .. }) => of == partition,
            _ => false,
        };
        self.ahead.take_if(|event| outdated(event));
        self.consumer.seek(partition, offset).await
    }

    pub(super) async fn earliest(&mut self, partition: &TopicPartition) -> Result<Offset, BusError> {
        self.consumer.earliest(partition).await
    }

    /// Brings no more of a partition, once it was sought.
    pub(super) fn pause(&mut self, partition: &TopicPartition) {
        self.consumer.pause(partition);
    }

    pub(super) fn resume(&mut self, partition: &TopicPartition) {
        self.consumer.resume(partition);
    }
}
