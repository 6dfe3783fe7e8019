//! The generation that answered before: one is kept, fed, and missed when it ends.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use factum::{
    ProjectionKey,
    bus::MemoryBus,
    read::{
        CheckpointMove, Epoch, Generation, Generations, MemoryReadStore, ReadError, ReadStore, ReadTransaction, Role,
    },
    rebuild::Operation,
    store::MemoryStore,
};

use super::Shop;
use crate::world;

/// Each switch that kept one more would leave one more to be fed for good; and the way back, after a restart, would lead
/// to whichever has the highest number.
#[tokio::test(flavor = "multi_thread")]
async fn one_generation_is_kept_and_it_is_the_one_that_answered_last() {
    let shop = Shop::open().await;
    shop.raise(5).await;
    shop.carry_out(Operation::Rebuild).await.unwrap();
    shop.carry_out(Operation::RollBack).await.unwrap();
    assert_eq!(shop.roles(), [(1, Role::Live), (2, Role::Kept)]);
    let told = shop.carry_out(Operation::Rebuild).await.unwrap();
    assert_eq!(told, "generation 3 answers instead of 1, which is kept and fed; generation 2 is dropped");
    assert_eq!(shop.roles(), [(1, Role::Kept), (3, Role::Live)]);
    let (store, bus, read_store) = shop.leave().await;
    let shop = Shop::on(store, bus, read_store).await;
    shop.raise(1).await;
    let told = shop.carry_out(Operation::RollBack).await.unwrap();
    assert_eq!(told, "generation 1 answers again instead of 3, which is kept and fed");
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Live), (3, Role::Kept)], 30));
    shop.stop().await;
}

/// Whoever goes on reading the bus and writing while both are closed finds everything broken, and says so at every end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_fed_by_nobody_once_the_service_has_stopped() {
    let shop = Shop::open().await;
    shop.raise(3).await;
    shop.carry_out(Operation::Rebuild).await.unwrap();
    let (_store, bus, _read_store) = shop.leave().await;
    let is_left = || (Arc::strong_count(&bus) == 1).then_some(());
    world::eventually(is_left, || format!("{} still have the bus", Arc::strong_count(&bus) - 1)).await;
}

/// A process that ends between the switch and the drop leaves a generation that is there for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_retired_when_the_process_ended_goes_with_the_next_start() {
    let shop = Shop::open().await;
    shop.raise(2).await;
    shop.carry_out(Operation::Rebuild).await.unwrap();
    let (store, bus, read_store) = shop.leave().await;
    let generations = read_store.generations().unwrap();
    let left = generations.begin(super::KEY, Role::Retired).unwrap();
    let shop = Shop::on(store, bus, Arc::clone(&read_store)).await;
    let gone = || generations.models().unwrap().iter().all(|model| model.generation != left).then_some(());
    world::eventually(gone, || format!("{:?}", shop.report())).await;
    assert_eq!(
        shop.carry_out(Operation::RollBack).await.unwrap(),
        "generation 1 answers again instead of 2, which is kept and fed"
    );
    shop.stop().await;
}

/// A read store some generations of which cannot be read any more.
#[derive(Clone)]
struct Worn {
    shared: Arc<Shared>,
    view: Option<(ProjectionKey, Generation)>,
}

struct Shared {
    inner: Mutex<MemoryReadStore>,
    life: AtomicU64,
    damaged: Mutex<HashSet<Generation>>,
    can_start_over: bool,
}

impl Worn {
    fn new(can_start_over: bool) -> Self {
        let (inner, damaged) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { inner, life: AtomicU64::new(0), damaged, can_start_over }), view: None }
    }

    fn wears_out(&self, generation: u32) {
        self.shared.damaged.lock().unwrap().insert(Generation(generation));
    }

    fn all(&self) -> MemoryReadStore {
        self.shared.inner.lock().unwrap().clone()
    }

    fn inner(&self) -> Arc<dyn ReadStore> {
        match self.view {
            Some((projection, generation)) => self.all().view(projection, generation),
            None => Arc::new(self.all()),
        }
    }
}

impl ReadStore for Worn {
    read_store_passes_on!([inner()] claim checkpoints read);

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let generation = self.view.map(|(_, generation)| generation);
        if generation.is_some_and(|generation| self.shared.damaged.lock().unwrap().contains(&generation)) {
            return Err(ReadError::Damaged { place: "a page".to_owned(), source: "worn out".into() });
        }
        self.inner().write(projection, epoch, moves, work)
    }

    fn life(&self) -> u64 {
        self.shared.life.load(Ordering::SeqCst)
    }

    fn can_start_over(&self) -> bool {
        self.shared.can_start_over
    }

    fn start_over(&self, life: u64, damage: &ReadError) -> Result<(), ReadError> {
        if !self.shared.can_start_over {
            return Err(ReadError::Broken(damage.to_string()));
        }
        if self.life() == life {
            self.shared.damaged.lock().unwrap().clear();
            *self.shared.inner.lock().unwrap() = MemoryReadStore::new();
            self.shared.life.store(life + 1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }
}

impl Generations for Worn {
    generations_pass_on!([all()] models begin set_role switch discard inspect);

    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore> {
        Arc::new(Self { view: Some((projection, generation)), ..self.clone() })
    }
}

async fn shop_on(worn: &Worn) -> Shop {
    Shop::on(Arc::new(MemoryStore::new()), Arc::new(MemoryBus::new()), Arc::new(worn.clone())).await
}

fn alarms(shop: &Shop) -> Vec<String> {
    let loops = shop.totals.health().loops();
    loops.into_iter().flat_map(|(_, report)| report.alarms.into_values()).collect()
}

/// Told to nobody, an operator would count on a way back that is none any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_generation_that_is_no_longer_fed_is_told_and_cannot_answer_again() {
    let worn = Worn::new(false);
    let shop = shop_on(&worn).await;
    shop.raise(3).await;
    shop.carry_out(Operation::Rebuild).await.unwrap();
    assert_eq!(alarms(&shop), [""; 0]);
    worn.wears_out(1);
    shop.raise(1).await;
    let told = || shop.report().generations[0].trouble.clone();
    let told = world::eventually(told, || format!("{:?}", shop.report())).await;
    assert!(told.contains("worn out"), "{told}");
    world::eventually(|| (!alarms(&shop).is_empty()).then_some(()), || "no alarm".to_owned()).await;
    let alarm = "generation 1 is kept, but no longer fed, and cannot answer again: ";
    assert!(alarms(&shop).len() == 1 && alarms(&shop)[0].starts_with(alarm), "{:?}", alarms(&shop));
    assert!(shop.totals.health().readiness().ready, "what answers does");
    let refused = shop.carry_out(Operation::RollBack).await.unwrap_err();
    assert!(refused.starts_with(alarm) && refused.ends_with("; discard it"), "{refused}");
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Kept), (2, Role::Live)], 20));
    shop.carry_out(Operation::Discard).await.unwrap();
    assert_eq!(alarms(&shop), [""; 0], "with its cause");
    shop.raise(1).await;
    assert_eq!((shop.roles(), shop.sum().await), (vec![(2, Role::Live)], 25));
    shop.stop().await;
}

/// What was kept was kept in the file that was put aside.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_store_begun_anew_keeps_nothing_of_what_was_kept_before() {
    let worn = Worn::new(true);
    let shop = shop_on(&worn).await;
    shop.raise(3).await;
    shop.carry_out(Operation::Rebuild).await.unwrap();
    worn.wears_out(2);
    shop.raise(1).await;
    let anew = || (worn.life() == 1 && shop.roles() == [(1, Role::Live)]).then_some(());
    world::eventually(anew, || format!("{:?}", shop.report())).await;
    shop.settled().await;
    assert_eq!((shop.sum().await, alarms(&shop)), (20, Vec::new()));
    let refused = shop.carry_out(Operation::RollBack).await.unwrap_err();
    assert_eq!(refused, "no generation is kept that could answer again");
    // Numbers begin anew as well: nobody who fed the lost one of this number is left.
    let told = shop.carry_out(Operation::Rebuild).await.unwrap();
    assert_eq!(told, "generation 2 answers instead of 1, which is kept and fed");
    shop.raise(1).await;
    shop.carry_out(Operation::RollBack).await.unwrap();
    assert_eq!((shop.roles(), shop.sum().await), (vec![(1, Role::Live), (2, Role::Kept)], 25));
    shop.stop().await;
}
