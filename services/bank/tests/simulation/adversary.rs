//! What else happens: deaths, twins, a bus that forgets, databases that are lost and stores that are restored.

use std::time::Duration;

use factum::{
    bus::{Bus as _, Headers, NewRecord, Offset, TopicPartition},
    runtime::Task,
    store::Position,
};

use crate::world::{COMMAND_TOPIC, Kind, World};

/// The longest time between two strokes.
const WAIT_MAX: Duration = Duration::from_secs(6);
/// How long somebody who lets a relay go back waits for it.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// The most records that a partition loses at once.
const LOST_MAX: u64 = 20;
const TOPICS: [&str; 4] =
    ["bank.accounts.account.events", "bank.accounts.outcome.events", "bank.transfers.transfer.events", COMMAND_TOPIC];
/// The header that names a command.
const COMMAND_ID_HEADER: &str = "ce_commandid";

/// The most events that a backup lacks.
const MISSED_MAX: u64 = 15;
/// How old a backup is at most.
const BACKUP_AGE_MAX: Duration = Duration::from_secs(4);

/// Strikes once: the accounts come back without their last events, in half of the worlds from a backup.
pub(crate) async fn lose_history(world: &World) {
    if world.random_below(2) == 0 {
        world.back_up(Kind::Accounts);
        world.pause(BACKUP_AGE_MAX).await;
    }
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
            match world.random_below(14) {
                0..=3 => world.kill(kind),
                4 => world.twin(kind).await,
                5 | 6 => lose_records(&world).await,
                7 => {
                    let topic = TOPICS[world.random_below(4) as usize];
                    world.bus().delete_topic(topic);
                    world.note_loss_on(topic);
                }
                8 => world.lose_read_database(),
                9 => world.suspend(kind).await,
                10 => world.kill_twin(),
                11 => write_junk(&world).await,
                12 => rewind(&world, kind).await,
                _ if kind == Kind::Statements => world.lose_read_database(),
                _ => world.restore(kind, 0).await,
            }
        }
    })
}

/// Somebody lets a relay publish again from anywhere on, for no reason at all. The process may die of it.
async fn rewind(world: &World, kind: Kind) {
    let Some(service) = world.service(kind) else { return };
    let topics: Vec<String> = service.relays().topics().map(str::to_owned).collect();
    let Some(topic) = topics.get(world.random_below(topics.len().max(1) as u64) as usize) else { return };
    let Some(store) = service.store() else { return };
    let work = async {
        let head = store.heads().await.ok()?.synced;
        let to = Position::new(world.random_below(head.get() + 1));
        service.relays().rewind(topic, to).await.ok()
    };
    let _ = world.runtime().within(ANSWER_WAIT, work).await;
}

/// The end of a partition is forgotten, acknowledged or not.
async fn lose_records(world: &World) {
    let topic = TOPICS[world.random_below(4) as usize];
    let Ok(partitions) = world.bus().partitions(topic).await else { return };
    let partition = TopicPartition::new(topic, world.random_below(partitions.into()) as u32);
    if let Some(last) = world.bus().records(&partition).last() {
        let from = last.offset.get().saturating_sub(world.random_below(LOST_MAX));
        world.bus().lose_records(&partition, Offset::new(from));
        world.note_loss_on(topic);
    }
}

/// Somebody writes what is no command where commands are expected; sometimes at least an id can be read.
async fn write_junk(world: &World) {
    let Ok(partitions) = world.bus().partitions(COMMAND_TOPIC).await else { return };
    let partition = TopicPartition::new(COMMAND_TOPIC, world.random_below(partitions.into()) as u32);
    let text = format!("junk {}", world.random_below(u64::MAX));
    let mut headers = Headers::new();
    if world.random_below(2) == 0 {
        headers.push(COMMAND_ID_HEADER, text.replace(' ', "-"));
    }
    let timestamp = world.runtime().now();
    let record = NewRecord { key: "junk".into(), headers, value: text.clone().into(), timestamp };
    let Ok(mut producer) = world.bus().producer().await else { return };
    if producer.produce(vec![(partition, record)]).await.is_ok() {
        world.note_junk(text);
    }
}
