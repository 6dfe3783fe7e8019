//! What else happens: deaths, twins, a bus that forgets, databases that are lost and stores that are restored.

use std::time::Duration;

use factum::{
    bus::{Bus as _, Offset, TopicPartition},
    runtime::Task,
};

use crate::world::{Kind, World};

/// The longest time between two strokes.
const WAIT_MAX: Duration = Duration::from_secs(6);
/// The most records that a partition loses at once.
const LOST_MAX: u64 = 20;
const TOPICS: [&str; 4] = [
    "bank.accounts.account.events",
    "bank.accounts.outcome.events",
    "bank.transfers.transfer.events",
    "bank.accounts.commands.transfers",
];

/// The most events that a backup lacks.
const MISSED_MAX: u64 = 15;

/// Strikes once: the accounts come back from a backup that lacks the last events.
pub(crate) async fn lose_history(world: &World) {
    world.restore(Kind::Accounts, 1 + world.random_below(MISSED_MAX)).await;
    world.note_loss();
}

/// Strikes until it is aborted.
pub(crate) fn begin(world: &World) -> Task {
    let world = world.clone();
    world.runtime().spawn(async move {
        loop {
            world.pause(WAIT_MAX).await;
            let kind = Kind::ALL[world.random_below(3) as usize];
            match world.random_below(10) {
                0..=3 => world.kill(kind),
                4 => world.twin(kind).await,
                5 | 6 => lose_records(&world).await,
                7 => {
                    world.bus().delete_topic(TOPICS[world.random_below(4) as usize]);
                    world.note_loss();
                }
                8 => world.lose_read_database(),
                _ if kind == Kind::Statements => world.lose_read_database(),
                _ => world.restore(kind, 0).await,
            }
        }
    })
}

/// The end of a partition is forgotten, acknowledged or not.
async fn lose_records(world: &World) {
    let topic = TOPICS[world.random_below(4) as usize];
    let Ok(partitions) = world.bus().partitions(topic).await else { return };
    let partition = TopicPartition::new(topic, world.random_below(partitions.into()) as u32);
    if let Some(last) = world.bus().records(&partition).last() {
        let from = last.offset.get().saturating_sub(world.random_below(LOST_MAX));
        world.bus().lose_records(&partition, Offset::new(from));
        world.note_loss();
    }
}
