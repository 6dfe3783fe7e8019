//! The writer as a step function: a group of requests in, their answers out, one sync between.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::append::{CommandRecord, KnownCommand, Receipt};
use crate::disk::write_all;
use crate::error::{AppendError, ReadError, is_full};
use crate::format::SEGMENT_HEADER_BYTES;
use crate::format::batch::{self, Link};
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::format::small::{CloseMarker, SegmentHeader};
use crate::index::BatchPlace;
use crate::lookup::{self, Bounded, Looked};
use crate::names::StreamName;
use crate::numbers::{Position, Version};
use crate::options::Drive;
use crate::queue::Request;
use crate::read;
use crate::select;
use crate::selection::{Boundary, Selection};
use crate::shared::{Segment, Shared};
use crate::spare::{SPARE_FILE, Spare, write_zeros};
use crate::syncing::Syncing;

/// Where the log goes on.
pub(crate) struct Tail {
    pub(crate) segment: Arc<Segment>,
    /// Where the next group goes.
    pub(crate) offset: u64,
    /// Number of the last group.
    pub(crate) group: u64,
    /// Position of the last event.
    pub(crate) head: u64,
    /// Hash of the last batch.
    pub(crate) link: Link,
}

impl Tail {
    /// The same, as it is stored.
    pub(crate) fn end(&self) -> CloseMarker {
        let Tail { segment, offset, group, head, link } = self;
        CloseMarker { segment: segment.number, offset: *offset, group: *group, head: *head, link: *link }
    }
}

/// Why a group was not written.
enum Failure {
    /// No space; nothing of the group is in the log.
    Full,
    /// A write or sync failed: nothing is known of the group, and nothing may be written any more.
    Broken(Arc<io::Error>),
    /// Too many sealed segments have no index file, and none can be written; nothing of the group is in the log.
    Unindexed(Arc<io::Error>),
}

impl Failure {
    fn answer(&self) -> AppendError {
        match self {
            Failure::Full => AppendError::DiskFull,
            Failure::Broken(error) => AppendError::Poisoned(error.clone()),
            Failure::Unindexed(error) if is_full(error) => AppendError::DiskFull,
            Failure::Unindexed(error) => AppendError::Unavailable(error.clone()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Failure::Full } else { Failure::Broken(Arc::new(error)) }
    }
}

/// A request that passed all conditions, in the group but not yet written.
struct Staged {
    /// Which of the group's requests.
    request: usize,
    /// Where it stands in the group's buffer.
    at: usize,
    first: u64,
}

type Verdict = Result<Receipt, AppendError>;

/// Judges, writes, syncs. It owns the tail of the log.
pub(crate) struct Writer {
    tail: Tail,
    spare: Arc<Spare>,
    syncing: Arc<Syncing>,
    /// Set while a step runs: found set at the next, the step before panicked.
    in_step: bool,
    buffer: Vec<u8>,
    staged: Vec<Staged>,
    /// Hash of the last staged batch.
    staged_link: Link,
    /// Versions of streams as the staged requests leave them.
    versions: HashMap<StreamName, u64>,
    /// Staged commands: fingerprint, and which request.
    commands: HashMap<[u8; 16], ([u8; 16], usize)>,
    last_sync: Duration,
}

impl Writer {
    pub(crate) fn new(tail: Tail, spare: Arc<Spare>, syncing: Arc<Syncing>) -> Self {
        Writer {
            tail,
            spare,
            syncing,
            in_step: false,
            buffer: Vec::new(),
            staged: Vec::new(),
            staged_link: batch::GENESIS,
            versions: HashMap::new(),
            commands: HashMap::new(),
            last_sync: Duration::ZERO,
        }
    }

    /// How long the last write and sync took.
    pub(crate) fn last_sync(&self) -> Duration {
        self.last_sync
    }

    /// Why nothing may be written any more, if so.
    pub(crate) fn broken(&self) -> Option<Arc<io::Error>> {
        if self.in_step {
            self.syncing.break_off(Arc::new(io::Error::other("the writer panicked")));
        }
        self.syncing.broken()
    }

    /// Judges a group, writes and syncs what is accepted (in the weaker modes of [`Durability`](crate::Durability)
    /// only writes it), makes it visible and answers everyone.
    pub(crate) fn step(&mut self, shared: &Shared, group: &mut Vec<Request>) {
        let broken = self.broken();
        self.in_step = true;
        let mut verdicts = match broken {
            Some(error) => vec![Err(AppendError::Poisoned(error)); group.len()],
            None => self.judge(shared, group),
        };
        if !self.staged.is_empty() {
            match self.commit(shared, group) {
                Ok(()) => self.publish(shared, group),
                Err(failure) => {
                    if let Failure::Broken(error) = &failure {
                        self.syncing.break_off(error.clone());
                    }
                    // Refusals and repeats too: they may rest on staged requests that are now gone.
                    verdicts.fill_with(|| Err(failure.answer()));
                }
            }
        }
        self.staged.clear();
        self.versions.clear();
        self.commands.clear();
        self.in_step = false;
        let answers = group.drain(..).zip(verdicts).filter_map(|(request, verdict)| request.answer.give(verdict));
        let wakers: Vec<Waker> = answers.collect();
        // All answers are there before the first of them wakes anyone: who wakes finds its neighbours done.
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Judges each request against the log and those staged before it, and stages what passes.
    fn judge(&mut self, shared: &Shared, group: &[Request]) -> Vec<Verdict> {
        self.buffer.clear();
        self.buffer.resize(GROUP_HEADER_BYTES, 0);
        let (mut head, mut link) = (self.tail.head, self.tail.link);
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(group.len());
        for (number, request) in group.iter().enumerate() {
            let verdict = match self.known(shared, request, &verdicts) {
                Some(verdict) => verdict,
                None => self.conditions(shared, request, head).map(|bases| {
                    let at = self.buffer.len();
                    let first = head + 1;
                    link = batch::place(&request.batch, first, bases.iter().copied(), &link, &mut self.buffer);
                    head += u64::from(request.batch.events);
                    self.staged.push(Staged { request: number, at, first });
                    self.receipt(request, number, &bases, first)
                }),
            };
            verdicts.push(verdict);
        }
        self.staged_link = link;
        verdicts
    }

    /// The verdict on a command that was seen before, in the log or in this group.
    fn known(&self, shared: &Shared, request: &Request, verdicts: &[Verdict]) -> Option<Verdict> {
        let command = request.command?;
        let (fingerprint, receipt) = match self.commands.get(&command.id) {
            Some((fingerprint, number)) => {
                let receipt = verdicts[*number].clone().map(|receipt| Receipt { repeated: true, ..receipt });
                (*fingerprint, receipt)
            }
            None => match self.logged(shared, request, &command) {
                Ok(None) => return None,
                Ok(Some(known)) => (known.fingerprint, Ok(known.receipt)),
                Err(error) => return Some(Err(error.into())),
            },
        };
        let same = fingerprint == command.fingerprint;
        Some(if same { receipt } else { Err(AppendError::CommandIdReused { id: command.id }) })
    }

    /// What the log knows of a command: in memory, or in files as far as they were not looked at before.
    fn logged(
        &self,
        shared: &Shared,
        request: &Request,
        command: &CommandRecord,
    ) -> Result<Option<KnownCommand>, ReadError> {
        if let Some(known) = &request.looked.command {
            return Ok(Some(known.clone()));
        }
        let Some(key) = request.keys.command else {
            return Ok(None);
        };
        let index = shared.index();
        let (recent, looked_at_all) = (index.recent_command(key), index.runs_through() == request.looked.through);
        drop(index);
        match recent {
            Some(place) => read::command_at(shared, &place, &command.id).map(Some),
            None if looked_at_all => Ok(None),
            None => read::command(shared, &command.id),
        }
    }

    /// Versions of the request's streams before it, if these and the boundary are as expected.
    fn conditions(&self, shared: &Shared, request: &Request, head: u64) -> Result<Vec<u64>, AppendError> {
        let bases = self.bases(shared, request)?;
        let Some(bounded) = &request.bounded else {
            return Ok(bases);
        };
        let Boundary { selection, after } = &bounded.boundary;
        if after.get() > head {
            return Err(AppendError::BoundaryBeyondHead { after: *after, head: Position::new(head) });
        }
        let crossed = match logged_behind(shared, bounded, &request.looked)? {
            Some(found) => {
                let clause = select::clause_at(shared, selection, found)?;
                Some((clause, found))
            }
            None => self.staged_behind(selection, *after),
        };
        match crossed {
            Some((clause, found)) => Err(AppendError::BoundaryCrossed { clause, after: *after, found }),
            None => Ok(bases),
        }
    }

    /// The earliest staged event behind a position that a selection matches, and the first clause that does.
    fn staged_behind(&self, selection: &Selection, after: Position) -> Option<(usize, Position)> {
        self.staged.iter().find_map(|staged| {
            let records = batch::placed_records(&self.buffer[staged.at..]);
            records.zip(staged.first..).filter(|(_, position)| *position > after.get()).find_map(
                |(record, position)| {
                    let clause = selection.first_match(batch::name(record), batch::tags(record));
                    clause.map(|clause| (clause, Position::new(position)))
                },
            )
        })
    }

    /// Versions of the request's streams before it, if all are as expected.
    fn bases(&self, shared: &Shared, request: &Request) -> Result<Vec<u64>, AppendError> {
        let mut bases = Vec::with_capacity(request.streams.len());
        for (number, (stream, expected, _)) in request.streams.iter().enumerate() {
            let actual = match self.versions.get(stream) {
                Some(staged) => *staged,
                None => self.logged_version(shared, request, number)?,
            };
            let actual = Version::new(actual);
            if !expected.is_met_by(actual) {
                return Err(AppendError::Conflict { stream: stream.clone(), expected: *expected, actual });
            }
            bases.push(actual.get());
        }
        Ok(bases)
    }

    /// Version of a request's stream in the log: in memory, or in files as far as they were not looked at before.
    fn logged_version(&self, shared: &Shared, request: &Request, number: usize) -> Result<u64, ReadError> {
        let (key, looked) = (request.keys.streams[number].key, &request.looked);
        let index = shared.index();
        let (recent, through) = (index.recent_version(key), index.runs_through());
        drop(index);
        match (recent, looked.versions.get(number).copied().flatten()) {
            (Some(version), _) => Ok(version),
            (None, Some(version)) if through == looked.through => Ok(version),
            (None, None) if through == 0 => Ok(0),
            (None, _) => lookup::version(shared, key),
        }
    }

    /// The receipt of a staged request; later requests of the group see what it leaves.
    fn receipt(&mut self, request: &Request, number: usize, bases: &[u64], first: u64) -> Receipt {
        let mut streams = Vec::with_capacity(bases.len());
        for ((stream, _, events), base) in request.streams.iter().zip(bases) {
            let version = base + u64::from(*events);
            self.versions.insert(stream.clone(), version);
            streams.push((stream.clone(), Version::new(version)));
        }
        if let Some(command) = request.command {
            self.commands.insert(command.id, (command.fingerprint, number));
        }
        let last = first + u64::from(request.batch.events) - 1;
        Receipt { streams, first: Position::new(first), last: Position::new(last), repeated: false }
    }

    /// Writes the staged requests as one group, and syncs it unless the answers need not wait for that.
    fn commit(&mut self, shared: &Shared, group: &[Request]) -> Result<(), Failure> {
        let length = self.buffer.len() as u64;
        if self.tail.offset + length > self.tail.segment.size {
            self.roll(shared, length)?;
        }
        let Tail { segment, offset, group: number, head, .. } = &self.tail;
        let events = self.staged.iter().map(|staged| group[staged.request].batch.events).sum();
        let header = GroupHeader {
            length: length as u32,
            offset: *offset as u32,
            number: number + 1,
            synced_through: self.syncing.group(),
            first: head + 1,
            batches: self.staged.len() as u32,
            events,
        };
        header.write(&mut self.buffer, segment.mask);
        for staged in &self.staged {
            batch::seal(&group[staged.request].batch, &mut self.buffer[staged.at..], segment.mask);
        }
        assert!(offset + length <= segment.size, "a group never grows a segment");
        let started = Instant::now();
        if let Err(partial) = write_all(&*segment.log(), &self.buffer, *offset) {
            if is_full(&partial.error) && self.erase(partial.written).is_ok() {
                return Err(Failure::Full);
            }
            return Err(Failure::Broken(Arc::new(partial.error)));
        }
        if shared.options.durability.sync_delay().is_none() {
            segment.log().sync().map_err(|error| Failure::Broken(Arc::new(error)))?;
        }
        self.last_sync = started.elapsed();
        Ok(())
    }

    /// Takes back what was written of a group, so that it is not found after a crash although it was refused.
    fn erase(&self, written: usize) -> io::Result<()> {
        if written == 0 {
            return Ok(());
        }
        let _alone = self.syncing.alone();
        let Tail { segment, offset, .. } = &self.tail;
        let erased = write_zeros(&*segment.log(), *offset, offset + written as u64).and_then(|()| segment.log().sync());
        // Before anybody else may sync: the error is told only once.
        erased.inspect_err(|error| self.syncing.break_off(Arc::new(io::Error::new(error.kind(), error.to_string()))))
    }

    /// Goes on in a new segment that has room for a group of this length.
    fn roll(&mut self, shared: &Shared, length: u64) -> Result<(), Failure> {
        shared.upkeep.make_room(shared).map_err(|error| Failure::Unindexed(Arc::new(error)))?;
        // A segment's header says that everything before it is synced.
        self.syncing.sync(shared).map_err(Failure::Broken)?;
        self.syncing.ensure_head_file(shared);
        let number = self.tail.segment.number + 1;
        let least = (SEGMENT_HEADER_BYTES + length).next_multiple_of(4096);
        let helped = shared.options.drive == Drive::Threads;
        let wanted = shared.options.segment_size(number);
        let (file, size) = self.spare.take(&*shared.disk, least, wanted, helped)?;
        let header = SegmentHeader {
            store: shared.identity.store,
            incarnation: shared.identity.incarnation,
            number,
            size,
            first_group: self.tail.group + 1,
            first: self.tail.head + 1,
            previous: self.tail.link,
        };
        write_all(&*file, &header.encode(), 0).map_err(|partial| Failure::from(partial.error))?;
        file.sync()?;
        let name = Segment::file_name(number);
        shared.disk.rename(SPARE_FILE, &name)?;
        // From here on a failure breaks: whether the segment keeps its name is not known.
        let broken = |error| Failure::Broken(Arc::new(error));
        shared.disk.sync_dir().map_err(broken)?;
        // A handle of its own: errors of the helper's syncs and the writer's are never taken for one another.
        let file = shared.disk.open(&name).map_err(broken)?;
        let segment = Segment::new(header, &shared.files);
        segment.activate(file);
        shared.add_segment(segment.clone());
        self.tail.segment.seal();
        self.tail.segment = segment;
        self.tail.offset = SEGMENT_HEADER_BYTES;
        Ok(())
    }

    /// Makes a group visible: to everybody when it is synced, else to decisions.
    fn publish(&mut self, shared: &Shared, group: &[Request]) {
        let mut index = shared.index_mut();
        for staged in &self.staged {
            let request = &group[staged.request];
            let place = BatchPlace {
                first: staged.first,
                segment: self.tail.segment.number,
                offset: (self.tail.offset + staged.at as u64) as u32,
                length: request.batch.bytes.len() as u32,
                events: request.batch.events as u16,
            };
            let bases = batch::bases(&request.batch, &self.buffer[staged.at..], request.streams.len());
            index.add(place, &request.keys, bases);
        }
        let (head, unindexed) = (index.head(), index.sealed().len());
        drop(index);
        if unindexed > 0 && shared.options.drive == Drive::Threads {
            shared.upkeep.want();
        }
        self.tail.link = self.staged_link;
        self.tail.offset += self.buffer.len() as u64;
        self.tail.group += 1;
        self.tail.head = head.get();
        match shared.options.durability.sync_delay() {
            None => self.syncing.synced(shared, self.marker()),
            Some(_) => self.syncing.wrote(self.tail.segment.clone(), self.marker()),
        }
        if self.tail.offset * 2 > self.tail.segment.size && shared.options.drive == Drive::Threads {
            self.spare.want(shared.options.segment_size(self.tail.segment.number + 1));
        }
    }

    /// Where the log ends, for the marker of a clean close.
    pub(crate) fn marker(&self) -> CloseMarker {
        self.tail.end()
    }
}

/// The first position behind a boundary that the log says is matched.
fn logged_behind(shared: &Shared, bounded: &Bounded, looked: &Looked) -> Result<Option<Position>, ReadError> {
    if let Some(crossed) = looked.crossed {
        return Ok(Some(Position::new(crossed)));
    }
    let after = bounded.boundary.after;
    let index = shared.index();
    if index.runs_through() == looked.through {
        return lookup::crossed_in_memory(&index, &bounded.clauses, after);
    }
    drop(index);
    loop {
        let mut through = 0;
        let crossed = lookup::repairing(shared, || {
            let index = shared.index();
            let runs = index.runs().clone();
            through = index.runs_through();
            drop(index);
            lookup::crossed_in(&runs, &bounded.clauses, after)
        })?;
        if let Some(crossed) = crossed {
            return Ok(Some(Position::new(crossed)));
        }
        let index = shared.index();
        // What went from memory into a file in between was in neither.
        if index.runs_through() == through {
            return lookup::crossed_in_memory(&index, &bounded.clauses, after);
        }
    }
}
