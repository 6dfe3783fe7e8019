//! A store as naive as can be: what the engine should hold and answer.

use std::collections::HashMap;

use factum_engine::{
    Append, AppendError, Boundary, CommandRecord, Direction, ExpectedVersion, Position, Receipt, Selection,
    StoredEvent, Version,
};

/// An event with everything it was given; its position is its place among all, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub stream: String,
    pub version: u64,
    pub name: String,
    pub tags: Vec<String>,
    pub data: Vec<u8>,
    pub recorded_at: u64,
    pub command: Option<CommandRecord>,
}

impl Fact {
    /// What the engine shows of an event.
    pub fn of(event: &StoredEvent) -> Self {
        Fact {
            stream: event.stream().to_owned(),
            version: event.version().get(),
            name: event.name().to_owned(),
            tags: event.tags().map(str::to_owned).collect(),
            data: event.data().to_vec(),
            recorded_at: event.recorded_at(),
            command: event.command(),
        }
    }

    /// The first clause of a selection that it matches.
    fn clause(&self, selection: &Selection) -> Option<usize> {
        selection.clauses().iter().position(|clause| {
            let named = clause.event_names().is_empty() || clause.event_names().iter().any(|name| *name == self.name);
            named && clause.event_tags().iter().all(|tag| self.tags.iter().any(|own| own == tag.as_str()))
        })
    }
}

/// The number of events and of commands there were at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    facts: usize,
    commands: usize,
}

/// What of a progress record may be on the disk.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    pub epoch: u64,
    pub value: Option<Vec<u8>>,
    /// What calls wanted it to be whose answer was that this is not known.
    pub perhaps: Vec<(u64, Option<Vec<u8>>)>,
}

impl Recorded {
    /// Takes what was shown as what is, if it may be.
    pub fn shown(&mut self, epoch: u64, value: Option<Vec<u8>>, story: &str) {
        let shown = (epoch, value);
        let known = (self.epoch, self.value.clone());
        assert!(shown == known || self.perhaps.contains(&shown), "{story}: {shown:?} for {self:?}");
        (self.epoch, self.value) = shown;
        self.perhaps.clear();
    }
}

#[derive(Default)]
pub struct Model {
    facts: Vec<Fact>,
    /// In the order they were accepted: command, fingerprint and receipt.
    commands: Vec<(CommandRecord, Receipt)>,
    known: HashMap<[u8; 16], usize>,
    versions: HashMap<String, u64>,
    /// What decisions may see. What is behind it was being written when something failed.
    acknowledged: usize,
    /// What everybody may see, and no power cut takes.
    synced: usize,
    /// Ends of all groups, in order.
    groups: Vec<Moment>,
    pub progress: HashMap<&'static str, Recorded>,
}

impl Model {
    /// Events that are acknowledged.
    pub fn facts(&self) -> &[Fact] {
        &self.facts[..self.acknowledged]
    }

    /// Position of the last event that is acknowledged.
    pub fn head(&self) -> u64 {
        self.acknowledged as u64
    }

    /// Position of the last event that is known to be synced.
    pub fn synced(&self) -> u64 {
        self.synced as u64
    }

    /// Everything up to here is said to be synced.
    pub fn sync_to(&mut self, head: u64, story: &str) {
        assert!((self.synced..=self.acknowledged).contains(&(head as usize)), "{story}: synced up to {head}");
        let whole = head == self.synced() || self.groups.iter().any(|group| group.facts as u64 == head);
        assert!(whole, "{story}: synced up to {head}, within a group");
        self.synced = head as usize;
    }

    /// All commands that were ever accepted, with their receipts: those staged or in doubt too.
    pub fn commands(&self) -> &[(CommandRecord, Receipt)] {
        &self.commands
    }

    /// Events, those staged or in doubt too.
    pub fn staged_head(&self) -> u64 {
        self.facts.len() as u64
    }

    pub fn version(&self, stream: &str) -> u64 {
        self.versions.get(stream).copied().unwrap_or(0)
    }

    /// Judges one append as the next of the group being staged, and stages it when it is accepted.
    pub fn judge(&mut self, append: &Append) -> Result<Receipt, AppendError> {
        if let Some(command) = append.command
            && let Some(index) = self.known.get(&command.id)
        {
            let (record, receipt) = &self.commands[*index];
            if record.fingerprint != command.fingerprint {
                return Err(AppendError::CommandIdReused { id: command.id });
            }
            return Ok(Receipt { repeated: true, ..receipt.clone() });
        }
        for part in &append.streams {
            let actual = Version::new(self.version(part.stream.as_str()));
            let met = match part.expected {
                ExpectedVersion::Any => true,
                ExpectedVersion::NoStream => actual.get() == 0,
                ExpectedVersion::StreamExists => actual.get() > 0,
                ExpectedVersion::Exact(expected) => expected == actual,
            };
            if !met {
                return Err(AppendError::Conflict { stream: part.stream.clone(), expected: part.expected, actual });
            }
        }
        if let Some(boundary) = &append.boundary {
            self.judge_boundary(boundary)?;
        }
        Ok(self.stage(append))
    }

    fn judge_boundary(&self, boundary: &Boundary) -> Result<(), AppendError> {
        let (head, after) = (Position::new(self.facts.len() as u64), boundary.after);
        if after > head {
            return Err(AppendError::BoundaryBeyondHead { after, head });
        }
        let behind = self.facts.iter().zip(1..).skip(after.get() as usize);
        let mut crossing = behind.filter_map(|(fact, position)| Some((fact.clause(&boundary.selection)?, position)));
        match crossing.next() {
            Some((clause, position)) => {
                Err(AppendError::BoundaryCrossed { clause, after, found: Position::new(position) })
            }
            None => Ok(()),
        }
    }

    fn stage(&mut self, append: &Append) -> Receipt {
        let first = Position::new(self.facts.len() as u64 + 1);
        let mut streams = Vec::new();
        for part in &append.streams {
            let stream = part.stream.as_str().to_owned();
            for event in &part.events {
                let version = self.version(&stream) + 1;
                self.versions.insert(stream.clone(), version);
                self.facts.push(Fact {
                    stream: stream.clone(),
                    version,
                    name: event.name.to_string(),
                    tags: event.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
                    data: event.data.clone(),
                    recorded_at: append.recorded_at,
                    command: append.command,
                });
            }
            streams.push((part.stream.clone(), Version::new(self.version(&stream))));
        }
        let last = Position::new(self.facts.len() as u64);
        let receipt = Receipt { streams, first, last, repeated: false };
        if let Some(command) = append.command {
            self.known.insert(command.id, self.commands.len());
            self.commands.push((command, receipt.clone()));
        }
        receipt
    }

    fn now(&self) -> Moment {
        Moment { facts: self.facts.len(), commands: self.commands.len() }
    }

    /// The staged group was acknowledged.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.facts.len();
        self.groups.push(self.now());
    }

    /// Whether the staged group is known only when the store is opened again.
    pub fn doubt(&mut self) {
        self.groups.push(self.now());
    }

    /// The staged group was refused: it is nowhere.
    pub fn refuse(&mut self) {
        let before = self.groups.last().copied().unwrap_or(Moment { facts: 0, commands: 0 });
        self.cut_to(before);
    }

    fn cut_to(&mut self, moment: Moment) {
        self.facts.truncate(moment.facts);
        self.commands.truncate(moment.commands);
        self.known = self.commands.iter().zip(0..).map(|((command, _), index)| (command.id, index)).collect();
        self.versions.clear();
        for fact in &self.facts {
            self.versions.insert(fact.stream.clone(), fact.version);
        }
    }

    /// Takes what an opening found as what is, if it may be: at least `least` events, and whole groups.
    pub fn adopt(&mut self, found: &[Fact], least: usize, story: &str) {
        let count = found.len();
        assert!(count >= least, "{story}: {count} events are left of {least} that were promised");
        assert!(count <= self.facts.len(), "{story}: {count} events, but only {} were ever written", self.facts.len());
        assert_eq!(found, &self.facts[..count], "{story}: events are not what was appended");
        let end = self.groups.iter().rposition(|group| group.facts == count);
        assert!(count == 0 || end.is_some(), "{story}: {count} events are no whole number of groups {:?}", self.groups);
        self.groups.truncate(end.map_or(0, |end| end + 1));
        let moment = self.groups.last().copied().unwrap_or(Moment { facts: 0, commands: 0 });
        self.cut_to(moment);
        (self.acknowledged, self.synced) = (count, count);
    }

    /// Positions of the selected events that are synced, in the order of a read from `after`.
    pub fn selected(&self, selection: &Selection, after: Position, direction: Direction) -> Vec<u64> {
        let after = after.get();
        self.positions(direction, |position, fact| {
            let beyond = if direction == Direction::Forward { position > after } else { position < after };
            beyond && position <= self.synced() && fact.clause(selection).is_some()
        })
    }

    /// Positions of a stream's events, in the order of a read from this version on.
    pub fn of_stream(&self, stream: &str, from: Version, direction: Direction) -> Vec<u64> {
        let from = from.get();
        self.positions(direction, |_, fact| {
            let beyond = if direction == Direction::Forward { fact.version >= from } else { fact.version <= from };
            beyond && fact.stream == stream
        })
    }

    fn positions(&self, direction: Direction, wanted: impl Fn(u64, &Fact) -> bool) -> Vec<u64> {
        let all = self.facts().iter().enumerate().map(|(index, fact)| (index as u64 + 1, fact));
        let matching = all.filter(|(position, fact)| wanted(*position, fact)).map(|(position, _)| position);
        match direction {
            Direction::Forward => matching.collect(),
            Direction::Backward => matching.rev().collect(),
        }
    }
}
