//! A read store as a process sees it to which things happen.

use std::sync::Arc;

use super::chaos::{Chaos, Misfortune};
use crate::{
    model::ProjectionKey,
    read::{
        Checkpoint, CheckpointMove, Claimed, Epoch, Generation, Generations, Inspection, Lane, ReadError, ReadSnapshot,
        ReadStore, ReadTransaction, Role, StoredModel,
    },
};

struct TroubledReadStore {
    inner: Arc<dyn ReadStore>,
    chaos: Chaos,
}

impl Chaos {
    /// The read store as the process sees it. Its calls are not waited for: none of them is delayed.
    pub fn read_store(&self, store: &Arc<dyn ReadStore>) -> Arc<dyn ReadStore> {
        Arc::new(TroubledReadStore { inner: Arc::clone(store), chaos: self.clone() })
    }
}

impl TroubledReadStore {
    fn through<T>(&self, name: &str, call: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
        match self.chaos.draw(name) {
            Misfortune::None | Misfortune::Delay(_) => call(),
            Misfortune::FailBefore => Err(away()),
            Misfortune::FailAfter => call().and_then(|_| Err(away())),
            Misfortune::DieBefore => {
                self.chaos.kill();
                Err(away())
            }
            Misfortune::DieAfter => {
                self.chaos.kill();
                call().and_then(|_| Err(away()))
            }
        }
    }

    fn inner_generations(&self) -> &dyn Generations {
        self.inner.generations().expect("asked only where the store has them")
    }
}

fn away() -> ReadError {
    ReadError::Unavailable("the simulation took it away".into())
}

impl ReadStore for TroubledReadStore {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.through("read_store.claim", || self.inner.claim(projection))
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.through("read_store.checkpoints", || self.inner.checkpoints(projection))
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let undone = |work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>| {
            self.inner.write(projection, epoch, moves, &mut |tx| work(tx).and(Err(away())))
        };
        // What fails before it is committed has done its work by then, in vain.
        match self.chaos.draw("read_store.write") {
            Misfortune::None | Misfortune::Delay(_) => self.inner.write(projection, epoch, moves, work),
            Misfortune::FailBefore => undone(work),
            Misfortune::FailAfter => self.inner.write(projection, epoch, moves, work).and(Err(away())),
            Misfortune::DieBefore => {
                self.chaos.kill();
                undone(work)
            }
            Misfortune::DieAfter => {
                self.chaos.kill();
                self.inner.write(projection, epoch, moves, work).and(Err(away()))
            }
        }
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.through("read_store.read", || self.inner.read(work))
    }

    fn life(&self) -> u64 {
        self.inner.life()
    }

    fn can_start_over(&self) -> bool {
        self.inner.can_start_over()
    }

    fn start_over(&self, life: u64, damage: &ReadError) -> Result<(), ReadError> {
        self.through("read_store.start_over", || self.inner.start_over(life, damage))
    }

    fn generations(&self) -> Option<&dyn Generations> {
        self.inner.generations().map(|_| self as &dyn Generations)
    }

    fn close(&self) -> Result<(), ReadError> {
        self.inner.close()
    }
}

impl Generations for TroubledReadStore {
    fn models(&self) -> Result<Vec<StoredModel>, ReadError> {
        self.through("generations.models", || self.inner_generations().models())
    }

    fn begin(&self, projection: ProjectionKey, role: Role) -> Result<Generation, ReadError> {
        self.through("generations.begin", || self.inner_generations().begin(projection, role))
    }

    fn set_role(&self, projection: ProjectionKey, generation: Generation, role: Role) -> Result<(), ReadError> {
        self.through("generations.set_role", || self.inner_generations().set_role(projection, generation, role))
    }

    fn switch(&self, projection: ProjectionKey, from: Claimed, to: Claimed) -> Result<(), ReadError> {
        self.through("generations.switch", || self.inner_generations().switch(projection, from, to))
    }

    fn discard(&self, model: &StoredModel) -> Result<(), ReadError> {
        self.through("generations.discard", || self.inner_generations().discard(model))
    }

    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore> {
        self.chaos.read_store(&self.inner_generations().view(projection, generation))
    }

    fn inspect(&self, work: &mut dyn FnMut(&mut dyn Inspection) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.through("generations.inspect", || self.inner_generations().inspect(work))
    }
}
