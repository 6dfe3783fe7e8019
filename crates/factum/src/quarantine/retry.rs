//! Parked messages tried again, in order; and the first one of a key dropped.

use std::sync::Arc;

use super::{
    Action, Draft, FoldError, Handled, Held, Incoming, ParkedMessage, Shelf,
    fold::apply,
    shelf::{Changes, messages_of},
};
use crate::{
    model::Timestamp,
    projections::DynProjection,
    read::{Epoch, ReadError, ReadStore, ReadTransaction},
};

/// How many messages one transaction tries again at most.
const RETRY_MESSAGES_MAX: usize = 100;

/// What trying again works with.
pub(crate) struct Retry {
    pub(crate) read_store: Arc<dyn ReadStore>,
    pub(crate) projection: Arc<DynProjection>,
    pub(crate) epoch: Epoch,
    pub(crate) held: Held,
    pub(crate) now: Timestamp,
}

/// What is parked of a generation, once what was discarded since it was parked is gone.
pub(crate) fn take_over(retry: &Retry) -> Result<Shelf, ReadError> {
    let projection = retry.projection.key();
    let mut shelf = Shelf::empty(projection);
    retry.read_store.read(&mut |read| {
        shelf = Shelf::load(read, projection)?;
        Ok(())
    })?;
    let keys: Vec<String> = shelf.keys.keys().cloned().collect();
    for key in keys {
        retry.drop_discarded(&mut shelf, &key)?;
    }
    Ok(shelf)
}

/// What became of one transaction.
enum Tried {
    /// So many messages are gone.
    Done(usize),
    /// The message of this number failed; nothing was written.
    Failed(usize, String),
}

impl Retry {
    /// Does with a key what was asked for.
    pub(crate) fn carry_out(
        &self,
        shelf: &mut Shelf,
        key: &str,
        action: Action,
    ) -> Result<(Handled, Changes), ReadError> {
        match action {
            Action::Retry => self.retry(shelf, key),
            Action::DropDiscarded => self.drop_discarded(shelf, key),
        }
    }

    /// Tries a key's messages again from the first one on, until one fails again.
    fn retry(&self, shelf: &mut Shelf, key: &str) -> Result<(Handled, Changes), ReadError> {
        let (mut handled, mut changes) = (Handled::default(), Changes::default());
        while shelf.keys.contains_key(key) {
            match self.attempt(shelf, key, RETRY_MESSAGES_MAX, &mut changes)? {
                Tried::Done(count) => handled.done += count as u64,
                Tried::Failed(index, reason) => {
                    if index > 0
                        && let Tried::Done(count) = self.attempt(shelf, key, index, &mut changes)?
                    {
                        handled.done += count as u64;
                    }
                    self.failed_again(shelf, key, &reason)?;
                    handled.failed = Some(reason);
                    break;
                }
            }
        }
        handled.left = shelf.keys.get(key).map_or(0, |entry| entry.slots.len() as u64);
        Ok((handled, changes))
    }

    /// Drops the first messages of a key as far as they were discarded.
    fn drop_discarded(&self, shelf: &mut Shelf, key: &str) -> Result<(Handled, Changes), ReadError> {
        let (mut handled, mut changes) = (Handled::default(), Changes::default());
        loop {
            let is_discarded =
                shelf.keys.get(key).is_some_and(|entry| self.held.discards.contains(entry.about.event_id));
            if !is_discarded {
                break;
            }
            self.write(shelf, &mut changes, |shelf, draft, tx| {
                let rows = messages_of(tx, shelf.projection, key, 2)?;
                self.release(shelf, draft, key, 1, rows.get(1), tx)
            })?;
            handled.done += 1;
        }
        handled.left = shelf.keys.get(key).map_or(0, |entry| entry.slots.len() as u64);
        Ok((handled, changes))
    }

    fn attempt(&self, shelf: &mut Shelf, key: &str, limit: usize, changes: &mut Changes) -> Result<Tried, ReadError> {
        let (mut failed, mut done) = (None, Tried::Done(0));
        let written = self.write(shelf, changes, |shelf, draft, tx| {
            failed = None;
            let rows = messages_of(tx, shelf.projection, key, limit + 1)?;
            for (index, message) in rows.iter().take(limit).enumerate() {
                match self.apply(message, tx) {
                    Ok(()) => {}
                    Err(FoldError::Store(error)) => return Err(error),
                    Err(FoldError::Failed(error)) => failed = Some((index, error.to_string())),
                    Err(FoldError::Full(reason)) => failed = Some((index, reason)),
                }
                if failed.is_some() {
                    return Err(ReadError::Broken("rolled back".to_owned()));
                }
            }
            let count = rows.len().min(limit);
            done = Tried::Done(count);
            self.release(shelf, draft, key, count, rows.get(limit), tx)
        });
        match (written, failed) {
            (_, Some((index, reason))) => Ok(Tried::Failed(index, reason)),
            (written, None) => written.map(|()| done),
        }
    }

    fn apply(&self, message: &ParkedMessage, tx: &mut dyn ReadTransaction) -> Result<(), FoldError> {
        if self.held.discards.contains(message.event_id) {
            return Ok(());
        }
        let delivery = message.delivery().map_err(FoldError::Store)?;
        let data = message.document().map_err(FoldError::Store)?;
        let partition = message.partition();
        let incoming = Incoming { raw: message.raw(&data), delivery, partition: partition.as_ref() };
        apply(&**self.projection, &incoming, tx)
    }

    /// Takes messages away; `next` is the first one left.
    fn release(
        &self,
        shelf: &Shelf,
        draft: &mut Draft,
        key: &str,
        count: usize,
        next: Option<&ParkedMessage>,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        let Some(entry) = shelf.keys.get(key) else { return Ok(()) };
        let about = next.map(|message| {
            let left = entry.about.messages.saturating_sub(count as u64);
            entry.about.behind((message.event_id, &message.name, message.position), left, self.now)
        });
        shelf.release(draft, key, count, about, tx)
    }

    fn failed_again(&self, shelf: &mut Shelf, key: &str, reason: &str) -> Result<(), ReadError> {
        self.write(shelf, &mut Changes::default(), |shelf, draft, tx| {
            let Some(entry) = shelf.keys.get(key) else { return Ok(()) };
            shelf.release(draft, key, 0, Some(entry.about.failed_again(reason, self.now)), tx)
        })
    }

    /// One transaction, under the owner's epoch. No watermark moves: it has passed these messages.
    fn write(
        &self,
        shelf: &mut Shelf,
        changes: &mut Changes,
        mut work: impl FnMut(&Shelf, &mut Draft, &mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut draft = Draft::default();
        let at_hand = &*shelf;
        self.read_store.write(at_hand.projection, self.epoch, &[], &mut |tx| {
            draft = Draft::default();
            work(at_hand, &mut draft, tx)
        })?;
        let Changes { parked, released } = shelf.committed(draft);
        changes.parked.extend(parked);
        changes.released.extend(released);
        Ok(())
    }
}
