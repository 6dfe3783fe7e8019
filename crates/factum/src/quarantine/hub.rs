//! What is parked in a service, and what to do about it: for operators.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use factum_engine::Position;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{
    Action, Desk, Discards, Handled, ParkedKey, ParkedMessage,
    decisions::{Decision, Discarded, Retried, discarded_since, record},
    desk::{REQUESTS_MAX, Request},
    parked_keys,
    shelf::messages_of,
};
use crate::{
    model::{ActorId, EventId, ProjectionKey},
    read::{ReadError, ReadSnapshot, ReadStore},
    runtime::{Runtime, TaskFailure},
    store::{AppendError, EventStore, StoreError},
};

/// How long an operator waits for a loop to do what was decided.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest reason of a discard, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// What is parked in a service's projections. Decisions about it are recorded in the service's event store.
pub struct Quarantine {
    store: Option<Arc<dyn EventStore>>,
    runtime: Runtime,
    desks: Mutex<Desks>,
    discarded: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Desks {
    last_id: u64,
    open: BTreeMap<u64, Open>,
}

/// A loop that may park.
#[derive(Clone)]
struct Open {
    projection: ProjectionKey,
    loop_name: Arc<str>,
    read_store: Arc<dyn ReadStore>,
    requests: mpsc::Sender<Request>,
}

/// The discards read so far.
#[derive(Default)]
struct Known {
    read_to: Position,
    by_projection: HashMap<String, HashSet<EventId>>,
}

/// A key that is parked, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The projection's name.
    pub projection: String,
    /// Its version.
    pub version: u32,
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
    /// No projection of this name runs here.
    #[error("no projection `{name}` runs here: {known} {}", if known.contains(',') { "do" } else { "does" })]
    UnknownProjection {
        /// What was asked for.
        name: String,
        /// Those that run.
        known: String,
    },
    /// The key is not parked.
    #[error("`{key}` is not parked in {projection}: list what is")]
    NotParked {
        /// The projection.
        projection: String,
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
    /// A discard needs a reason, at most [`REASON_CHARS_MAX`] characters.
    #[error("say why in 1 to {REASON_CHARS_MAX} characters")]
    NoReason,
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

impl Open {
    fn listed(&self, about: ParkedKey) -> Listed {
        let ProjectionKey { name, version } = self.projection;
        Listed { projection: name.to_owned(), version, loop_name: Arc::clone(&self.loop_name), about }
    }

    /// Tells the loop what to do about a key; where it answers, or why it will not.
    fn tell(&self, key: &str, action: Action) -> Result<oneshot::Receiver<Result<Handled, String>>, String> {
        let (reply, answer) = oneshot::channel();
        let request = Request { key: key.to_owned(), action, reply };
        self.requests.try_send(request).map_err(|_| "has too much to do".to_owned())?;
        Ok(answer)
    }
}

impl Quarantine {
    /// For a service's projections; decisions are recorded in its event store.
    pub fn new(store: Option<Arc<dyn EventStore>>, runtime: Runtime) -> Self {
        Self { store, runtime, desks: Mutex::default(), discarded: tokio::sync::Mutex::default() }
    }

    /// A desk for the loop that feeds a read model, there until it is dropped.
    pub(crate) fn open(
        self: &Arc<Self>,
        projection: ProjectionKey,
        loop_name: &str,
        read_store: Arc<dyn ReadStore>,
    ) -> Desk {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let mut desks = self.desks();
        desks.last_id += 1;
        let id = desks.last_id;
        desks.open.insert(id, Open { projection, loop_name: loop_name.into(), read_store, requests });
        Desk::open(projection, (Arc::clone(self), id), receiver)
    }

    pub(super) fn closed(&self, id: u64) {
        self.desks().open.remove(&id);
    }

    /// What of a projection was discarded, read again as far as something was recorded since.
    pub(super) async fn discards(&self, projection: &str) -> Result<Arc<Discards>, StoreError> {
        let Some(store) = &self.store else { return Ok(Arc::default()) };
        let mut known = self.discarded.lock().await;
        let (found, read_to) = discarded_since(store.as_ref(), known.read_to).await?;
        known.read_to = read_to;
        for discarded in found {
            known.by_projection.entry(discarded.projection).or_default().insert(discarded.event_id);
        }
        Ok(Arc::new(known.by_projection.get(projection).into_iter().flatten().copied().collect()))
    }

    /// The parked keys of every projection, at most `limit` of each, in the order of their loops and keys.
    ///
    /// # Errors
    /// A read store failed.
    pub async fn list(&self, limit: usize) -> Result<Vec<Listed>, QuarantineError> {
        let mut all = Vec::new();
        for open in self.open_desks() {
            let projection = open.projection;
            let keys = self.read(&open, move |read| parked_keys(read, projection, None, limit)).await?;
            all.extend(keys.into_iter().map(|about| open.listed(about)));
        }
        all.sort_by(|a, b| (&a.loop_name, &a.about.key).cmp(&(&b.loop_name, &b.about.key)));
        Ok(all)
    }

    /// A parked key with its messages, at most `limit`, in order; one entry for each version that has it parked.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub async fn show(
        &self,
        projection: &str,
        key: &str,
        limit: usize,
    ) -> Result<Vec<(Listed, Vec<ParkedMessage>)>, QuarantineError> {
        let mut found = Vec::new();
        for open in self.desks_of(projection)? {
            let Some(listed) = self.about(&open, key).await? else { continue };
            let (of, key) = (open.projection, key.to_owned());
            let messages = self.read(&open, move |read| messages_of(read, of, &key, limit)).await?;
            found.push((listed, messages));
        }
        if found.is_empty() { Err(not_parked(projection, key)) } else { Ok(found) }
    }

    /// Tries a key's messages again, in order, until one fails again.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub async fn retry(&self, projection: &str, key: &str, actor: ActorId) -> Result<Handled, QuarantineError> {
        self.show(projection, key, 1).await?;
        let decision = Decision::Retried(Retried { projection: projection.to_owned(), key: key.to_owned() });
        self.record(&decision, actor).await?;
        self.carry_out(projection, key, Action::Retry).await
    }

    /// Drops the first message of a key, for good: it is dropped in every rebuild as well. What stands behind it stays
    /// parked until it is tried again.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub async fn discard(
        &self,
        projection: &str,
        key: &str,
        event: EventId,
        reason: &str,
        actor: ActorId,
    ) -> Result<Handled, QuarantineError> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(QuarantineError::NoReason);
        }
        let found = self.show(projection, key, 1).await?;
        let Some(message) = found.iter().flat_map(|(_, messages)| messages).find(|first| first.event_id == event)
        else {
            let first = found[0].0.about.event_id;
            return Err(QuarantineError::NotTheFirst { key: key.to_owned(), first, asked: event });
        };
        let decision = Decision::Discarded(Discarded {
            projection: projection.to_owned(),
            key: key.to_owned(),
            source: message.store,
            incarnation: message.incarnation,
            topic: message.topic.as_deref().map(str::to_owned),
            partition: message.partition,
            position: message.position,
            event_id: event,
            name: message.name.clone(),
            reason: reason.to_owned(),
        });
        self.record(&decision, actor).await?;
        self.carry_out(projection, key, Action::DropDiscarded).await
    }

    async fn record(&self, decision: &Decision, actor: ActorId) -> Result<(), QuarantineError> {
        let store = self.store.as_ref().ok_or(QuarantineError::NoStore)?;
        Ok(record(store.as_ref(), decision, actor, (self.runtime.new_id(), self.runtime.now())).await?)
    }

    /// Tells every loop of the projection; each answers for what it has parked. Those that do not answer keep it from
    /// none of the others.
    async fn carry_out(&self, projection: &str, key: &str, action: Action) -> Result<Handled, QuarantineError> {
        let told: Vec<_> = self.desks_of(projection)?.into_iter().map(|open| (open.tell(key, action), open)).collect();
        let (mut all, mut silent) = (Handled::default(), Vec::new());
        // All of them are at it by now: one wait is for all.
        let begun = self.runtime.now();
        for (answer, open) in told {
            let answered = async { answer?.await.map_err(|_| "was interrupted".to_owned())? };
            let left = ANSWER_WAIT_MAX.saturating_sub(self.runtime.now().since(begun));
            let answered = self.runtime.within(left, answered).await;
            match answered.unwrap_or_else(|| Err("does not get to it".to_owned())) {
                Ok(handled) => {
                    all.done += handled.done;
                    all.left += handled.left;
                    all.failed = all.failed.or(handled.failed);
                }
                Err(why) => silent.push(format!("{} {why}", open.loop_name)),
            }
        }
        if silent.is_empty() { Ok(all) } else { Err(no_answer(&silent.join(", and "))) }
    }

    async fn about(&self, open: &Open, key: &str) -> Result<Option<Listed>, QuarantineError> {
        let (projection, key) = (open.projection, key.to_owned());
        let about = self.read(open, move |read| super::shelf::keys(projection).get(read, &key.as_str().into())).await?;
        Ok(about.map(|about| open.listed(about)))
    }

    async fn read<T: Default + Send + 'static>(
        &self,
        open: &Open,
        work: impl Fn(&mut dyn ReadSnapshot) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, QuarantineError> {
        let read_store = Arc::clone(&open.read_store);
        let read = move || {
            let mut found = T::default();
            read_store.read(&mut |snapshot| {
                found = work(snapshot)?;
                Ok(())
            })?;
            Ok::<_, ReadError>(found)
        };
        Ok(self.runtime.blocking(read).await??)
    }

    fn open_desks(&self) -> Vec<Open> {
        self.desks().open.values().cloned().collect()
    }

    fn desks_of(&self, projection: &str) -> Result<Vec<Open>, QuarantineError> {
        let (of, others): (Vec<_>, Vec<_>) =
            self.open_desks().into_iter().partition(|open| open.projection.name == projection);
        if of.is_empty() {
            let mut known: Vec<_> = others.into_iter().map(|open| open.projection.name).collect();
            known.dedup();
            return Err(QuarantineError::UnknownProjection { name: projection.to_owned(), known: known.join(", ") });
        }
        Ok(of)
    }

    fn desks(&self) -> MutexGuard<'_, Desks> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_parked(projection: &str, key: &str) -> QuarantineError {
    QuarantineError::NotParked { projection: projection.to_owned(), key: key.to_owned() }
}

fn no_answer(why: &str) -> QuarantineError {
    QuarantineError::NoAnswer(format!(
        "it is recorded, and every other loop was told, but {why}: look again, and ask again"
    ))
}

#[cfg(test)]
mod tests {
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
