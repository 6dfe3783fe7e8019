//! Opening: what is there is found out, a torn tail is cut, and nothing is served before it is durable.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, TEMPORARY_SUFFIX, put_file, read_file, read_up_to, remove_if_there, write_all};
use crate::error::{Damage, OpenError};
use crate::format::batch::{BatchHead, GENESIS, Link};
use crate::format::group::{GROUP_HEADER_BYTES, proves_synced};
use crate::format::small::{self, CloseMarker, SegmentHeader, Unusable};
use crate::format::{FORMAT_VERSION, SEGMENT_HEADER_BYTES, mask};
use crate::identity::Identity;
use crate::index::header::Span;
use crate::index::recent::Recent;
use crate::index::run::Run;
use crate::index::write::Unwritten;
use crate::index::{Index, Trouble, UNINDEXED_SEGMENTS_MAX};
use crate::numbers::Position;
use crate::options::{CUT_FILES_MAX, Options};
use crate::restore::UNFINISHED_FILE;
use crate::scan::{Chain, Cursor, Fault, Group, index_group, next_group};
use crate::shared::{Segment, Shared};
use crate::spare::{SPARE_FILE, write_zeros};
use crate::writer::Tail;

pub(crate) const IDENTITY_FILE: &str = "identity";
pub(crate) const CLOSED_FILE: &str = "closed";
const CUT_PREFIX: &str = "cut-";

/// What opening a store found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// There was no store: this one is new.
    pub created: bool,
    /// The store was closed cleanly the last time.
    pub clean: bool,
    /// What was cut from the end of the log: an append that a crash interrupted, acknowledged to nobody.
    pub cut: Option<CutTail>,
    /// Names of the oldest files of earlier cuts, removed because there were more than
    /// [`CUT_FILES_MAX`](crate::CUT_FILES_MAX).
    pub cut_files_removed: Vec<String>,
    /// Groups that were written and synced again, because nothing proved that they had been synced.
    pub rewritten_groups: u64,
    /// Position of the last event.
    pub head: Position,
    /// Number of segments.
    pub segments: u32,
}

/// A torn tail that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutTail {
    /// Number of the segment.
    pub segment: u32,
    /// Where in it the cut was made.
    pub offset: u64,
    /// How many bytes were cut, up to the last one that was not zero.
    pub bytes: u64,
    /// Name of the file in the store's directory that keeps them.
    pub side_file: String,
    /// What was wrong with them.
    pub what: &'static str,
}

/// A recovered log.
pub(crate) struct Recovered {
    pub(crate) shared: Shared,
    pub(crate) tail: Tail,
    pub(crate) report: RecoveryReport,
}

pub(crate) fn unusable(unusable: Unusable, damaged: OpenError) -> OpenError {
    match unusable {
        Unusable::Newer(found) => OpenError::NewerFormat { found, supported: FORMAT_VERSION },
        Unusable::Damaged => damaged,
    }
}

/// Recovers the store of a directory, or makes one.
pub(crate) fn recover(disk_of_store: Arc<dyn Disk>, options: Options) -> Result<Recovered, OpenError> {
    let disk = &*disk_of_store;
    if read_file(disk, UNFINISHED_FILE)?.is_some() {
        return Err(OpenError::UnfinishedRestore);
    }
    let (identity, created) = match read_file(disk, IDENTITY_FILE)? {
        Some(bytes) => {
            let damaged = OpenError::Identity { what: "its file is damaged" };
            (small::decode_identity(&bytes).map_err(|reason| unusable(reason, damaged))?, false)
        }
        None => (create(disk, &options)?, true),
    };
    let marker = match read_file(disk, CLOSED_FILE)? {
        Some(bytes) => match CloseMarker::decode(&bytes, mask(&identity.incarnation, 0)) {
            Ok(marker) => Some(marker),
            Err(Unusable::Newer(found)) => {
                return Err(OpenError::NewerFormat { found, supported: FORMAT_VERSION });
            }
            // Without it the store was not closed cleanly: its last group is proven by being written again.
            Err(Unusable::Damaged) => None,
        },
        None => None,
    };

    let shared = Shared::new(disk_of_store.clone(), options, identity);
    let mut recovery = Recovery::new(&shared)?;
    recovery.load_all()?;
    let clean = recovery.judge_end(marker)?;
    // What is durable already is kept before anything is changed.
    let cut = recovery.cut()?;
    let rewritten_groups = if clean { 0 } else { recovery.rewrite()? };
    for name in disk.list()? {
        let disposable = name == SPARE_FILE || name == CLOSED_FILE || name.ends_with(TEMPORARY_SUFFIX);
        if disposable || recovery.is_replaced(&name) {
            disk.remove(&name)?;
        }
    }
    let cut_files_removed = remove_old_cuts(disk)?;
    // Names too are made durable before anything is served: a segment seen now must be there after the next crash.
    disk.sync_dir()?;

    let Recovery { segments, runs, sealed, recent, cursor, .. } = recovery;
    let segment = segments.last().cloned().ok_or(OpenError::Identity { what: "the log is missing" })?;
    let Cursor { offset, group, head, link } = cursor;
    let report = RecoveryReport {
        created,
        clean,
        cut,
        cut_files_removed,
        rewritten_groups,
        head: Position::new(head),
        segments: segment.number,
    };
    shared.begin_with(segments, Index::new(runs, sealed, recent));
    Ok(Recovered { shared, tail: Tail { segment, offset, group, head, link }, report })
}

/// Makes a store. The log's first segment comes first, so that an identity never stands without its log.
fn create(disk: &dyn Disk, options: &Options) -> Result<Identity, OpenError> {
    remove_unborn(disk)?;
    let identity = Identity::mint(options.entropy)?;
    let size = options.segment_size(1);
    remove_if_there(disk, SPARE_FILE)?;
    let file = disk.create(SPARE_FILE)?;
    write_zeros(&*file, 0, size)?;
    let header = SegmentHeader {
        store: identity.store,
        incarnation: identity.incarnation,
        number: 1,
        size,
        first_group: 1,
        first: 1,
        previous: GENESIS,
    };
    write_all(&*file, &header.encode(), 0).map_err(io::Error::from)?;
    file.sync()?;
    disk.rename(SPARE_FILE, &Segment::file_name(1))?;
    disk.sync_dir()?;
    put_file(disk, IDENTITY_FILE, &small::encode_identity(&identity))?;
    Ok(identity)
}

/// Keeps the files of the newest cuts: those farthest behind in the log, which only grows.
fn remove_old_cuts(disk: &dyn Disk) -> Result<Vec<String>, OpenError> {
    let place = |name: &str| {
        let mut numbers = name.strip_prefix(CUT_PREFIX)?.split('-').map(str::parse::<u64>);
        let place = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next().map_or(Ok(0), |count| count).ok()?);
        numbers.next().is_none().then_some(place)
    };
    let mut cuts: Vec<_> = disk.list()?.into_iter().filter_map(|name| Some((place(&name)?, name))).collect();
    cuts.sort_unstable();
    cuts.truncate(cuts.len().saturating_sub(CUT_FILES_MAX));
    let removed: Vec<String> = cuts.into_iter().map(|(_, name)| name).collect();
    removed.iter().try_for_each(|name| disk.remove(name))?;
    Ok(removed)
}

/// Removes the segment of a store whose making was interrupted; refuses when there is anything in it.
fn remove_unborn(disk: &dyn Disk) -> Result<(), OpenError> {
    let numbers = segment_numbers(disk)?;
    let Some(first) = numbers.first() else {
        return Ok(());
    };
    let name = Segment::file_name(*first);
    let bytes = read_file(disk, &name)?.unwrap_or_default();
    let events = bytes.iter().skip(SEGMENT_HEADER_BYTES as usize).any(|byte| *byte != 0);
    if numbers.len() > 1 || *first != 1 || events {
        return Err(OpenError::Identity { what: "its file is missing, although there is a log" });
    }
    disk.remove(&name)?;
    Ok(disk.sync_dir()?)
}

/// Numbers of the segments there are, in order.
fn segment_numbers(disk: &dyn Disk) -> Result<Vec<u32>, OpenError> {
    let mut numbers: Vec<u32> = disk.list()?.iter().filter_map(|name| Segment::number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

struct Recovery<'a> {
    shared: &'a Shared,
    disk: &'a dyn Disk,
    identity: &'a Identity,
    /// What the index files say that they are of.
    spans: Vec<Span>,
    segments: Vec<Arc<Segment>>,
    /// Index files that are taken as they are.
    runs: Vec<Arc<Run>>,
    /// The index of sealed segments behind those.
    sealed: Vec<Arc<Recent>>,
    /// The index of the last segment loaded.
    recent: Recent,
    cursor: Cursor,
    /// Whose history the last segment loaded is.
    generation: usize,
    /// Bytes of the last segment loaded.
    bytes: Vec<u8>,
    /// Its groups that nothing proved synced yet: their number and offset.
    unproven: VecDeque<(u64, u64)>,
    /// What ended the walk of the last segment loaded, if not zeros.
    fault: Option<Fault>,
}

impl<'a> Recovery<'a> {
    fn new(shared: &'a Shared) -> Result<Self, OpenError> {
        let spans = shared.disk.list()?.iter().filter_map(|name| Span::of_file_name(name)).collect();
        Ok(Recovery {
            shared,
            disk: &*shared.disk,
            identity: &shared.identity,
            spans,
            segments: Vec::new(),
            runs: Vec::new(),
            sealed: Vec::new(),
            recent: Recent::new(1, 1, 0),
            cursor: Cursor::at_segment(1, 1, GENESIS),
            generation: 0,
            bytes: Vec::new(),
            unproven: VecDeque::new(),
            fault: None,
        })
    }

    /// Loads all segments: sealed ones by their index files where these fit, the others by scanning them.
    fn load_all(&mut self) -> Result<(), OpenError> {
        let numbers = segment_numbers(self.disk)?;
        let mut loaded = 0;
        while let Some(number) = numbers.get(loaded) {
            let expected = loaded as u32 + 1;
            if *number != expected {
                return Err(self.damage(expected, 0, "the segment is missing"));
            }
            if !self.load_by_file(*number)? {
                self.load(*number)?;
            }
            loaded = self.segments.len();
        }
        if let Some(active) = self.segments.last() {
            active.activate(self.disk.open(&Segment::file_name(active.number))?);
        }
        Ok(())
    }

    /// Whether a file is an index file that was not taken.
    fn is_replaced(&self, name: &str) -> bool {
        Span::of_file_name(name).is_some() && !self.runs.iter().any(|run| run.name() == name)
    }

    /// Loads segments from this one on by the index file of most of them, if there is one that fits.
    fn load_by_file(&mut self, number: u32) -> Result<bool, OpenError> {
        let mut spans: Vec<Span> = self.spans.iter().filter(|span| span.first == number).copied().collect();
        spans.sort_unstable_by_key(|span| std::cmp::Reverse(span.last));
        for span in spans {
            let found: Option<Vec<(SegmentHeader, u64)>> =
                (span.first..=span.last + 1).map(|number| self.peek(number)).collect::<io::Result<_>>()?;
            // Without a sound segment behind it none is sealed: what is wrong is told by loading them.
            let Some(found) = found else { continue };
            let headers: Vec<SegmentHeader> = found.iter().map(|(header, _)| *header).collect();
            let Some(run) = self.shared.shelf.open(&headers)? else { continue };
            self.admit(&headers[0], number, found[0].1)?;
            self.seal_recent(number);
            // The files come before what is in memory, always. Where there is no space, memory comes instead of them.
            match self.write_sealed(0) {
                Err(OpenError::DiskFull) => return Ok(false),
                written => written?,
            }
            for (header, length) in &found[..headers.len() - 1] {
                let segment = self.admit(header, header.number, *length)?;
                self.segments.push(segment);
                let (next, sealed) = (headers[(header.number - number) as usize + 1], self.cursor.offset);
                self.cursor =
                    Cursor { offset: sealed, group: next.first_group - 1, head: next.first - 1, link: next.previous };
            }
            self.seal_recent(span.last + 1);
            self.runs.push(Arc::new(run));
            self.unproven.clear();
            self.fault = None;
            return Ok(true);
        }
        Ok(false)
    }

    /// The header of a segment and its length, if it is sound by itself.
    fn peek(&self, number: u32) -> io::Result<Option<(SegmentHeader, u64)>> {
        let file = match self.disk.open(&Segment::file_name(number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
        let read = read_up_to(&*file, &mut bytes, 0)?;
        let header = SegmentHeader::decode(&bytes[..read]).ok();
        let header = header.filter(|header| (header.store, header.number) == (self.identity.store, number));
        header.map(|header| Ok((header, file.len()?))).transpose()
    }

    /// What was loaded last is sealed: segment `next` follows it.
    fn seal_recent(&mut self, next: u32) {
        let recent = std::mem::replace(&mut self.recent, Recent::new(next, self.cursor.head + 1, 0));
        if recent.keys() > 0 {
            self.sealed.push(Arc::new(recent));
        }
    }

    /// Writes index files until only so many sealed segments have theirs in memory.
    fn write_sealed(&mut self, left: usize) -> Result<(), OpenError> {
        while self.sealed.len() > left {
            let recent = self.sealed[0].clone();
            let at = recent.segment as usize;
            let next = match self.segments.get(at) {
                Some(next) => Some(next.header),
                None => self.peek(recent.segment + 1)?.map(|(header, _)| header),
            };
            let next = next.ok_or_else(|| self.damage(recent.segment + 1, 0, "header of the segment"))?;
            let headers = [self.segments[at - 1].header, next];
            let run = self.shared.shelf.write_recent(&headers, &recent).map_err(|unwritten| match unwritten {
                Unwritten::Disk(error) | Unwritten::Trouble(Trouble::Disk(error)) => OpenError::from(error),
                _ => OpenError::Io(io::ErrorKind::InvalidData.into()),
            })?;
            self.sealed.remove(0);
            self.runs.push(Arc::new(run));
        }
        Ok(())
    }

    fn damage(&self, segment: u32, offset: u64, what: &'static str) -> OpenError {
        let position = Position::new(self.cursor.head + 1);
        OpenError::Corrupt(Damage { segment, offset, position, what })
    }

    /// Loads a segment into the index, as far as it is sound.
    fn load(&mut self, number: u32) -> Result<(), OpenError> {
        let segment = self.open(number)?;
        self.segments.push(segment.clone());
        self.seal_recent(number);
        self.write_sealed(UNINDEXED_SEGMENTS_MAX)?;
        self.unproven.clear();
        let mut last_batch = None;
        let fault = loop {
            match next_group(&self.bytes, segment.mask, Chain::Skipped, &mut self.cursor) {
                Ok(group) => {
                    last_batch = group.batches.last().copied();
                    self.add(&segment, &group)?;
                }
                Err(fault) => break fault,
            }
        };
        if let Some(at) = last_batch {
            self.cursor.link = self.link_at(&segment, at)?;
        }
        let rest = self.bytes.get(self.cursor.offset as usize..).unwrap_or_default();
        let ended = rest.iter().all(|byte| *byte == 0);
        self.fault = (!ended).then_some(fault);
        Ok(())
    }

    /// Opens a segment, reads it and checks its header against what came before.
    fn open(&mut self, number: u32) -> Result<Arc<Segment>, OpenError> {
        let file = self.disk.open(&Segment::file_name(number))?;
        let length = file.len()?;
        self.bytes.clear();
        self.bytes.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        let read = read_up_to(&*file, &mut self.bytes, 0)?;
        self.bytes.truncate(read);
        let damaged = self.damage(number, 0, "header of the segment");
        let header = SegmentHeader::decode(&self.bytes).map_err(|reason| unusable(reason, damaged))?;
        let segment = self.admit(&header, number, read as u64)?;
        self.bytes.truncate(header.size as usize);
        self.cursor = Cursor::at_segment(header.first_group, header.first, header.previous);
        Ok(segment)
    }

    /// Checks a segment's header against what came before.
    fn admit(&mut self, header: &SegmentHeader, number: u32, length: u64) -> Result<Arc<Segment>, OpenError> {
        if (header.store, header.number) != (self.identity.store, number) {
            return Err(self.damage(number, 0, "a segment of another store"));
        }
        let generation = self.identity.generation(&header.incarnation);
        let Some(generation) = generation.filter(|generation| *generation >= self.generation) else {
            return Err(self.damage(number, 0, "a segment of another incarnation"));
        };
        // A torn write leaves zeros and never a shorter file: segments have their full length before they are used.
        if length < header.size {
            return Err(self.damage(number, length, "the file is shorter than it was made"));
        }
        // The header says where the segment before it ends. What follows there is of no account: a torn tail that was
        // cut, and came back because the power failed before the zeros in its place were synced.
        let Cursor { offset, group, head, link } = self.cursor;
        if (header.first_group, header.first, header.previous) != (group + 1, head + 1, link) {
            let before = number.saturating_sub(1).max(1);
            return Err(match self.fault {
                Some(Fault { offset, position, what }) if header.first_group > group + 1 => {
                    OpenError::Corrupt(Damage { segment: before, offset, position: Position::new(position), what })
                }
                _ => self.damage(before, offset, "the log does not end where the next segment begins"),
            });
        }
        if !self.identity.left_at(self.generation, generation, head, &link) {
            return Err(self.damage(number, 0, "the store was not forked where this segment begins"));
        }
        self.generation = generation;
        Ok(Segment::new(*header, &self.shared.files))
    }

    /// Adds a sound group to the index.
    fn add(&mut self, segment: &Segment, group: &Group) -> Result<(), OpenError> {
        let proven = group.header.synced_through;
        while self.unproven.front().is_some_and(|(number, _)| *number <= proven) {
            self.unproven.pop_front();
        }
        self.unproven.push_back((group.header.number, u64::from(group.header.offset)));
        index_group(&self.shared.keyer, &self.bytes, segment.mask, group, &mut self.recent)
            .map_err(|fault| OpenError::Corrupt(segment.damage(fault.offset, fault.position, fault.what)))
    }

    fn link_at(&self, segment: &Segment, at: u32) -> Result<Link, OpenError> {
        let bytes = &self.bytes[at as usize..];
        let head =
            BatchHead::read(bytes, segment.mask).map_err(|what| self.damage(segment.number, u64::from(at), what))?;
        Ok(head.link(bytes))
    }

    /// Decides whether what ends the log is damage, and whether the store was closed cleanly.
    fn judge_end(&self, marker: Option<CloseMarker>) -> Result<bool, OpenError> {
        let Some(active) = self.segments.last() else {
            return Err(OpenError::Identity { what: "the log is missing" });
        };
        // A restore begins a segment: what is behind the last fork is never in one of a parent's.
        if self.generation < self.identity.forks.len() {
            return Err(self.damage(active.number + 1, 0, "the segment is missing"));
        }
        let refused = |fault: &Fault| OpenError::Corrupt(active.damage(fault.offset, fault.position, fault.what));
        let next_group = self.cursor.group + 1;
        if let Some(fault) = &self.fault
            && proves_synced(&self.bytes, self.cursor.offset as usize, next_group, active.mask)
        {
            return Err(refused(fault));
        }
        let Some(marker) = marker else {
            return Ok(false);
        };
        if marker.group > self.cursor.group {
            // A clean close proves all groups synced: what is missing was acknowledged.
            let missing = Fault {
                offset: self.cursor.offset,
                position: self.cursor.head + 1,
                what: "the log ends before the point where it was closed",
            };
            return Err(refused(self.fault.as_ref().unwrap_or(&missing)));
        }
        let here = (active.number, self.cursor.offset, self.cursor.head, self.cursor.link);
        Ok(self.fault.is_none() && here == (marker.segment, marker.offset, marker.head, marker.link))
    }

    /// Keeps the torn tail in a file of its own and puts zeros in its place.
    fn cut(&self) -> Result<Option<CutTail>, OpenError> {
        let (Some(fault), Some(active)) = (&self.fault, self.segments.last()) else {
            return Ok(None);
        };
        let from = self.cursor.offset as usize;
        let torn = self.bytes.get(from..).unwrap_or_default();
        let length = torn.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let side_file = self.keep(active.number, &torn[..length])?;
        write_zeros(&*active.log(), self.cursor.offset, active.size)?;
        active.log().sync()?;
        Ok(Some(CutTail {
            segment: active.number,
            offset: self.cursor.offset,
            bytes: length as u64,
            side_file,
            what: fault.what,
        }))
    }

    /// Writes cut bytes to a new file, durably, before they are overwritten.
    fn keep(&self, segment: u32, bytes: &[u8]) -> Result<String, OpenError> {
        let base = format!("{CUT_PREFIX}{segment:08}-{}", self.cursor.offset);
        let mut names = std::iter::once(base.clone()).chain((1_u32..).map(|count| format!("{base}-{count}")));
        loop {
            // An opening that crashed here may have left one: it is kept, for it may hold more than this one.
            let name = names.next().ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
            let file = match self.disk.create(&name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error.into()),
            };
            let kept = write_all(&*file, bytes, 0).map_err(io::Error::from).and_then(|()| file.sync());
            if let Err(error) = kept {
                // Who opens a store on a full disk again and again must not leave a file each time.
                let _removed = self.disk.remove(&name);
                return Err(error.into());
            }
            self.disk.sync_dir()?;
            return Ok(name);
        }
    }

    /// Writes the groups that nothing proves synced once more: after a failed sync the page cache shows bytes that
    /// the disk does not have, and a second sync alone would not write them.
    fn rewrite(&self) -> Result<u64, OpenError> {
        let (Some((_, from)), Some(active)) = (self.unproven.front(), self.segments.last()) else {
            return Ok(0);
        };
        assert!(*from + GROUP_HEADER_BYTES as u64 <= self.cursor.offset, "a group has a header");
        let bytes = &self.bytes[*from as usize..self.cursor.offset as usize];
        write_all(&*active.log(), bytes, *from).map_err(io::Error::from)?;
        active.log().sync()?;
        Ok(self.unproven.len() as u64)
    }
}
