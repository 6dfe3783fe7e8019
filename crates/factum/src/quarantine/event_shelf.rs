//! Where messages lie that handlers with effects have parked: in the service's own event store.
//!
//! A message is parked before progress moves past it, under an id derived from it: told again after a crash between the
//! two, it changes nothing. It lies here until it was taken in, tried again by an operator, or was discarded.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use factum_engine::Position;
use tokio::sync::{OwnedMutexGuard, watch};

use super::{
    Handled, Incoming, ParkedKey, ParkedMessage, QuarantineError, Shown,
    facts::{self, Fact, Failed, Parked, Released},
    lines::Lines,
    parked_key::{no_room_for_key, show},
};
use crate::{
    consumer::EffectError,
    model::{Delivery, EventId, RawEvent},
    read::Lane,
    runtime::{Runtime, Status},
    store::{AppendError, BoxFuture, Direction, EventStore, Selection, StoreError},
};

/// What a handler must be able to do so that its messages can be parked.
pub(crate) trait Parks: Send + Sync {
    /// The keys a message belongs to, the last one being the narrowest. It waits while any of them is parked, in the line of
    /// the last that is, and goes over from there to that of one before it. When it fails for good itself, the first one is
    /// parked. None: the message is not for this handler.
    fn keys(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Vec<String>;

    /// Takes in a message that was parked.
    fn take_again<'a>(&'a self, message: &'a ParkedMessage) -> BoxFuture<'a, Result<(), EffectError>>;
}

/// What one handler has parked, in the event store.
pub(crate) struct EventShelf {
    pub(super) handler: Arc<str>,
    pub(super) runtime: Runtime,
    parks: Arc<dyn Parks>,
    store: Arc<dyn EventStore>,
    status: Status,
    lines: Mutex<Lines>,
    /// What nearly every message needs to know, at the price of looking at it.
    is_empty: AtomicBool,
    /// Held from looking at what is parked to having written what follows.
    writing: tokio::sync::Mutex<()>,
    /// Held while messages are tried again.
    trying: Arc<tokio::sync::Mutex<()>>,
    /// How often a key became free.
    freed: watch::Sender<u64>,
}

/// What is to be done with a message that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// It may be taken in.
    Free,
    /// It is dealt with: parked behind others of its key, or discarded.
    DealtWith,
}

/// Why a message is parked.
enum Why<'a> {
    /// It stands behind others.
    Behind,
    /// It goes over from another line, in which that it stood there was recorded here.
    Over(Position),
    /// It failed for good.
    Failed(&'a str),
}

/// Why a message was not parked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotParked {
    /// It is to be, and cannot: there is no room.
    #[error("{0}")]
    Full(String),
    /// The event store cannot answer now.
    #[error("{0}")]
    Later(String),
}

impl EventShelf {
    pub(crate) fn new(
        handler: &str,
        parks: Arc<dyn Parks>,
        store: Arc<dyn EventStore>,
        runtime: Runtime,
        status: Status,
    ) -> Arc<Self> {
        let handler: Arc<str> = handler.into();
        Arc::new(Self {
            lines: Mutex::new(Lines::new(Arc::clone(&handler))),
            handler,
            runtime,
            parks,
            store,
            status,
            is_empty: AtomicBool::new(true),
            writing: tokio::sync::Mutex::default(),
            trying: Arc::default(),
            freed: watch::Sender::new(0),
        })
    }

    /// The loop that shows what is parked.
    pub(super) fn loop_name(&self) -> &str {
        self.status.name()
    }

    /// How often a key became free, as it happens.
    pub(crate) fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }

    /// Reads what was recorded since it was last read. To be called before anything is taken in, and after progress is claimed:
    /// until then, another owner parks messages and passes them.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        self.read_on().await
    }

    async fn read_on(&self) -> Result<(), StoreError> {
        loop {
            let after = self.lines().read_to;
            let (found, read_to, end) = facts::since(self.store.as_ref(), after).await?;
            let (mut freed, any) = (false, !found.is_empty());
            {
                let mut lines = self.lines();
                for recorded in found {
                    freed |= lines.fold(recorded);
                }
                lines.read_to = read_to;
                self.is_empty.store(lines.is_empty(), Ordering::Release);
                if any {
                    show(&self.status, lines.abouts());
                }
            }
            if freed {
                self.freed.send_modify(|times| *times += 1);
            }
            if end {
                return Ok(());
            }
        }
    }

    /// Nothing is parked, and nothing was ever discarded: no message need be looked at.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty.load(Ordering::Acquire)
    }

    /// Whether a key is parked.
    pub(crate) fn holds(&self, key: &str) -> bool {
        !self.is_empty() && self.lines().holds(key)
    }

    /// Whether a message was discarded.
    pub(crate) fn was_discarded(&self, event: EventId) -> bool {
        !self.is_empty() && self.lines().was_discarded(event)
    }

    /// The oldest message that is parked on each lane, and where the last of all is recorded: a restore to before that
    /// takes some of it away, though progress has passed it.
    pub(crate) fn outstanding(&self) -> (BTreeMap<Lane, Position>, Position) {
        self.lines().outstanding()
    }

    /// A message comes: parked when it stands behind others.
    pub(crate) async fn meet(&self, message: &Incoming<'_>) -> Result<Met, NotParked> {
        if self.is_empty() {
            return Ok(Met::Free);
        }
        if self.was_discarded(message.delivery.event_id) {
            return Ok(Met::DealtWith);
        }
        let keys = self.parks.keys(message.raw, &message.delivery);
        if !keys.iter().any(|key| self.holds(key)) {
            return Ok(Met::Free);
        }
        let _writing = self.writing.lock().await;
        // It may have become free meanwhile: what is parked then would wait for nothing.
        let Some(key) = keys.iter().rfind(|key| self.holds(key)) else { return Ok(Met::Free) };
        // Told again, it stands where it stood, whatever was parked since.
        let stands = keys.iter().any(|key| self.lines().has(key, message.delivery.event_id));
        if !stands {
            self.write(key, message, Why::Behind).await?;
        }
        Ok(Met::DealtWith)
    }

    /// A message failed for good: it is parked, as the first of its key unless others came before it.
    pub(crate) async fn failed(&self, message: &Incoming<'_>, reason: &str) -> Result<(), NotParked> {
        let keys = self.parks.keys(message.raw, &message.delivery);
        let key = keys.first().ok_or_else(|| NotParked::Full("nobody can tell its key".to_owned()))?;
        self.park(key, message, reason).await
    }

    /// The same under a key that is known.
    pub(crate) async fn park(&self, key: &str, message: &Incoming<'_>, reason: &str) -> Result<(), NotParked> {
        let _writing = self.writing.lock().await;
        self.write(key, message, Why::Failed(reason)).await
    }

    async fn write(&self, key: &str, message: &Incoming<'_>, why: Why<'_>) -> Result<(), NotParked> {
        let now = self.runtime.now();
        self.has_room(key, message)?;
        let (reason, from) = match why {
            Why::Behind => (None, None),
            Why::Over(place) => (None, Some(place)),
            Why::Failed(reason) => (Some(reason.to_owned()), None),
        };
        let (handler, key) = (self.handler.as_ref().to_owned(), key.to_owned());
        let parked = Parked { handler, key, reason, message: ParkedMessage::of(message, now) };
        facts::recorded(self.store.as_ref(), parked.append(from, now)).await?;
        self.read_on().await?;
        Ok(())
    }

    fn has_room(&self, key: &str, message: &Incoming<'_>) -> Result<(), NotParked> {
        let lines = self.lines();
        let full = match lines.about(key) {
            // Told again, it needs no room.
            Some(_) if lines.has(key, message.delivery.event_id) => None,
            Some(about) => about.is_full(),
            None => no_room_for_key(lines.abouts(), message.partition),
        };
        full.map_or(Ok(()), |full| Err(NotParked::Full(full)))
    }

    /// Waits until nothing is being tried again, and keeps it so.
    pub(super) async fn rests(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.trying).lock_owned().await
    }

    /// Tries a key's messages again, in order, until one fails again.
    pub(super) async fn retry(&self, key: &str) -> Result<Handled, QuarantineError> {
        let _alone = self.trying.lock().await;
        self.catch_up().await?;
        let mut handled = Handled::default();
        while let Some(message) = self.first(key).await? {
            match self.take_again(key, &message).await {
                Ok(()) => {
                    self.release(key, &message).await?;
                    handled.done += 1;
                }
                Err(error) => {
                    let reason = error.to_string();
                    self.failed_again(key, &message, &reason).await?;
                    handled.failed = Some(reason);
                    break;
                }
            }
        }
        handled.left = self.lines().count(key);
        Ok(handled)
    }

    async fn take_again(&self, key: &str, message: &ParkedMessage) -> Result<(), EffectError> {
        if self.was_discarded(message.event_id) {
            return Ok(());
        }
        let damaged = |error: crate::read::ReadError| EffectError::Never(error.to_string());
        let (delivery, data) = (message.delivery().map_err(damaged)?, message.document().map_err(damaged)?);
        let raw = message.raw(&data);
        let keys = self.parks.keys(raw, &delivery);
        // What is parked under a narrower one came later: while that is parked, what comes does not get here.
        let wider = keys.iter().position(|own| own == key).unwrap_or(keys.len().saturating_sub(1));
        let Some(other) = keys[..wider].iter().rfind(|other| self.holds(other)) else {
            return self.parks.take_again(message).await;
        };
        let partition = message.partition();
        let incoming = Incoming { raw, delivery, partition: partition.as_ref() };
        // Behind what came before it there.
        let _writing = self.writing.lock().await;
        let place = self.lines().first_place(key);
        Ok(self.write(other, &incoming, Why::Over(place)).await?)
    }

    async fn release(&self, key: &str, message: &ParkedMessage) -> Result<(), QuarantineError> {
        let _writing = self.writing.lock().await;
        let handler = self.handler.as_ref().to_owned();
        let released = Released { handler, key: key.to_owned(), event_id: message.event_id };
        facts::recorded(self.store.as_ref(), released.append(message.correlation_id, self.runtime.now())).await?;
        Ok(self.read_on().await?)
    }

    async fn failed_again(&self, key: &str, message: &ParkedMessage, reason: &str) -> Result<(), QuarantineError> {
        let _writing = self.writing.lock().await;
        let (handler, reason) = (self.handler.as_ref().to_owned(), reason.to_owned());
        let failed = Failed { handler, key: key.to_owned(), event_id: message.event_id, reason };
        let append = failed.append(message.correlation_id, (self.runtime.new_id(), self.runtime.now()));
        facts::recorded(self.store.as_ref(), append).await?;
        Ok(self.read_on().await?)
    }

    /// What was discarded is parked no longer: that it was is recorded.
    pub(super) async fn drop_discarded(&self, key: &str) -> Result<Handled, QuarantineError> {
        let before = self.lines().count(key);
        self.catch_up().await?;
        let left = self.lines().count(key);
        Ok(Handled { done: before.saturating_sub(left), left, failed: None })
    }

    /// The keys that are parked, in order, at most `limit`, those after `after`.
    pub(super) fn keys(&self, after: Option<&str>, limit: usize) -> Vec<ParkedKey> {
        let lines = self.lines();
        let behind = lines.abouts().filter(|about| after.is_none_or(|after| about.key.as_str() > after));
        behind.take(limit).cloned().collect()
    }

    pub(super) fn about(&self, key: &str) -> Option<ParkedKey> {
        self.lines().about(key).cloned()
    }

    /// The messages of a key, in order: the first `limit`, or fewer when their documents are large; of those after
    /// `after`, where that is said. None: that one is not among them.
    pub(super) async fn messages(
        &self,
        key: &str,
        after: Option<EventId>,
        limit: usize,
    ) -> Result<Option<Shown>, StoreError> {
        // One more tells whether that was all.
        let Some(places) = self.lines().places(key, after, limit.saturating_add(1)) else { return Ok(None) };
        let mut shown = Shown::default();
        for place in places {
            let before = Position::new(place.get().saturating_sub(1));
            let found = self.store.read(&Selection::everything(), before, Direction::Forward, 1).await?;
            if let Some(event) = found.events.first()
                && let Fact::Parked(parked) = facts::read(event)?
                && !shown.take(parked.message, limit)
            {
                break;
            }
        }
        Ok(Some(shown))
    }

    async fn first(&self, key: &str) -> Result<Option<ParkedMessage>, StoreError> {
        Ok(self.messages(key, None, 1).await?.and_then(|shown| shown.messages.into_iter().next()))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<NotParked> for EffectError {
    fn from(error: NotParked) -> Self {
        match error {
            NotParked::Full(reason) => Self::Never(reason),
            NotParked::Later(reason) => Self::Later(reason),
        }
    }
}

impl From<StoreError> for NotParked {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<AppendError> for NotParked {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Store(error) => error.into(),
            // Over a limit of the store: too large.
            other => Self::Full(other.to_string()),
        }
    }
}
