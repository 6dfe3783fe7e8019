//! The thread that speaks to librdkafka.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use factum::bus::{Assignment, BusError, ConsumerOptions, Offset, Record, TopicPartition};
use rdkafka::{
    ClientConfig, ClientContext, Message, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use super::state::{Shared, Todo};
use crate::{
    client::{Common, SILENT_MAX, create_later, forgot_brokers, log},
    failure::{ends_consumer, unavailable},
    looker::{Looker, number_of},
    record::{raw_offset, received},
};

/// The most messages taken out of librdkafka before they are handed over.
const TURN_RECORDS_MAX: usize = 2_000;
/// How often it looks around although nothing woke it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How soon it tries again what could not be done yet.
const AGAIN_AFTER: Duration = Duration::from_millis(5);
/// The longest that librdkafka takes to note a new position: it asks no broker for it.
const SEEK_WITHIN: Duration = Duration::from_secs(5);

struct Context {
    common: Arc<Common>,
    shared: Arc<Shared>,
    ending: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = self.inside(list);
        // A poll that ran into this has not looked at what waits behind it.
        self.shared.ring();
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            assign(client, list);
            if !partitions.is_empty() {
                self.shared.assigned(partitions);
            }
            return;
        }
        let lost = client.assignment_lost();
        // Otherwise the reader lets go of them first, and what it does meanwhile holds back nobody's thread.
        if lost || partitions.is_empty() || self.ending.load(Ordering::Relaxed) {
            unassign(client, list);
        }
        if !partitions.is_empty() {
            self.shared.revoked(partitions, lost);
        }
    }
}

impl Context {
    fn inside(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let mut partitions: Vec<TopicPartition> = list
            .elements()
            .iter()
            .filter_map(|element| {
                let number = u32::try_from(element.partition()).ok()?;
                Some(TopicPartition::new(self.common.inside(element.topic())?, number))
            })
            .collect();
        partitions.sort();
        partitions
    }
}

/// Takes partitions over without fetching anything: where they begin is for the reader to say.
fn assign(client: &BaseConsumer<Context>, list: &mut TopicPartitionList) {
    // Not the end: the brokers' answer where that is would come after the reader's own position, and replace it.
    let placed = list.set_all_offsets(rdkafka::Offset::Offset(0));
    // Paused before as well: an answer to a fetch of the time before the pause could stop the partition for good.
    let _ = client.pause(list);
    let assigned = placed.and_then(|()| client.incremental_assign(list)).and_then(|()| client.pause(list));
    if let Err(error) = assigned {
        tracing::warn!(%error, "partitions could not be taken over");
    }
}

fn unassign(client: &BaseConsumer<Context>, list: &TopicPartitionList) {
    if let Err(error) = client.incremental_unassign(list) {
        // They were lost meanwhile.
        tracing::debug!(%error, "partitions could not be given up");
    }
}

/// Makes the client and starts its thread, which ends by [`Shared::end`] or with the bus.
pub(super) fn start(
    common: &Arc<Common>,
    looker: Arc<Looker>,
    shared: Arc<Shared>,
    options: &ConsumerOptions,
) -> Result<(), BusError> {
    let context = Context { common: common.clone(), shared: shared.clone(), ending: AtomicBool::new(false) };
    let mut client: BaseConsumer<Context> = create_later(&config(common, &options.group), context)?;
    let ringing = shared.clone();
    client.set_nonempty_callback(move || ringing.ring());
    if options.assignment == Assignment::Group {
        let names: Vec<String> = options.topics.iter().map(|topic| common.outside(topic)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        client.subscribe(&names).map_err(|error| unavailable("joining a group", error))?;
    }
    let topic = options.topics.first().cloned();
    let (common, names, stopped) = (common.clone(), HashMap::new(), HashSet::new());
    let worker = Worker { client, common: common.clone(), looker, shared, topic, names, stopped };
    common.spawn("kafka-consumer", move || {
        // Whatever ends it, the reader does not wait for a thread that is gone.
        let _gone = Gone(worker.shared.clone());
        worker.run();
    });
    Ok(())
}

struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.failed(BusError::Unavailable("the consumer's thread has ended: take a new consumer".into()));
    }
}

struct Worker {
    client: BaseConsumer<Context>,
    common: Arc<Common>,
    looker: Arc<Looker>,
    shared: Arc<Shared>,
    /// One that it reads.
    topic: Option<Arc<str>>,
    /// Topics by their names on the broker.
    names: HashMap<String, Arc<str>>,
    /// Partitions that librdkafka may have stopped reading.
    stopped: HashSet<TopicPartition>,
}

/// Messages of one partition that came one after the other.
type Run = (TopicPartition, Vec<Record>);

impl Worker {
    fn run(mut self) {
        let mut heard = Instant::now();
        loop {
            let todo = self.shared.todo();
            if todo.ends || self.common.open().is_err() {
                break;
            }
            let again = !self.carry_out(todo);
            let (any, errors) = if self.shared.has_room() { self.poll() } else { (false, Vec::new()) };
            for error in errors {
                self.note(error);
            }
            if any {
                heard = Instant::now();
            } else {
                self.shared.wait(if again { AGAIN_AFTER } else { LOOK_EVERY });
            }
            if heard.elapsed() > SILENT_MAX {
                heard = Instant::now();
                if self.topic.as_ref().is_some_and(|topic| self.looker.is_forgotten(self.client.client(), topic)) {
                    self.shared.failed(forgot_brokers());
                }
            }
        }
        // Leaving the group gives up what it has at once: there is no reader any more.
        self.client.context().ending.store(true, Ordering::Relaxed);
        drop(self.client);
    }

    /// Does what the reader asked for; false: something of it is to be tried again.
    fn carry_out(&mut self, todo: Todo) -> bool {
        let Todo { added, removed, released, paused, sought, .. } = todo;
        if !removed.is_empty() {
            unassign(&self.client, &self.list(&removed));
        }
        if !added.is_empty() {
            assign(&self.client, &mut self.list(&added));
        }
        for partitions in released {
            unassign(&self.client, &self.list(&partitions));
        }
        if !paused.is_empty()
            && let Err(error) = self.client.pause(&self.list(&paused))
        {
            tracing::debug!(%error, "pausing");
        }
        let (stopped, sought): (Vec<_>, Vec<_>) =
            sought.into_iter().partition(|(partition, _)| self.stopped.remove(partition));
        for (partition, at) in stopped {
            self.begin_anew(&partition, at);
        }
        sought.is_empty() || self.seek(&sought)
    }

    /// librdkafka stops reading a partition that had nothing at its position, and cannot be sent elsewhere then.
    fn begin_anew(&self, partition: &TopicPartition, at: Offset) {
        let mut list = self.list(std::slice::from_ref(partition));
        unassign(&self.client, &list);
        let placed = list.set_all_offsets(raw_offset(at));
        if let Err(error) = placed.and_then(|()| self.client.incremental_assign(&list)) {
            tracing::warn!(%error, %partition, "a partition could not be begun anew");
        }
    }

    fn seek(&mut self, sought: &[(TopicPartition, Offset)]) -> bool {
        let mut list = TopicPartitionList::with_capacity(sought.len());
        for (partition, at) in sought {
            let topic = self.common.outside(&partition.topic);
            if let Err(error) = list.add_partition_offset(&topic, number_of(partition), raw_offset(*at)) {
                tracing::debug!(%error, "seeking");
            }
        }
        let Ok(placed) = self.client.seek_partitions(list, SEEK_WITHIN) else {
            for (partition, at) in sought {
                self.shared.seek_again(partition, *at);
            }
            return false;
        };
        let mut ready = TopicPartitionList::new();
        let mut all = true;
        for (partition, at) in sought {
            let topic = self.common.outside(&partition.topic);
            let found = placed.find_partition(&topic, number_of(partition));
            if found.is_some_and(|element| element.error().is_ok()) {
                ready.add_partition(&topic, number_of(partition));
            } else {
                // librdkafka has not started on it yet, or has stopped.
                self.shared.seek_again(partition, *at);
                self.stopped.insert(partition.clone());
                all = false;
            }
        }
        if let Err(error) = self.client.resume(&ready) {
            tracing::debug!(%error, "resuming");
        }
        all
    }

    /// Takes what librdkafka has and hands it over. Whether there was anything, and what went wrong.
    fn poll(&mut self) -> (bool, Vec<KafkaError>) {
        let mut runs: Vec<Run> = Vec::new();
        let mut errors = Vec::new();
        let mut any = false;
        for _ in 0..TURN_RECORDS_MAX {
            match self.client.poll(Duration::ZERO) {
                None => break,
                Some(Err(error)) => errors.push(error),
                Some(Ok(message)) => {
                    let Ok(number) = u32::try_from(message.partition()) else { continue };
                    let record = received(&message);
                    let topic = topic_of(&mut self.names, &self.common, message.topic());
                    match runs.last_mut() {
                        Some((of, records)) if of.partition == number && Arc::ptr_eq(&of.topic, &topic) => {
                            records.push(record);
                        }
                        _ => runs.push((TopicPartition::new(topic, number), vec![record])),
                    }
                }
            }
            any = true;
        }
        for (partition, records) in runs {
            self.shared.hand_over(&partition, records);
        }
        (any, errors)
    }

    /// What an error means for the reader: as a rule nothing, the client goes on trying.
    fn note(&mut self, error: KafkaError) {
        let code = error.rdkafka_error_code();
        match code {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => self.look_for_range(),
            Some(code) if ends_consumer(code) || matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                self.shared.failed(unavailable("reading", error));
            }
            _ => tracing::debug!(%error, "a consumer goes on"),
        }
    }

    /// Some partition has nothing at its position, and librdkafka has stopped reading it; which one it does not tell.
    fn look_for_range(&mut self) {
        for (partition, at) in self.shared.fetching() {
            match self.looker.ends(&partition) {
                Ok(ends) if at < ends.earliest || at > ends.next => {
                    self.shared.out_of_range(&partition, at, ends.earliest);
                }
                // It may have been this one, and be back; or nobody knows yet.
                _ => self.shared.seek_again(&partition, at),
            }
            self.stopped.insert(partition);
        }
    }

    fn list(&self, partitions: &[TopicPartition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.common.outside(&partition.topic), number_of(partition));
        }
        list
    }
}

fn topic_of(names: &mut HashMap<String, Arc<str>>, common: &Common, outside: &str) -> Arc<str> {
    if let Some(topic) = names.get(outside) {
        return topic.clone();
    }
    let topic: Arc<str> = common.inside(outside).unwrap_or(outside).into();
    names.insert(outside.to_owned(), topic.clone());
    topic
}

/// The most that librdkafka fetches ahead for all partitions of a consumer, in KiB and in records of each.
const AHEAD_KBYTES_MAX: &str = "32768";
const AHEAD_RECORDS_MIN: &str = "50000";
/// The most of one answer, and of one partition in it.
const FETCH_BYTES_MAX: &str = "16777216";
const FETCH_PARTITION_BYTES_MAX: &str = "4194304";
/// How long a broker holds an answer back while there is nothing: a new position waits for the answer under way.
const FETCH_WAIT_MS: &str = "100";

fn config(common: &Common, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("session.timeout.ms", "8000")
        .set("heartbeat.interval.ms", "2000")
        .set("queued.max.messages.kbytes", AHEAD_KBYTES_MAX)
        .set("queued.min.messages", AHEAD_RECORDS_MIN)
        .set("fetch.max.bytes", FETCH_BYTES_MAX)
        .set("max.partition.fetch.bytes", FETCH_PARTITION_BYTES_MAX)
        .set("fetch.wait.max.ms", FETCH_WAIT_MS)
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "5");
    common.configure(&mut config);
    config
        .set("group.id", common.outside(group))
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "false");
    config
}
