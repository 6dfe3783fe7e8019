//! Walking the whole log and checking every byte of it, the chain of hashes included.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::error::{Damage, ReadError};
use crate::format::SEGMENT_HEADER_BYTES;
use crate::format::batch::GENESIS;
use crate::format::small::SegmentHeader;
use crate::index::header::Span;
use crate::index::sum::Sum;
use crate::index::{ReadBatch, Trouble};
use crate::numbers::Position;
use crate::scan::{Chain, Cursor, next_group};
use crate::shared::Shared;

/// Index files one verification makes anew before it gives up.
const REBUILT_MAX: usize = 100_000;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The segment just checked.
    pub segment: u32,
    /// Number of segments there are.
    pub segments: u32,
    /// The last position checked.
    pub position: Position,
    /// The position up to which is checked.
    pub head: Position,
}

/// What a verification found sound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The last position checked: the synced head when the verification began.
    pub head: Position,
    /// Number of events.
    pub events: u64,
    /// Number of batches.
    pub batches: u64,
    /// Number of groups.
    pub groups: u64,
    /// Number of segments.
    pub segments: u32,
    /// Number of index files compared with the log.
    pub index_files: usize,
    /// How many of them were damaged or said something else than the log, and were made anew.
    pub rebuilt_index_files: usize,
    /// Hash of the last batch: two stores with the same history have the same.
    pub hash: [u8; 32],
}

/// Why a store was not verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum VerifyError {
    /// Stored bytes are not what was written.
    Corrupt(Damage),
    /// The disk failed.
    Unavailable(Arc<io::Error>),
    /// The store is closed.
    Closed,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Corrupt(damage) => damage.fmt(f),
            VerifyError::Unavailable(error) => write!(f, "the log cannot be read: {error}"),
            VerifyError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            VerifyError::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ReadError> for VerifyError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(damage) => VerifyError::Corrupt(damage),
            ReadError::Unavailable(error) => VerifyError::Unavailable(error),
            // A verification reads without one.
            ReadError::InvalidSelection(invalid) => VerifyError::Unavailable(Arc::new(io::Error::other(invalid))),
            ReadError::Closed => VerifyError::Closed,
        }
    }
}

pub(crate) fn verify(
    shared: &Shared,
    on_progress: &mut dyn FnMut(VerifyProgress),
) -> Result<VerifyReport, VerifyError> {
    shared.check_open()?;
    let head = shared.announcer.synced().get();
    let segments = shared.segment_of(head);
    let mut cursor = Cursor::at_segment(1, 1, GENESIS);
    let (mut batches, mut bytes, mut sums) = (0, Vec::new(), Vec::new());
    for number in 1..=segments {
        let segment = shared.segment(number)?;
        // A sealed segment ends where the next begins; the last may be written to meanwhile, but not up to the head.
        let until = if number < segments { first_of(shared, number + 1)?.saturating_sub(1) } else { head };
        bytes.clear();
        bytes.resize(usize::try_from(segment.size).map_err(|error| ReadError::from(io::Error::other(error)))?, 0);
        segment.read(&mut bytes, 0, cursor.head + 1)?;
        let damage = |offset, what| VerifyError::Corrupt(segment.damage(offset, cursor.head + 1, what));
        let header = SegmentHeader::decode(&bytes).map_err(|_| damage(0, "header of the segment"))?;
        if (header.first_group, header.first) != (cursor.group + 1, cursor.head + 1) {
            return Err(damage(0, "the log does not end where the next segment begins"));
        }
        if header.previous != cursor.link {
            return Err(damage(0, "the chain of hashes is broken"));
        }
        cursor = Cursor::at_segment(header.first_group, header.first, header.previous);
        let mut sum = Sum::default();
        while cursor.head < until {
            let group = next_group(&bytes, segment.mask, Chain::Checked, &mut cursor)
                .map_err(|fault| VerifyError::Corrupt(segment.damage(fault.offset, fault.position, fault.what)))?;
            batches += group.batches.len() as u64;
            for at in &group.batches {
                let batch = ReadBatch::read(&shared.keyer, &bytes[*at as usize..], segment.mask, number, *at);
                let position = group.header.first;
                let unsound = |what| VerifyError::Corrupt(segment.damage(u64::from(*at), position, what));
                sum.batch(&batch.map_err(unsound)?);
            }
        }
        sums.push(sum);
        let position = Position::new(cursor.head);
        on_progress(VerifyProgress { segment: number, segments, position, head: Position::new(head) });
    }
    let Cursor { group: groups, link: hash, .. } = cursor;
    let (index_files, rebuilt_index_files) = verify_index(shared, &sums)?;
    let head = Position::new(head);
    let events = head.get();
    Ok(VerifyReport { head, events, batches, groups, segments, hash, index_files, rebuilt_index_files })
}

/// Compares the index files with what the log says, whose sums are given for each segment; makes those anew that
/// differ or are damaged. Returns how many were compared and how many made anew.
fn verify_index(shared: &Shared, sums: &[Sum]) -> Result<(usize, usize), VerifyError> {
    let (mut sound, mut rebuilt) = (HashSet::new(), 0);
    loop {
        // Files come and go meanwhile; those of segments sealed since are left to the next verification.
        let runs = shared.index().runs().clone();
        let next = runs.iter().find(|run| run.header.span.last as usize <= sums.len() && !sound.contains(&run.id));
        let Some(run) = next else {
            return Ok((sound.len(), rebuilt));
        };
        let Span { first, last } = run.header.span;
        let mut expected = Sum::default();
        sums[first as usize - 1..last as usize].iter().for_each(|sum| expected.add(*sum));
        match Sum::of_run(run) {
            Ok(sum) if sum == expected => {
                sound.insert(run.id);
            }
            Ok(_) | Err(Trouble::Damaged { .. }) if rebuilt < REBUILT_MAX => {
                shared.upkeep.repair(shared, run.id)?;
                rebuilt += 1;
            }
            Ok(_) | Err(Trouble::Damaged { .. }) => {
                let reason = "index files are damaged as soon as they are written";
                return Err(ReadError::from(io::Error::other(reason)).into());
            }
            Err(Trouble::Disk(error)) => return Err(ReadError::from(error).into()),
        }
    }
}

/// Position of a segment's first event, by its header.
fn first_of(shared: &Shared, number: u32) -> Result<u64, VerifyError> {
    let segment = shared.segment(number)?;
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
    segment.read(&mut bytes, 0, 0)?;
    let damage = |_| VerifyError::Corrupt(segment.damage(0, 0, "header of the segment"));
    Ok(SegmentHeader::decode(&bytes).map_err(damage)?.first)
}
