//! Makes topics from the contract, and looks whether those that are there are as it says.

use std::{sync::Arc, time::Duration};

use factum::bus::{BusError, TopicSpec};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    client::{Common, Told, create_later},
    failure::{of_topic, timed_out, unavailable},
    looker::Looker,
};

/// The longest that making or describing topics takes.
const TOPICS_WITHIN: Duration = Duration::from_secs(10);
/// A topic that was made is not at once known to every broker: how often, and how long apart, it is looked for.
const APPEARS_LOOKS_MAX: usize = 50;
const APPEARS_LOOK_EVERY: Duration = Duration::from_millis(100);

const CLEANUP: (&str, &str) = ("cleanup.policy", "delete");
const RETENTION: (&str, &str) = ("retention.ms", "-1");
const RETENTION_BYTES: (&str, &str) = ("retention.bytes", "-1");
const IN_SYNC_MIN: &str = "min.insync.replicas";
const MESSAGE_BYTES_MAX: &str = "max.message.bytes";

/// The largest record that is sent: Kafka's own default for a topic.
pub(crate) const RECORD_BYTES_MAX: usize = 1_048_588;

pub(crate) async fn ensure(common: &Arc<Common>, looker: &Arc<Looker>, topics: &[TopicSpec]) -> Result<(), BusError> {
    common.open()?;
    for TopicSpec { name, partitions } in topics {
        TopicSpec::new(name, *partitions)?;
    }
    let mut missing = Vec::new();
    for topic in topics {
        match counted(looker, topic).await {
            Err(BusError::UnknownTopic(_)) => missing.push(topic),
            counted => counted?,
        }
    }
    let shared = common.clone();
    let client = move || {
        let mut config = ClientConfig::new();
        shared.configure(&mut config);
        create_later::<_, AdminClient<Told>>(&config, Told)
    };
    let client = Arc::new(blocking(client).await?);
    let done = ensure_with(common, looker, &client, &missing, topics).await;
    // It waits for its thread.
    common.spawn("kafka-topics-end", move || drop(client));
    done
}

async fn ensure_with(
    common: &Common,
    looker: &Arc<Looker>,
    client: &AdminClient<Told>,
    missing: &[&TopicSpec],
    all: &[TopicSpec],
) -> Result<(), BusError> {
    make(common, client, missing).await?;
    for topic in missing {
        appears(looker, topic).await?;
    }
    for topic in all {
        verify(common, client, topic).await?;
    }
    Ok(())
}

async fn counted(looker: &Arc<Looker>, topic: &TopicSpec) -> Result<(), BusError> {
    let (looker, name) = (looker.clone(), topic.name.clone());
    let actual = blocking(move || looker.partitions(&name)).await?;
    if actual == topic.partitions {
        return Ok(());
    }
    Err(BusError::WrongPartitionCount { topic: topic.name.clone(), expected: topic.partitions, actual })
}

async fn appears(looker: &Arc<Looker>, topic: &TopicSpec) -> Result<(), BusError> {
    for _ in 0..APPEARS_LOOKS_MAX {
        match counted(looker, topic).await {
            Err(BusError::UnknownTopic(_)) => tokio::time::sleep(APPEARS_LOOK_EVERY).await,
            // While it is being made, brokers may know some of its partitions only.
            Err(BusError::WrongPartitionCount { expected, actual, .. }) if actual < expected => {
                tokio::time::sleep(APPEARS_LOOK_EVERY).await;
            }
            other => return other,
        }
    }
    counted(looker, topic).await
}

async fn make(common: &Common, client: &AdminClient<Told>, missing: &[&TopicSpec]) -> Result<(), BusError> {
    if missing.is_empty() {
        return Ok(());
    }
    let in_sync_min = common.options.in_sync_min.map(|replicas| replicas.to_string());
    let names: Vec<String> = missing.iter().map(|topic| common.outside(&topic.name)).collect();
    let new: Vec<NewTopic<'_>> = names
        .iter()
        .zip(missing)
        .map(|(name, topic)| {
            let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
            let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(common.options.replication));
            for (setting, value) in [CLEANUP, RETENTION, RETENTION_BYTES] {
                new = new.set(setting, value);
            }
            match &in_sync_min {
                Some(replicas) => new.set(IN_SYNC_MIN, replicas),
                None => new,
            }
        })
        .collect();
    let what = "making topics";
    let made = within(client.create_topics(&new, &request()), what).await?;
    for (made, topic) in made.into_iter().zip(missing) {
        match made {
            // Somebody else made it meanwhile; it is looked at like any other.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(of_topic(what, &topic.name, KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

/// Looks at the settings that decide whether something gets lost.
async fn verify(common: &Common, client: &AdminClient<Told>, topic: &TopicSpec) -> Result<(), BusError> {
    let what = "asking for a topic's settings";
    let name = common.outside(&topic.name);
    let described = within(client.describe_configs(&[ResourceSpecifier::Topic(&name)], &request()), what).await?;
    for described in described {
        let settings = described.map_err(|code| of_topic(what, &topic.name, KafkaError::AdminOp(code)))?;
        for (setting, expected) in [CLEANUP, RETENTION, RETENTION_BYTES] {
            check(&settings, topic, setting, expected, |actual| actual == expected)?;
        }
        if let Some(replicas) = common.options.in_sync_min {
            let enough = |actual: &str| actual.parse::<u32>().is_ok_and(|actual| actual >= replicas);
            check(&settings, topic, IN_SYNC_MIN, &format!("at least {replicas}"), enough)?;
        }
        let limit = record_bytes_max(common);
        let enough = |actual: &str| actual.parse::<usize>().is_ok_and(|actual| actual >= limit);
        check(&settings, topic, MESSAGE_BYTES_MAX, &format!("at least {limit}"), enough)?;
    }
    Ok(())
}

fn check(
    settings: &ConfigResource,
    topic: &TopicSpec,
    setting: &'static str,
    expected: &str,
    right: impl Fn(&str) -> bool,
) -> Result<(), BusError> {
    let Some(actual) = settings.get(setting).and_then(|entry| entry.value.as_deref()) else { return Ok(()) };
    if right(actual) {
        return Ok(());
    }
    let (topic, expected, actual) = (topic.name.clone(), expected.to_owned(), actual.to_owned());
    Err(BusError::WrongSetting { topic, setting, expected, actual })
}

/// The largest record that producers take: `message.max.bytes`, if it was set.
pub(crate) fn record_bytes_max(common: &Common) -> usize {
    let set = common.options.client();
    set.get("message.max.bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(RECORD_BYTES_MAX)
}

fn request() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TOPICS_WITHIN)).operation_timeout(Some(TOPICS_WITHIN))
}

async fn within<T>(asked: impl Future<Output = Result<T, KafkaError>>, what: &'static str) -> Result<T, BusError> {
    match tokio::time::timeout(TOPICS_WITHIN, asked).await {
        Ok(answered) => answered.map_err(|error| unavailable(what, error)),
        Err(_) => Err(timed_out(what, TOPICS_WITHIN)),
    }
}

/// Runs what blocks where it blocks nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(BusError::Unavailable(Box::new(error))),
    }
}
