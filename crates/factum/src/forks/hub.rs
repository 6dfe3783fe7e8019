//! The forks that a service's consumers stand at, and what is decided about them: for operators.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use factum_engine::Position;
use futures_util::future::join_all;

use super::{
    Accepted, Heard, Standing,
    accepted::{of_consumer, record},
    desk::Shared,
    look::beyond,
};
use crate::{
    bus::{Bus, BusError, TopicPartition},
    model::{ActorId, Incarnation, Reason, StoreId},
    runtime::Runtime,
    store::{AppendError, EventStore, StoreError},
};

/// How long an operator waits for a loop to go on.
const GOING_ON_WAIT_MAX: Duration = Duration::from_secs(10);

/// The forks that the consumers of a service stand at: those with effects. Decisions are recorded in the service's event
/// store. A projection beyond a fork is rebuilt instead.
pub struct Forks {
    store: Option<Arc<dyn EventStore>>,
    bus: Option<Arc<dyn Bus>>,
    runtime: Runtime,
    pub(super) desks: Mutex<Vec<Arc<Shared>>>,
}

/// A consumer that stands still on a partition, because its source has left the history of what was dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftFork {
    /// The consumer, as its progress is named: `process/transfer`, `commands`, `reactor/welcome`.
    pub consumer: Arc<str>,
    /// Where it stands.
    pub partition: TopicPartition,
    /// The store that was restored.
    pub source: StoreId,
    /// The history that was left.
    pub left: Incarnation,
    /// The one that it goes on with.
    pub history: Incarnation,
    /// The last position that the two share.
    pub fork: Position,
    /// The last position that was dealt with of the one that was left.
    pub watermark: Position,
    /// What was dealt with beyond the fork.
    pub heard: Heard,
}

/// A fork from which a consumer goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedFork {
    /// Where it stood.
    pub fork: LeftFork,
    /// It goes on already; otherwise it does when it runs.
    pub goes_on: bool,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum ForksError {
    /// No consumer with effects of this name runs here.
    #[error("no consumer `{name}` with effects runs here, only {known}")]
    UnknownConsumer {
        /// What was asked for.
        name: String,
        /// Those that run.
        known: String,
    },
    /// The event store did not record the decision.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The event store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Default for Forks {
    /// Of nobody.
    fn default() -> Self {
        Self::new(None, None, Runtime::tokio())
    }
}

impl Forks {
    /// For a service's consumers; decisions are recorded in its event store.
    pub fn new(store: Option<Arc<dyn EventStore>>, bus: Option<Arc<dyn Bus>>, runtime: Runtime) -> Self {
        Self { store, bus, runtime, desks: Mutex::default() }
    }

    /// Every consumer and partition that stands at a fork, with what was dealt with beyond it.
    ///
    /// # Errors
    /// The bus failed.
    pub async fn list(&self) -> Result<Vec<LeftFork>, ForksError> {
        let mut all = Vec::new();
        for (desk, standing) in self.standing(None)? {
            all.push(self.left_fork(&desk, standing).await?);
        }
        Ok(all)
    }

    /// Lets a consumer, or with `None` every one, go on with the present history of its source from each fork at which it
    /// stands. What it has dealt with beyond the fork stays as it is. Decided again, it changes nothing.
    ///
    /// # Errors
    /// See [`ForksError`]. Some may have been accepted: ask again.
    pub async fn accept(
        &self,
        consumer: Option<&str>,
        reason: Reason,
        actor: ActorId,
    ) -> Result<Vec<AcceptedFork>, ForksError> {
        let reason = reason.as_str();
        // Who stands at a fork has effects, and so has an event store.
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut accepted = Vec::new();
        for (desk, standing) in self.standing(consumer)? {
            let fork = self.left_fork(&desk, standing.clone()).await?;
            let decided = (&*desk.consumer, &standing, &fork.heard);
            record(store.as_ref(), decided, reason, actor.clone(), self.runtime.now()).await?;
            tracing::warn!(consumer = &*desk.consumer, partition = %standing.partition, reason, "fork accepted");
            // At once: what fails next is no reason to wait for it.
            desk.decided.notify_one();
            accepted.push((desk, standing, fork));
        }
        // One wait is for all.
        let told = accepted.into_iter().map(|(desk, standing, fork)| async move {
            let mut still = desk.standing.subscribe();
            // The sender lives in `desk`: the wait cannot fail.
            let gone = still.wait_for(|all| all.get(&standing.partition) != Some(&standing));
            let goes_on = self.runtime.within(GOING_ON_WAIT_MAX, gone).await.is_some();
            AcceptedFork { fork, goes_on }
        });
        Ok(join_all(told).await)
    }

    /// From where a consumer was let go on.
    pub(super) async fn accepted_of(&self, consumer: &str) -> Result<Accepted, StoreError> {
        match &self.store {
            Some(store) => of_consumer(store.as_ref(), consumer).await,
            None => Ok(Accepted::default()),
        }
    }

    async fn left_fork(&self, desk: &Shared, standing: Standing) -> Result<LeftFork, BusError> {
        let heard = match &self.bus {
            Some(bus) => beyond(bus.as_ref(), &standing).await?,
            None => Heard::default(),
        };
        let Standing { partition, left, history, fork, watermark, .. } = standing;
        let consumer = Arc::clone(&desk.consumer);
        let (source, left, history) = (left.store, left.incarnation, history.incarnation);
        Ok(LeftFork { consumer, partition, source, left, history, fork, watermark, heard })
    }

    fn standing(&self, consumer: Option<&str>) -> Result<Vec<(Arc<Shared>, Standing)>, ForksError> {
        let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = |desk: &&Arc<Shared>| consumer.is_none_or(|name| *desk.consumer == *name);
        if let Some(name) = consumer
            && !desks.iter().any(|desk| asked(&desk))
        {
            let mut known: Vec<&str> = desks.iter().map(|desk| &*desk.consumer).collect();
            known.dedup();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ForksError::UnknownConsumer { name: name.to_owned(), known });
        }
        let all = desks.iter().filter(asked).flat_map(|desk| {
            let standing: Vec<Standing> = desk.standing.borrow().values().cloned().collect();
            standing.into_iter().map(|standing| (Arc::clone(desk), standing))
        });
        Ok(all.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Desk, *};
    use crate::{
        bus::Offset,
        model::Source,
        store::{History, MemoryStore},
    };

    #[tokio::test(start_paused = true)]
    async fn however_many_do_not_go_on_they_are_waited_for_once() {
        let forks = Arc::new(Forks::new(Some(Arc::new(MemoryStore::new())), None, Runtime::tokio()));
        let desk = Desk::open(&forks, "noting");
        let [store, left, next] = [1, 2, 3].map(uuid::Uuid::from_u128);
        let left = Source { store: StoreId::from_uuid(store), incarnation: Incarnation::from_uuid(left) };
        for partition in 0..12 {
            desk.stands(Standing {
                partition: TopicPartition::new("topic", partition),
                offset: Offset::new(9),
                left,
                history: History { incarnation: Incarnation::from_uuid(next), lineage: Vec::new() },
                fork: Position::new(4),
                watermark: Position::new(7),
            });
        }
        let begun = tokio::time::Instant::now();
        let reason = Reason::new("restored").unwrap();
        let accepted = forks.accept(None, reason, ActorId::system()).await.unwrap();
        assert_eq!(accepted.iter().filter(|accepted| !accepted.goes_on).count(), 12);
        assert!(begun.elapsed() < GOING_ON_WAIT_MAX * 2, "{:?}", begun.elapsed());
    }
}
