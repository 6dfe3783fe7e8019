//! What a store knows, and how it judges; without locks and futures.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::MemoryStore;
use crate::{
    model::CommandId,
    read::Epoch,
    store::{
        Append, AppendError, Batch, Boundary, Direction, KnownCommand, NewEvent, Position, Progress, ProgressError,
        Receipt, RecordedEvent, Selection, StoreError, StreamName, Tag, Version,
    },
};

#[derive(Clone, Default)]
pub(super) struct Log {
    /// The event at position n has index n - 1.
    events: Vec<RecordedEvent>,
    /// The event at version n of a stream has index n - 1: its index in `events`.
    streams: HashMap<StreamName, Vec<usize>>,
    commands: HashMap<CommandId, KnownCommand>,
    /// The last position of each append, ascending.
    appends: Vec<Position>,
    progress: HashMap<String, Progress>,
}

impl Log {
    pub(super) fn head(&self) -> Position {
        Position::new(self.events.len() as u64)
    }

    pub(super) fn command(&self, id: CommandId) -> Option<KnownCommand> {
        self.commands.get(&id).cloned()
    }

    /// What was appended up to a position, whole appends only; without progress.
    pub(super) fn restored_at(&self, position: Position) -> Self {
        let appends = self.appends[..self.appends.partition_point(|last| *last <= position)].to_vec();
        let head = appends.last().copied().unwrap_or_default();
        let count = index(head.get());
        let streams = self.streams.iter().map(|(stream, indexes)| {
            (stream.clone(), indexes[..indexes.partition_point(|index| *index < count)].to_vec())
        });
        let commands = self.commands.iter().filter(|(_, known)| known.receipt.last <= head);
        Self {
            events: self.events[..count].to_vec(),
            streams: streams.filter(|(_, indexes)| !indexes.is_empty()).collect(),
            commands: commands.map(|(id, known)| (*id, known.clone())).collect(),
            appends,
            progress: HashMap::new(),
        }
    }

    pub(super) fn progress_of_all(&self) -> HashMap<String, Progress> {
        self.progress.clone()
    }

    pub(super) fn take_over(&mut self, progress: HashMap<String, Progress>) {
        self.progress = progress;
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
            if !part.expected.is_met_by(actual) {
                return Err(AppendError::Conflict { stream: part.stream.clone(), expected: part.expected, actual });
            }
        }
        if let Some(boundary) = &append.boundary {
            self.judge(boundary)?;
        }
        let receipt = self.record(&append);
        if let Some(command) = append.command {
            let receipt = Receipt { repeated: true, ..receipt.clone() };
            let known = KnownCommand { fingerprint: command.fingerprint, receipt };
            self.commands.insert(command.id, known);
        }
        Ok(receipt)
    }

    fn judge(&self, Boundary { selection, after, .. }: &Boundary) -> Result<(), AppendError> {
        let (after, head) = (*after, self.head());
        if after > head {
            return Err(AppendError::BoundaryBeyondHead { after, head });
        }
        let behind = &self.events[index(after.get())..];
        let crossed = behind.iter().find_map(|event| Some((first_match(selection, event)?, event.position)));
        match crossed {
            Some((clause, found)) => Err(AppendError::BoundaryCrossed { clause, after, found }),
            None => Ok(()),
        }
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
        self.appends.push(self.head());
        let streams = append.streams.iter().map(|part| (part.stream.clone(), self.version(&part.stream))).collect();
        Receipt { streams, first, last: self.head(), repeated: false }
    }

    fn version(&self, stream: &StreamName) -> Version {
        Version::new(self.streams.get(stream).map_or(0, Vec::len) as u64)
    }

    pub(super) fn read_stream(&self, stream: &StreamName, from: Version, direction: Direction, limit: usize) -> Batch {
        let indexes = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let from = index(from.get());
        match direction {
            Direction::Forward => {
                let rest = &indexes[from.saturating_sub(1).min(indexes.len())..];
                self.batch(rest.iter().copied(), limit, self.head())
            }
            Direction::Backward => {
                let rest = &indexes[..from.min(indexes.len())];
                self.batch(rest.iter().rev().copied(), limit, Position::ZERO)
            }
        }
    }

    pub(super) fn read(
        &self,
        selection: &Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Batch, StoreError> {
        selection.check()?;
        let count = self.events.len();
        let selected = |index: &usize| first_match(selection, &self.events[*index]).is_some();
        Ok(match direction {
            Direction::Forward => {
                let indexes = index(after.get()).min(count)..count;
                self.batch(indexes.filter(selected), limit, after.max(self.head()))
            }
            Direction::Backward => {
                let end = index(after.get()).saturating_sub(1).min(count);
                self.batch((0..end).rev().filter(selected), limit, Position::ZERO)
            }
        })
    }

    /// The first events of these; where they are all, everything up to `considered` was.
    fn batch(&self, mut indexes: impl Iterator<Item = usize>, limit: usize, considered: Position) -> Batch {
        // At least one, so that a reader always gets on.
        let limit = limit.clamp(1, MemoryStore::READ_EVENTS_MAX);
        let events: Vec<_> = indexes.by_ref().take(limit).map(|index| self.events[index].clone()).collect();
        let end = indexes.next().is_none();
        let read_to = events.last().filter(|_| !end).map_or(considered, |event| event.position);
        Batch { events, read_to, end }
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

/// The first clause of a selection that an event matches.
fn first_match(selection: &Selection, event: &RecordedEvent) -> Option<usize> {
    selection.first_match(&event.name, event.tags.iter().map(Tag::as_str))
}

fn check_limits(append: &Append) -> Result<(), AppendError> {
    let events: usize = append.streams.iter().map(|part| part.events.len()).sum();
    if events == 0 {
        return Err(AppendError::Refused("it has no events".to_owned()));
    }
    check_most("events in one append", events, MemoryStore::BATCH_EVENTS_MAX)?;
    if let Some(boundary) = &append.boundary {
        boundary.selection.check().map_err(|error| AppendError::Refused(error.to_string()))?;
    }
    check_most("streams in one append", append.streams.len(), MemoryStore::BATCH_STREAMS_MAX)?;
    let mut streams = HashSet::new();
    // Counted with each event, as the embedded store does.
    let metadata = serde_json::to_vec(&append.metadata)
        .map_err(|error| AppendError::Refused(format!("its metadata cannot be written: {error}")))?;
    for part in &append.streams {
        if !streams.insert(&part.stream) {
            return Err(AppendError::Refused(format!("stream {} is named twice", part.stream)));
        }
        part.events.iter().try_for_each(|event| check_event(event, metadata.len()))?;
    }
    Ok(())
}

fn check_event(event: &NewEvent, metadata_bytes: usize) -> Result<(), AppendError> {
    check_most("bytes of data and metadata", event.data.len() + metadata_bytes, MemoryStore::EVENT_BYTES_MAX)?;
    check_most("tags of an event", event.tags.len(), MemoryStore::TAGS_PER_EVENT_MAX)?;
    check_name(&event.name, MemoryStore::EVENT_NAME_BYTES_MAX).map_err(AppendError::Refused)
}

fn check_most(what: &str, found: usize, limit: usize) -> Result<(), AppendError> {
    if found > limit { Err(AppendError::Refused(format!("{found} {what}, the limit is {limit}"))) } else { Ok(()) }
}

fn check_progress_name(name: &str) -> Result<(), ProgressError> {
    check_name(name, MemoryStore::PROGRESS_NAME_BYTES_MAX).map_err(ProgressError::Refused)
}

fn check_name(name: &str, limit: usize) -> Result<(), String> {
    if (1..=limit).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("a name has 1 to {limit} bytes and no control characters, this one has {}", name.len()))
}

/// A position or version as an index; what does not fit lies beyond every end.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
