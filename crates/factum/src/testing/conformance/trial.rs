//! One run: a handler, a sample, and what is done to them.

use std::{sync::Arc, time::Duration};

use super::{
    CALM, ODDS,
    diary::Diary,
    house::{Assemble, House},
    lanes::Lanes,
    sample::Told,
};
use crate::{model::Event, runtime::contained, testing::Simulation};

/// The longest pause between two things that are done.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// The fewest things that are done in a run.
const ROUNDS_MIN: u32 = 60;

/// A sample, and where it happens.
#[derive(Clone)]
pub(super) struct Trial {
    told: Arc<[Told]>,
    own: bool,
}

/// What is still to happen.
enum Feed {
    /// On the bus.
    Lanes(Lanes),
    /// In the service's own store.
    Own { told: Arc<[Told]>, next: usize },
}

impl Trial {
    /// A sample of messages on the bus.
    #[track_caller]
    pub(super) fn of_messages<E: Event>(told: Vec<Told>) -> Self {
        let told = all_known::<E>(told);
        Self { told, own: false }
    }

    /// A sample of events of the own store.
    #[track_caller]
    pub(super) fn of_own_events<E: Event>(told: Vec<Told>) -> Self {
        let told = all_known::<E>(told);
        Self { told, own: true }
    }

    /// The topics of its messages.
    pub(super) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.told.iter().map(|told| told.topic.to_string()).collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// What there is in the end; undisturbed without a seed.
    pub(super) fn run<T: Send + 'static>(
        &self,
        assemble: &Assemble,
        seed: Option<u64>,
        end: impl FnOnce(&House) -> T + Send + 'static,
    ) -> (Diary, Result<T, String>) {
        let diary = Diary::default();
        let simulation = Simulation::new(seed.unwrap_or(0));
        let house = House::new(&simulation, assemble, if seed.is_some() { ODDS } else { CALM }, &diary);
        let trial = self.clone();
        let found = contained(|| {
            let world = simulation.clone();
            simulation.run(async move {
                let mut feed = trial.feed(&world, &house, seed.is_some()).await;
                house.open();
                let mut rounds = if seed.is_some() { ROUNDS_MIN } else { 0 };
                while rounds > 0 || !feed.is_whole() {
                    rounds = rounds.saturating_sub(1);
                    match seed {
                        Some(_) => disturb(&world, &house, &mut feed).await,
                        None => feed.go_on(&house).await,
                    }
                }
                house.come_to_rest().await;
                end(&house)
            })
        });
        (diary, found)
    }

    async fn feed(&self, simulation: &Simulation, house: &House, disturbed: bool) -> Feed {
        if self.own {
            Feed::Own { told: Arc::clone(&self.told), next: 0 }
        } else {
            Feed::Lanes(Lanes::new(simulation, house.bus(), &self.told, disturbed).await)
        }
    }
}

#[track_caller]
fn all_known<E: Event>(told: Vec<Told>) -> Arc<[Told]> {
    assert!(!told.is_empty(), "a sample in which nothing happens shows nothing: add what the handler is for");
    for told in &told {
        assert!(E::names().contains(&told.name), "{told} is not among the names of its type");
    }
    told.into()
}

impl Feed {
    fn is_whole(&self) -> bool {
        match self {
            Self::Lanes(lanes) => lanes.is_whole(),
            Self::Own { told, next } => *next == told.len(),
        }
    }

    /// A little more of it happens.
    async fn go_on(&mut self, house: &House) {
        match self {
            Self::Lanes(lanes) => lanes.go_on().await,
            Self::Own { told, next } => {
                let Some(event) = told.get(*next) else { return };
                let appended = house.store().append(event.append()).await;
                appended.unwrap_or_else(|error| panic!("{event} of the sample cannot be appended: {error}"));
                *next += 1;
            }
        }
    }
}

/// Something happens.
async fn disturb(simulation: &Simulation, house: &House, feed: &mut Feed) {
    match (simulation.random_below(24), feed) {
        (0, _) => {
            house.diary().note("the process was killed");
            house.kill();
        }
        (1, _) => house.twin().await,
        (2, _) => house.rebuild(),
        (3, _) if simulation.random_below(3) == 0 => house.lose_read_database(),
        (4 | 5, Feed::Lanes(lanes)) => lanes.send_again(house.diary()).await,
        (6 | 7, Feed::Lanes(lanes)) => lanes.leave_a_hole(house.diary()).await,
        (8, Feed::Lanes(lanes)) => lanes.lose_the_end(house.diary()),
        (9..=15, _) => house.pause(PAUSE_MAX).await,
        (_, feed) => feed.go_on(house).await,
    }
}
