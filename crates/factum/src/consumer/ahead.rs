//! What comes next on the bus, fetched while the records before it are applied.

use crate::{
    bus::{BusError, BusEvent, Consumer, Offset, TopicPartition},
    runtime::meanwhile,
};

/// A consumer of the bus that may be one event ahead of its loop, so that memory is bounded by what one fetch brings.
/// The event counts for nothing before its turn: the partitions of a revocation go to nobody else, and records of a
/// partition that goes on elsewhere meanwhile are forgotten.
pub(super) struct FetchAhead {
    consumer: Box<dyn Consumer>,
    ahead: Option<Result<BusEvent, BusError>>,
}

impl FetchAhead {
    pub(super) fn new(consumer: Box<dyn Consumer>) -> Self {
        Self { consumer, ahead: None }
    }

    /// What comes next. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<BusEvent, BusError> {
        match self.ahead.take() {
            Some(event) => event,
            None => self.consumer.next().await,
        }
    }

    /// Waits for work on what came last, and fetches what comes next meanwhile.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        if self.ahead.is_some() {
            return work.await;
        }
        let (done, ahead) = meanwhile(work, self.consumer.next()).await;
        self.ahead = ahead;
        done
    }

    /// Whether a partition is to be given up next: where it stands is its next owner's business.
    pub(super) fn gives_up(&self, partition: &TopicPartition) -> bool {
        matches!(&self.ahead, Some(Ok(BusEvent::Revoked(revoked, _))) if revoked.contains(partition))
    }

    /// Lets a partition go on elsewhere.
    pub(super) async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        let outdated = |event: &Result<BusEvent, BusError>| match event {
            Ok(BusEvent::Records(of, _)) | Err(BusError::OffsetOutOfRange { partition: of, .. }) => of == partition,
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
