//! Where it is written down who holds a lease: with the event store, or with the read store where there is none.

use std::sync::Arc;

use factum_engine::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    model::{Incarnation, ProjectionKey},
    read::{Checkpoint, CheckpointMove, Epoch, Lane, ReadError, ReadStore},
    runtime::Runtime,
    store::{EventStore, ProgressError},
};

/// What leases in a read store are kept under, as if they were a projection's.
const LEASES: ProjectionKey = ProjectionKey { name: "factum-leases", version: 1 };
/// The one lane of it.
const LANE: &str = "lease";

pub(super) enum Book {
    Events { store: Arc<dyn EventStore>, name: String },
    Reads { store: Arc<dyn ReadStore>, runtime: Runtime },
}

/// What its holder has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    owner: Uuid,
    epoch: Epoch,
    /// Raised at every renewal; 0: given back.
    pub(super) beat: u64,
    stored: Option<Written>,
}

/// What others can see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    owner: Uuid,
    beat: u64,
}

/// Why a lease was not claimed, renewed or looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("another instance has it")]
    Displaced,
    /// Nobody has claimed it since, but it is not what its holder believes to have written.
    #[error("it is not what was written last")]
    Moved,
    #[error("{0}")]
    Store(String),
}

impl From<ProgressError> for Refused {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Fenced { .. } => Self::Displaced,
            ProgressError::Moved(_) => Self::Moved,
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fenced { .. } => Self::Displaced,
            ReadError::Moved { .. } => Self::Moved,
            other => Self::Store(other.to_string()),
        }
    }
}

impl Book {
    pub(super) fn events(store: Arc<dyn EventStore>, service: &str) -> Self {
        Self::Events { store, name: format!("lease/{service}") }
    }

    pub(super) const fn reads(store: Arc<dyn ReadStore>, runtime: Runtime) -> Self {
        Self::Reads { store, runtime }
    }

    /// Takes it from whoever has it.
    pub(super) async fn claim(&self, owner: Uuid) -> Result<Entry, Refused> {
        let (epoch, stored) = match self {
            Self::Events { store, name } => {
                let progress = store.claim_progress(name).await?;
                (progress.epoch, progress.value.as_deref().map(from_json).transpose()?)
            }
            Self::Reads { store, runtime } => {
                let store = Arc::clone(store);
                let claim = move || Ok::<_, ReadError>((store.claim(LEASES)?, written(store.as_ref())?));
                runtime.blocking(claim).await.map_err(|failure| Refused::Store(failure.to_string()))??
            }
        };
        let mut entry = Entry { owner, epoch, beat: 1, stored };
        self.renew(&mut entry).await?;
        Ok(entry)
    }

    /// Writes down its beat, unless somebody has claimed it since.
    pub(super) async fn renew(&self, entry: &mut Entry) -> Result<(), Refused> {
        match self.write(entry).await {
            // Its own renewal before this one was done, but the answer was lost.
            Err(Refused::Moved) => {
                entry.stored = self.written().await?;
                self.write(entry).await
            }
            written => written,
        }
    }

    async fn write(&self, entry: &mut Entry) -> Result<(), Refused> {
        let Entry { owner, epoch, beat, stored } = *entry;
        let next = Written { owner, beat };
        match self {
            Self::Events { store, name } => {
                let (before, next) = (stored.as_ref().map(to_json).transpose()?, to_json(&next)?);
                store.advance_progress(name, epoch, before.as_deref(), &next).await?;
            }
            Self::Reads { store, runtime } => {
                let store = Arc::clone(store);
                let previous = stored.map(checkpoint);
                let lane = CheckpointMove { lane: Lane::from_text(LANE), previous, next: checkpoint(next) };
                let renew = move || store.write(LEASES, epoch, &[lane], &mut |_| Ok(()));
                runtime.blocking(renew).await.map_err(|failure| Refused::Store(failure.to_string()))??;
            }
        }
        entry.stored = Some(next);
        Ok(())
    }

    /// Who holds it, and which beat it is at; `None` when nobody does.
    pub(super) async fn look(&self) -> Result<Option<Written>, Refused> {
        Ok(self.written().await?.filter(|written| written.beat > 0))
    }

    async fn written(&self) -> Result<Option<Written>, Refused> {
        match self {
            Self::Events { store, name } => store.progress(name).await?.value.as_deref().map(from_json).transpose(),
            Self::Reads { store, runtime } => {
                let store = Arc::clone(store);
                let look = move || written(store.as_ref());
                Ok(runtime.blocking(look).await.map_err(|failure| Refused::Store(failure.to_string()))??)
            }
        }
    }
}

/// The owner stands where other lanes have their history, the beat where they have their position.
fn checkpoint(written: Written) -> Checkpoint {
    let Written { owner, beat } = written;
    Checkpoint { position: Position::new(beat), incarnation: Incarnation::from_uuid(owner), event_id: None }
}

fn written(store: &dyn ReadStore) -> Result<Option<Written>, ReadError> {
    let lane = store.checkpoints(LEASES)?.into_iter().find(|(lane, _)| lane.as_str() == LANE);
    Ok(lane.map(|(_, at)| Written { owner: at.incarnation.as_uuid(), beat: at.position.get() }))
}

fn to_json(written: &Written) -> Result<Vec<u8>, Refused> {
    serde_json::to_vec(written).map_err(|error| Refused::Store(error.to_string()))
}

fn from_json(json: &[u8]) -> Result<Written, Refused> {
    serde_json::from_slice(json).map_err(|error| Refused::Store(format!("an unreadable lease: {error}")))
}
