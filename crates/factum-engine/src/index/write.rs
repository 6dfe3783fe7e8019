//! Writing index files: from the index of a segment in memory, or from files that are merged.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::block::{
    self, BLOCK_BATCHES, BLOCK_BYTES, BLOCK_FENCES, Batches, ENTRY_DELTA_BYTES_MAX, Fence, KeysBuilder, NewBlock,
    NewEntry, filter_add, filter_block_of, filter_blocks, seal_filter,
};
use super::header::{RunHeader, Section, Tree};
use super::key::Key;
use super::recent::Recent;
use super::run::{Run, Scan};
use super::{BatchPlace, NOT_COUNTED, Trouble};
use crate::disk::{DiskFile, write_all};

/// Blocks written at once.
const WRITE_BLOCKS: usize = 64;

/// Why a file was not written.
pub(crate) enum Unwritten {
    /// What should have been merged cannot be read.
    Trouble(Trouble),
    /// The disk refused.
    Disk(io::Error),
    /// The store is being closed.
    Stopped,
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Unwritten::Disk(error)
    }
}

impl From<Trouble> for Unwritten {
    fn from(trouble: Trouble) -> Self {
        Unwritten::Trouble(trouble)
    }
}

/// Blocks on their way to the file, one behind the other.
struct Stream {
    next: u32,
    buffer: Vec<u8>,
}

impl Stream {
    fn at(next: u32) -> Self {
        Stream { next, buffer: Vec::new() }
    }

    fn push(&mut self, file: &dyn DiskFile, block: &NewBlock) -> io::Result<()> {
        self.buffer.extend_from_slice(block);
        self.next += 1;
        if self.buffer.len() >= WRITE_BLOCKS * BLOCK_BYTES { self.flush(file) } else { Ok(()) }
    }

    fn flush(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        let blocks = (self.buffer.len() / BLOCK_BYTES) as u32;
        write_all(file, &self.buffer, u64::from(self.next - blocks) * BLOCK_BYTES as u64)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes one file: batches first, then keys in their order.
struct RunWriter<'a> {
    file: &'a dyn DiskFile,
    header: RunHeader,
    mask: u32,
    main: Stream,
    filter: Stream,
    filter_block: Box<NewBlock>,
    /// Of the section being written.
    fences: Vec<Fence>,
    keys: KeysBuilder,
    entry: Option<NewEntry>,
    last: u64,
}

impl<'a> RunWriter<'a> {
    /// The filter is made for as many keys as the header says.
    fn new(file: &'a dyn DiskFile, mut header: RunHeader) -> Self {
        header.filter = Section { start: 1, count: filter_blocks(header.keys) };
        RunWriter {
            file,
            mask: header.mask(),
            main: Stream::at(1 + header.filter.count),
            filter: Stream::at(1),
            filter_block: Box::new([0; BLOCK_BYTES]),
            fences: Vec::new(),
            keys: KeysBuilder::new(),
            entry: None,
            last: 0,
            header,
        }
    }

    fn batches(&mut self, batches: &[BatchPlace]) -> io::Result<()> {
        let block = block::write_batches(batches, self.main.next, self.mask);
        self.batch_block(&block, batches[0].first)
    }

    fn batch_block(&mut self, block: &NewBlock, first: u64) -> io::Result<()> {
        self.fences.push(Fence { key: Key(0), first, base: 0 });
        self.main.push(self.file, block)
    }

    /// Writes the fences of the leaves that were written from `start` on, and theirs.
    fn tree(&mut self, start: u32) -> io::Result<Tree> {
        let leaves = Section { start, count: self.main.next - start };
        let leaf_fences = std::mem::take(&mut self.fences);
        let fences = self.fence_blocks(&leaf_fences)?;
        let firsts: Vec<Fence> = leaf_fences.chunks(BLOCK_FENCES).map(|fences| fences[0]).collect();
        let roots = self.fence_blocks(&firsts)?;
        Ok(Tree { leaves, fences, roots })
    }

    fn fence_blocks(&mut self, fences: &[Fence]) -> io::Result<Section> {
        let start = self.main.next;
        for fences in fences.chunks(BLOCK_FENCES) {
            let block = block::write_fences(fences, self.main.next, self.mask);
            self.main.push(self.file, &block)?;
        }
        Ok(Section { start, count: self.main.next - start })
    }

    /// Begins the list of a key; keys come in order, lists of the same key in the order of their positions.
    fn list(&mut self, key: Key, base: u64) -> io::Result<()> {
        if self.entry.as_ref().is_some_and(|entry| entry.fence.key == key) {
            return Ok(());
        }
        self.end_entry()?;
        let blocks = self.header.filter.count;
        let wanted = self.header.filter.start + filter_block_of(key, blocks);
        while self.filter.next < wanted {
            self.end_filter_block()?;
        }
        filter_add(&mut self.filter_block, key);
        self.begin_entry(key, base);
        Ok(())
    }

    fn begin_entry(&mut self, key: Key, base: u64) {
        self.entry = Some(NewEntry { fence: Fence { key, first: 0, base }, count: 0, deltas: Vec::new() });
    }

    fn position(&mut self, position: u64) -> io::Result<()> {
        let full = self.entry.as_ref().filter(|entry| entry.deltas.len() >= ENTRY_DELTA_BYTES_MAX);
        if let Some(NewEntry { fence, count, .. }) = full {
            let (key, base) = (fence.key, fence.base);
            let base = if base == NOT_COUNTED { base } else { base + u64::from(*count) };
            self.end_entry()?;
            self.begin_entry(key, base);
        }
        let entry = self.entry.as_mut().expect("a list was begun");
        if entry.count == 0 {
            entry.fence.first = position;
        } else {
            assert!(position > self.last, "positions of a key rise");
            block::push_number(&mut entry.deltas, position - self.last);
        }
        entry.count += 1;
        self.last = position;
        Ok(())
    }

    fn end_entry(&mut self) -> io::Result<()> {
        let Some(entry) = self.entry.take() else {
            return Ok(());
        };
        if !self.keys.push(&entry, self.header.first) {
            self.end_keys_block()?;
            assert!(self.keys.push(&entry, self.header.first), "an entry fits into an empty block");
            self.fences.push(entry.fence);
        } else if self.fences.is_empty() {
            self.fences.push(entry.fence);
        }
        Ok(())
    }

    fn end_keys_block(&mut self) -> io::Result<()> {
        let block = self.keys.finish(self.main.next, self.mask);
        self.main.push(self.file, &block)
    }

    fn end_filter_block(&mut self) -> io::Result<()> {
        seal_filter(&mut self.filter_block, self.filter.next, self.mask);
        self.filter.push(self.file, &self.filter_block)?;
        self.filter_block.fill(0);
        Ok(())
    }

    /// Completes the file; its header comes last.
    fn finish(mut self, entries_start: u32) -> io::Result<RunHeader> {
        self.end_entry()?;
        if !self.keys.is_empty() {
            self.end_keys_block()?;
        }
        while self.filter.next < self.header.filter.start + self.header.filter.count {
            self.end_filter_block()?;
        }
        self.filter.flush(self.file)?;
        self.header.entries = self.tree(entries_start)?;
        self.main.flush(self.file)?;
        self.header.blocks = self.main.next;
        write_all(self.file, &self.header.encode(), 0)?;
        Ok(self.header)
    }
}

/// Writes the index of one segment. Of the header, what describes the file is filled in here.
pub(crate) fn write_recent(file: &dyn DiskFile, header: RunHeader, recent: &Recent) -> Result<RunHeader, Unwritten> {
    let mut writer = RunWriter::new(file, RunHeader { keys: recent.keys() as u64, ..header });
    let start = writer.main.next;
    let mut batches = Vec::with_capacity(BLOCK_BATCHES);
    for batch in recent.batches_from(recent.first) {
        batches.push(batch);
        if batches.len() == BLOCK_BATCHES {
            writer.batches(&batches)?;
            batches.clear();
        }
    }
    if !batches.is_empty() {
        writer.batches(&batches)?;
    }
    writer.header.batches = writer.tree(start)?;
    let start = writer.main.next;
    for (key, postings) in recent.sorted() {
        writer.list(key, postings.base)?;
        for position in postings.positions() {
            writer.position(position)?;
        }
    }
    Ok(writer.finish(start)?)
}

/// Merges files of neighbouring segments, in their order. Now and then it asks `pause` whether to go on.
pub(crate) fn write_merged(
    file: &dyn DiskFile,
    header: RunHeader,
    runs: &[Arc<Run>],
    pause: &mut dyn FnMut() -> Result<(), Unwritten>,
) -> Result<RunHeader, Unwritten> {
    let keys = runs.iter().map(|run| run.header.keys).sum();
    let mut writer = RunWriter::new(file, RunHeader { keys, ..header });
    let start = writer.main.next;
    for run in runs {
        let mut failed = Ok(());
        run.each_batch_block(&mut |block| {
            if failed.is_ok() {
                let copy = block::renumber_batches(block, writer.main.next, writer.mask);
                failed = writer.batch_block(&copy, Batches(block).first());
            }
            Ok(())
        })?;
        failed?;
    }
    writer.header.batches = writer.tree(start)?;
    let start = writer.main.next;
    // The next entry of each file, by key and then by the order of the files.
    let mut scans: Vec<(Scan, Vec<u64>, u64)> = runs.iter().map(|run| (run.scan(), Vec::new(), 0)).collect();
    let mut order = BTreeSet::new();
    for (number, (scan, positions, base)) in scans.iter_mut().enumerate() {
        if let Some(fence) = scan.next(positions)? {
            *base = fence.base;
            order.insert((fence.key, number));
        }
    }
    let mut last_block = writer.main.next;
    while let Some((key, number)) = order.pop_first() {
        let (scan, positions, base) = &mut scans[number];
        writer.list(key, *base)?;
        for position in positions.iter() {
            writer.position(*position)?;
        }
        if let Some(fence) = scan.next(positions)? {
            *base = fence.base;
            order.insert((fence.key, number));
        }
        if writer.main.next != last_block {
            last_block = writer.main.next;
            pause()?;
        }
    }
    Ok(writer.finish(start)?)
}
