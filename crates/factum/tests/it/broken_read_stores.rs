//! The suite of read stores finds what is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use factum::{
    ProjectionKey,
    read::{
        Checkpoint, CheckpointMove, Epoch, Lane, MemoryReadStore, ReadError, ReadSnapshot, ReadStore, ReadTransaction,
    },
    testing,
};

/// What is wrong with a read store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Effects are written, checkpoints are not.
    LosesCheckpoints,
    /// Checkpoints are written before the effects, in a transaction of their own.
    CheckpointsFirst,
    /// A checkpoint moves from wherever it is.
    MovesFromAnywhere,
    /// Work that failed is written all the same.
    KeepsWhatFailed,
    /// Every claim gets the same epoch's rights.
    FencesNobody,
    /// Versions of a projection share their place.
    MixesVersions,
}

struct Flawed {
    inner: MemoryReadStore,
    flaw: Flaw,
}

impl Flawed {
    fn place(&self, projection: ProjectionKey) -> ProjectionKey {
        let version = if self.flaw == Flaw::MixesVersions { 1 } else { projection.version };
        ProjectionKey { version, ..projection }
    }

    /// An epoch that is in force, whoever asks.
    fn owner(&self, projection: ProjectionKey, epoch: Epoch) -> Epoch {
        match self.inner.write(projection, epoch, &[], &mut |_| Ok(())) {
            Err(ReadError::Fenced { current, .. }) => Epoch(current),
            _ => epoch,
        }
    }
}

impl ReadStore for Flawed {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.inner.claim(self.place(projection))
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.inner.checkpoints(self.place(projection))
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let projection = self.place(projection);
        match self.flaw {
            Flaw::LosesCheckpoints => self.inner.write(projection, epoch, &[], work),
            Flaw::CheckpointsFirst => {
                self.inner.write(projection, epoch, moves, &mut |_| Ok(()))?;
                self.inner.write(projection, epoch, &[], work)
            }
            Flaw::MovesFromAnywhere => {
                let mut known = self.inner.checkpoints(projection)?;
                let mut moves = moves.to_vec();
                for step in &mut moves {
                    step.previous = known.iter().find(|(lane, _)| *lane == step.lane).map(|(_, at)| *at);
                    known.retain(|(lane, _)| *lane != step.lane);
                    known.push((step.lane.clone(), step.next));
                }
                self.inner.write(projection, epoch, &moves, work)
            }
            Flaw::KeepsWhatFailed => {
                let mut failed = Ok(());
                self.inner.write(projection, epoch, moves, &mut |tx| {
                    failed = work(tx);
                    Ok(())
                })?;
                failed
            }
            Flaw::FencesNobody => self.inner.write(projection, self.owner(projection, epoch), moves, work),
            Flaw::MixesVersions => self.inner.write(projection, epoch, moves, work),
        }
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.inner.read(work)
    }
}

#[test]
fn a_read_store_that_breaks_a_promise_is_found() {
    for (flaw, cases) in [
        (
            Flaw::LosesCheckpoints,
            &["a_checkpoint_moves_with_its_effects", "a_checkpoint_moves_only_from_where_it_is"][..],
        ),
        (Flaw::CheckpointsFirst, &["failed_work_moves_no_checkpoint"]),
        (
            Flaw::MovesFromAnywhere,
            &["a_checkpoint_moves_only_from_where_it_is", "several_lanes_move_together_or_not_at_all"],
        ),
        (Flaw::KeepsWhatFailed, &["failed_work_moves_no_checkpoint"]),
        (Flaw::FencesNobody, &["a_claim_fences_the_owner_before"]),
        (Flaw::MixesVersions, &["projections_and_versions_have_their_own_checkpoints"]),
    ] {
        let suite = || testing::read_store_suite(&|| Box::new(Flawed { inner: MemoryReadStore::new(), flaw }));
        let payload = catch_unwind(AssertUnwindSafe(suite)).expect_err("the suite found nothing");
        let complaint = payload.downcast::<String>().expect("a suite complains in words");
        for case in cases {
            assert!(complaint.contains(&format!("\n  {case}: ")), "{case} did not fail with {flaw:?}: {complaint}");
        }
    }
}
