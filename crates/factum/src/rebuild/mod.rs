//! Read models built anew while they answer: a generation is filled beside the one that is live, compared with it where
//! both stand at the same place, and takes its place in one transaction. The one before is fed on, so that the way back
//! loses nothing.
//!
//! A rebuild, step by step (`tend`): begin a generation, or take up the one that an interrupted rebuild left; fill it on a
//! [leash](crate::projections), never ahead of the live one; let the live one rest, wait until the new one stands where
//! it stands, take a snapshot, let it go on, compare; let it rest once more, and switch.

mod common;
mod compare;
mod feeder;
mod live;
mod model;
mod report;
mod shadow;
mod tend;

use std::sync::Arc;

pub use compare::{Checksum, checksum};
pub(crate) use feeder::ModelEnd;
pub(crate) use model::{ReadModel, Sources};
pub use report::{Done, GenerationReport, ModelReport, Operation, RequestError, Step};
pub(crate) use shadow::KEPT_ALARM;

use crate::model::ProjectionKey;
pub use crate::projections::FillingPace;

/// The read models of a service: how they are, and what can be done with them while they answer. Cheap to clone.
///
/// What is asked for here is begun and goes on by itself; [`ReadModels::reports`] shows how far it is.
#[derive(Clone, Default)]
pub struct ReadModels {
    models: Arc<Vec<Arc<ReadModel>>>,
}

impl ReadModels {
    pub(crate) fn new(models: Vec<Arc<ReadModel>>) -> Self {
        Self { models: Arc::new(models) }
    }

    /// Every read model, by projection.
    pub fn reports(&self) -> Vec<ModelReport> {
        let mut reports: Vec<_> = self.models.iter().map(|model| model.report()).collect();
        reports.sort_by_key(|report| report.projection);
        reports
    }

    /// Begins an operation on the read model of this projection, or on all of them. One that is under way already is
    /// not begun again: asking twice is asking once.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was begun then.
    pub fn request(&self, projection: Option<&str>, operation: Operation) -> Result<Vec<ProjectionKey>, RequestError> {
        let is_meant = |model: &&Arc<ReadModel>| projection.is_none_or(|name| model.key().name == name);
        let meant: Vec<_> = self.models.iter().filter(is_meant).collect();
        if meant.is_empty() {
            return Err(RequestError::Unknown(projection.unwrap_or("any").to_owned()));
        }
        meant.iter().try_for_each(|model| model.accepts(operation))?;
        meant.iter().for_each(|model| model.request(operation));
        Ok(meant.iter().map(|model| model.key()).collect())
    }

    /// How much of the machine what is filled beside read models that answer takes from now on; as long as it is filled,
    /// `transaction_time_max` stays what it was when that began.
    pub fn set_pace(&self, pace: FillingPace) {
        self.models.iter().for_each(|model| model.turns.set_pace(pace));
    }

    /// Waits until no operation is under way. Bound it from outside.
    pub async fn idle(&self) {
        for model in self.models.iter() {
            model.idle().await;
        }
    }
}

impl std::fmt::Debug for ReadModels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.models.iter().map(|model| model.key())).finish()
    }
}
