//! A file's bytes: as a reader sees them, as they are on the medium, and what may be on it besides.

use std::collections::BTreeMap;

use super::Chance;

/// The unit a medium writes whole, or tears.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(crate) struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ from the medium, with every content they had since the last sync.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Sectors a failed sync left behind: a reader sees them, no later sync writes them.
    doubtful: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Inode {
    pub(crate) fn durable(bytes: &[u8]) -> Self {
        Inode { now: bytes.to_vec(), durable: bytes.to_vec(), ..Inode::default() }
    }

    pub(crate) fn now(&self) -> &[u8] {
        &self.now
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let from = (offset as usize).min(self.now.len());
        let count = buffer.len().min(self.now.len() - from);
        buffer[..count].copy_from_slice(&self.now[from..from + count]);
        count
    }

    /// Bytes the file would grow by.
    pub(crate) fn growth(&self, bytes: usize, offset: u64) -> usize {
        (offset as usize + bytes).saturating_sub(self.now.len())
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        if self.now.len() < to {
            self.now.resize(to, 0);
        }
        self.now[from..to].copy_from_slice(bytes);
        for sector in from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES) {
            let content = sector_of(&self.now, sector);
            self.dirty.entry(sector).or_default().push(content);
        }
    }

    pub(crate) fn sync(&mut self) {
        for (sector, _) in std::mem::take(&mut self.dirty) {
            let content = sector_of(&self.now, sector);
            place(&mut self.durable, sector, &content);
            self.doubtful.remove(&sector);
        }
    }

    /// A sync that failed: what it should have written is neither surely there nor written later.
    pub(crate) fn fail_sync(&mut self) {
        for (sector, contents) in std::mem::take(&mut self.dirty) {
            self.doubtful.entry(sector).or_default().extend(contents);
        }
    }

    /// What the medium holds after the power failed.
    pub(crate) fn lose_power(&self, seed: u64, chance: &mut Chance) -> Inode {
        let mut durable = self.durable.clone();
        let mut unsure = self.doubtful.clone();
        for (sector, contents) in &self.dirty {
            unsure.entry(*sector).or_default().extend(contents.iter().cloned());
        }
        for (sector, contents) in &unsure {
            let Some(newest) = contents.last() else { continue };
            let survivor = match (seed, chance.below(8)) {
                (0, _) | (2.., 0 | 1) => continue,
                (1, _) | (2.., 2..=4) => newest.clone(),
                (_, 5) => contents[chance.below(contents.len())].clone(),
                // Torn: the beginning of one content, the end of the other.
                (_, torn) => {
                    let mut mixed = newest.clone();
                    let mut old = sector_of(&self.durable, *sector);
                    old.resize(newest.len(), 0);
                    let cut = chance.below(newest.len());
                    let old_part = if torn == 6 { 0..cut } else { cut..newest.len() };
                    mixed[old_part.clone()].copy_from_slice(&old[old_part]);
                    mixed
                }
            };
            place(&mut durable, *sector, &survivor);
        }
        Inode { now: durable.clone(), durable, ..Inode::default() }
    }
}

fn place(bytes: &mut Vec<u8>, sector: usize, content: &[u8]) {
    let from = sector * SECTOR_BYTES;
    if bytes.len() < from + content.len() {
        bytes.resize(from + content.len(), 0);
    }
    bytes[from..from + content.len()].copy_from_slice(content);
}

fn sector_of(bytes: &[u8], sector: usize) -> Vec<u8> {
    let from = (sector * SECTOR_BYTES).min(bytes.len());
    bytes[from..(from + SECTOR_BYTES).min(bytes.len())].to_vec()
}
