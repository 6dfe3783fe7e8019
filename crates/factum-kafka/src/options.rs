//! How a cluster is reached, and what cannot be set because correctness rests on it.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

/// Properties that the bus sets itself; another value would lose, double or reorder messages, or be ignored.
const FIXED: &[(&str, &str)] = &[
    ("bootstrap.servers", "it is given as the address of the cluster"),
    ("client.id", "it is the service's name"),
    ("group.id", "it is the consumer's"),
    ("group.protocol", "the classic protocol is used"),
    ("partition.assignment.strategy", "it is cooperative-sticky"),
    ("enable.auto.commit", "positions are kept with what was done, not on the broker"),
    ("enable.auto.offset.store", "positions are kept with what was done, not on the broker"),
    ("auto.offset.reset", "a position that is gone is reported, not guessed"),
    ("enable.idempotence", "without it, retries reorder"),
    ("enable.gapless.guarantee", "a failure ends the producer"),
    ("acks", "acknowledged means on all replicas in sync"),
    ("request.required.acks", "acknowledged means on all replicas in sync"),
    ("message.timeout.ms", "a message that timed out would leave a hole behind which others were sent"),
    ("delivery.timeout.ms", "a message that timed out would leave a hole behind which others were sent"),
    ("max.in.flight", "idempotence bounds it"),
    ("max.in.flight.requests.per.connection", "idempotence bounds it"),
    ("retries", "idempotence sets it"),
    ("message.send.max.retries", "idempotence sets it"),
    ("transactional.id", "the event store is the transaction"),
    ("partitioner", "the contract says which partition a key has"),
    ("allow.auto.create.topics", "topics are made from the contract"),
    ("enable.partition.eof", "nobody listens to it"),
];

/// The longest [`KafkaOptions::topic_prefix`]: with the longest topic name it stays below Kafka's 249 bytes.
pub const PREFIX_BYTES_MAX: usize = 40;

/// Where a cluster is and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    bootstrap: String,
    client_id: Option<String>,
    properties: BTreeMap<String, String>,
    pub(crate) topic_prefix: String,
    pub(crate) replication: i32,
    pub(crate) in_sync_min: Option<u32>,
}

/// Leaves the number of replicas to the brokers.
const REPLICATION_OF_BROKER: i32 = -1;

/// A property that is not for its user to set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The bus sets it itself.
    #[error("`{name}` cannot be set: {why}")]
    Fixed {
        /// The property.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// No address of the cluster.
    #[error("`{0}` is no list of brokers: write `host:port`, several separated by commas")]
    Bootstrap(String),
    /// librdkafka knows no such property, or not such a value for it.
    #[error("`{name}` = `{value}` is no setting of librdkafka: {why}")]
    Property {
        /// The property.
        name: String,
        /// What it was to be.
        value: String,
        /// What librdkafka says.
        why: String,
    },
    /// A prefix that no topic may begin with.
    #[error("`{0}` cannot begin a topic's name: at most 40 letters, digits, `.` and `_`")]
    Prefix(String),
    /// No client can be made of these properties together.
    #[error("these properties do not go together: {0}")]
    Together(String),
}

impl KafkaOptions {
    /// A cluster by some of its brokers: `host:port`, several separated by commas.
    ///
    /// # Errors
    /// [`OptionError::Bootstrap`].
    ///
    /// ```
    /// use factum_kafka::KafkaOptions;
    /// let options = KafkaOptions::new("broker-1:9092,broker-2:9092")?.property("client.rack", "a")?;
    /// assert!(options.property("acks", "1").is_err());
    /// # Ok::<(), factum_kafka::OptionError>(())
    /// ```
    pub fn new(bootstrap: &str) -> Result<Self, OptionError> {
        let is_broker = |broker: &str| {
            let named = broker.rsplit_once(':');
            named.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if !bootstrap.split(',').map(str::trim).all(is_broker) {
            return Err(OptionError::Bootstrap(bootstrap.to_owned()));
        }
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            client_id: None,
            properties: BTreeMap::new(),
            topic_prefix: String::new(),
            replication: REPLICATION_OF_BROKER,
            in_sync_min: None,
        })
    }

    /// What the brokers call its clients, in their logs, metrics and quotas: the service's name.
    #[must_use]
    pub fn client_id(mut self, name: &str) -> Self {
        self.client_id = Some(name.to_owned());
        self
    }

    /// Puts a prefix before the name of each topic and group on the broker, so that several environments share a
    /// cluster: at most [`PREFIX_BYTES_MAX`] letters, digits, `.` and `_`. Nobody but the broker sees it.
    ///
    /// # Errors
    /// [`OptionError::Prefix`].
    pub fn topic_prefix(mut self, prefix: &str) -> Result<Self, OptionError> {
        let spelled = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
        if !spelled || prefix.len() > PREFIX_BYTES_MAX {
            return Err(OptionError::Prefix(prefix.to_owned()));
        }
        prefix.clone_into(&mut self.topic_prefix);
        Ok(self)
    }

    /// On how many brokers a topic made from now on is kept. Without it, what the brokers say (`default.replication.factor`).
    #[must_use]
    pub fn replication(mut self, replicas: u16) -> Self {
        self.replication = i32::from(replicas.max(1));
        self
    }

    /// How many replicas must have a record before it is acknowledged (`min.insync.replicas`), for topics made from now
    /// on and for those that are there. Without it, what the brokers say.
    #[must_use]
    pub fn in_sync_min(mut self, replicas: u16) -> Self {
        self.in_sync_min = Some(u32::from(replicas.max(1)));
        self
    }

    /// Sets a property of librdkafka: TLS, SASL, sizes, times. Whether it exists is known once a client is made.
    ///
    /// # Errors
    /// [`OptionError::Fixed`] for what the bus sets itself.
    pub fn property(mut self, name: &str, value: &str) -> Result<Self, OptionError> {
        if let Some((name, why)) = FIXED.iter().find(|(fixed, _)| *fixed == name.trim()) {
            return Err(OptionError::Fixed { name: (*name).to_owned(), why });
        }
        self.properties.insert(name.trim().to_owned(), value.to_owned());
        Ok(self)
    }

    /// The brokers it was made with.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// What every client is configured with, besides what the bus sets.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in self.client_settings() {
            config.set(name, value);
        }
        config
    }

    pub(crate) fn client_settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let name = self.client_id.as_deref().map(|name| ("client.id", name));
        own.chain([("bootstrap.servers", self.bootstrap.as_str())]).chain(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_correctness_rests_on_cannot_be_set() {
        for (name, _) in FIXED {
            let refused = KafkaOptions::new("localhost:9092").unwrap().property(name, "1");
            assert!(matches!(refused, Err(OptionError::Fixed { .. })), "{name}");
        }
        let options = KafkaOptions::new("localhost:9092").unwrap().property("sasl.username", "teller").unwrap();
        assert_eq!(options.client().get("sasl.username"), Some("teller"));
        assert_eq!(options.client().get("bootstrap.servers"), Some("localhost:9092"));
    }

    #[test]
    fn what_is_no_list_of_brokers_is_refused() {
        for wrong in ["", "localhost", "localhost:", ":9092", "localhost:0", "localhost:99999", "a:1,,b:2", "a:1,b"] {
            assert_eq!(KafkaOptions::new(wrong), Err(OptionError::Bootstrap(wrong.to_owned())), "{wrong}");
        }
        assert!(KafkaOptions::new("a:1, [::1]:2").is_ok());
    }
}
