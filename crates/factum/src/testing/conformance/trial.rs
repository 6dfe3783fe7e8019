//! One run: a handler, a sample, and what is done to them.

use std::{sync::Arc, time::Duration};

use super::{
    CALM, ODDS,
    diary::Diary,
    house::{Assemble, House},
    lanes::Lanes,
    receiver::{Others, Receiver},
    sample::Told,
};
use crate::{model::Event, runtime::contained, store::BoxFuture, testing::Simulation};

/// The longest pause between two things that are done.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// The longest time for which nobody answers a process: longer than most deadlines.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The fewest things that are done in a run.
const ROUNDS_MIN: u32 = 60;

/// A sample, and where it happens.
#[derive(Clone)]
pub(super) struct Trial {
    told: Arc<[Told]>,
    happens: Happens,
}

/// Where a sample happens.
#[derive(Clone)]
enum Happens {
    OnTheBus,
    InTheStore,
    /// In the store, and others answer what is sent.
    Between(Arc<Others>),
}

/// What is still to happen.
enum Feed {
    /// On the bus.
    Lanes(Lanes),
    /// In the service's own store; what is sent is answered.
    Own { told: Arc<[Told]>, next: usize, receiver: Option<Receiver> },
}

impl Trial {
    /// A sample of messages on the bus.
    #[track_caller]
    pub(super) fn of_messages<E: Event>(told: Vec<Told>) -> Self {
        let told = all_known::<E>(told);
        Self { told, happens: Happens::OnTheBus }
    }

    /// A sample of events of the own store.
    #[track_caller]
    pub(super) fn of_own_events<E: Event>(told: Vec<Told>) -> Self {
        let told = all_known::<E>(told);
        Self { told, happens: Happens::InTheStore }
    }

    /// A sample of events of processes, and who answers what they send.
    #[track_caller]
    pub(super) fn of_processes<E: Event>(told: Vec<Told>, others: Others) -> Self {
        let told = all_known::<E>(told);
        Self { told, happens: Happens::Between(Arc::new(others)) }
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
        end: impl FnOnce(House) -> BoxFuture<'static, T> + Send + 'static,
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
                house.calm_down().await;
                house.rest().await;
                while feed.has_more(&house).await {
                    while !feed.is_whole() {
                        feed.go_on(&house).await;
                    }
                    house.rest().await;
                }
                end(house).await
            })
        });
        (diary, found)
    }

    async fn feed(&self, simulation: &Simulation, house: &House, disturbed: bool) -> Feed {
        let mut lanes = Lanes::new(simulation, house.bus(), disturbed);
        let told = Arc::clone(&self.told);
        match &self.happens {
            Happens::OnTheBus => {
                for message in told.iter() {
                    lanes.push(message.clone()).await;
                }
                Feed::Lanes(lanes)
            }
            Happens::InTheStore => Feed::Own { told, next: 0, receiver: None },
            Happens::Between(others) => {
                let receiver = Receiver::new(others, lanes).await;
                Feed::Own { told, next: 0, receiver: Some(receiver) }
            }
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
            Self::Own { told, next, receiver } => {
                *next == told.len() && receiver.as_ref().is_none_or(|receiver| receiver.lanes.is_whole())
            }
        }
    }

    /// Whether something was sent that is to be answered now.
    async fn has_more(&mut self, house: &House) -> bool {
        match self {
            Self::Own { receiver: Some(receiver), .. } => {
                receiver.receive(house).await;
                !receiver.lanes.is_whole()
            }
            Self::Lanes(_) | Self::Own { .. } => false,
        }
    }

    /// A little more of it happens.
    async fn go_on(&mut self, house: &House) {
        match self {
            Self::Lanes(lanes) => lanes.go_on().await,
            Self::Own { told, next, receiver } => {
                if let Some(receiver) = receiver {
                    receiver.receive(house).await;
                    receiver.lanes.go_on().await;
                }
                let Some(event) = told.get(*next) else { return };
                let at = receiver.as_ref().map(|_| house.now());
                let appended = house.store().append(event.append(at)).await;
                appended.unwrap_or_else(|error| panic!("{event} of the sample cannot be appended: {error}"));
                *next += 1;
            }
        }
    }

    /// Whether others may take their time.
    const fn is_slow(&self) -> bool {
        matches!(self, Self::Own { receiver: Some(_), .. })
    }

    fn lanes(&mut self) -> Option<&mut Lanes> {
        match self {
            Self::Lanes(lanes) => Some(lanes),
            Self::Own { receiver, .. } => receiver.as_mut().map(|receiver| &mut receiver.lanes),
        }
    }
}

/// Something happens.
async fn disturb(simulation: &Simulation, house: &House, feed: &mut Feed) {
    let diary = house.diary();
    let is_slow = feed.is_slow();
    match (simulation.random_below(24), feed.lanes()) {
        (0, _) => {
            diary.note("the process was killed");
            house.kill();
        }
        (1, _) => house.twin().await,
        (2, _) => house.rebuild(),
        (3, _) if simulation.random_below(3) == 0 => house.lose_read_database(),
        (4 | 5, Some(lanes)) => lanes.send_again(diary).await,
        (6 | 7, Some(lanes)) => lanes.leave_a_hole(diary).await,
        (8, Some(lanes)) => lanes.lose_the_end(diary),
        (9..=15, _) => house.pause(PAUSE_MAX).await,
        (16, _) if is_slow => {
            diary.note("nobody answered for a while");
            house.pause(SILENCE_MAX).await;
        }
        (_, _) => feed.go_on(house).await,
    }
}
