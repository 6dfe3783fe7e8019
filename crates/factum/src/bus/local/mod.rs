//! The bus of the embedded default: on the engine, in one directory, synced, without a server.

mod log;
mod record;
mod standby;

// Fuzzed.
#[cfg(test)]
pub(crate) use record::{decode_metadata, encode as encode_metadata};

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use factum_engine::{CloseError, Engine, OpenError, Options};

use self::log::EngineLog;
use super::{
    Bus, BusError, Consumer, ConsumerOptions, FETCH_BYTES_MAX, Offset, Producer, Record, TopicPartition, TopicSpec,
    groups::Groups,
    log::{self as bus_log, LogConsumer, LogProducer},
};
use crate::{
    runtime::Runtime,
    store::{BoxFuture, tell_cut},
};

/// The largest record, in bytes, unless the options say otherwise: the largest event of a store, and its headers.
pub const RECORD_BYTES_DEFAULT: usize = 2 << 20;

/// A bus on one engine for the processes of one machine that are one process: development, tests, edge.
///
/// One log for the whole bus; a partition is a stream in it, an offset is a version, the first is 1. What it
/// acknowledges is synced. Deleting its directory while it is stopped leaves empty topics: relays notice and send
/// again, consumers find their offsets out of range and read from the beginning.
///
/// Cheap to clone; clones are the same bus.
#[derive(Clone)]
pub struct LocalBus {
    log: Arc<EngineLog>,
    groups: Arc<Groups>,
    runtime: Runtime,
    /// Topics are made one at a time.
    making: Arc<tokio::sync::Mutex<()>>,
}

/// How a local bus is opened.
#[derive(Clone, Debug)]
pub struct LocalBusOptions {
    /// The largest record, in bytes; up to 16 MiB.
    pub record_bytes_max: usize,
    /// Where time and ids come from.
    pub runtime: Runtime,
}

impl Default for LocalBusOptions {
    fn default() -> Self {
        Self { record_bytes_max: RECORD_BYTES_DEFAULT, runtime: Runtime::tokio() }
    }
}

/// Why a local bus was not opened.
#[derive(Debug, thiserror::Error)]
pub enum LocalBusError {
    /// Its log was not opened: in use by another process, of a newer format, damaged, no space.
    #[error("the bus in {directory} cannot be opened: {source}{}", advice(source))]
    Open {
        /// Where it is.
        directory: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// It was deleted while another process had it open, and this one waited for that.
    #[error("{directory} was deleted while this process waited for it: stop who still has it open, and start again")]
    Deleted {
        /// Where it was.
        directory: PathBuf,
    },
    /// Its topics cannot be read.
    #[error("the topics of the bus in {directory} cannot be read: {source}")]
    Topics {
        /// Where it is.
        directory: PathBuf,
        /// Why.
        source: BusError,
    },
}

/// What is on the bus came from event stores, which fill it again.
const fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Corrupt(_) | OpenError::Identity { .. } => ": delete the folder, it is filled again",
        _ => "",
    }
}

impl LocalBus {
    /// Opens the bus in a directory, which is made if it is not there. Blocks while it reads the log's end.
    ///
    /// # Errors
    /// See [`LocalBusError`].
    pub fn open(directory: impl AsRef<Path>, options: LocalBusOptions) -> Result<Self, LocalBusError> {
        let directory = directory.as_ref();
        let runtime = options.runtime;
        let engine_options =
            Options::default().event_bytes_max(options.record_bytes_max).page_bytes_max(FETCH_BYTES_MAX);
        let engine = Engine::open(directory, engine_options)
            .map_err(|source| LocalBusError::Open { directory: directory.to_owned(), source })?;
        tell_cut(directory, &engine);
        let log = EngineLog::open(engine, options.record_bytes_max, runtime.clone())
            .map_err(|source| LocalBusError::Topics { directory: directory.to_owned(), source })?;
        let (log, groups) = (Arc::new(log), Arc::<Groups>::default());
        groups.refresh(|| log.topics());
        Ok(Self { log, groups, runtime, making: Arc::default() })
    }
}

impl Bus for LocalBus {
    fn ensure_topics<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(async move {
            let _one_at_a_time = self.making.lock().await;
            let known = self.log.topics();
            for TopicSpec { name, partitions } in topics {
                TopicSpec::new(name, *partitions)?;
                if let Some(actual) = known.get(name).copied().filter(|actual| actual != partitions) {
                    return Err(BusError::WrongPartitionCount { topic: name.clone(), expected: *partitions, actual });
                }
            }
            for topic in topics {
                if !self.log.topics().contains_key(&topic.name) {
                    self.log.make_topic(topic).await?;
                    self.groups.refresh(|| self.log.topics());
                }
            }
            Ok(())
        })
    }

    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<u32, BusError>> {
        let partitions = self.log.topics().get(topic).copied();
        Box::pin(async move { partitions.ok_or_else(|| BusError::UnknownTopic(topic.into())) })
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>> {
        Box::pin(async { Ok(Box::new(LogProducer(self.log.clone())) as Box<dyn Producer>) })
    }

    fn consumer(&self, options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>> {
        Box::pin(async {
            let consumer = LogConsumer::new(self.log.clone(), &self.groups, options)?;
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        })
    }

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        Box::pin(async move { bus_log::tail(self.log.as_ref(), partition, below) })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            let engine = self.log.engine().clone();
            let closed = self.runtime.blocking(move || engine.close()).await;
            closed.map_err(|panic| BusError::Damaged(panic.into()))?.map_err(|error| match error {
                CloseError::Poisoned(_) => BusError::Damaged(error.into()),
                _ => BusError::Unavailable(error.into()),
            })
        })
    }
}
