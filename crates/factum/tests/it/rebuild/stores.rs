//! Read stores that cannot rebuild, or not now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum::{
    ProjectionKey,
    bus::{Bus, MemoryBus},
    read::{
        Checkpoint, CheckpointMove, Claimed, Epoch, Generation, Generations, Inspection, Lane, MemoryReadStore,
        ReadError, ReadSnapshot, ReadStore, ReadTransaction, Role, StoredModel,
    },
    rebuild::{Operation, RequestError},
    store::MemoryStore,
};

use super::{KEY, Shop};
use crate::world;

/// A read store that holds one generation is told apart.
struct Single(MemoryReadStore);

impl ReadStore for Single {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.0.claim(projection)
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.0.checkpoints(projection)
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.0.write(projection, epoch, moves, work)
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.0.read(work)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_store_without_generations_works_and_says_that_it_cannot_rebuild() {
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let shop = Shop::on(Arc::new(MemoryStore::new()), bus, Arc::new(Single(MemoryReadStore::new()))).await;
    shop.raise(2).await;
    assert_eq!(shop.sum().await, 10);
    let refused = shop.totals.read_models().request(None, Operation::Rebuild);
    assert_eq!(refused, Err(RequestError::Unsupported(KEY)));
    shop.stop().await;
}

/// Until a read model is whole, its queries say how far it is./// A read store whose disk is full for every generation but the first.
#[derive(Clone)]
struct FullDisk {
    inner: Arc<dyn ReadStore>,
    full: Arc<AtomicBool>,
    is_new: bool,
}

impl ReadStore for FullDisk {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.inner.claim(projection)
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.inner.checkpoints(projection)
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        if self.is_new && self.full.load(Ordering::SeqCst) {
            return Err(ReadError::Unavailable("no space left on the device".into()));
        }
        self.inner.write(projection, epoch, moves, work)
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.inner.read(work)
    }

    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }
}

impl Generations for FullDisk {
    fn models(&self) -> Result<Vec<StoredModel>, ReadError> {
        self.inner.generations().unwrap().models()
    }

    fn begin(&self, projection: ProjectionKey, role: Role) -> Result<Generation, ReadError> {
        self.inner.generations().unwrap().begin(projection, role)
    }

    fn set_role(&self, projection: ProjectionKey, generation: Generation, role: Role) -> Result<(), ReadError> {
        self.inner.generations().unwrap().set_role(projection, generation, role)
    }

    fn switch(&self, projection: ProjectionKey, from: Claimed, to: Claimed) -> Result<(), ReadError> {
        self.inner.generations().unwrap().switch(projection, from, to)
    }

    fn discard(&self, model: &StoredModel) -> Result<(), ReadError> {
        self.inner.generations().unwrap().discard(model)
    }

    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore> {
        let inner = self.inner.generations().unwrap().view(projection, generation);
        Arc::new(Self { inner, is_new: generation > Generation::FIRST, ..self.clone() })
    }

    fn inspect(&self, work: &mut dyn FnMut(&mut dyn Inspection) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.inner.generations().unwrap().inspect(work)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_up_a_rebuild_and_nobody_who_asks() {
    let full = Arc::new(AtomicBool::new(true));
    let disk = FullDisk { inner: Arc::new(MemoryReadStore::new()), full: Arc::clone(&full), is_new: false };
    let shop = Shop::on(Arc::new(MemoryStore::new()), Arc::new(MemoryBus::new()), Arc::new(disk)).await;
    shop.raise(5).await;
    shop.totals.read_models().request(None, Operation::Rebuild).unwrap();
    let told = || shop.report().trouble.filter(|trouble| trouble.contains("no space left"));
    world::eventually(told, || format!("{:?}", shop.report())).await;
    assert_eq!(shop.sum().await, 25);
    full.store(false, Ordering::SeqCst);
    shop.ended(Operation::Rebuild).await.unwrap();
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Kept), (2, Role::Live)], 25));
    shop.stop().await;
}
