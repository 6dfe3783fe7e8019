//! What is parked in a service, and what to do about it: for operators.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use factum_engine::Position;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::{
    Action, Desk, Discards, EventShelf, Handled, Home, ParkedKey, ParkedMessage, QuarantineError, Shown,
    decisions::{Decision, Discarded, Retried, discarded_since, record},
    desk::REQUESTS_MAX,
    gate::{Gate, Shut},
    ward::{ANSWER_WAIT_MAX, ReadModelWard, Ward},
};
use crate::{
    model::{ActorId, EventId, ProjectionKey, Reason},
    read::ReadStore,
    runtime::Runtime,
    store::{EventStore, StoreError},
};

/// What is parked in a service: by its projections, process managers and reactors. Decisions about it are recorded in the
/// service's event store.
pub struct Quarantine {
    store: Option<Arc<dyn EventStore>>,
    pub(super) runtime: Runtime,
    /// Each lives as long as its loop.
    wards: Mutex<Vec<Weak<dyn Ward>>>,
    /// Each lives as long as its service.
    homes: Mutex<Vec<Weak<dyn Home>>>,
    /// Every handler that may park, whether or not a loop of it runs just now.
    handlers: Mutex<BTreeMap<String, Gate>>,
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

impl Quarantine {
    /// For a service; decisions are recorded in its event store.
    pub fn new(store: Option<Arc<dyn EventStore>>, runtime: Runtime) -> Self {
        let discarded = tokio::sync::Mutex::default();
        Self { store, runtime, wards: Mutex::default(), homes: Mutex::default(), handlers: Mutex::default(), discarded }
    }

    /// A desk for the loop that feeds a read model, there until it is dropped.
    pub(crate) fn open(
        self: &Arc<Self>,
        projection: ProjectionKey,
        loop_name: &str,
        read_store: Arc<dyn ReadStore>,
    ) -> Desk {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let ward = ReadModelWard::new(projection, loop_name.into(), read_store, self.runtime.clone());
        let ward = Arc::new(ward.told_by(requests));
        self.admit(projection.name, Arc::downgrade(&ward) as Weak<dyn Ward>);
        Desk::open(projection, (Arc::clone(self), ward, self.gate(projection.name)), receiver)
    }

    /// Shows what a read model has parked, also while no loop feeds it, as long as it lives.
    pub(crate) fn house(&self, home: Weak<dyn Home>, handler: &str) {
        self.gate(handler);
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).push(home);
    }

    /// Shows what a handler with effects parks, and lets operators decide about it, as long as it lives.
    pub(crate) fn watch(&self, shelf: &Arc<EventShelf>) {
        self.admit(&shelf.handler, Arc::downgrade(shelf) as Weak<dyn Ward>);
    }

    fn admit(&self, handler: &str, ward: Weak<dyn Ward>) {
        self.gate(handler);
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
        for ward in self.all(None).await? {
            let keys = ward.keys(None, limit).await?;
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
        let mut found = Vec::new();
        for (ward, about) in self.found(handler, key).await? {
            let shown = ward.messages(key, after, limit).await?;
            found.extend(shown.map(|shown| (listed(ward.as_ref(), about), shown)));
        }
        match after {
            Some(after) if found.is_empty() => Err(QuarantineError::NotAfter { key: key.to_owned(), after }),
            _ => Ok(found),
        }
    }

    /// Who has a key parked.
    async fn found(&self, handler: &str, key: &str) -> Result<Vec<Found>, QuarantineError> {
        let mut found = Vec::new();
        for ward in self.wards_of(handler).await? {
            let about = ward.key(key).await?;
            found.extend(about.map(|about| (ward, about)));
        }
        if found.is_empty() {
            return Err(QuarantineError::NotParked { handler: handler.to_owned(), key: key.to_owned() });
        }
        Ok(found)
    }

    /// The same, where each of them can be told what to do.
    async fn found_at_work(&self, handler: &str, key: &str) -> Result<Vec<Found>, QuarantineError> {
        let found = self.found(handler, key).await?;
        if found.iter().all(|(ward, _)| ward.is_at_work()) { Ok(found) } else { Err(busy(handler)) }
    }

    /// Tries a key's messages again, in order, until one fails again.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub async fn retry(&self, handler: &str, key: &str, actor: ActorId) -> Result<Handled, QuarantineError> {
        self.found_at_work(handler, key).await?;
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
        let begun = self.runtime.within(ANSWER_WAIT_MAX, self.begin_discard(handler, key, event)).await;
        let (message, hush) = begun.ok_or_else(|| busy(handler))??;
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
        self.record_alone(decision, actor, hush).await?;
        self.carry_out(handler, key, Action::DropDiscarded).await
    }

    /// The message that is to be discarded, once it is sure that nobody applies it before that is recorded, or has.
    async fn begin_discard(
        &self,
        handler: &str,
        key: &str,
        event: EventId,
    ) -> Result<(ParkedMessage, Hush), QuarantineError> {
        let shut = self.known(handler)?.shut().await;
        let mut resting = Vec::new();
        for ward in self.wards_of(handler).await? {
            resting.extend(ward.rest().await?);
        }
        let found = self.found_at_work(handler, key).await?;
        let first = found[0].1.event_id;
        let mut message = None;
        for (ward, _) in found {
            let shown = ward.messages(key, None, 1).await?.unwrap_or_default();
            message = message.or_else(|| shown.messages.into_iter().find(|first| first.event_id == event));
        }
        let not_the_first = || QuarantineError::NotTheFirst { key: key.to_owned(), first, asked: event };
        let message = message.ok_or_else(not_the_first)?;
        for ward in self.every(handler).await? {
            if !ward.is_owned().await? {
                return Err(busy(handler));
            }
            if !shut.discards(event) && ward.has_applied(&message).await? {
                return Err(QuarantineError::Applied { loop_name: ward.loop_name().to_owned() });
            }
        }
        Ok((message, Hush { shut, resting }))
    }

    /// Records a discard while nobody applies anything: on its own, as whoever asked may leave.
    async fn record_alone(&self, decision: Decision, actor: ActorId, hush: Hush) -> Result<(), QuarantineError> {
        let store = Arc::clone(self.store.as_ref().ok_or(QuarantineError::NoStore)?);
        let stamp = (self.runtime.new_id(), self.runtime.now());
        let (reply, recorded) = oneshot::channel();
        self.runtime.spawn(async move {
            let Hush { mut shut, resting } = hush;
            shut.is_recording();
            let recorded = record(store.as_ref(), &decision, actor, stamp).await;
            drop((shut, resting));
            // Who asked may have left.
            let _ = reply.send(recorded);
        });
        let interrupted = |_| QuarantineError::NoAnswer("it was interrupted: look again, and ask again".to_owned());
        Ok(recorded.await.map_err(interrupted)??)
    }

    async fn record(&self, decision: &Decision, actor: ActorId) -> Result<(), QuarantineError> {
        let store = self.store.as_ref().ok_or(QuarantineError::NoStore)?;
        Ok(record(store.as_ref(), decision, actor, (self.runtime.new_id(), self.runtime.now())).await?)
    }

    /// Tells every loop of the handler; each answers for what it has parked. Those that do not answer keep it from
    /// none of the others.
    async fn carry_out(&self, handler: &str, key: &str, action: Action) -> Result<Handled, QuarantineError> {
        let wards = self.at_work(handler);
        if wards.is_empty() {
            return Err(no_answer("its loop is just being restarted"));
        }
        // All of them at once: one wait is for all.
        let told = wards.into_iter().map(|ward| async move {
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

    fn gate(&self, handler: &str) -> Gate {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.entry(handler.to_owned()).or_default().clone()
    }

    /// The gate of a handler that may park: whoever asks for another makes none.
    fn known(&self, handler: &str) -> Result<Gate, QuarantineError> {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.get(handler).cloned().ok_or_else(|| {
            let known = handlers.keys().cloned().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "nobody".to_owned() } else { known };
            QuarantineError::UnknownHandler { name: handler.to_owned(), known }
        })
    }

    fn at_work(&self, handler: &str) -> Vec<Arc<dyn Ward>> {
        let mut wards = self.wards();
        wards.retain(|ward| ward.handler() == handler);
        wards
    }

    fn wards(&self) -> Vec<Arc<dyn Ward>> {
        self.wards.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    fn homes(&self, handler: Option<&str>) -> Vec<Arc<dyn Home>> {
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |home: &Arc<dyn Home>| handler.is_none_or(|name| name == home.projection().name);
        homes.iter().filter_map(Weak::upgrade).filter(is_meant).collect()
    }

    /// Of one handler or of all of them: those at work, and what read models hold that answer although nobody feeds
    /// them just now.
    async fn all(&self, handler: Option<&str>) -> Result<Vec<Arc<dyn Ward>>, QuarantineError> {
        let mut all = handler.map_or_else(|| self.wards(), |handler| self.at_work(handler));
        for home in self.homes(handler) {
            let of = home.projection();
            let is_fed = |ward: &Arc<dyn Ward>| ward.handler() == of.name && ward.loop_name() == home.loop_name();
            if all.iter().any(is_fed) {
                continue;
            }
            let live = home.generations().await?.into_iter().find(|stored| stored.is_live);
            all.extend(live.map(|stored| stored.ward(of, self.runtime.clone()) as Arc<dyn Ward>));
        }
        Ok(all)
    }

    /// The same of one handler, with every generation that is stored, fed or not.
    async fn every(&self, handler: &str) -> Result<Vec<Arc<dyn Ward>>, QuarantineError> {
        let mut all = self.at_work(handler);
        for home in self.homes(Some(handler)) {
            for stored in home.generations().await? {
                all.push(stored.ward(home.projection(), self.runtime.clone()));
            }
        }
        Ok(all)
    }

    pub(super) async fn wards_of(&self, handler: &str) -> Result<Vec<Arc<dyn Ward>>, QuarantineError> {
        self.known(handler)?;
        let wards = self.all(Some(handler)).await?;
        if wards.is_empty() && self.homes(Some(handler)).is_empty() {
            // What it has parked is where only its loop knows.
            return Err(busy(handler));
        }
        Ok(wards)
    }
}

/// Who has a key parked, and what is known of it.
type Found = (Arc<dyn Ward>, ParkedKey);

/// No loop of a handler applies anything as long as this is there.
struct Hush {
    shut: Shut,
    resting: Vec<OwnedMutexGuard<()>>,
}

fn busy(handler: &str) -> QuarantineError {
    QuarantineError::Busy { handler: handler.to_owned() }
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
