//! Progress that is not derived: of relays, reactors and process managers. Outside the log, synced.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::{DiskFile, TEMPORARY_SUFFIX, read_file, remove_if_there, write_all};
use crate::error::is_full;
use crate::format::small::{ProgressSlot, SMALL_HEADER_BYTES, Unusable};
use crate::format::{FORMAT_VERSION, mask};
use crate::names;
use crate::options::{PROGRESS_BYTES_MAX, PROGRESS_NAME_BYTES_MAX};
use crate::shared::{Shared, lock};
use crate::spare::write_zeros;

/// Bytes of one slot: room for the largest, in whole sectors, so that writing one never touches the other.
const SLOT_BYTES: usize =
    (SMALL_HEADER_BYTES + 24 + PROGRESS_NAME_BYTES_MAX + PROGRESS_BYTES_MAX).next_multiple_of(4096);

/// What is recorded under a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Raised by each claim: who holds a lower one is fenced. Zero when nobody claimed it yet.
    pub epoch: u64,
    /// What the last advance recorded.
    pub value: Option<Vec<u8>>,
}

/// Why progress was not read or recorded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ProgressError {
    /// Another owner claimed it: stand down.
    Fenced {
        /// The epoch of the caller.
        epoch: u64,
        /// The epoch it is at.
        current: u64,
    },
    /// It is not at the value the caller last knew: load it again.
    Moved {
        /// What is recorded.
        current: Option<Vec<u8>>,
    },
    /// The name is empty, too long or holds control characters.
    InvalidName,
    /// The value is over [`PROGRESS_BYTES_MAX`].
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// Both copies on disk are damaged.
    Corrupt {
        /// Name of the file in the store's directory.
        file: String,
    },
    /// It was written by a newer version of this program.
    NewerFormat {
        /// Name of the file in the store's directory.
        file: String,
        /// Format of the file.
        found: u32,
        /// Newest format this program reads.
        supported: u32,
    },
    /// The disk is full: nothing was recorded; try again once there is space.
    DiskFull,
    /// The disk failed. After a failed write this name stays unavailable until the store is opened again: only then
    /// is it known what was recorded.
    Unavailable(Arc<io::Error>),
    /// The store is closed.
    Closed,
}

impl fmt::Display for ProgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProgressError::Fenced { epoch, current } => {
                write!(f, "fenced: epoch {epoch} was displaced by epoch {current}")
            }
            ProgressError::Moved { .. } => f.write_str("the recorded progress is not the one expected"),
            ProgressError::InvalidName => {
                write!(f, "a progress name has 1 to {PROGRESS_NAME_BYTES_MAX} bytes and no control characters")
            }
            ProgressError::TooLarge { bytes } => {
                write!(f, "the progress value has {bytes} bytes, the limit is {PROGRESS_BYTES_MAX}")
            }
            ProgressError::Corrupt { file } => write!(
                f,
                "both copies in {file} are damaged: delete it in the store's folder to start from the beginning"
            ),
            ProgressError::NewerFormat { file, found, supported } => {
                write!(f, "{file} has format {found}; this program reads up to {supported}")
            }
            ProgressError::DiskFull => f.write_str("the disk is full"),
            ProgressError::Unavailable(error) => {
                write!(f, "progress cannot be read or recorded: {error}")
            }
            ProgressError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for ProgressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProgressError::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ProgressError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { ProgressError::DiskFull } else { ProgressError::Unavailable(Arc::new(error)) }
    }
}

/// All progress records that were asked for since the store was opened.
#[derive(Default)]
pub(crate) struct ProgressBook {
    records: Mutex<HashMap<String, Arc<Mutex<Record>>>>,
}

/// One name's record.
#[derive(Default)]
struct Record {
    /// Absent until the name is claimed or advanced for the first time.
    file: Option<Arc<dyn DiskFile>>,
    write: u64,
    progress: Progress,
    broken: Option<Arc<io::Error>>,
}

impl ProgressBook {
    pub(crate) fn get(&self, shared: &Shared, name: &str) -> Result<Progress, ProgressError> {
        Ok(lock(&*self.record(shared, name)?).progress.clone())
    }

    pub(crate) fn claim(&self, shared: &Shared, name: &str) -> Result<Progress, ProgressError> {
        let record = self.record(shared, name)?;
        let mut record = lock(&record);
        let next = Progress { epoch: record.progress.epoch + 1, value: record.progress.value.clone() };
        record.put(shared, name, next)?;
        Ok(record.progress.clone())
    }

    pub(crate) fn advance(
        &self,
        shared: &Shared,
        name: &str,
        epoch: u64,
        previous: Option<&[u8]>,
        next: &[u8],
    ) -> Result<(), ProgressError> {
        if next.len() > PROGRESS_BYTES_MAX {
            return Err(ProgressError::TooLarge { bytes: next.len() });
        }
        let record = self.record(shared, name)?;
        let mut record = lock(&record);
        if epoch != record.progress.epoch {
            return Err(ProgressError::Fenced { epoch, current: record.progress.epoch });
        }
        if previous != record.progress.value.as_deref() {
            return Err(ProgressError::Moved { current: record.progress.value.clone() });
        }
        record.put(shared, name, Progress { epoch, value: Some(next.to_vec()) })
    }

    /// Waits for what is being recorded. The store is marked as closed: nothing is recorded after that.
    pub(crate) fn finish(&self) {
        for record in lock(&self.records).values() {
            drop(lock(record));
        }
    }

    fn record(&self, shared: &Shared, name: &str) -> Result<Arc<Mutex<Record>>, ProgressError> {
        shared.check_open().map_err(|_| ProgressError::Closed)?;
        names::check(name, "a progress name", 1, PROGRESS_NAME_BYTES_MAX).map_err(|_| ProgressError::InvalidName)?;
        let mut records = lock(&self.records);
        if let Some(record) = records.get(name) {
            return Ok(record.clone());
        }
        let record = Arc::new(Mutex::new(Record::load(shared, name)?));
        records.insert(name.to_owned(), record.clone());
        Ok(record)
    }
}

fn file_name(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("progress-{}", &hash.as_str()[..32])
}

/// Whether a file of this name holds a progress record.
pub(crate) fn is_file_name(name: &str) -> bool {
    let hash = name.strip_prefix("progress-").unwrap_or_default();
    hash.len() == 32 && hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The slot of a record's file that holds.
pub(crate) fn slot_of(file: &str, bytes: &[u8], mask: u32) -> Result<ProgressSlot, Unusable> {
    let mut holds: Option<ProgressSlot> = None;
    for slot in [bytes.get(..SLOT_BYTES), bytes.get(SLOT_BYTES..)].into_iter().flatten() {
        match ProgressSlot::decode(slot, mask) {
            Ok(slot) if file_name(&slot.name) != file => {}
            Ok(slot) if holds.as_ref().is_none_or(|known| known.write < slot.write) => holds = Some(slot),
            Ok(_) | Err(Unusable::Damaged) => {}
            Err(newer) => return Err(newer),
        }
    }
    holds.ok_or(Unusable::Damaged)
}

/// All bytes of a record's file that holds nothing but this slot.
pub(crate) fn file_of(slot: &ProgressSlot, mask: u32) -> Vec<u8> {
    let mut bytes = vec![0; 2 * SLOT_BYTES];
    let at = (slot.write % 2) as usize * SLOT_BYTES;
    let slot = slot.encode(mask);
    bytes[at..at + slot.len()].copy_from_slice(&slot);
    bytes
}

impl Record {
    fn load(shared: &Shared, name: &str) -> Result<Record, ProgressError> {
        let file_name = file_name(name);
        let Some(bytes) = read_file(&*shared.disk, &file_name)? else {
            return Ok(Record::default());
        };
        let mask = mask(&shared.identity.incarnation, 0);
        let slot = match slot_of(&file_name, &bytes, mask) {
            Ok(slot) => slot,
            Err(Unusable::Damaged) => return Err(ProgressError::Corrupt { file: file_name }),
            Err(Unusable::Newer(found)) => {
                return Err(ProgressError::NewerFormat { file: file_name, found, supported: FORMAT_VERSION });
            }
        };
        let file = shared.disk.open(&file_name)?;
        // What a failed sync left in the page cache is made durable before anyone acts on it: in its place, for the
        // other slot is the only one that is surely on the disk until then.
        let offset = (slot.write % 2) * SLOT_BYTES as u64;
        write_all(&*file, &slot.encode(mask), offset).map_err(io::Error::from)?;
        file.sync()?;
        let progress = Progress { epoch: slot.epoch, value: slot.value };
        Ok(Record { file: Some(file), write: slot.write, progress, broken: None })
    }

    /// Records `next` durably.
    fn put(&mut self, shared: &Shared, name: &str, next: Progress) -> Result<(), ProgressError> {
        // Again, now that the record is locked: the store may be another process's by now.
        shared.check_open().map_err(|_| ProgressError::Closed)?;
        if let Some(error) = &self.broken {
            return Err(ProgressError::Unavailable(error.clone()));
        }
        let write = self.write + 1;
        let slot = ProgressSlot { write, epoch: next.epoch, name: name.to_owned(), value: next.value.clone() };
        let bytes = slot.encode(mask(&shared.identity.incarnation, 0));
        assert!(bytes.len() <= SLOT_BYTES, "a slot has room for the largest value");
        match &self.file {
            None => self.file = Some(create(shared, name, &bytes)?),
            Some(file) => {
                // The slot that does not hold: a torn write of it leaves the other as it was.
                let offset = (write % 2) * SLOT_BYTES as u64;
                let written = match write_all(&**file, &bytes, offset) {
                    Err(partial) if is_full(&partial.error) && erase(&**file, offset, partial.written).is_ok() => {
                        return Err(ProgressError::DiskFull);
                    }
                    written => written.map_err(io::Error::from),
                };
                if let Err(error) = written.and_then(|()| file.sync()) {
                    let error = Arc::new(error);
                    self.broken = Some(error.clone());
                    return Err(ProgressError::Unavailable(error));
                }
            }
        }
        self.write = write;
        self.progress = next;
        Ok(())
    }
}

/// Takes back what was written of a slot, so that it is not found later although it was refused.
fn erase(file: &dyn DiskFile, offset: u64, written: usize) -> io::Result<()> {
    if written == 0 {
        return Ok(());
    }
    write_zeros(file, offset, offset + written as u64)?;
    file.sync()
}

/// Makes a record's file with its first slot, durably.
fn create(shared: &Shared, name: &str, slot: &[u8]) -> Result<Arc<dyn DiskFile>, ProgressError> {
    let disk = &*shared.disk;
    let file_name = file_name(name);
    let temporary = format!("{file_name}{TEMPORARY_SUFFIX}");
    remove_if_there(disk, &temporary)?;
    let file = disk.create(&temporary)?;
    write_zeros(&*file, 0, 2 * SLOT_BYTES as u64)?;
    // The first write has number 1.
    write_all(&*file, slot, SLOT_BYTES as u64).map_err(io::Error::from)?;
    file.sync()?;
    disk.rename(&temporary, &file_name)?;
    disk.sync_dir()?;
    Ok(file)
}
