//! What is parked in a service, and what to do about it: for operators.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use factum_engine::Position;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    Action, Desk, Discards, EventShelf, Handled, ParkedKey, Shown,
    decisions::{Decision, Discarded, Retried, discarded_since, record},
    desk::REQUESTS_MAX,
    ward::{ReadModelWard, Ward},
};
use crate::{
    model::{ActorId, EventId, ProjectionKey, Reason},
    read::{ReadError, ReadStore},
    runtime::{Runtime, TaskFailure},
    store::{AppendError, EventStore, StoreError},
};

/// What is parked in a service: by its projections, process managers and reactors. Decisions about it are recorded in the
/// service's event store.
pub struct Quarantine {
    store: Option<Arc<dyn EventStore>>,
    runtime: Runtime,
    /// Each lives as long as its loop.
    wards: Mutex<Vec<Weak<dyn Ward>>>,
    discarded: tokio::sync::Mutex<Known>,
}

/// The discards read so far.
#[derive(Default)]
struct Known {
    read_to: Position,
    by_handler: HashMap<String, HashSet<EventId>>,
}

/// A key that is parked, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The handler's name: a projection's, `process/` and a process manager's, or `reactor/` and a reactor's.
    pub handler: String,
    /// Its version, where it has one: a projection does.
    pub version: Option<u32>,
    /// The loop that parked it, as it calls itself: tells generations of one version apart.
    #[serde(rename = "loop")]
    pub loop_name: Arc<str>,
    /// What is parked of it.
    #[serde(flatten)]
    pub about: ParkedKey,
}

/// Why nothing was done about a key.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// No handler of this name may park here.
    #[error("no handler `{name}` parks here: {known} {}", if known.contains(',') { "do" } else { "does" })]
    UnknownHandler {
        /// What was asked for.
        name: String,
        /// Those that may.
        known: String,
    },
    /// The key is not parked.
    #[error("`{key}` is not parked in {handler}: list what is")]
    NotParked {
        /// The handler.
        handler: String,
        /// The key.
        key: String,
    },
    /// Only the first message of a key can be discarded.
    #[error("the first message of `{key}` is {first}, not {asked}: show the key, and decide about its first message")]
    NotTheFirst {
        /// The key.
        key: String,
        /// The first message's event id.
        first: EventId,
        /// What was asked for.
        asked: EventId,
    },
    /// The message after which the rest was asked for is not parked under the key.
    #[error("`{after}` is not parked under `{key}` any more: show the key from its beginning")]
    NotAfter {
        /// The key.
        key: String,
        /// What was asked for.
        after: EventId,
    },
    /// The service has no event store.
    #[error("this service has no event store to record decisions in: give its builder one")]
    NoStore,
    /// The loop does not answer. What was decided is recorded; a discard will be carried out.
    #[error("{0}")]
    NoAnswer(String),
    /// The event store did not record the decision.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The event store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The read store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Reading panicked.
    #[error(transparent)]
    Task(#[from] TaskFailure),
}

impl Quarantine {
    /// For a service; decisions are recorded in its event store.
    pub fn new(store: Option<Arc<dyn EventStore>>, runtime: Runtime) -> Self {
        Self { store, runtime, wards: Mutex::default(), discarded: tokio::sync::Mutex::default() }
    }

    /// A desk for the loop that feeds a read model, there until it is dropped.
    pub(crate) fn open(
        self: &Arc<Self>,
        projection: ProjectionKey,
        loop_name: &str,
        read_store: Arc<dyn ReadStore>,
    ) -> Desk {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let (loop_name, runtime) = (loop_name.into(), self.runtime.clone());
        let ward = Arc::new(ReadModelWard { projection, loop_name, read_store, requests, runtime });
        self.admit(Arc::downgrade(&ward) as Weak<dyn Ward>);
        Desk::open(projection, (Arc::clone(self), ward), receiver)
    }

    /// Shows what a handler with effects parks, and lets operators decide about it, as long as it lives.
    pub(crate) fn watch(&self, shelf: &Arc<EventShelf>) {
        self.admit(Arc::downgrade(shelf) as Weak<dyn Ward>);
    }

    fn admit(&self, ward: Weak<dyn Ward>) {
        let mut wards = self.wards.lock().unwrap_or_else(PoisonError::into_inner);
        wards.retain(|known| known.strong_count() > 0);
        wards.push(ward);
    }

    /// What of a handler's messages was discarded, read again as far as something was recorded since.
    pub(super) async fn discards(&self, handler: &str) -> Result<Arc<Discards>, StoreError> {
        let Some(store) = &self.store else { return Ok(Arc::default()) };
        let mut known = self.discarded.lock().await;
        let (found, read_to) = discarded_since(store.as_ref(), known.read_to).await?;
        known.read_to = read_to;
        for discarded in found {
            known.by_handler.entry(discarded.handler).or_default().insert(discarded.event_id);
        }
        Ok(Arc::new(known.by_handler.get(handler).into_iter().flatten().copied().collect()))
    }

    /// The parked keys of every handler, at most `limit` of each, in the order of their loops and keys.
    ///
    /// # Errors
    /// A store failed.
    pub async fn list(&self, limit: usize) -> Result<Vec<Listed>, QuarantineError> {
        let mut all = Vec::new();
        for ward in self.all() {
            let keys = ward.keys(limit).await?;
            all.extend(keys.into_iter().map(|about| listed(ward.as_ref(), about)));
        }
        all.sort_by(|a, b| (&a.loop_name, &a.about.key).cmp(&(&b.loop_name, &b.about.key)));
        Ok(all)
    }

    /// A parked key with its messages, in order; one entry for each version that has it parked. Of each at most `limit`, or
    /// fewer when their documents take more than 4 MiB, and where the rest begins: what is to be asked for next, as
    /// `after`. An entry that has no such message is left out then.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub async fn show(
        &self,
        handler: &str,
        key: &str,
        after: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<(Listed, Shown)>, QuarantineError> {
        let (mut found, mut parked) = (Vec::new(), false);
        for ward in self.wards_of(handler)? {
            let Some(about) = ward.key(key).await? else { continue };
            parked = true;
            let shown = ward.messages(key, after, limit).await?;
            found.extend(shown.map(|shown| (listed(ward.as_ref(), about), shown)));
        }
        match after {
            Some(after) if parked && found.is_empty() => Err(QuarantineError::NotAfter { key: key.to_owned(), after }),
            _ if !parked => Err(QuarantineError::NotParked { handler: handler.to_owned(), key: key.to_owned() }),
            _ => Ok(found),
        }
    }

    /// Tries a key's messages again, in order, until one fails again.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub async fn retry(&self, handler: &str, key: &str, actor: ActorId) -> Result<Handled, QuarantineError> {
        self.show(handler, key, None, 1).await?;
        let decision = Decision::Retried(Retried { handler: handler.to_owned(), key: key.to_owned() });
        self.record(&decision, actor).await?;
        self.carry_out(handler, key, Action::Retry).await
    }

    /// Drops the first message of a key, for good: it is dropped in every rebuild as well. A timer that is parked fires then
    /// without anything being decided. What stands behind it stays parked until it is tried again.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub async fn discard(
        &self,
        handler: &str,
        key: &str,
        event: EventId,
        reason: Reason,
        actor: ActorId,
    ) -> Result<Handled, QuarantineError> {
        let found = self.show(handler, key, None, 1).await?;
        let mut first = found.iter().flat_map(|(_, shown)| &shown.messages);
        let Some(message) = first.find(|first| first.event_id == event) else {
            let first = found[0].0.about.event_id;
            return Err(QuarantineError::NotTheFirst { key: key.to_owned(), first, asked: event });
        };
        let decision = Decision::Discarded(Discarded {
            handler: handler.to_owned(),
            key: key.to_owned(),
            source: message.store,
            incarnation: message.incarnation,
            topic: message.topic.as_deref().map(str::to_owned),
            partition: message.partition,
            position: message.position,
            event_id: event,
            name: message.name.clone(),
            reason: reason.into(),
        });
        self.record(&decision, actor).await?;
        self.carry_out(handler, key, Action::DropDiscarded).await
    }

    async fn record(&self, decision: &Decision, actor: ActorId) -> Result<(), QuarantineError> {
        let store = self.store.as_ref().ok_or(QuarantineError::NoStore)?;
        Ok(record(store.as_ref(), decision, actor, (self.runtime.new_id(), self.runtime.now())).await?)
    }

    /// Tells every loop of the handler; each answers for what it has parked. Those that do not answer keep it from
    /// none of the others.
    async fn carry_out(&self, handler: &str, key: &str, action: Action) -> Result<Handled, QuarantineError> {
        // All of them at once: one wait is for all.
        let told = self.wards_of(handler)?.into_iter().map(|ward| async move {
            let loop_name = ward.loop_name().to_owned();
            (ward.carry_out(key, action).await, loop_name)
        });
        let (mut all, mut silent) = (Handled::default(), Vec::new());
        for (handled, loop_name) in join_all(told).await {
            match handled {
                Ok(handled) => {
                    all.done += handled.done;
                    all.left += handled.left;
                    all.failed = all.failed.or(handled.failed);
                }
                Err(QuarantineError::NoAnswer(why)) => silent.push(format!("{loop_name} {why}")),
                Err(error) => return Err(error),
            }
        }
        if silent.is_empty() { Ok(all) } else { Err(no_answer(&silent.join(", and "))) }
    }

    fn all(&self) -> Vec<Arc<dyn Ward>> {
        self.wards.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    fn wards_of(&self, handler: &str) -> Result<Vec<Arc<dyn Ward>>, QuarantineError> {
        let (of, others): (Vec<_>, Vec<_>) = self.all().into_iter().partition(|ward| ward.handler() == handler);
        if of.is_empty() {
            let known: BTreeSet<_> = others.iter().map(|ward| ward.handler()).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(QuarantineError::UnknownHandler { name: handler.to_owned(), known });
        }
        Ok(of)
    }
}

fn listed(ward: &dyn Ward, about: ParkedKey) -> Listed {
    Listed { handler: ward.handler().to_owned(), version: ward.version(), loop_name: ward.loop_name().into(), about }
}

fn no_answer(why: &str) -> QuarantineError {
    QuarantineError::NoAnswer(format!(
        "it is recorded, and every other loop was told, but {why}: look again, and ask again"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::desk::Request;
    use super::*;
    use crate::read::MemoryReadStore;

    /// One loop that hangs, told first, would keep a key parked in every other version and generation.
    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_answer_keeps_no_other_from_being_told() {
        let key = ProjectionKey { name: "totals", version: 1 };
        let quarantine = Arc::new(Quarantine::new(None, Runtime::tokio()));
        let open = |name: &str| quarantine.open(key, name, Arc::new(MemoryReadStore::new()));
        let (hanging, answering, gone) = (open("generation 1"), open("generation 2"), open("generation 3"));
        let answers = async {
            let Request { key, reply, .. } = answering.request().await;
            let _ = reply.send(Ok(Handled { done: 2, ..Handled::default() }));
            drop(gone.request().await);
            key
        };
        let (told, asked) = tokio::join!(quarantine.carry_out("totals", "counter-2", Action::Retry), answers);
        assert_eq!(asked, "counter-2");
        let told = told.unwrap_err().to_string();
        assert!(told.contains("generation 1 does not get to it, and generation 3 was interrupted"), "{told}");
        assert!(!told.contains("generation 2"), "{told}");
        drop(hanging);
    }
}
