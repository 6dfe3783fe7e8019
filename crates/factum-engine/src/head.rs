//! The head file: says to other processes up to where the log is known durable.

use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile, put_file, read_file, write_all};
use crate::error::{OpenError, is_full};
use crate::format::FORMAT_VERSION;
use crate::format::small::{CloseMarker, HeadSlot, Unusable};
use crate::identity::Identity;
use crate::shared::lock;

pub(crate) const HEAD_FILE: &str = "head";
/// Bytes of one of its two slots: a sector, which one write replaces or tears, never touching the other.
pub(crate) const HEAD_SLOT_BYTES: usize = 512;

/// What the head file says: the sound slot with the higher number; `None` without a sound one.
///
/// A newer format is told by its number.
pub(crate) fn read_head(disk: &dyn Disk) -> io::Result<Result<Option<HeadSlot>, u32>> {
    let Some(bytes) = read_file(disk, HEAD_FILE)? else {
        return Ok(Ok(None));
    };
    let mut holds: Option<HeadSlot> = None;
    for slot in bytes.chunks(HEAD_SLOT_BYTES).take(2) {
        match HeadSlot::decode(slot) {
            Ok(slot) if holds.is_none_or(|known| known.write < slot.write) => holds = Some(slot),
            Ok(_) | Err(Unusable::Damaged) => {}
            Err(Unusable::Newer(found)) => return Ok(Err(found)),
        }
    }
    Ok(Ok(holds))
}

/// The writer's side of it.
///
/// It is written after each sync and has no sync of its own: it never says more than what is durable, and after a
/// power cut, which ends every follower too, opening writes it anew. That it cannot be written is nobody's error but
/// its followers', who see no news until it can.
pub(crate) struct HeadFile {
    state: Mutex<State>,
}

struct State {
    file: Option<Arc<dyn DiskFile>>,
    write: u64,
}

impl HeadFile {
    /// Opens it, or makes it, and writes the first head of this opening. On a full disk it is left for later.
    pub(crate) fn open(disk: &dyn Disk, identity: &Identity, end: CloseMarker) -> Result<HeadFile, OpenError> {
        let write = match read_head(disk)? {
            Ok(slot) => slot.map_or(0, |slot| slot.write),
            Err(found) => return Err(OpenError::NewerFormat { found, supported: FORMAT_VERSION }),
        };
        let head = HeadFile { state: Mutex::new(State { file: None, write }) };
        match head.ensure(disk).and_then(|()| head.write(identity, end)) {
            Err(error) if !is_full(&error) => Err(error.into()),
            _ => Ok(head),
        }
    }

    /// Makes the file when it is not there.
    pub(crate) fn ensure(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.file.is_some() {
            return Ok(());
        }
        let file = match disk.open(HEAD_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                put_file(disk, HEAD_FILE, &[0; 2 * HEAD_SLOT_BYTES])?;
                disk.open(HEAD_FILE)
            }
            opened => opened,
        };
        state.file = Some(file?);
        Ok(())
    }

    /// Says that the log is durable up to here.
    pub(crate) fn write(&self, identity: &Identity, end: CloseMarker) -> io::Result<()> {
        let mut state = lock(&self.state);
        let Some(file) = state.file.clone() else { return Ok(()) };
        let write = state.write + 1;
        let slot = HeadSlot { store: identity.store, incarnation: identity.incarnation, write, end };
        // The slot that does not hold: who reads meanwhile finds the other as it was.
        let offset = (write % 2) * HEAD_SLOT_BYTES as u64;
        write_all(&*file, &slot.encode(), offset)?;
        state.write = write;
        Ok(())
    }
}
