//! Where index files are opened, made and removed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::BLOCK_BYTES;
use super::cache::BlockCache;
use super::header::{RunHeader, Span, binding};
use super::recent::Recent;
use super::run::Run;
use super::write::{Unwritten, write_merged, write_recent};
use crate::disk::{Disk, DiskFile, TEMPORARY_SUFFIX, read_up_to, remove_if_there};
use crate::files::Files;
use crate::format::small::SegmentHeader;
use crate::identity::Identity;

/// The index files of a store.
pub(crate) struct Shelf {
    disk: Arc<dyn Disk>,
    files: Arc<Files>,
    cache: Arc<BlockCache>,
    store: [u8; 16],
    incarnation: [u8; 16],
    next_run: AtomicU64,
}

impl Shelf {
    pub(crate) fn new(disk: Arc<dyn Disk>, files: Arc<Files>, identity: &Identity, cache_bytes: usize) -> Self {
        Shelf {
            disk,
            files,
            cache: Arc::new(BlockCache::new(cache_bytes)),
            store: identity.store,
            incarnation: identity.incarnation,
            next_run: AtomicU64::new(1),
        }
    }

    /// Bytes of the blocks in the cache.
    pub(crate) fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    fn run(&self, header: RunHeader) -> Result<Run, Unwritten> {
        let file = self.files.file(header.span.file_name());
        let id = self.next_run.fetch_add(1, Ordering::Relaxed);
        Ok(Run::open(id, header, file, self.cache.clone())?)
    }

    /// Opens the index file of these segments: of those whose headers are given, but the last, which is behind it.
    /// `None` when it does not fit them, or cannot be read.
    pub(crate) fn open(&self, headers: &[SegmentHeader]) -> io::Result<Option<Run>> {
        let [first, .., next] = headers else { return Ok(None) };
        let span = Span { first: first.number, last: next.number - 1 };
        let file = self.files.file(span.file_name());
        let handle = file.handle()?;
        let mut block = vec![0; BLOCK_BYTES];
        let Ok(read) = read_up_to(&*handle, &mut block, 0) else { return Ok(None) };
        let Ok(header) = RunHeader::decode(&block[..read]) else { return Ok(None) };
        let fits = header.span == span
            && (header.store, header.incarnation) == (self.store, self.incarnation)
            && (header.first, header.last + 1) == (first.first, next.first)
            && header.binding == binding(headers.iter())
            && handle.len()? >= u64::from(header.blocks) * BLOCK_BYTES as u64;
        if !fits {
            return Ok(None);
        }
        match self.run(header) {
            Ok(run) => Ok(Some(run)),
            Err(Unwritten::Disk(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Makes the file of a sealed segment. `headers` are its own and the next one's.
    pub(crate) fn write_recent(&self, headers: &[SegmentHeader], recent: &Recent) -> Result<Run, Unwritten> {
        self.write(headers, 0, |file, header| write_recent(file, header, recent))
    }

    /// Makes one file of several neighbouring ones. `headers` are those of their segments and of the one behind.
    pub(crate) fn write_merged(
        &self,
        headers: &[SegmentHeader],
        runs: &[Arc<Run>],
        pause: &mut dyn FnMut() -> Result<(), Unwritten>,
    ) -> Result<Run, Unwritten> {
        let level = runs.iter().map(|run| run.header.level).max().unwrap_or(0) + 1;
        let run = self.write(headers, level, |file, header| write_merged(file, header, runs, pause))?;
        // Before the files it replaces are removed: a crash between must not lose both names.
        self.disk.sync_dir()?;
        Ok(run)
    }

    fn write(
        &self,
        headers: &[SegmentHeader],
        level: u32,
        fill: impl FnOnce(&dyn DiskFile, RunHeader) -> Result<RunHeader, Unwritten>,
    ) -> Result<Run, Unwritten> {
        let [first, .., next] = headers else { panic!("a segment and the one behind it") };
        let span = Span { first: first.number, last: next.number - 1 };
        let header = RunHeader {
            store: self.store,
            incarnation: self.incarnation,
            binding: binding(headers.iter()),
            span,
            level,
            first: first.first,
            last: next.first - 1,
            ..RunHeader::EMPTY
        };
        let name = span.file_name();
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        remove_if_there(&*self.disk, &temporary)?;
        let file = self.disk.create(&temporary)?;
        let written = fill(&*file, header).and_then(|header| {
            // Not for truth, which is in the log: only so that a power cut does not cost the next opening a scan.
            file.sync()?;
            self.disk.rename(&temporary, &name)?;
            Ok(header)
        });
        if written.is_err() {
            // Its space is given back; the next attempt begins anew.
            let _removed = self.disk.remove(&temporary);
        }
        self.run(written?)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        remove_if_there(&*self.disk, name)
    }
}
