//! An index file: where the events of one or several sealed segments stand.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::block::{
    self, BLOCK_BYTES, BLOCK_FENCES, Batches, Entry, Fence, Fences, Keys, Kind, filter_block_of, filter_may_hold,
};
use super::cache::{Block, BlockCache};
use super::header::{RunHeader, Section, Tree};
use super::key::Key;
use super::{BatchPlace, NOT_COUNTED, Trouble};
use crate::disk::read_up_to;
use crate::files::ReadFile;
use crate::page::Direction;

/// Blocks read at once by what reads all of them.
const SCAN_BLOCKS: u32 = 64;

/// An open index file.
pub(crate) struct Run {
    /// Of this opening: in the cache, a file made anew under the same name is another.
    pub(crate) id: u64,
    pub(crate) header: RunHeader,
    file: Arc<ReadFile>,
    cache: Arc<BlockCache>,
    mask: u32,
    batch_roots: Vec<Fence>,
    entry_roots: Vec<Fence>,
}

/// Positions of a key that stand together in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Of a stream, the version before the first of them.
    pub(crate) base: u64,
    /// At least one, rising.
    pub(crate) positions: Vec<u64>,
}

impl Run {
    /// Opens a file whose header was read; reads its roots.
    pub(crate) fn open(
        id: u64,
        header: RunHeader,
        file: Arc<ReadFile>,
        cache: Arc<BlockCache>,
    ) -> Result<Run, Trouble> {
        let mask = header.mask();
        let mut run = Run { id, header, file, cache, mask, batch_roots: Vec::new(), entry_roots: Vec::new() };
        run.batch_roots = run.read_fences(run.header.batches.roots)?;
        run.entry_roots = run.read_fences(run.header.entries.roots)?;
        Ok(run)
    }

    pub(crate) fn name(&self) -> &str {
        self.file.name()
    }

    fn damaged(&self) -> Trouble {
        Trouble::Damaged { run: self.id }
    }

    fn read_fences(&self, section: Section) -> Result<Vec<Fence>, Trouble> {
        let mut fences = Vec::new();
        for number in section.start..section.start + section.count {
            let block = self.read(number, 1, Kind::Fences)?;
            let read = Fences(&block);
            fences.extend((0..read.count()).map(|index| read.get(index)));
        }
        Ok(fences)
    }

    /// Reads and checks blocks, past the cache.
    fn read(&self, number: u32, count: u32, kind: Kind) -> Result<Vec<u8>, Trouble> {
        let handle = match self.file.handle() {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.damaged()),
            Err(error) => return Err(Trouble::Disk(error)),
        };
        let mut bytes = vec![0; count as usize * BLOCK_BYTES];
        // What the medium cannot read any more is as good as altered: the log has it all.
        let read = read_up_to(&*handle, &mut bytes, u64::from(number) * BLOCK_BYTES as u64);
        let read = read.map_err(|_| self.damaged())?;
        let mut blocks = bytes.chunks_exact(BLOCK_BYTES).zip(number..);
        let sound = read == bytes.len() && blocks.all(|(block, number)| block::check(block, kind, number, self.mask));
        if sound { Ok(bytes) } else { Err(self.damaged()) }
    }

    fn block(&self, number: u32, kind: Kind) -> Result<Block, Trouble> {
        if let Some(block) = self.cache.get((self.id, number)) {
            return Ok(block);
        }
        let block: Block = self.read(number, 1, kind)?.into();
        self.cache.put((self.id, number), block.clone());
        Ok(block)
    }

    /// Number of the last leaf whose first entry, as all before, satisfies a condition.
    fn leaf(&self, tree: &Tree, roots: &[Fence], holds: impl Fn(&Fence) -> bool) -> Result<Option<u32>, Trouble> {
        let Some(root) = roots.partition_point(&holds).checked_sub(1) else {
            return Ok(None);
        };
        if root as u32 >= tree.fences.count {
            return Err(self.damaged());
        }
        let block = self.block(tree.fences.start + root as u32, Kind::Fences)?;
        let within = Fences(&block).partition(holds);
        let leaf = (root * BLOCK_FENCES + within).checked_sub(1).ok_or_else(|| self.damaged())? as u32;
        if leaf < tree.leaves.count { Ok(Some(leaf)) } else { Err(self.damaged()) }
    }

    // --- Keys.

    /// `false` when no event of this key is in the file.
    pub(crate) fn may_hold(&self, key: Key) -> Result<bool, Trouble> {
        let Section { start, count } = self.header.filter;
        let block = self.block(start + filter_block_of(key, count), Kind::Filter)?;
        Ok(filter_may_hold(&block, key))
    }

    fn keys<'a>(&self, block: &'a [u8]) -> Keys<'a> {
        Keys { block, file_first: self.header.first }
    }

    /// The last entry that, as all before, satisfies a condition; or the first of the file behind it.
    fn entry(&self, holds: impl Fn(&Fence) -> bool, behind: bool) -> Result<Option<(Block, Entry)>, Trouble> {
        let leaves = self.header.entries.leaves;
        let leaf = self.leaf(&self.header.entries, &self.entry_roots, &holds)?;
        let mut at = (0, 0);
        if let Some(leaf) = leaf {
            let block = self.block(leaves.start + leaf, Kind::Keys)?;
            let entries = self.keys(&block).partition(&holds).ok_or_else(|| self.damaged())?;
            let last = entries.checked_sub(1).ok_or_else(|| self.damaged())?;
            if !behind {
                let entry = self.keys(&block).get(last).ok_or_else(|| self.damaged())?;
                return Ok(Some((block, entry)));
            }
            at = if entries < self.keys(&block).count() { (leaf, entries) } else { (leaf + 1, 0) };
        }
        if !behind || at.0 >= leaves.count {
            return Ok(None);
        }
        let block = self.block(leaves.start + at.0, Kind::Keys)?;
        let entry = self.keys(&block).get(at.1).ok_or_else(|| self.damaged())?;
        Ok(Some((block, entry)))
    }

    fn chunk(&self, found: Option<(Block, Entry)>, key: Key) -> Result<Option<Chunk>, Trouble> {
        let Some((block, entry)) = found.filter(|(_, entry)| entry.fence.key == key) else {
            return Ok(None);
        };
        let positions = self.keys(&block).positions(&entry).ok_or_else(|| self.damaged())?;
        Ok(Some(Chunk { base: entry.fence.base, positions }))
    }

    /// Versions a stream has in this file: the one before its first event here, and its last.
    pub(crate) fn versions(&self, stream: Key) -> Result<Option<(u64, u64)>, Trouble> {
        let Some(last) = self.last_version(stream)? else {
            return Ok(None);
        };
        let first = self.entry(|fence| fence.key < stream, true)?;
        let (_, first) = first.filter(|(_, entry)| entry.fence.key == stream).ok_or_else(|| self.damaged())?;
        Ok(Some((first.fence.base, last)))
    }

    /// The last version of a stream in this file.
    pub(crate) fn last_version(&self, stream: Key) -> Result<Option<u64>, Trouble> {
        if !self.may_hold(stream)? {
            return Ok(None);
        }
        let last = self.entry(|fence| fence.key <= stream, false)?;
        let last = last.map(|(_, entry)| entry).filter(|entry| entry.fence.key == stream);
        match last {
            Some(last) if last.fence.base == NOT_COUNTED => Err(self.damaged()),
            last => Ok(last.map(|last| last.fence.base + u64::from(last.count))),
        }
    }

    /// The chunk that holds a version of a stream.
    pub(crate) fn chunk_of_version(&self, stream: Key, version: u64) -> Result<Option<Chunk>, Trouble> {
        let found = self.entry(|fence| (fence.key, fence.base) < (stream, version), false)?;
        let holds = |chunk: &Chunk| version <= chunk.base.saturating_add(chunk.positions.len() as u64);
        Ok(self.chunk(found, stream)?.filter(holds))
    }

    /// The chunk that holds the first position of a key that is not below this one.
    pub(crate) fn chunk_at_least(&self, key: Key, position: u64) -> Result<Option<Chunk>, Trouble> {
        let not_above = |fence: &Fence| (fence.key, fence.first) <= (key, position);
        let before = self.chunk(self.entry(not_above, false)?, key)?;
        if before.as_ref().is_some_and(|chunk| chunk.positions.last() >= Some(&position)) {
            return Ok(before);
        }
        self.chunk(self.entry(not_above, true)?, key)
    }

    /// The chunk that holds the last position of a key that is not above this one.
    pub(crate) fn chunk_at_most(&self, key: Key, position: u64) -> Result<Option<Chunk>, Trouble> {
        self.chunk(self.entry(|fence| (fence.key, fence.first) <= (key, position), false)?, key)
    }

    // --- Batches.

    fn batch_leaf(&self, position: u64) -> Result<u32, Trouble> {
        let leaf = self.leaf(&self.header.batches, &self.batch_roots, |fence| fence.first <= position)?;
        leaf.ok_or_else(|| self.damaged())
    }

    /// Finds the batches of many positions of this file.
    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder { run: self, place: None, block: None, fences: None }
    }

    /// The batch that holds a position of this file.
    pub(crate) fn batch_at(&self, position: u64) -> Result<BatchPlace, Trouble> {
        self.finder().find(position)
    }

    /// Visits the batches from the one that holds a position to the end of the file, or to its beginning.
    pub(crate) fn batches(
        &self,
        position: u64,
        direction: Direction,
        visit: &mut dyn FnMut(BatchPlace) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Trouble> {
        let leaves = self.header.batches.leaves;
        let mut leaf = self.batch_leaf(position)?;
        let block = self.block(leaves.start + leaf, Kind::Batches)?;
        let mut number = Batches(&block).find(position).ok_or_else(|| self.damaged())?;
        let mut block = block;
        loop {
            let batches = Batches(&block);
            let count = batches.count();
            let ended = match direction {
                Direction::Forward => (number..count).try_for_each(|number| visit(batches.get(number))),
                Direction::Backward => (0..=number).rev().try_for_each(|number| visit(batches.get(number))),
            };
            if ended.is_break() {
                return Ok(ended);
            }
            let next = match direction {
                Direction::Forward => Some(leaf + 1).filter(|next| *next < leaves.count),
                Direction::Backward => leaf.checked_sub(1),
            };
            let Some(next) = next else {
                return Ok(ControlFlow::Continue(()));
            };
            leaf = next;
            block = self.block(leaves.start + leaf, Kind::Batches)?;
            number = match direction {
                Direction::Forward => 0,
                Direction::Backward => Batches(&block).count().checked_sub(1).ok_or_else(|| self.damaged())?,
            };
        }
    }

    // --- Everything, for merging and verifying.

    /// Visits the blocks of batches, past the cache.
    pub(crate) fn each_batch_block(&self, visit: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let Section { start, count } = self.header.batches.leaves;
        let mut number = 0;
        while number < count {
            let blocks = (count - number).min(SCAN_BLOCKS);
            let bytes = self.read(start + number, blocks, Kind::Batches)?;
            bytes.chunks_exact(BLOCK_BYTES).try_for_each(&mut *visit)?;
            number += blocks;
        }
        Ok(())
    }

    /// All entries in order, past the cache.
    pub(crate) fn scan(self: &Arc<Self>) -> Scan {
        Scan { run: self.clone(), blocks: Vec::new(), next_block: 0, at: 0, entry: 0 }
    }
}

/// Finds batches; what it found last is not looked up again for what stands near it.
pub(crate) struct Finder<'a> {
    run: &'a Run,
    place: Option<BatchPlace>,
    block: Option<Block>,
    /// Number of a block of fences, and the block.
    fences: Option<(usize, Block)>,
}

impl Finder<'_> {
    pub(crate) fn find(&mut self, position: u64) -> Result<BatchPlace, Trouble> {
        if let Some(place) = self.place.filter(|place| (place.first..=place.last()).contains(&position)) {
            return Ok(place);
        }
        let run = self.run;
        let near = self.block.take().filter(|block| {
            let batches = Batches(block);
            (batches.first()..batches.end()).contains(&position)
        });
        let block = match near {
            Some(block) => block,
            None => self.leaf(position)?,
        };
        let batches = Batches(&block);
        let number = batches.find(position).ok_or_else(|| run.damaged())?;
        let place = batches.get(number);
        self.place = Some(place);
        self.block = Some(block);
        Ok(place)
    }

    /// The block of batches that holds a position.
    fn leaf(&mut self, position: u64) -> Result<Block, Trouble> {
        let (run, tree) = (self.run, &self.run.header.batches);
        let root = run.batch_roots.partition_point(|fence| fence.first <= position);
        let root =
            root.checked_sub(1).filter(|root| *root < tree.fences.count as usize).ok_or_else(|| run.damaged())?;
        let fences = match self.fences.take().filter(|(number, _)| *number == root) {
            Some((_, fences)) => fences,
            None => run.block(tree.fences.start + root as u32, Kind::Fences)?,
        };
        let within = Fences(&fences).partition(|fence| fence.first <= position);
        self.fences = Some((root, fences));
        let leaf = (root * BLOCK_FENCES + within).checked_sub(1).ok_or_else(|| run.damaged())? as u32;
        if leaf >= tree.leaves.count {
            return Err(run.damaged());
        }
        run.block(tree.leaves.start + leaf, Kind::Batches)
    }
}

/// Reads the entries of a file one after the other.
pub(crate) struct Scan {
    run: Arc<Run>,
    blocks: Vec<u8>,
    next_block: u32,
    /// Where in `blocks` the current one begins.
    at: usize,
    /// The next entry of it.
    entry: usize,
}

impl Scan {
    /// The next entry, and its positions in place of what was there.
    pub(crate) fn next(&mut self, positions: &mut Vec<u64>) -> Result<Option<Fence>, Trouble> {
        loop {
            if self.at == self.blocks.len() {
                let leaves = self.run.header.entries.leaves;
                let count = (leaves.count - self.next_block).min(SCAN_BLOCKS);
                if count == 0 {
                    return Ok(None);
                }
                self.blocks = self.run.read(leaves.start + self.next_block, count, Kind::Keys)?;
                self.next_block += count;
                (self.at, self.entry) = (0, 0);
            }
            let keys = self.run.keys(&self.blocks[self.at..self.at + BLOCK_BYTES]);
            if self.entry == keys.count() {
                (self.at, self.entry) = (self.at + BLOCK_BYTES, 0);
                continue;
            }
            let entry = keys.get(self.entry).ok_or_else(|| self.run.damaged())?;
            *positions = keys.positions(&entry).ok_or_else(|| self.run.damaged())?;
            self.entry += 1;
            return Ok(Some(entry.fence));
        }
    }
}
