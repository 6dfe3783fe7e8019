//! What the writer and the readers of an open store share.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, ReadError};
use crate::identity::Identity;
use crate::index::Index;
use crate::numbers::Position;
use crate::options::Options;
use crate::subscribe::Announcer;

/// An open segment of the log.
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) size: u64,
    pub(crate) mask: u32,
    pub(crate) file: Arc<dyn DiskFile>,
}

impl Segment {
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
        let read = crate::disk::read_up_to(&*self.file, buffer, offset)?;
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
    /// Holds what is written and may be read by decisions; everybody else sees what is synced of it. Locked for look-ups and for adding a group, never during a write or sync.
    pub(crate) index: RwLock<Index>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) closed: AtomicBool,
}

impl Shared {
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
