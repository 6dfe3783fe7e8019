//! Counts of long runs.

use factum_engine::{AppendError, Receipt};

macro_rules! tally {
    ($($count:ident)*) => {
        /// What was done and what happened, counted.
        #[derive(Debug, Default, Clone, Copy)]
        pub struct Tally {
            $(pub $count: u64,)*
        }

        impl Tally {
            pub fn add(&mut self, other: &Tally) {
                $(self.$count += other.$count;)*
            }
        }
    };
}

tally! {
    stores openings clean_openings failed_openings tails_cut groups_rewritten kills power_losses
    restores indexes_spoilt appends accepted repeats ids_reused conflicts crossed
    disk_full poisoned reads look_ups follows progress events segments
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
