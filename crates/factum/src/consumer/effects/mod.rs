//! Effects of messages, recorded in the event store: commands that are received, processes that hear.
//!
//! An [`Effect`] is durable when it answers, and done again it changes nothing; so progress is written down after it,
//! in the event store. Messages of different keys are worked on at the same time, those of one key one after the other.

mod batch;
mod ledger;
mod run;
mod seen;
mod session;
mod worker;

pub use run::EffectConsumer;
pub use seen::Seen;

use std::future::ready;

use crate::{
    bus::{Envelope, EnvelopeError, Record, TopicPartition},
    store::{BoxFuture, StoreError},
};

/// What a message leads to.
///
/// Each message comes in the order of its key, after its predecessor was dealt with; it may come again, also long
/// after. Whatever it leads to bears an id derived from it, so that doing it twice is doing it once.
pub trait Effect: Send + Sync + 'static {
    /// Comes before anything is taken in, also after each interruption.
    ///
    /// # Errors
    /// Nothing is taken in until the store answers.
    fn begin(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }

    /// Takes in a message that came on a partition, in a record. What it leads to is durable when this answers.
    ///
    /// # Errors
    /// [`EffectError::Later`]: it is told again after a while, and what comes after it under its key waits.
    /// [`EffectError::Never`]: it is parked with what comes after it under its key, where there is a quarantine; else its
    /// partition stands still, with an alarm, until it is told again.
    fn take<'a>(
        &'a self,
        from: &'a TopicPartition,
        record: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>>;

    /// Takes in a record that is no message. Unless this says otherwise, the partition stands still.
    ///
    /// # Errors
    /// As [`Effect::take`].
    fn take_unreadable<'a>(
        &'a self,
        from: &'a TopicPartition,
        record: &'a Record,
        error: &'a EnvelopeError,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        let _ = (from, record);
        Box::pin(async move { Err(EffectError::Never(format!("the record is no message: {error}"))) })
    }
}

/// Why a message led to nothing yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// Time can mend it: the event store is away, others were faster.
    #[error("{0}")]
    Later(String),
    /// Only an operator or another build can mend it.
    #[error("{0}")]
    Never(String),
}
