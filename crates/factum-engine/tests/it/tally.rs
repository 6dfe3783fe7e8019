//! Counts of long runs.

use factum_engine::{AppendError, Receipt};

/// What was done and what happened, counted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub stores: u64,
    pub openings: u64,
    pub clean_openings: u64,
    pub failed_openings: u64,
    pub tails_cut: u64,
    pub groups_rewritten: u64,
    pub kills: u64,
    pub power_losses: u64,
    pub appends: u64,
    pub accepted: u64,
    pub repeats: u64,
    pub ids_reused: u64,
    pub conflicts: u64,
    pub crossed: u64,
    pub disk_full: u64,
    pub poisoned: u64,
    pub reads: u64,
    pub look_ups: u64,
    pub follows: u64,
    pub restores: u64,
    pub progress: u64,
    pub events: u64,
    pub segments: u64,
}

impl Tally {
    /// Calls that were made and held against the model.
    pub fn operations(&self) -> u64 {
        self.openings
            + self.failed_openings
            + self.appends
            + self.reads
            + self.look_ups
            + self.progress
            + self.follows
            + self.restores
    }

    pub fn add(&mut self, other: &Tally) {
        let Tally { stores, openings, clean_openings, failed_openings, tails_cut, groups_rewritten, kills, .. } = other;
        self.stores += stores;
        self.openings += openings;
        self.clean_openings += clean_openings;
        self.failed_openings += failed_openings;
        self.tails_cut += tails_cut;
        self.groups_rewritten += groups_rewritten;
        self.kills += kills;
        let Tally { power_losses, appends, accepted, repeats, ids_reused, conflicts, crossed, .. } = other;
        self.power_losses += power_losses;
        self.appends += appends;
        self.accepted += accepted;
        self.repeats += repeats;
        self.ids_reused += ids_reused;
        self.conflicts += conflicts;
        self.crossed += crossed;
        let Tally { disk_full, poisoned, reads, look_ups, progress, events, segments, follows, restores, .. } = other;
        self.follows += follows;
        self.restores += restores;
        self.disk_full += disk_full;
        self.poisoned += poisoned;
        self.reads += reads;
        self.look_ups += look_ups;
        self.progress += progress;
        self.events += events;
        self.segments += segments;
    }

    pub fn count(&mut self, answer: &Result<Receipt, AppendError>) {
        *match answer {
            Ok(Receipt { repeated: false, .. }) => &mut self.accepted,
            Ok(_) => &mut self.repeats,
            Err(AppendError::Conflict { .. }) => &mut self.conflicts,
            Err(AppendError::BoundaryCrossed { .. } | AppendError::BoundaryBeyondHead { .. }) => &mut self.crossed,
            Err(AppendError::CommandIdReused { .. }) => &mut self.ids_reused,
            Err(AppendError::DiskFull) => &mut self.disk_full,
            Err(_) => &mut self.poisoned,
        } += 1;
    }
}
