//! A generation that does not answer, and the task that feeds it.

use std::{pin::pin, sync::Arc};

use tokio::sync::watch;

use super::{ReadModel, feeder::FeedEnd};
use crate::{
    model::ProjectionKey,
    projections::{Feed, Leash, Phase, Progress, Share, Watermarks},
    quarantine::QUARANTINE_ALARM,
    read::{Checkpoint, Generation, Lane, ReadError, Role},
    runtime::{LoopState, Status, Stopper, Task},
};

/// What the alarm is about that a generation is kept in vain.
pub(crate) const KEPT_ALARM: &str = "kept generation";

/// A generation that is fed beside the live one, until this is dropped.
pub(super) struct Shadow {
    pub(super) generation: Generation,
    pub(super) shown: Shown,
    stopper: Arc<Stopper>,
    task: Task,
    /// Of the loop that feeds the live generation, where an end of this one concerns who looks there.
    warned: Option<Status>,
}

/// What a shadow shows of itself.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) watermarks: Arc<Watermarks>,
    status: Status,
    leash: Leash,
    /// Which life of the read store it is fed in: in another one there is nothing of it.
    pub(super) life: u64,
    /// Why feeding has ended by itself.
    ended: watch::Receiver<Option<String>>,
}

impl Shown {
    pub(super) fn progress(&self, key: ProjectionKey) -> Option<Progress> {
        self.watermarks.progress(key)
    }

    /// Whether it gets no farther than the live one.
    pub(super) const fn is_held(&self) -> bool {
        self.leash.holds
    }

    /// How much of the time it works at present, at most, in percent.
    pub(super) fn share_percent(&self) -> u32 {
        self.leash.share_percent()
    }

    /// What stands in its way.
    pub(super) fn trouble(&self) -> Option<String> {
        let report = self.status.report();
        self.end().or_else(|| report.alarms.into_values().next()).or(report.last_error)
    }

    /// Why feeding has ended by itself, where it has.
    pub(super) fn end(&self) -> Option<String> {
        self.ended.borrow().clone()
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

/// Tells why feeding has ended, also when it panics.
struct Ending(watch::Sender<Option<String>>);

impl Ending {
    fn tell(&self, reason: String) {
        self.0.send_replace(Some(reason));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_if_modified(|reason| {
            let is_new = reason.is_none();
            reason.get_or_insert_with(|| "it failed".to_owned());
            is_new
        });
    }
}

impl Shadow {
    /// Waits until feeding has ended by itself, and says why.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.shown.ended.clone();
        let found = ended.wait_for(Option::is_some).await;
        // Whoever sends tells why, at the latest when it is dropped.
        found.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    /// Ends it: nothing is written to it after this.
    pub(super) async fn end(mut self) {
        self.stopper.stop();
        // A panic ended it as well.
        let _ = self.task.join().await;
        if let Some(status) = &self.warned {
            status.update(|report| drop(report.alarms.remove(KEPT_ALARM)));
        }
    }
}

impl ReadModel {
    /// Feeds a generation that is there for this; [`Role::Replacing`] is free, any other never gets ahead of the live one.
    pub(super) fn shadow(&self, generation: Generation, role: Role) -> Shadow {
        let key = self.key();
        let watermarks = Arc::new(Watermarks::new(self.runtime.clone()));
        let feed = self.watermarks.feed(key).unwrap_or(Feed::OwnStore);
        watermarks.track(key, feed, Vec::new());
        watermarks.set_phase(key, Phase::Refilling { done: 0, total: 0 });
        let status = Status::new(&self.loop_of(generation));
        status.update(|report| report.state = LoopState::CatchingUp);
        let leash = Leash {
            // One that is to replace a live one that cannot go on must be able to get ahead of it.
            holds: role != Role::Replacing,
            watermarks: Arc::clone(&self.watermarks),
            projection: key,
            turns: self.turns.clone(),
            share: Share::new(self.turns.pace().share()),
        };
        let feeder = self.feeder(self.view(generation), Arc::clone(&watermarks), status.clone(), Some(leash.clone()));
        let (stopper, stop) = Stopper::new();
        let stopper = Arc::new(stopper);
        let (report, ended) = watch::channel(None);
        let (live, read_store, life) =
            (Arc::clone(&self.watermarks), Arc::clone(&self.read_store), self.read_store.life());
        // The task does not own what stops it: dropped by whoever does, it ends.
        let (on_damage, warned) = (Arc::downgrade(&stopper), (role == Role::Kept).then(|| self.status().clone()));
        let to_warn = warned.clone();
        let task = self.runtime.spawn(async move {
            let ending = Ending(report);
            let mut feeding = pin!(feeder.feed(stop));
            let end = tokio::select! {
                biased;
                end = &mut feeding => end,
                text = live.damage(life) => {
                    // What is begun in its place has nothing of this generation.
                    if let Some(stopper) = on_damage.upgrade() {
                        stopper.stop();
                    }
                    feeding.await;
                    FeedEnd::Damaged(ReadError::Damaged { place: "a query".to_owned(), source: text.into() })
                }
            };
            let (reason, is_lost) = match end {
                FeedEnd::Stopped => ("it was stopped".to_owned(), true),
                FeedEnd::StoodDown => ("another owner took over, or it was discarded".to_owned(), false),
                FeedEnd::Halted(reason) => (reason, false),
                FeedEnd::Damaged(damage) => {
                    let begins_anew = read_store.can_start_over();
                    if begins_anew {
                        live.damaged(life, &damage);
                    }
                    (damage.to_string(), begins_anew)
                }
            };
            if let Some(status) = to_warn.filter(|_| !is_lost && read_store.life() == life) {
                let text =
                    format!("generation {generation} is kept, but no longer fed, and cannot answer again: {reason}");
                tracing::warn!(of = status.name(), "{text}");
                status.update(|report| drop(report.alarms.insert(KEPT_ALARM.to_owned(), text)));
            }
            ending.tell(reason);
        });
        Shadow { generation, shown: Shown { watermarks, status, leash, life, ended }, stopper, task, warned }
    }
}
