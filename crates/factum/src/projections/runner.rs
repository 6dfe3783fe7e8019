//! Feeds a projection from the service's own event store.

use std::{sync::Arc, time::Duration};

use factum_engine::{Direction, Position};

use super::{ApplyError, DynProjection, Feed, Phase, Watermarks};
use crate::{
    model::{ProjectionKey, RawEvent, Source},
    read::{Checkpoint, CheckpointMove, Epoch, Lane, ReadError, ReadStore},
    runtime::{Backoff, LoopState, Runtime, Status, Stop},
    store::{EventStore, RecordedEvent, Selection, StoreError, Subscription},
};

/// How many events one transaction takes at most.
const BATCH_EVENTS_MAX: usize = 1_000;
/// The first wait after an error.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after an error.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why a projection's loop ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionEnd {
    /// Another owner took over: it may be taken back by starting again.
    #[error("another owner took over")]
    StoodDown,
    /// The checkpoint means nothing in this store.
    #[error("{0}")]
    Foreign(String),
}

/// Feeds one projection from the service's own event store: in order, each batch's effects and checkpoint in one
/// transaction. Transient errors are retried with growing waits; an event that cannot be applied stops the projection
/// there, visibly, and is tried again with growing waits. Nothing is skipped.
pub struct ProjectionRunner {
    store: Arc<dyn EventStore>,
    read_store: Arc<dyn ReadStore>,
    watermarks: Arc<Watermarks>,
    projection: Arc<DynProjection>,
    runtime: Runtime,
    status: Status,
}

/// What goes wrong within the loop.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("event {position} ({name}): {source}")]
    Apply { position: Position, name: String, source: ApplyError },
    #[error("{0}")]
    End(#[from] ProjectionEnd),
}

impl ProjectionRunner {
    /// Puts a loop together; [`ProjectionRunner::run`] is it.
    pub fn new(
        projection: DynProjection,
        store: Arc<dyn EventStore>,
        read_store: Arc<dyn ReadStore>,
        watermarks: Arc<Watermarks>,
        runtime: Runtime,
    ) -> Self {
        let key = projection.key();
        watermarks.track(key, Feed::OwnStore, Vec::new());
        let status = Status::new(&format!("projection {key}"));
        Self { store, read_store, watermarks, projection: Arc::new(projection), runtime, status }
    }

    /// What the loop shows of itself.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Runs until told to stop. The batch at hand is finished first.
    ///
    /// # Errors
    /// See [`ProjectionEnd`].
    pub async fn run(&self, mut stop: Stop) -> Result<(), ProjectionEnd> {
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        while !stop.is_stopped() {
            match self.follow(&mut stop, &mut backoff).await {
                Ok(()) => break,
                Err(Trouble::Store(StoreError::Closed)) if stop.is_stopped() => break,
                Err(Trouble::End(end)) => {
                    let state =
                        if matches!(end, ProjectionEnd::StoodDown) { LoopState::StoodDown } else { LoopState::Failed };
                    self.fail(state, &end);
                    return Err(end);
                }
                Err(trouble) => {
                    self.fail(LoopState::BackingOff, &trouble);
                    let wait = backoff.next(&self.runtime);
                    if stop.unless(self.runtime.sleep(wait)).await.is_none() {
                        break;
                    }
                }
            }
        }
        self.status.update(|report| report.state = LoopState::Stopped);
        Ok(())
    }

    fn fail(&self, state: LoopState, trouble: &dyn std::fmt::Display) {
        tracing::warn!(loop_name = self.status.name(), state = state.as_str(), error = %trouble, "projection stopped");
        let text = trouble.to_string();
        self.status.update(|report| {
            report.state = state;
            report.last_error = Some(text);
        });
    }

    async fn follow(&self, stop: &mut Stop, backoff: &mut Backoff) -> Result<(), Trouble> {
        let key = self.projection.key();
        let (epoch, mut at) = self.take_over(key).await?;
        let from = at.map_or(Position::ZERO, |checkpoint| checkpoint.position);
        let head = self.store.heads().await?.synced;
        self.watermarks.track(key, Feed::OwnStore, at.map(|at| (Lane::own_store(), at)).into_iter().collect());
        self.show(from, head, at.is_none());
        let mut subscription = Subscription::new(Arc::clone(&self.store), Selection::everything(), from);
        while let Some(batch) = stop.unless(subscription.next(BATCH_EVENTS_MAX)).await {
            let batch = batch?;
            let count = batch.events.len() as u64;
            let next = Checkpoint {
                position: batch.read_to,
                incarnation: self.store.identity().incarnation,
                event_id: batch.events.last().filter(|event| event.position == batch.read_to).map(|event| event.id),
            };
            self.apply(key, epoch, CheckpointMove { lane: Lane::own_store(), previous: at, next }, batch.events)
                .await?;
            at = Some(next);
            backoff.reset();
            self.watermarks.moved(key, [(Lane::own_store(), next)]);
            self.status.update(|report| report.processed += count);
            let refilling = matches!(self.watermarks.phase(key), Phase::Refilling { .. });
            self.show(next.position, head, refilling && next.position < head);
        }
        Ok(())
    }

    /// Claims the projection and checks that its checkpoint belongs to this store.
    async fn take_over(&self, key: ProjectionKey) -> Result<(Epoch, Option<Checkpoint>), Trouble> {
        let read_store = Arc::clone(&self.read_store);
        let claimed = self.blocking(move || {
            let epoch = read_store.claim(key)?;
            Ok((epoch, read_store.checkpoints(key)?))
        });
        let (epoch, checkpoints) = claimed.await?;
        let at = checkpoints.into_iter().find(|(lane, _)| *lane == Lane::own_store()).map(|(_, checkpoint)| checkpoint);
        if let Some(checkpoint) = at {
            self.check(checkpoint).await?;
        }
        Ok((epoch, at))
    }

    /// A position means something only in its own history.
    async fn check(&self, at: Checkpoint) -> Result<(), Trouble> {
        let identity = self.store.identity();
        if at.incarnation != identity.incarnation {
            let fork = identity.forks.iter().find(|fork| fork.parent == at.incarnation);
            return match fork {
                Some(fork) if at.position <= fork.position => Ok(()),
                Some(fork) => Err(foreign(format!(
                    "the store forked at {}, this read model is at {}: delete the read database, it is restored",
                    fork.position, at.position
                ))),
                None => Err(foreign(
                    "this read model was filled from another event store: delete the read database, it is restored"
                        .to_owned(),
                )),
            };
        }
        let Some(expected) = at.event_id else { return Ok(()) };
        let before = Position::new(at.position.get() - 1);
        let batch = self.store.read(&Selection::everything(), before, Direction::Forward, 1).await?;
        match batch.events.first() {
            Some(event) if event.id == expected => Ok(()),
            _ => Err(foreign(format!(
                "event {} is not the one this read model was filled with: delete the read database, it is restored",
                at.position
            ))),
        }
    }

    /// Effects and checkpoint, in one transaction.
    async fn apply(
        &self,
        key: ProjectionKey,
        epoch: Epoch,
        step: CheckpointMove,
        events: Vec<RecordedEvent>,
    ) -> Result<(), Trouble> {
        let (read_store, projection) = (Arc::clone(&self.read_store), Arc::clone(&self.projection));
        let source = self.store.identity().source();
        let work = move || {
            let mut broken = None;
            let written = read_store.write(key, epoch, &[step], &mut |tx| {
                for event in &events {
                    if let Err(error) = apply_one(projection.as_ref().as_ref(), event, source, tx) {
                        broken = Some((event.position, event.name.to_string(), error));
                        return Err(ReadError::Broken("rolled back".to_owned()));
                    }
                }
                Ok(())
            });
            (written, broken)
        };
        let (written, broken) = self.runtime.blocking(work).await.map_err(panicked)?;
        match (written, broken) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some((_, _, ApplyError::Read(error)))) if !matches!(error, ReadError::Broken(_)) => {
                Err(stood(error))
            }
            (Err(_), Some((position, name, source))) => Err(Trouble::Apply { position, name, source }),
            (Err(error), None) => Err(stood(error)),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Trouble> {
        self.runtime.blocking(work).await.map_err(panicked)?.map_err(stood)
    }

    fn show(&self, position: Position, head: Position, refilling: bool) {
        let key = self.projection.key();
        let behind = position < head;
        let phase = if refilling && behind {
            Phase::Refilling { done: position.get(), total: head.get() }
        } else {
            Phase::Live
        };
        self.watermarks.set_phase(key, phase);
        self.status.update(|report| {
            report.state = if behind { LoopState::CatchingUp } else { LoopState::Live };
            report.position = position;
            report.target = head.max(position);
            report.last_error = None;
        });
    }
}

fn apply_one(
    projection: &dyn super::AnyProjection,
    event: &RecordedEvent,
    source: Source,
    tx: &mut dyn crate::read::ReadTransaction,
) -> Result<(), ApplyError> {
    let raw = RawEvent { name: &event.name, schema: event.schema, data: &event.data };
    projection.apply(raw, &event.delivery(source), tx)
}

fn foreign(what: String) -> Trouble {
    Trouble::End(ProjectionEnd::Foreign(what))
}

fn stood(error: ReadError) -> Trouble {
    match error {
        ReadError::Fenced { .. } => Trouble::End(ProjectionEnd::StoodDown),
        other => Trouble::Read(other),
    }
}

fn panicked(failure: crate::runtime::TaskFailure) -> Trouble {
    Trouble::Read(ReadError::Broken(failure.to_string()))
}
