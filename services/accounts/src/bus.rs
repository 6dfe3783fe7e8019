//! Which bus the service is on: one in its data folder, for this process alone, or Apache Kafka.

use std::{collections::BTreeMap, num::NonZeroU16, sync::Arc};

use clap::Args;
use factum::bus::Bus;
use serde::Deserialize;

/// What can be set of Kafka, as options and in the environment.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct KafkaOptions {
    /// The cluster that the service talks to the others over, by some of its brokers: `host:port`, several separated by
    /// commas [default: none; a bus in the data folder, for this process alone]
    #[arg(long = "kafka", value_name = "HOST:PORT,…", env = "ACCOUNTS_KAFKA")]
    bootstrap: Option<String>,
    /// What the names of all topics on the cluster begin with, the same for all services that are to meet: several
    /// environments share a cluster by it [default: nothing]
    #[arg(long = "kafka-topic-prefix", value_name = "PREFIX", env = "ACCOUNTS_KAFKA_TOPIC_PREFIX")]
    topic_prefix: Option<String>,
    /// On how many brokers a topic is kept that the service makes [default: what the brokers say]
    #[arg(long = "kafka-replication", value_name = "BROKERS", env = "ACCOUNTS_KAFKA_REPLICATION")]
    replication: Option<NonZeroU16>,
    /// How many brokers must have a message before it counts as published [default: what the brokers say]
    #[arg(long = "kafka-in-sync-min", value_name = "BROKERS", env = "ACCOUNTS_KAFKA_IN_SYNC_MIN")]
    in_sync_min: Option<NonZeroU16>,
}

/// The same in a file, as the table `[kafka]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaTable {
    bootstrap: Option<String>,
    topic_prefix: Option<String>,
    replication: Option<NonZeroU16>,
    in_sync_min: Option<NonZeroU16>,
    /// Properties of librdkafka: TLS, SASL, tuning.
    #[serde(default)]
    properties: toml::Table,
}

/// A cluster, and how it is spoken to.
#[derive(Debug)]
#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "without a client, a cluster is only named"))]
pub(crate) struct Cluster {
    bootstrap: String,
    topic_prefix: String,
    replication: Option<NonZeroU16>,
    in_sync_min: Option<NonZeroU16>,
    properties: BTreeMap<String, String>,
}

impl Cluster {
    /// The cluster that was named, if any was.
    pub(crate) fn of(options: KafkaOptions, table: KafkaTable) -> anyhow::Result<Option<Self>> {
        let mut properties = BTreeMap::new();
        flatten("", table.properties, &mut properties)?;
        let topic_prefix = options.topic_prefix.or(table.topic_prefix);
        let (replication, in_sync_min) =
            (options.replication.or(table.replication), options.in_sync_min.or(table.in_sync_min));
        let Some(bootstrap) = options.bootstrap.or(table.bootstrap) else {
            let any =
                topic_prefix.is_some() || replication.is_some() || in_sync_min.is_some() || !properties.is_empty();
            anyhow::ensure!(!any, "something of Kafka is set, but not where it is: name the cluster with --kafka");
            return Ok(None);
        };
        let topic_prefix = topic_prefix.unwrap_or_default();
        Ok(Some(Self { bootstrap, topic_prefix, replication, in_sync_min, properties }))
    }

    /// The bus on this cluster, which may be away.
    #[cfg(feature = "kafka")]
    pub(crate) fn bus(&self) -> anyhow::Result<Arc<dyn Bus>> {
        use anyhow::Context as _;

        let mut options = factum_kafka::KafkaOptions::new(&self.bootstrap)?
            .client_id(accounts::NAME)
            .topic_prefix(&self.topic_prefix)
            .context("Kafka topic prefix")?;
        if let Some(replicas) = self.replication {
            options = options.replication(replicas.get());
        }
        if let Some(replicas) = self.in_sync_min {
            options = options.in_sync_min(replicas.get());
        }
        for (name, value) in &self.properties {
            options = options.property(name, value).context("[kafka.properties]")?;
        }
        Ok(Arc::new(factum_kafka::KafkaBus::new(options).context("[kafka.properties]")?))
    }

    /// Says that there is no client for it.
    #[cfg(not(feature = "kafka"))]
    pub(crate) fn bus(&self) -> anyhow::Result<Arc<dyn Bus>> {
        anyhow::bail!(
            "{} cannot be reached: this program was built without Kafka (its package's feature `kafka`)",
            self.bootstrap
        )
    }
}

/// Names with dots are tables in TOML: `ssl.ca.location = "…"` is the property `ssl.ca.location` all the same.
fn flatten(above: &str, table: toml::Table, into: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    for (name, value) in table {
        let name = if above.is_empty() { name } else { format!("{above}.{name}") };
        let value = match value {
            toml::Value::Table(below) => {
                flatten(&name, below, into)?;
                continue;
            }
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Array(_) | toml::Value::Datetime(_) => {
                anyhow::bail!("[kafka.properties]: `{name}` is a text, a number, true or false")
            }
        };
        into.insert(name, value);
    }
    Ok(())
}
