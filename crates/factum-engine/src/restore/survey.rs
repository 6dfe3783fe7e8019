//! Reading a cold copy: what is in it, and whether all of it is sound.

use std::io;

use super::UNFINISHED_FILE;
use super::error::RestoreError;
use crate::disk::{Disk, read_file};
use crate::error::Damage;
use crate::format::batch::GENESIS;
use crate::format::group::proves_synced;
use crate::format::mask;
use crate::format::small::{self, CloseMarker, SegmentHeader, Unusable};
use crate::identity::Identity;
use crate::numbers::Position;
use crate::progress;
use crate::recovery::{CLOSED_FILE, IDENTITY_FILE};
use crate::scan::{BROKEN_CHAIN, Chain, Cursor, Fault, next_group};
use crate::shared::Segment;

/// A segment of a sound copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) number: u32,
    pub(crate) size: u64,
    /// Behind its last group.
    pub(crate) end: Cursor,
}

/// A torn tail: it stays behind in the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// Number of the segment.
    pub segment: u32,
    /// Where the tail begins in it.
    pub offset: u64,
    /// How many bytes it has, up to the last one that is not zero.
    pub bytes: u64,
    /// What is wrong with them.
    pub what: &'static str,
}

/// A progress record, to be put into the target.
pub(crate) struct CarriedProgress {
    pub(crate) file: String,
    pub(crate) slot: small::ProgressSlot,
}

/// What is in a copy.
pub(crate) struct Survey {
    pub(crate) identity: Identity,
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) progress: Vec<CarriedProgress>,
    pub(crate) left_behind: Option<LeftBehind>,
}

impl Survey {
    /// Where the log ends.
    pub(crate) fn end(&self) -> Cursor {
        self.stretches.last().map_or(Cursor::at_segment(1, 1, GENESIS), |stretch| stretch.end)
    }
}

/// Reads all of a copy and checks every byte of its log, the chain of hashes included.
pub(crate) fn survey(copy: &dyn Disk) -> Result<Survey, RestoreError> {
    if read_file(copy, UNFINISHED_FILE).map_err(RestoreError::Copy)?.is_some() {
        return Err(RestoreError::UnfinishedCopy);
    }
    let identity = read_file(copy, IDENTITY_FILE).map_err(RestoreError::Copy)?.ok_or(RestoreError::NotFound)?;
    let identity = small::decode_identity(&identity).map_err(|unusable| match unusable {
        Unusable::Newer(found) => RestoreError::newer(found),
        Unusable::Damaged => RestoreError::Identity { what: "its file is damaged" },
    })?;
    let mut names = copy.list().map_err(RestoreError::Copy)?;
    names.sort_unstable();
    let mut reading = Reading { copy, identity: &identity, generation: 0, stretches: Vec::new(), fault: None };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| Segment::number_of(name)).collect();
    numbers.sort_unstable();
    let mut bytes = Vec::new();
    for number in numbers {
        bytes = reading.segment(number)?;
    }
    let left_behind = reading.judge_end(&bytes)?;
    let stretches = reading.stretches;
    let mut progress = Vec::new();
    for file in names.into_iter().filter(|name| progress::is_file_name(name)) {
        let bytes = read_file(copy, &file).map_err(RestoreError::Copy)?.unwrap_or_default();
        let slot =
            progress::slot_of(&file, &bytes, mask(&identity.incarnation, 0)).map_err(|unusable| match unusable {
                Unusable::Newer(found) => RestoreError::newer(found),
                Unusable::Damaged => RestoreError::Progress { file: file.clone() },
            })?;
        progress.push(CarriedProgress { file, slot });
    }
    Ok(Survey { identity, stretches, progress, left_behind })
}

struct Reading<'a> {
    copy: &'a dyn Disk,
    identity: &'a Identity,
    generation: usize,
    stretches: Vec<Stretch>,
    /// What ended the walk of the last segment, if not zeros.
    fault: Option<Fault>,
}

impl Reading<'_> {
    fn end(&self) -> Cursor {
        self.stretches.last().map_or(Cursor::at_segment(1, 1, GENESIS), |stretch| stretch.end)
    }

    fn damage(&self, segment: u32, offset: u64, what: &'static str) -> RestoreError {
        let position = Position::new(self.end().head + 1);
        RestoreError::Corrupt(Damage { segment, offset, position, what })
    }

    /// Reads the next segment as far as it is sound; returns its bytes.
    fn segment(&mut self, number: u32) -> Result<Vec<u8>, RestoreError> {
        let expected = self.stretches.len() as u32 + 1;
        if number != expected {
            return Err(self.damage(expected, 0, "the segment is missing"));
        }
        let mut bytes = read_segment(self.copy, number)?;
        let header = self.header(number, &bytes)?;
        let mut cursor = Cursor::at_segment(header.first_group, header.first, header.previous);
        bytes.truncate(header.size as usize);
        let mask = mask(&header.incarnation, number);
        let fault = loop {
            if let Err(fault) = next_group(&bytes, mask, Chain::Checked, &mut cursor) {
                break fault;
            }
        };
        let ended = bytes[cursor.offset as usize..].iter().all(|byte| *byte == 0);
        self.fault = (!ended).then_some(fault);
        self.stretches.push(Stretch { number, size: header.size, end: cursor });
        Ok(bytes)
    }

    /// Checks a segment's header against what came before.
    fn header(&mut self, number: u32, bytes: &[u8]) -> Result<SegmentHeader, RestoreError> {
        let header = SegmentHeader::decode(bytes).map_err(|unusable| match unusable {
            Unusable::Newer(found) => RestoreError::newer(found),
            Unusable::Damaged => self.damage(number, 0, "header of the segment"),
        })?;
        if (header.store, header.number) != (self.identity.store, number) {
            return Err(self.damage(number, 0, "a segment of another store"));
        }
        let generation = self.identity.generation(&header.incarnation);
        let Some(generation) = generation.filter(|generation| *generation >= self.generation) else {
            return Err(self.damage(number, 0, "a segment of another incarnation"));
        };
        if (bytes.len() as u64) < header.size {
            return Err(self.damage(number, bytes.len() as u64, "the file is shorter than it was made"));
        }
        let Cursor { offset, group, head, link } = self.end();
        if (header.first_group, header.first, header.previous) != (group + 1, head + 1, link) {
            let before = number.saturating_sub(1).max(1);
            return Err(match self.fault {
                Some(Fault { offset, position, what }) if header.first_group > group + 1 => {
                    let position = Position::new(position);
                    RestoreError::Corrupt(Damage { segment: before, offset, position, what })
                }
                _ => self.damage(before, offset, "the log does not end where the next segment begins"),
            });
        }
        if !self.identity.left_at(self.generation, generation, head, &link) {
            return Err(self.damage(number, 0, "the store was not forked where this segment begins"));
        }
        self.generation = generation;
        Ok(header)
    }

    /// Decides, as opening does, whether what ends the log is a torn tail or damage.
    fn judge_end(&self, last: &[u8]) -> Result<Option<LeftBehind>, RestoreError> {
        let Some(Stretch { number, end, .. }) = self.stretches.last() else {
            return Err(RestoreError::Identity { what: "the log is missing" });
        };
        if self.generation < self.identity.forks.len() {
            return Err(self.damage(number + 1, 0, "the segment is missing"));
        }
        let marker = read_file(self.copy, CLOSED_FILE).map_err(RestoreError::Copy)?;
        let marker = match marker.map(|bytes| CloseMarker::decode(&bytes, mask(&self.identity.incarnation, 0))) {
            Some(Err(Unusable::Newer(found))) => return Err(RestoreError::newer(found)),
            Some(Ok(marker)) => Some(marker),
            Some(Err(Unusable::Damaged)) | None => None,
        };
        let acknowledged = marker.is_some_and(|marker| marker.group > end.group);
        let mask = mask(&self.identity.incarnation, *number);
        let Some(fault) = self.fault else {
            let missing = "the log ends before the point where it was closed";
            return if acknowledged { Err(self.damage(*number, end.offset, missing)) } else { Ok(None) };
        };
        let forged = fault.what == BROKEN_CHAIN;
        if acknowledged || forged || proves_synced(last, end.offset as usize, end.group + 1, mask) {
            let Fault { offset, position, what } = fault;
            return Err(RestoreError::Corrupt(Damage {
                segment: *number,
                offset,
                position: Position::new(position),
                what,
            }));
        }
        let torn = last.get(end.offset as usize..).unwrap_or_default();
        let bytes = torn.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        Ok(Some(LeftBehind { segment: *number, offset: end.offset, bytes, what: fault.what }))
    }
}

/// All bytes of a segment's file.
pub(crate) fn read_segment(copy: &dyn Disk, number: u32) -> Result<Vec<u8>, RestoreError> {
    let bytes = read_file(copy, &Segment::file_name(number)).map_err(RestoreError::Copy)?;
    bytes.ok_or_else(|| RestoreError::Copy(io::ErrorKind::NotFound.into()))
}
