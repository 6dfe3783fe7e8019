//! What every client of a bus shares: its settings, its names on the broker, and its end.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use factum::bus::BusError;
use rdkafka::{
    ClientConfig, ClientContext,
    client::Client,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::ConsumerContext,
    error::KafkaError,
};
use tokio::sync::watch;

use crate::{KafkaOptions, OptionError};

/// The longest a request waits for a broker that took it: one that was stopped is noticed after this.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a broker that was away stays unnoticed once it is back, and a bit for the connection itself.
const RECONNECT_AFTER_MAX: Duration = Duration::from_secs(1);
/// How often the list of topics and leaders is fetched anew.
const METADATA_EVERY: Duration = Duration::from_secs(3);
/// The longest a client is asked whether it knows brokers: one that lost its connections has new ones within that.
const KNOWS_WITHIN: Duration = Duration::from_secs(2);
/// How long nothing may come of a client before it is asked whether it knows brokers.
pub(crate) const SILENT_MAX: Duration = Duration::from_secs(2);
/// The longest a client waits for its threads to end before it leaves them to themselves.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What the parts of one bus share.
pub(crate) struct Common {
    pub(crate) options: KafkaOptions,
    pub(crate) closed: watch::Sender<bool>,
    threads: Arc<Threads>,
}

impl Common {
    pub(crate) fn new(options: KafkaOptions) -> Self {
        Self { options, closed: watch::Sender::new(false), threads: Arc::default() }
    }

    pub(crate) fn open(&self) -> Result<(), BusError> {
        if *self.closed.borrow() { Err(BusError::Closed) } else { Ok(()) }
    }

    /// A topic's or group's name on the broker.
    pub(crate) fn outside(&self, name: &str) -> String {
        format!("{}{name}", self.options.topic_prefix)
    }

    /// A topic's name here; `None` for another's.
    pub(crate) fn inside<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.options.topic_prefix.as_str())
    }

    /// Adds what producers, consumers and lookers are configured with alike, then the user's own properties. What
    /// correctness rests on comes after it.
    pub(crate) fn configure(&self, config: &mut ClientConfig) {
        let millis = |duration: Duration| duration.as_millis().to_string();
        config
            .set("socket.timeout.ms", millis(SOCKET_TIMEOUT))
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", millis(RECONNECT_AFTER_MAX))
            .set("topic.metadata.refresh.interval.ms", millis(METADATA_EVERY))
            .set("log.connection.close", "false");
        for (name, value) in self.options.client_settings() {
            config.set(name, value);
        }
    }

    /// Runs something on a thread of its own whose end [`Common::ended`] waits for.
    pub(crate) fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        let running = Running::new(&self.threads);
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            work();
            drop(running);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a Kafka client");
        }
    }

    /// Waits, within a limit, until every thread has ended.
    pub(crate) fn ended(&self) {
        let left = self.threads.wait(END_WITHIN);
        if left > 0 {
            tracing::warn!(left, "Kafka clients are still ending: a broker does not answer");
        }
    }
}

#[derive(Default)]
struct Threads {
    running: Mutex<usize>,
    fewer: Condvar,
}

struct Running(Arc<Threads>);

impl Running {
    fn new(threads: &Arc<Threads>) -> Self {
        *lock(&threads.running) += 1;
        Self(threads.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *lock(&self.0.running) -= 1;
        self.0.fewer.notify_all();
    }
}

impl Threads {
    fn wait(&self, limit: Duration) -> usize {
        let waited = self.fewer.wait_timeout_while(lock(&self.running), limit, |running| *running > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that tells what happens to it.
pub(crate) struct Told;

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Told {}

pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        // Brokers come and go; what it means is said by whoever wanted something of them.
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::debug!(facility, "librdkafka: {message}"),
        _ => tracing::trace!(facility, "librdkafka: {message}"),
    }
}

/// Whether a client has brokers to ask. One that asked a cluster that was just coming up was told that there are none, has
/// forgotten those it knew, and looks for no others, for minutes or for good
/// (<https://github.com/confluentinc/librdkafka/issues/5301>). All that helps is another client. Blocks.
pub(crate) fn knows_brokers<C: ClientContext>(client: &Client<C>, topic: &str) -> bool {
    client.fetch_metadata(Some(topic), KNOWS_WITHIN).is_ok_and(|told| !told.brokers().is_empty())
}

/// What is said of a client that knows none while others reach the cluster.
pub(crate) fn forgot_brokers() -> BusError {
    BusError::Unavailable("this client has forgotten its brokers: another one takes its place".into())
}

/// Makes a client; what is misspelt among its properties is told by name.
pub(crate) fn create<C, T>(config: &ClientConfig, context: C) -> Result<T, OptionError>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, why, name, value) => OptionError::Property { name, value, why },
        other => OptionError::Together(other.to_string()),
    })
}

/// A client that could be made when the bus was cannot be made now: threads or files ran out.
pub(crate) fn create_later<C, T>(config: &ClientConfig, context: C) -> Result<T, BusError>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    create(config, context).map_err(|error| BusError::Unavailable(Box::new(error)))
}
