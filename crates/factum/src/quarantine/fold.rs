//! One message into a read model: applied, parked, or dropped because an operator said so.

use std::borrow::Cow;

use uuid::Uuid;

use super::{Discards, Draft, Incoming, Shelf, shelf::NoRoom};
use crate::{
    model::{Delivery, Timestamp},
    projections::{AnyProjection, ApplyError},
    read::{CheckpointMove, Epoch, ReadError, ReadStore, ReadTransaction},
};

/// The longest key that is stored as it is, in bytes; of a longer one a hash is.
const KEY_BYTES_MAX: usize = 255;
/// Under this namespace (UUID v5, RFC 9562) long keys are hashed.
const NAMESPACE: Uuid = Uuid::from_u128(0x3a0c_9e5b_71d4_4f86_a2ce_60b8_17f3_d95a);

/// What one transaction folds with.
pub(crate) struct Fold<'a> {
    pub(crate) projection: &'a dyn AnyProjection,
    pub(crate) shelf: &'a Shelf,
    pub(crate) discards: &'a Discards,
    pub(crate) now: Timestamp,
}

/// Why a message was not taken in. The transaction must be rolled back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    /// The read store cannot work now.
    #[error(transparent)]
    Store(ReadError),
    /// It failed for good: to be parked.
    #[error(transparent)]
    Failed(ApplyError),
    /// It is to be parked, and there is no room.
    #[error("{0}")]
    Full(String),
}

impl Fold<'_> {
    /// Folds messages in and moves checkpoints, in one transaction. Says what it parks, or which message is why nothing
    /// was written. The first one is parked at once if it failed before.
    pub(crate) fn write<'a>(
        &self,
        (epoch, moves): (Epoch, &[CheckpointMove]),
        messages: impl Iterator<Item = Incoming<'a>> + Clone,
        failed: Option<&str>,
        read_store: &dyn ReadStore,
    ) -> Result<Result<Draft, (usize, FoldError)>, ReadError> {
        let (mut draft, mut refused) = (Draft::default(), None);
        let written = read_store.write(self.projection.key(), epoch, moves, &mut |tx| {
            (draft, refused) = (Draft::default(), None);
            for (index, message) in messages.clone().enumerate() {
                let failed = failed.filter(|_| index == 0);
                if let Err(error) = self.take(&mut draft, &message, failed, tx) {
                    refused = Some((index, error));
                    return Err(ReadError::Broken("rolled back".to_owned()));
                }
            }
            Ok(())
        });
        match (written, refused) {
            (Ok(()), _) => Ok(Ok(draft)),
            (Err(error), None) | (Err(_), Some((_, FoldError::Store(error)))) => Err(error),
            (Err(_), Some(refused)) => Ok(Err(refused)),
        }
    }

    /// Takes in one message; of one that failed for good before, with the reason.
    fn take(
        &self,
        draft: &mut Draft,
        message: &Incoming<'_>,
        failed: Option<&str>,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), FoldError> {
        if self.discards.contains(message.delivery.event_id) {
            draft.discarded += 1;
            return Ok(());
        }
        let key = key_of(self.projection, &message.delivery);
        if failed.is_none() && !self.shelf.holds(draft, &key) {
            return apply(self.projection, message, tx);
        }
        self.shelf.park(draft, &key, message, (failed, self.now), tx).map_err(|no_room| match no_room {
            NoRoom::Full(reason) => FoldError::Full(reason),
            NoRoom::Read(error) => FoldError::Store(error),
        })
    }
}

/// Applies a message, and tells trouble of the store from what is for good.
pub(super) fn apply(
    projection: &dyn AnyProjection,
    message: &Incoming<'_>,
    tx: &mut dyn ReadTransaction,
) -> Result<(), FoldError> {
    let raw = message.raw;
    projection.apply(raw, &message.delivery, tx).map_err(|error| match error {
        ApplyError::Read(error) if !is_for_good(&error) => FoldError::Store(error),
        other => FoldError::Failed(other),
    })
}

/// Whether an error of a transaction is about what was to be written.
const fn is_for_good(error: &ReadError) -> bool {
    matches!(error, ReadError::Broken(_) | ReadError::TooLarge { .. })
}

fn key_of<'a>(projection: &dyn AnyProjection, delivery: &'a Delivery) -> Cow<'a, str> {
    let key = projection.parks_by(delivery);
    if key.len() > KEY_BYTES_MAX { Uuid::new_v5(&NAMESPACE, key.as_bytes()).to_string().into() } else { key }
}
