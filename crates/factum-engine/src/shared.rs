//! What the writer and the readers of an open store share.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, ReadError};
use crate::files::{Files, ReadFile};
use crate::format::mask;
use crate::format::small::SegmentHeader;
use crate::identity::Identity;
use crate::index::Index;
use crate::index::key::Keyer;
use crate::index::recent::Recent;
use crate::index::shelf::Shelf;
use crate::index::upkeep::Upkeep;
use crate::numbers::Position;
use crate::options::Options;
use crate::subscribe::Announcer;

/// A segment of the log.
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) size: u64,
    pub(crate) mask: u32,
    pub(crate) header: SegmentHeader,
    file: Arc<ReadFile>,
    /// The writer's handle, which readers never use: an error of a sync is told to one handle, and must be told to the
    /// one that writes. Closed when the segment is sealed.
    log: RwLock<Option<Arc<dyn DiskFile>>>,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, files: &Arc<Files>) -> Arc<Segment> {
        let SegmentHeader { number, size, .. } = header;
        let mask = mask(&header.incarnation, number);
        let file = files.file(Segment::file_name(number));
        Arc::new(Segment { number, size, mask, header, file, log: RwLock::new(None) })
    }

    /// From now on it is written to, by this handle.
    pub(crate) fn activate(&self, log: Arc<dyn DiskFile>) {
        *self.log.write().unwrap_or_else(PoisonError::into_inner) = Some(log);
    }

    /// From now on it is only read. All of it must be synced.
    pub(crate) fn seal(&self) {
        *self.log.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The handle to write and sync with.
    pub(crate) fn log(&self) -> Arc<dyn DiskFile> {
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        log.clone().expect("only the active segment is written to")
    }

    pub(crate) fn file_name(number: u32) -> String {
        format!("segment-{number:08}.log")
    }

    /// Number of the segment a file of this name holds.
    pub(crate) fn number_of(file_name: &str) -> Option<u32> {
        let number = file_name.strip_prefix("segment-")?.strip_suffix(".log")?;
        number.parse().ok().filter(|number| Segment::file_name(*number) == file_name)
    }

    pub(crate) fn damage(&self, offset: u64, position: u64, what: &'static str) -> Damage {
        Damage { segment: self.number, offset, position: Position::new(position), what }
    }

    /// Fills `buffer` from the log; damage when the file ends before.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64, position: u64) -> Result<(), ReadError> {
        let read = crate::disk::read_up_to(&*self.file.handle()?, buffer, offset)?;
        if read < buffer.len() {
            return Err(self.damage(offset, position, "the file ends too early").into());
        }
        Ok(())
    }
}

/// The parts of an open store that need no writer.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    /// Segment n at n − 1.
    pub(crate) segments: RwLock<Vec<Arc<Segment>>>,
    /// Holds what is written and may be read by decisions; everybody else sees what is synced of it. Locked for
    /// look-ups in memory and for adding a group, never while a disk is waited for.
    pub(crate) index: RwLock<Index>,
    pub(crate) keyer: Keyer,
    pub(crate) files: Arc<Files>,
    pub(crate) shelf: Shelf,
    pub(crate) upkeep: Upkeep,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) closed: AtomicBool,
}

impl Shared {
    /// Of a store whose log is not looked at yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, options: Options, identity: Identity) -> Shared {
        let files = Files::new(disk.clone());
        let shelf = Shelf::new(disk.clone(), files.clone(), &identity, options.index_cache_bytes);
        Shared {
            index: RwLock::new(Index::new(Vec::new(), Vec::new(), Recent::new(1, 1, 0))),
            keyer: Keyer::new(&identity.key),
            segments: RwLock::default(),
            announcer: Announcer::new(Position::ZERO),
            closed: AtomicBool::new(false),
            upkeep: Upkeep::default(),
            files,
            shelf,
            disk,
            options,
            identity,
        }
    }

    /// Takes in what was found of the log.
    pub(crate) fn begin_with(&self, segments: Vec<Arc<Segment>>, index: Index) {
        self.announcer.announce(index.head());
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = segments;
        *self.index_mut() = index;
    }

    pub(crate) fn check_open(&self) -> Result<(), ReadError> {
        if self.closed.load(Ordering::Acquire) { Err(ReadError::Closed) } else { Ok(()) }
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segment(&self, number: u32) -> Result<Arc<Segment>, ReadError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let place = (number as usize).checked_sub(1).and_then(|place| segments.get(place));
        place.cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
    }

    /// Number of the segment that holds a position; of the first for none.
    pub(crate) fn segment_of(&self, position: u64) -> u32 {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.partition_point(|segment| segment.header.first <= position).max(1) as u32
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.push(segment);
        assert_eq!(segments.len(), segments[segments.len() - 1].number as usize, "segments are dense");
    }
}

/// Locks over a panic elsewhere: each use says itself why what it protects is sound then.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
