//! A generation that does not answer, and the task that feeds it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{ReadModel, feeder::FeedEnd};
use crate::{
    model::ProjectionKey,
    projections::{Feed, Leash, Phase, Progress, Watermarks},
    quarantine::QUARANTINE_ALARM,
    read::{Checkpoint, Generation, Lane},
    runtime::{LoopState, Status, Stopper, Task},
};

/// A generation that is fed beside the live one, until this is dropped.
pub(super) struct Shadow {
    pub(super) generation: Generation,
    pub(super) shown: Shown,
    ended: watch::Receiver<Option<String>>,
    stopper: Stopper,
    task: Task,
}

/// What a shadow shows of itself.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) watermarks: Arc<Watermarks>,
    status: Status,
}

impl Shown {
    pub(super) fn progress(&self, key: ProjectionKey) -> Option<Progress> {
        self.watermarks.progress(key)
    }

    /// What stands in its way.
    pub(super) fn trouble(&self) -> Option<String> {
        let report = self.status.report();
        report.alarms.into_values().next().or(report.last_error)
    }

    /// What an operator must look at before it may answer: a partition that stands still, a gap.
    pub(super) fn alarm(&self) -> Option<String> {
        self.status.report().alarms.into_values().next()
    }

    /// What it has parked, in words; `None` when nothing.
    pub(super) fn parked(&self) -> Option<String> {
        self.status.report().alarms.remove(QUARANTINE_ALARM)
    }

    pub(super) fn lanes(&self, key: ProjectionKey) -> Vec<(Lane, Checkpoint)> {
        self.watermarks.lanes(key)
    }
}

impl Shadow {
    /// Waits until feeding has ended by itself, and says why.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let found = ended.wait_for(Option::is_some).await;
        found.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "it failed".to_owned())
    }

    /// Ends it: nothing is written to it after this.
    pub(super) async fn end(mut self) {
        self.stopper.stop();
        // A panic ended it as well.
        let _ = self.task.join().await;
    }
}

impl ReadModel {
    /// Feeds a generation; on a leash, never ahead of the live one.
    pub(super) fn shadow(&self, generation: Generation, leashed: bool) -> Shadow {
        let key = self.key();
        let watermarks = Arc::new(Watermarks::new(self.runtime.clone()));
        let feed = self.watermarks.feed(key).unwrap_or(Feed::OwnStore);
        watermarks.track(key, feed, Vec::new());
        watermarks.set_phase(key, Phase::Refilling { done: 0, total: 0 });
        let status = Status::new(&format!("{} generation {generation}", self.status().name()));
        let (live, turns) = (&self.watermarks, &self.turns);
        let leash = leashed.then(|| Leash { watermarks: Arc::clone(live), projection: key, turns: turns.clone() });
        let feeder = self.feeder(self.view(generation), Arc::clone(&watermarks), status.clone(), leash);
        let (stopper, stop) = Stopper::new();
        let (report, ended) = watch::channel(None);
        let (live, read_store) = (Arc::clone(&self.watermarks), Arc::clone(&self.read_store));
        let task = self.runtime.spawn(async move {
            let life = read_store.life();
            let reason = match feeder.feed(stop).await {
                FeedEnd::Stopped => "it was stopped".to_owned(),
                FeedEnd::StoodDown => "another owner took over, or it was discarded".to_owned(),
                FeedEnd::Halted(reason) => reason,
                FeedEnd::Damaged(damage) => {
                    if read_store.can_start_over() {
                        live.damaged(life, &damage);
                    }
                    damage.to_string()
                }
            };
            report.send_replace(Some(reason));
        });
        status.update(|report| report.state = LoopState::CatchingUp);
        Shadow { generation, shown: Shown { watermarks, status }, ended, stopper, task }
    }
}
