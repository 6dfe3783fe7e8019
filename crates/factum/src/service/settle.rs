//! Waits until everything that was under way has arrived.

use factum_engine::Position;

use super::Service;
use crate::{
    bus::{Bus, BusError, TopicPartition, last_message},
    projections::{Awaited, Feed},
    runtime::{LoopState, Status},
    store::StoreError,
};

/// Why waiting makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// A loop that must arrive has ended.
    #[error("{0} has ended, what it was to do is never done")]
    Ended(String),
    /// The event store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Waits until nothing is under way between these services: what their stores hold is projected and published, what
/// is published is consumed, timers that are due have fired, and that led to nothing new. Timers that are not due yet are
/// not waited for. For tests, instead of sleeping; bound it from outside.
///
/// # Errors
/// See [`SettleError`].
pub async fn settle(services: &[&Service]) -> Result<(), SettleError> {
    loop {
        let before = heads(services).await?;
        for (service, head) in services.iter().zip(&before) {
            for status in &service.own_loops {
                arrives(status, *head).await?;
            }
            let now = service.runtime().now();
            for (status, deadlines) in &service.deadlines {
                // What is due is under way; what will be due is not.
                tokio::select! {
                    biased;
                    () = deadlines.none_due(now) => {}
                    () = status.shows(|report| has_ended(report.state)) => return Err(SettleError::Ended(status.name().to_owned())),
                }
            }
        }
        for service in services {
            consumed(service).await?;
        }
        if heads(services).await? == before {
            return Ok(());
        }
    }
}

async fn heads(services: &[&Service]) -> Result<Vec<Position>, SettleError> {
    let mut heads = Vec::with_capacity(services.len());
    for service in services {
        heads.push(match service.store() {
            Some(store) => store.heads().await?.synced,
            None => Position::ZERO,
        });
    }
    Ok(heads)
}

async fn arrives(status: &Status, head: Position) -> Result<(), SettleError> {
    status.shows(|report| has_ended(report.state) || report.position >= head).await;
    if status.report().position >= head { Ok(()) } else { Err(SettleError::Ended(status.name().to_owned())) }
}

const fn has_ended(state: LoopState) -> bool {
    matches!(state, LoopState::StoodDown | LoopState::Failed | LoopState::Stopped)
}

/// Everything that comes from topics has reached the last message of each partition.
async fn consumed(service: &Service) -> Result<(), SettleError> {
    let Some(bus) = &service.parts.bus else { return Ok(()) };
    for (projection, feed, _) in service.watermarks().all() {
        let Feed::Topics(topics) = feed else { continue };
        for topic in topics {
            for last in lasts(bus.as_ref(), &topic).await? {
                // What a restore lost never comes, and nobody waits for it.
                let _ = service.watermarks().applied(projection, &last).await;
            }
        }
        // A moment later: that it was the last of what there was to fill.
        service.watermarks().whole(projection).await;
    }
    for (topics, status, seen) in &service.effects {
        for topic in topics {
            for last in lasts(bus.as_ref(), topic).await? {
                let mut seen = seen.clone();
                let reached = tokio::select! {
                    biased;
                    reached = seen.wait_for(|seen| seen.reached(&last)) => reached.is_ok(),
                    () = status.shows(|report| has_ended(report.state)) => false,
                };
                if !reached {
                    return Err(SettleError::Ended(status.name().to_owned()));
                }
            }
        }
    }
    Ok(())
}

/// The last message on each partition of a topic.
async fn lasts(bus: &dyn Bus, topic: &str) -> Result<Vec<Awaited>, SettleError> {
    let partitions = match bus.partitions(topic).await {
        // Its publisher has not started yet: nothing is under way there.
        Err(BusError::UnknownTopic(_)) => 0,
        found => found?,
    };
    let mut lasts = Vec::new();
    for partition in 0..partitions {
        let partition_end = last_message(bus, &TopicPartition::new(topic, partition), usize::MAX, |_, _| {}).await?;
        let Some(message) = partition_end.message else { continue };
        let (store, history, position) = (message.origin.source.store, message.history(), message.position);
        lasts.push(Awaited { store, history, topic: topic.to_owned(), partition, position });
    }
    Ok(lasts)
}
