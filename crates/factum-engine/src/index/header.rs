//! The first block of an index file: which part of which log it is of, and where its sections are.

use super::block::BLOCK_BYTES;
use crate::format::small::{SegmentHeader, Unusable, open, seal};
use crate::format::{array_at, mask, put, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"FACTMIDX";
/// Counts on its own: an index file of another format is made anew from the log.
const INDEX_FORMAT: u32 = 1;
const BODY_BYTES: usize = 176;
const SECTIONS_AT: usize = 112;
const PREFIX: &str = "index-";
const SUFFIX: &str = ".run";

/// Blocks in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Section {
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// Blocks, the first entry of each of them, and the first of each block of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tree {
    pub(crate) leaves: Section,
    pub(crate) fences: Section,
    pub(crate) roots: Section,
}

impl Tree {
    const EMPTY: Tree = {
        let empty = Section { start: 0, count: 0 };
        Tree { leaves: empty, fences: empty, roots: empty }
    };
}

/// Which segments an index file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Span {
    pub(crate) fn segments(self) -> u32 {
        self.last - self.first + 1
    }

    pub(crate) fn file_name(self) -> String {
        format!("{PREFIX}{:08}-{:08}{SUFFIX}", self.first, self.last)
    }

    /// What a file of this name is of.
    pub(crate) fn of_file_name(name: &str) -> Option<Span> {
        let (first, last) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
        let span = Span { first: first.parse().ok()?, last: last.parse().ok()? };
        (1 <= span.first && span.first <= span.last && span.file_name() == name).then_some(span)
    }
}

/// Head of an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunHeader {
    pub(crate) store: [u8; 16],
    pub(crate) incarnation: [u8; 16],
    /// See [`binding`].
    pub(crate) binding: [u8; 32],
    pub(crate) span: Span,
    /// How often it was merged.
    pub(crate) level: u32,
    /// Position of its first event.
    pub(crate) first: u64,
    /// Position of its last event.
    pub(crate) last: u64,
    /// Distinct keys, or more.
    pub(crate) keys: u64,
    pub(crate) filter: Section,
    pub(crate) batches: Tree,
    pub(crate) entries: Tree,
    /// Length of the file in blocks.
    pub(crate) blocks: u32,
}

/// Ties an index file to a stretch of the log: a hash of the headers of its segments and of the one behind. They carry
/// the hash of the last batch before each, and with it all of history.
pub(crate) fn binding<'a>(headers: impl Iterator<Item = &'a SegmentHeader>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for header in headers {
        hasher.update(&header.encode());
    }
    *hasher.finalize().as_bytes()
}

impl RunHeader {
    pub(crate) const EMPTY: RunHeader = RunHeader {
        store: [0; 16],
        incarnation: [0; 16],
        binding: [0; 32],
        span: Span { first: 0, last: 0 },
        level: 0,
        first: 0,
        last: 0,
        keys: 0,
        filter: Section { start: 0, count: 0 },
        batches: Tree::EMPTY,
        entries: Tree::EMPTY,
        blocks: 0,
    };

    /// What the checksums of its blocks are combined with.
    pub(crate) fn mask(&self) -> u32 {
        mask(&array_at(&self.binding, 0), self.span.first)
    }

    fn sections(&self) -> [Section; 7] {
        let Tree { leaves, fences, roots } = self.batches;
        [self.filter, leaves, fences, roots, self.entries.leaves, self.entries.fences, self.entries.roots]
    }

    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut body = [0; BODY_BYTES];
        put(&mut body, 0, &self.store);
        put(&mut body, 16, &self.incarnation);
        put(&mut body, 32, &self.binding);
        put(&mut body, 64, &INDEX_FORMAT.to_le_bytes());
        put(&mut body, 68, &self.span.first.to_le_bytes());
        put(&mut body, 72, &self.span.last.to_le_bytes());
        put(&mut body, 76, &self.level.to_le_bytes());
        put(&mut body, 80, &self.first.to_le_bytes());
        put(&mut body, 88, &self.last.to_le_bytes());
        put(&mut body, 96, &self.keys.to_le_bytes());
        put(&mut body, 104, &self.blocks.to_le_bytes());
        for (index, section) in self.sections().into_iter().enumerate() {
            put(&mut body, SECTIONS_AT + index * 8, &section.start.to_le_bytes());
            put(&mut body, SECTIONS_AT + index * 8 + 4, &section.count.to_le_bytes());
        }
        let mut block = [0; BLOCK_BYTES];
        put(&mut block, 0, &seal(MAGIC, self.mask(), &body));
        block
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, Unusable> {
        let mask = |body: &[u8]| match body.len() {
            BODY_BYTES => mask(&array_at(body, 32), u32_at(body, 68)),
            _ => 0,
        };
        let body = open(MAGIC, mask, block)?;
        if body.len() != BODY_BYTES {
            return Err(Unusable::Damaged);
        }
        if u32_at(body, 64) != INDEX_FORMAT {
            return Err(Unusable::Newer(u32_at(body, 64)));
        }
        let section = |index: usize| {
            let at = SECTIONS_AT + index * 8;
            Section { start: u32_at(body, at), count: u32_at(body, at + 4) }
        };
        let tree = |index| Tree { leaves: section(index), fences: section(index + 1), roots: section(index + 2) };
        let header = RunHeader {
            store: array_at(body, 0),
            incarnation: array_at(body, 16),
            binding: array_at(body, 32),
            span: Span { first: u32_at(body, 68), last: u32_at(body, 72) },
            level: u32_at(body, 76),
            first: u64_at(body, 80),
            last: u64_at(body, 88),
            keys: u64_at(body, 96),
            blocks: u32_at(body, 104),
            filter: section(0),
            batches: tree(1),
            entries: tree(4),
        };
        let fits = |section: Section| section.start.checked_add(section.count).is_some_and(|end| end <= header.blocks);
        let sound = header.sections().into_iter().all(fits) && header.first <= header.last && header.filter.count > 0;
        if sound { Ok(header) } else { Err(Unusable::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_says_which_segments() {
        let span = Span { first: 3, last: 12 };
        assert_eq!(Span::of_file_name(&span.file_name()), Some(span));
        for wrong in ["index-3-12.run", "index-00000004-00000003.run", "index-00000003-00000012.run.new", "identity"] {
            assert_eq!(Span::of_file_name(wrong), None, "{wrong}");
        }
    }
}
