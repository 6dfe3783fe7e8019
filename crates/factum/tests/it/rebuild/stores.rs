//! Read stores that cannot rebuild, or not now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use factum::{
    ProjectionKey,
    bus::{Bus, MemoryBus},
    read::{
        CheckpointMove, Epoch, Generation, Generations, MemoryReadStore, ReadError, ReadStore, ReadTransaction, Role,
    },
    rebuild::{Operation, RequestError},
    store::MemoryStore,
};

use super::{KEY, Shop};
use crate::world;

/// A read store that holds one generation is told apart.
struct Single(MemoryReadStore);

impl ReadStore for Single {
    read_store_passes_on!([0] claim checkpoints write read);
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

/// A read store whose disk is full for every generation but the first.
#[derive(Clone)]
struct FullDisk {
    inner: Arc<dyn ReadStore>,
    full: Arc<AtomicBool>,
    is_new: bool,
}

impl ReadStore for FullDisk {
    read_store_passes_on!([inner] claim checkpoints read);

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

    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }
}

impl Generations for FullDisk {
    generations_pass_on!([inner.generations().unwrap()] models begin set_role switch discard inspect);

    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore> {
        let inner = self.inner.generations().unwrap().view(projection, generation);
        Arc::new(Self { inner, is_new: generation > Generation::FIRST, ..self.clone() })
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
