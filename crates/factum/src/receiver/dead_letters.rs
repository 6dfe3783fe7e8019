//! Dead letters that nobody has acknowledged yet: for operators.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use factum_engine::{Clause, Direction, Position, Selection, StreamName, Version};
use tokio::sync::MutexGuard;

use super::dead_letter::{Acknowledged, DeadLetter as Event, Received, acknowledgement};
use crate::{
    model::{ActorId, Decoded, Event as _, EventId, Reason, Timestamp},
    runtime::{Runtime, Status},
    store::{AppendError, EventStore, RecordedEvent, StoreError},
};

/// What the alarm is about.
pub(crate) const DEAD_LETTERS_ALARM: &str = "dead letters";
/// How many events are read at once; a letter may have 100 KiB.
const READ_EVENTS_MAX: usize = 64;
/// How much of a value is shown, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// What came to a service where commands come and is none: kept in its event store, with an alarm at the receiver until
/// somebody has looked at it and acknowledges it.
pub struct DeadLetters {
    store: Option<Arc<dyn EventStore>>,
    runtime: Runtime,
    board: tokio::sync::Mutex<Board>,
    /// Who shows the alarm, by topic.
    receivers: Mutex<Vec<(String, Status)>>,
}

/// A letter that nobody has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The id of the event that keeps it.
    pub event_id: EventId,
    /// That event's stream, which has the whole letter.
    pub stream: StreamName,
    /// Its number in that stream.
    pub version: Version,
    /// When it came.
    pub received_at: Timestamp,
    /// Where it came.
    pub topic: String,
    /// Where on that topic.
    pub partition: u32,
    /// Where on that partition.
    pub offset: u64,
    /// Why it is no command.
    pub reason: String,
    /// The beginning of it, at most 200 characters, where it is text.
    pub text: Option<String>,
    /// Its size in bytes.
    pub value_bytes: u64,
}

/// Why nothing was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// There is no such letter, or it is acknowledged already.
    #[error("no dead letter {0} waits to be acknowledged: list those that do")]
    NotOpen(EventId),
    /// The event store did not record it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The event store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of the letters, up to a position.
#[derive(Default)]
struct Board {
    read_to: Position,
    partitions: BTreeMap<StreamName, Letters>,
}

/// The letters of a partition.
struct Letters {
    topic: String,
    /// Those nobody has acknowledged, in order.
    open: VecDeque<(Version, Position)>,
    last_reason: String,
}

/// None, of a service that takes no commands from others.
impl Default for DeadLetters {
    fn default() -> Self {
        Self::new(None, Runtime::tokio())
    }
}

impl DeadLetters {
    /// Those in a service's event store.
    pub fn new(store: Option<Arc<dyn EventStore>>, runtime: Runtime) -> Self {
        Self { store, runtime, board: tokio::sync::Mutex::default(), receivers: Mutex::default() }
    }

    /// From now on a status shows how many came on a topic and are not acknowledged.
    pub(super) fn shown_by(&self, topic: String, status: Status) {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner).push((topic, status));
    }

    /// Takes note of what was recorded, and shows it.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        self.known().await.map(drop)
    }

    /// How many letters nobody has acknowledged, and the first of them in the order in which they came, at most
    /// `limit`.
    ///
    /// # Errors
    /// The event store failed.
    pub async fn list(&self, limit: usize) -> Result<(usize, Vec<DeadLetter>), StoreError> {
        let board = self.known().await?;
        let mut found = Vec::new();
        self.search(&board, |letter| {
            found.extend((found.len() < limit).then_some(letter));
            found.len() < limit
        })
        .await?;
        Ok((board.open(), found))
    }

    /// Acknowledges a letter, and those before it on its partition: somebody has dealt with them. How many those were,
    /// and how many are left.
    ///
    /// # Errors
    /// See [`DeadLetterError`].
    pub async fn acknowledge(
        &self,
        letter: EventId,
        reason: Reason,
        actor: ActorId,
    ) -> Result<(usize, usize), DeadLetterError> {
        let mut board = self.known().await?;
        let mut found = None;
        self.search(&board, |open| {
            found = (open.event_id == letter).then_some(open);
            found.is_none()
        })
        .await?;
        let (Some(DeadLetter { stream, version, .. }), Some(store)) = (found, &self.store) else {
            return Err(DeadLetterError::NotOpen(letter));
        };
        let acknowledged = Acknowledged { letter, through: version.get(), reason: reason.into() };
        let asked = (self.runtime.new_id(), self.runtime.now());
        store.append(acknowledgement(stream, acknowledged, actor, asked)).await?;
        let before = board.open();
        self.catch_up(&mut board).await?;
        let left = board.open();
        Ok((before.saturating_sub(left), left))
    }

    async fn known(&self) -> Result<MutexGuard<'_, Board>, StoreError> {
        let mut board = self.board.lock().await;
        self.catch_up(&mut board).await?;
        Ok(board)
    }

    /// Reads what was recorded since, and shows it.
    async fn catch_up(&self, board: &mut Board) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let selection = Selection::of(Clause::names(Event::names().iter().copied()));
        loop {
            let batch = store.read(&selection, board.read_to, Direction::Forward, READ_EVENTS_MAX).await?;
            batch.events.iter().for_each(|event| board.apply(event));
            board.read_to = batch.read_to;
            if batch.end {
                break;
            }
        }
        for (topic, status) in self.receivers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let alarm = board.alarm(topic);
            if status.report().alarms.get(DEAD_LETTERS_ALARM) != alarm.as_ref() {
                status.update(|report| match alarm {
                    Some(text) => drop(report.alarms.insert(DEAD_LETTERS_ALARM.to_owned(), text)),
                    None => drop(report.alarms.remove(DEAD_LETTERS_ALARM)),
                });
            }
        }
        Ok(())
    }

    /// Looks at the letters that are not acknowledged, in order, as long as there is need.
    async fn search(&self, board: &Board, mut look: impl FnMut(DeadLetter) -> bool) -> Result<(), StoreError> {
        let first = board.partitions.values().filter_map(|letters| letters.open.front()).map(|(_, position)| *position);
        let (Some(store), Some(first)) = (&self.store, first.min()) else { return Ok(()) };
        let selection = Selection::of(Clause::names(Event::names().iter().copied()));
        let mut after = Position::new(first.get().saturating_sub(1));
        while after < board.read_to {
            let batch = store.read(&selection, after, Direction::Forward, READ_EVENTS_MAX).await?;
            for event in batch.events.iter().filter(|event| board.is_open(event)) {
                if let Some(Event::Received(received)) = decoded(event)
                    && !look(shown(event, received))
                {
                    return Ok(());
                }
            }
            after = batch.read_to;
        }
        Ok(())
    }
}

impl Board {
    fn apply(&mut self, event: &RecordedEvent) {
        match decoded(event) {
            Some(Event::Received(Received { topic, reason, .. })) => {
                let letters = self.partitions.entry(event.stream.clone()).or_insert_with(|| Letters {
                    topic,
                    open: VecDeque::new(),
                    last_reason: String::new(),
                });
                letters.open.push_back((event.version, event.position));
                letters.last_reason = reason;
            }
            Some(Event::Acknowledged(Acknowledged { through, .. })) => {
                if let Some(letters) = self.partitions.get_mut(&event.stream) {
                    letters.open.retain(|(version, _)| version.get() > through);
                }
            }
            None => {}
        }
    }

    fn open(&self) -> usize {
        self.partitions.values().map(|letters| letters.open.len()).sum()
    }

    fn is_open(&self, event: &RecordedEvent) -> bool {
        let first = self.partitions.get(&event.stream).and_then(|letters| letters.open.front());
        first.is_some_and(|(version, _)| event.version >= *version)
    }

    fn alarm(&self, topic: &str) -> Option<String> {
        let on = self.partitions.iter().filter(|(_, letters)| letters.topic == topic && !letters.open.is_empty());
        let count: usize = on.clone().map(|(_, letters)| letters.open.len()).sum();
        let (stream, Letters { last_reason, .. }) = on.max_by_key(|(_, letters)| letters.open.back())?;
        Some(format!(
            "{count} records that are no commands wait to be acknowledged, the last one in stream {stream}: \
             {last_reason}"
        ))
    }
}

/// What cannot be read was written by another build: it is in the log, for whoever looks there.
fn decoded(event: &RecordedEvent) -> Option<Event> {
    match event.decode::<Event>() {
        Ok(Decoded::Known(letter)) => Some(letter),
        Ok(Decoded::Unknown) => None,
        Err(error) => {
            tracing::error!(position = %event.position, %error, "a dead letter cannot be read");
            None
        }
    }
}

fn shown(event: &RecordedEvent, received: Received) -> DeadLetter {
    let Received { topic, partition, offset, reason, value, value_bytes, .. } = received;
    let text = STANDARD.decode(value).ok().and_then(|value| String::from_utf8(value).ok());
    DeadLetter {
        event_id: event.id,
        stream: event.stream.clone(),
        version: event.version,
        received_at: event.recorded_at,
        topic,
        partition,
        offset,
        reason,
        text: text.map(|text| text.chars().take(TEXT_CHARS_MAX).collect()),
        value_bytes,
    }
}
