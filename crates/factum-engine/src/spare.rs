//! The next segment, filled with zeros before it is needed: writing into blocks that exist needs no journal.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::disk::{Disk, DiskFile, remove_if_there, write_all};
use crate::shared::lock;

/// The spare's file until it becomes a segment.
pub(crate) const SPARE_FILE: &str = "segment.next";
/// Zeros written between two syncs: bounds how long the writer's own sync waits behind them.
const FILL_STEP_BYTES: u64 = 256 << 10;
/// What a writer fills itself when it needs a segment before the helper has got that far.
const UNREADY_BYTES: u64 = 1 << 20;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Writes zeros from one offset to another.
pub(crate) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let count = (to - at).min(ZEROS.len() as u64) as usize;
        write_all(file, &ZEROS[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// The spare segment.
#[derive(Default)]
pub(crate) struct Spare {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    file: Option<Arc<dyn DiskFile>>,
    filled: u64,
    /// How long the helper shall make it.
    target: u64,
    /// The helper could not: it does not try again before the writer has.
    failed: bool,
    ended: bool,
}

impl State {
    /// Fills one step towards `target`.
    fn fill(&mut self, disk: &dyn Disk, target: u64) -> io::Result<()> {
        let filled = self.fill_unchecked(disk, target);
        if filled.is_err() {
            // Nothing of it was promised to anyone. Its space is given back; the next attempt begins anew.
            (self.file, self.filled) = (None, 0);
            let _removed = disk.remove(SPARE_FILE);
        }
        filled
    }

    fn fill_unchecked(&mut self, disk: &dyn Disk, target: u64) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                remove_if_there(disk, SPARE_FILE)?;
                let file = disk.create(SPARE_FILE)?;
                self.file = Some(file.clone());
                file
            }
        };
        let end = target.min(self.filled + FILL_STEP_BYTES);
        write_zeros(&*file, self.filled, end)?;
        file.sync()?;
        self.filled = end;
        Ok(())
    }
}

impl Spare {
    /// Asks the helper to prepare a spare of this size.
    pub(crate) fn want(&self, size: u64) {
        // The helper has the lock while it fills: then it was asked before, and the writer must not wait for it.
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.target < size && !state.failed {
            state.target = size;
            drop(state);
            self.wanted.notify_one();
        }
    }

    /// Takes the spare, of at least `least` bytes. It is made here as far as the helper has not done it: up to
    /// `size` without a helper, up to the least that will do with one, so that nobody waits for long.
    pub(crate) fn take(
        &self,
        disk: &dyn Disk,
        least: u64,
        size: u64,
        helped: bool,
    ) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let mut state = lock(&self.state);
        (state.target, state.failed) = (0, false);
        let enough = if helped { least.max(size.min(UNREADY_BYTES)) } else { least.max(size) };
        while state.file.is_none() || state.filled < enough {
            state.fill(disk, enough)?;
        }
        let length = std::mem::take(&mut state.filled);
        let file = state.file.take().expect("it was filled");
        Ok((file, length))
    }

    /// The helper's life: fills when asked, step by step, until it is ended.
    pub(crate) fn help(&self, disk: &dyn Disk) {
        let mut state = lock(&self.state);
        while !state.ended {
            if state.filled >= state.target {
                state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let target = state.target;
            if state.fill(disk, target).is_err() {
                // The writer meets the same error when it needs the space, and answers for it.
                (state.target, state.failed) = (0, true);
            }
            // Between two steps the writer may take what there is.
            drop(state);
            std::thread::yield_now();
            state = lock(&self.state);
        }
    }

    pub(crate) fn end_help(&self) {
        lock(&self.state).ended = true;
        self.wanted.notify_all();
    }
}
