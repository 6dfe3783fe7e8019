//! Whoever reads everything finds out by itself which topics there are.

use std::{sync::Arc, time::Duration};

use factum::bus::{BusError, TopicPartition};
use tokio::task::JoinHandle;

use super::state::Shared;
use crate::{looker::Looker, topics::blocking};

/// How often topics are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon again while one is missing or no broker answers.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A task that looks; ends when dropped.
pub(super) struct Discovery(JoinHandle<()>);

impl Discovery {
    pub(super) fn start(looker: Arc<Looker>, shared: Arc<Shared>, topics: Vec<Arc<str>>) -> Self {
        Self(tokio::spawn(async move {
            let mut counts: Vec<(Arc<str>, u32)> = topics.into_iter().map(|topic| (topic, 0)).collect();
            loop {
                let mut soon = false;
                for (topic, count) in &mut counts {
                    soon |= !look(&looker, &shared, topic, count).await;
                }
                tokio::time::sleep(if soon { LOOK_AGAIN_AFTER } else { LOOK_EVERY }).await;
            }
        }))
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks at one topic; false: it is not there, or nobody answers.
async fn look(looker: &Arc<Looker>, shared: &Arc<Shared>, topic: &Arc<str>, count: &mut u32) -> bool {
    let (asked, name) = (looker.clone(), topic.clone());
    let found = match blocking(move || asked.partitions(&name)).await {
        Ok(found) => found,
        Err(BusError::UnknownTopic(_)) => 0,
        Err(_) => return false,
    };
    let partitions = |from: u32, to: u32| (from..to).map(|number| TopicPartition::new(topic.clone(), number)).collect();
    if found < *count {
        shared.remove(partitions(found, *count));
    } else if found > *count {
        shared.add(partitions(*count, found));
    }
    *count = found;
    found > 0
}
