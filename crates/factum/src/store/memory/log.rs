//! What a store knows, and how it judges; without locks and futures.

use std::{collections::HashMap, sync::Arc};

use super::MemoryStore;
use crate::{
    model::CommandId,
    read::Epoch,
    store::{
        Append, AppendError, Batch, Direction, ExpectedVersion, KnownCommand, NewEvent, Position, Progress,
        ProgressError, Receipt, RecordedEvent, StreamName, Version,
    },
};

#[derive(Default)]
pub(super) struct Log {
    /// The event at position n has index n - 1.
    events: Vec<RecordedEvent>,
    /// The event at version n of a stream has index n - 1: its index in `events`.
    streams: HashMap<StreamName, Vec<usize>>,
    commands: HashMap<CommandId, KnownCommand>,
    progress: HashMap<String, Progress>,
}

impl Log {
    pub(super) fn head(&self) -> Position {
        Position::new(self.events.len() as u64)
    }

    pub(super) fn command(&self, id: CommandId) -> Option<KnownCommand> {
        self.commands.get(&id).cloned()
    }

    /// Judges everything, then changes everything.
    pub(super) fn append(&mut self, append: Append) -> Result<Receipt, AppendError> {
        check_limits(&append)?;
        if let Some(command) = append.command
            && let Some(known) = self.commands.get(&command.id)
        {
            let same = known.fingerprint == command.fingerprint;
            return if same { Ok(known.receipt.clone()) } else { Err(AppendError::CommandIdReused(command.id)) };
        }
        for part in &append.streams {
            let actual = self.version(&part.stream);
            if !meets(part.expected, actual) {
                return Err(AppendError::Conflict { stream: part.stream.clone(), expected: part.expected, actual });
            }
        }
        let receipt = self.record(&append);
        if let Some(command) = append.command {
            let receipt = Receipt { repeated: true, ..receipt.clone() };
            let known = KnownCommand { fingerprint: command.fingerprint, receipt };
            self.commands.insert(command.id, known);
        }
        Ok(receipt)
    }

    fn record(&mut self, append: &Append) -> Receipt {
        let first = self.head().next();
        for part in &append.streams {
            for event in &part.events {
                let recorded = RecordedEvent {
                    position: self.head().next(),
                    stream: part.stream.clone(),
                    version: self.version(&part.stream).next(),
                    id: event.id,
                    name: Arc::from(event.name.as_ref()),
                    schema: event.schema,
                    tags: event.tags.clone(),
                    data: event.data.clone().into(),
                    command_id: append.command.map(|command| command.id),
                    metadata: append.metadata.clone(),
                    recorded_at: append.recorded_at,
                };
                self.streams.entry(part.stream.clone()).or_default().push(self.events.len());
                self.events.push(recorded);
            }
        }
        let streams = append.streams.iter().map(|part| (part.stream.clone(), self.version(&part.stream))).collect();
        Receipt { streams, first, last: self.head(), repeated: false }
    }

    fn version(&self, stream: &StreamName) -> Version {
        Version::new(self.streams.get(stream).map_or(0, Vec::len) as u64)
    }

    pub(super) fn read_stream(&self, stream: &StreamName, from: Version, direction: Direction, limit: usize) -> Batch {
        let indexes = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let from = index(from.get());
        let events = match direction {
            Direction::Forward => {
                let first = from.saturating_sub(1).min(indexes.len());
                self.take(indexes[first..].iter().copied(), limit)
            }
            Direction::Backward => {
                let last = from.min(indexes.len());
                self.take(indexes[..last].iter().rev().copied(), limit)
            }
        };
        let edge = match direction {
            Direction::Forward => indexes.last(),
            Direction::Backward => indexes.first(),
        };
        batch(events, edge.map(|index| self.events[*index].position), Position::ZERO)
    }

    pub(super) fn read(&self, after: Position, direction: Direction, limit: usize) -> Batch {
        let count = self.events.len();
        let (events, edge) = match direction {
            Direction::Forward => (self.take(index(after.get()).min(count)..count, limit), self.events.last()),
            Direction::Backward => {
                let end = index(after.get()).saturating_sub(1).min(count);
                (self.take((0..end).rev(), limit), self.events.first())
            }
        };
        batch(events, edge.map(|event| event.position), after)
    }

    fn take(&self, indexes: impl Iterator<Item = usize>, limit: usize) -> Vec<RecordedEvent> {
        // At least one, so that a reader always gets on.
        let limit = limit.clamp(1, MemoryStore::READ_EVENTS_MAX);
        indexes.take(limit).map(|index| self.events[index].clone()).collect()
    }

    pub(super) fn progress(&self, name: &str) -> Result<Progress, ProgressError> {
        check_progress_name(name)?;
        Ok(self.progress.get(name).cloned().unwrap_or_default())
    }

    pub(super) fn claim_progress(&mut self, name: &str) -> Result<Progress, ProgressError> {
        check_progress_name(name)?;
        let progress = self.progress.entry(name.to_owned()).or_default();
        progress.epoch = Epoch(progress.epoch.0 + 1);
        Ok(progress.clone())
    }

    pub(super) fn advance_progress(
        &mut self,
        name: &str,
        epoch: Epoch,
        previous: Option<&[u8]>,
        next: &[u8],
    ) -> Result<(), ProgressError> {
        check_progress_name(name)?;
        if next.len() > MemoryStore::PROGRESS_BYTES_MAX {
            let limit = MemoryStore::PROGRESS_BYTES_MAX;
            return Err(ProgressError::Refused(format!("{} bytes, the limit is {limit}", next.len())));
        }
        let progress = self.progress.entry(name.to_owned()).or_default();
        if progress.epoch != epoch {
            let (epoch, current) = (epoch.0, progress.epoch.0);
            return Err(ProgressError::Fenced { name: name.to_owned(), epoch, current });
        }
        if progress.value.as_deref() != previous {
            return Err(ProgressError::Moved(name.to_owned()));
        }
        progress.value = Some(next.to_vec());
        Ok(())
    }
}

fn meets(expected: ExpectedVersion, actual: Version) -> bool {
    match expected {
        ExpectedVersion::Any => true,
        ExpectedVersion::NoStream => actual == Version::ZERO,
        ExpectedVersion::StreamExists => actual != Version::ZERO,
        ExpectedVersion::Exact(version) => actual == version,
    }
}

fn check_limits(append: &Append) -> Result<(), AppendError> {
    let events: usize = append.streams.iter().map(|part| part.events.len()).sum();
    if events == 0 {
        return Err(AppendError::Refused("it has no events".to_owned()));
    }
    if events > MemoryStore::BATCH_EVENTS_MAX {
        let limit = MemoryStore::BATCH_EVENTS_MAX;
        return Err(AppendError::Refused(format!("{events} events, the limit is {limit}")));
    }
    for (at, part) in append.streams.iter().enumerate() {
        if append.streams[..at].iter().any(|earlier| earlier.stream == part.stream) {
            return Err(AppendError::Refused(format!("stream {} is named twice", part.stream)));
        }
        part.events.iter().try_for_each(check_event)?;
    }
    Ok(())
}

fn check_event(event: &NewEvent) -> Result<(), AppendError> {
    let (bytes, limit) = (event.data.len(), MemoryStore::EVENT_BYTES_MAX);
    if bytes > limit {
        return Err(AppendError::Refused(format!("event {} has {bytes} bytes, the limit is {limit}", event.id)));
    }
    let (name, limit) = (event.name.len(), MemoryStore::EVENT_NAME_BYTES_MAX);
    if name == 0 || name > limit {
        return Err(AppendError::Refused(format!("a name of {name} bytes, it has 1 to {limit}")));
    }
    let (tags, limit) = (event.tags.len(), MemoryStore::TAGS_PER_EVENT_MAX);
    if tags > limit {
        return Err(AppendError::Refused(format!("event {} has {tags} tags, the limit is {limit}", event.id)));
    }
    Ok(())
}

fn check_progress_name(name: &str) -> Result<(), ProgressError> {
    let limit = MemoryStore::PROGRESS_NAME_BYTES_MAX;
    if name.is_empty() || name.len() > limit {
        return Err(ProgressError::Refused(format!("a name of {} bytes, it has 1 to {limit}", name.len())));
    }
    Ok(())
}

/// A batch that ends where the events do, or at `edge`, the last event there is in the direction of reading.
fn batch(events: Vec<RecordedEvent>, edge: Option<Position>, nothing_at: Position) -> Batch {
    let read_to = events.last().map(|event| event.position);
    Batch { end: read_to.is_none() || read_to == edge, read_to: read_to.unwrap_or(nothing_at), events }
}

/// A position or version as an index; what does not fit lies beyond every end.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
