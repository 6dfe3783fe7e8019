//! Restoring a cold copy: the same history up to its end, under a new incarnation.

mod error;
mod survey;

use std::io;
use std::path::Path;

pub use self::error::RestoreError;
pub use self::survey::LeftBehind;
use self::survey::{Stretch, Survey, read_segment, survey};
use crate::disk::{Disk, StdDisk, TEMPORARY_SUFFIX, put_file, remove_if_there, write_all};
use crate::engine::LOCK_FILE;
use crate::error::{Damage, OpenError};
use crate::format::small::{self, CloseMarker, SegmentHeader, Unusable};
use crate::format::{SEGMENT_HEADER_BYTES, mask};
use crate::head::{HEAD_FILE, HeadFile};
use crate::identity::{Fork, Identity};
use crate::numbers::Position;
use crate::options::Options;
use crate::progress;
use crate::recovery::IDENTITY_FILE;
use crate::scan::{Chain, Cursor, next_group};
use crate::shared::Segment;
use crate::spare::write_zeros;

/// Times a store may be restored from a restored one.
pub const FORKS_MAX: usize = 1_024;

/// Stands in a directory while a store is restored into it.
pub(crate) const UNFINISHED_FILE: &str = "restoring";
/// What is written in it, for people who look.
const UNFINISHED_TEXT: &[u8] = b"A store is being restored into this directory. If no process does, restore again.\n";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Id of the store: that of the copy.
    pub store: [u8; 16],
    /// The incarnation that was minted.
    pub incarnation: [u8; 16],
    /// Where it left the copy's incarnation: at the last position of the copy.
    pub fork: Fork,
    /// Number of segments, the empty one included in which the new incarnation goes on.
    pub segments: u32,
    /// Number of progress records that were taken over.
    pub progress_records: usize,
    /// A torn tail of the copy, acknowledged to nobody, that was not taken over.
    pub left_behind: Option<LeftBehind>,
}

/// Restores a cold copy of a store's directory into an empty or absent one.
///
/// A cold copy was made while no process had the store open, after a clean end or a crash. All of it is checked, the
/// chain of hashes included, before anything is written. The target gets a new incarnation, forked from the copy's at
/// its last position: what others read beyond it is not part of the store any more, and they can tell.
///
/// Killed half-way, it leaves an unfinished restore, which is not opened as a store; restore into it again. The copy
/// is only read. Of the options, the size of segments and the source of chance are used. Blocks.
///
/// ```
/// use factum_engine::{Engine, Options, restore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (copy, target) = (directory.path().join("copy"), directory.path().join("target"));
/// let before = Engine::open(&copy, Options::default())?;
/// before.close()?;
/// let report = restore(&copy, &target, &Options::default())?;
/// let after = Engine::open(&target, Options::default())?;
/// assert_eq!(after.identity().store, before.identity().store);
/// assert_eq!(after.identity().incarnation, report.incarnation);
/// assert_eq!(after.identity().forks[0].parent, before.identity().incarnation);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(copy: &Path, target: &Path, options: &Options) -> Result<RestoreReport, RestoreError> {
    if !copy.is_dir() {
        return Err(RestoreError::NotFound);
    }
    let copy = StdDisk::read_only(copy);
    let found = cold(&copy)?;
    // Only now: a copy that cannot be restored leaves no trace.
    let target = StdDisk::open(target).map_err(RestoreError::target)?;
    write(&copy, &found, &target, options)
}

/// Whether a restore into a directory can begin: it is absent or empty, or an earlier restore into it was not finished.
///
/// # Errors
/// The directory cannot be read.
pub fn is_restorable(target: &Path) -> io::Result<bool> {
    match StdDisk::read_only(target).list() {
        Ok(names) => {
            let unfinished = names.iter().any(|name| name == UNFINISHED_FILE);
            Ok(unfinished || names.iter().all(|name| is_mark(name)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// The same from one disk to another.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore_on(copy: &dyn Disk, target: &dyn Disk, options: &Options) -> Result<RestoreReport, RestoreError> {
    let found = cold(copy)?;
    write(copy, &found, target, options)
}

/// A copy that nobody has open, read and found sound.
struct Cold {
    survey: Survey,
    _lock: Box<dyn Send + Sync>,
}

fn cold(copy: &dyn Disk) -> Result<Cold, RestoreError> {
    let lock = copy.lock(LOCK_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => RestoreError::Open,
        _ => RestoreError::Copy(error),
    })?;
    let survey = survey(copy)?;
    if survey.identity.forks.len() >= FORKS_MAX {
        return Err(RestoreError::TooManyForks { limit: FORKS_MAX });
    }
    Ok(Cold { survey, _lock: lock })
}

fn write(copy: &dyn Disk, found: &Cold, target: &dyn Disk, options: &Options) -> Result<RestoreReport, RestoreError> {
    let survey = &found.survey;
    let _lock = target.lock(LOCK_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => RestoreError::TargetOpen,
        _ => RestoreError::target(error),
    })?;
    claim(target)?;
    for stretch in &survey.stretches {
        copy_segment(copy, stretch, target)?;
    }
    let identity = survey.identity.forked(options.entropy, &survey.end()).map_err(RestoreError::Copy)?;
    for record in &survey.progress {
        let bytes = progress::file_of(&record.slot, mask(&identity.incarnation, 0));
        create(target, &record.file, &bytes).map_err(RestoreError::target)?;
    }
    let segments = survey.stretches.len() as u32 + 1;
    begin(target, &identity, segments, &survey.end(), options).map_err(RestoreError::target)?;
    // Names before the identity, by which a store is known; the mark of the unfinished last.
    target.sync_dir().map_err(RestoreError::target)?;
    put_file(target, IDENTITY_FILE, &small::encode_identity(&identity)).map_err(RestoreError::target)?;
    let Cursor { group, head, link, .. } = survey.end();
    let end = CloseMarker { segment: segments, offset: SEGMENT_HEADER_BYTES, group, head, link };
    HeadFile::open(target, &identity, end).map_err(|error| match error {
        OpenError::Io(error) => RestoreError::Target(error),
        _ => RestoreError::DiskFull,
    })?;
    target.remove(UNFINISHED_FILE).map_err(RestoreError::target)?;
    target.sync_dir().map_err(RestoreError::target)?;
    let fork = identity.forks.last().expect("it was forked just now").clone();
    let Identity { store, incarnation, .. } = identity;
    let left_behind = survey.left_behind.clone();
    Ok(RestoreReport { store, incarnation, fork, segments, progress_records: survey.progress.len(), left_behind })
}

/// Marks the target as being restored into, and removes what an earlier attempt left.
fn claim(target: &dyn Disk) -> Result<(), RestoreError> {
    let names = target.list().map_err(RestoreError::target)?;
    let unfinished = names.iter().any(|name| name == UNFINISHED_FILE);
    let (ours, others): (Vec<String>, Vec<String>) =
        names.into_iter().filter(|name| !is_mark(name)).partition(|name| unfinished && is_restored(name));
    if let Some(file) = others.into_iter().next() {
        return Err(RestoreError::NotEmpty { file });
    }
    if !unfinished {
        put_file(target, UNFINISHED_FILE, UNFINISHED_TEXT).map_err(RestoreError::target)?;
    } else {
        // Its name may be all that is known of it: of nothing that is made from here on may it be missing.
        target.sync_dir().map_err(RestoreError::target)?;
    }
    for name in ours {
        remove_if_there(target, &name).map_err(RestoreError::target)?;
    }
    Ok(())
}

/// Whether a file says that a store is opened or restored, and holds nothing of it.
fn is_mark(name: &str) -> bool {
    [LOCK_FILE, UNFINISHED_FILE].contains(&name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name))
}

/// Whether a restore makes files of this name.
fn is_restored(name: &str) -> bool {
    let name = name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name);
    Segment::number_of(name).is_some() || progress::is_file_name(name) || [IDENTITY_FILE, HEAD_FILE].contains(&name)
}

/// Copies a segment up to its last group, and checks once more what is copied.
fn copy_segment(copy: &dyn Disk, stretch: &Stretch, target: &dyn Disk) -> Result<(), RestoreError> {
    let Stretch { number, size, end } = stretch;
    let mut bytes = read_segment(copy, *number)?;
    bytes.truncate(end.offset as usize);
    let changed = || {
        let (segment, position) = (*number, Position::new(end.head));
        RestoreError::Corrupt(Damage { segment, offset: 0, position, what: "it changes while it is restored" })
    };
    let header = SegmentHeader::decode(&bytes).map_err(|unusable| match unusable {
        Unusable::Newer(found) => RestoreError::newer(found),
        Unusable::Damaged => changed(),
    })?;
    let mut cursor = Cursor::at_segment(header.first_group, header.first, header.previous);
    let mask = mask(&header.incarnation, *number);
    while cursor.offset < end.offset {
        next_group(&bytes, mask, Chain::Checked, &mut cursor).map_err(|_| changed())?;
    }
    if (cursor.offset, cursor.link) != (end.offset, end.link) {
        return Err(changed());
    }
    fill(target, &Segment::file_name(*number), &bytes, *size).map_err(RestoreError::target)
}

/// Makes the segment in which the new incarnation goes on.
fn begin(target: &dyn Disk, identity: &Identity, number: u32, end: &Cursor, options: &Options) -> io::Result<()> {
    let size = options.segment_size(number);
    let header = SegmentHeader {
        store: identity.store,
        incarnation: identity.incarnation,
        number,
        size,
        first_group: end.group + 1,
        first: end.head + 1,
        previous: end.link,
    };
    fill(target, &Segment::file_name(number), &header.encode(), size)
}

/// Makes a file of these bytes, with zeros up to its full length, and syncs it.
fn fill(target: &dyn Disk, name: &str, bytes: &[u8], size: u64) -> io::Result<()> {
    let file = target.create(name)?;
    write_all(&*file, bytes, 0)?;
    write_zeros(&*file, bytes.len() as u64, size)?;
    file.sync()
}

fn create(target: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    fill(target, name, bytes, bytes.len() as u64)
}
