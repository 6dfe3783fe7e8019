//! Writes of a transaction that are not in the database yet.

use std::{collections::BTreeMap, iter::Peekable};

use super::{DOCUMENT_BYTES_MAX, Key, KeyRange, ReadError, SCAN_ROWS_MAX, TableName};
use crate::model::ProjectionKey;

/// What a buffer holds for a key: the document it will have, or `None` where it will be deleted.
pub type Buffered = Option<Vec<u8>>;

/// The writes of one transaction, laid over what the database holds: for implementations of
/// [`ReadStore`](super::ReadStore).
///
/// It checks the limits, keeps only the last write of each key, and gives the writes out in the order of their keys,
/// which is the cheapest one for a B-tree.
#[derive(Debug)]
pub struct WriteBuffer {
    projection: ProjectionKey,
    tables: BTreeMap<TableName, BTreeMap<Key, Buffered>>,
    bytes: usize,
}

impl WriteBuffer {
    /// An empty buffer for a transaction of `projection`.
    pub const fn new(projection: ProjectionKey) -> Self {
        Self { projection, tables: BTreeMap::new(), bytes: 0 }
    }

    /// Bytes of keys and documents written since the last [`WriteBuffer::take`], overwritten ones included.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes a document.
    ///
    /// # Errors
    /// Document or key over its limit, or the table belongs to another projection.
    pub fn put(&mut self, table: TableName, key: &Key, document: Vec<u8>) -> Result<(), ReadError> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(ReadError::TooLarge { what: "document", actual: document.len(), limit: DOCUMENT_BYTES_MAX });
        }
        self.write(table, key, Some(document))
    }

    /// Deletes a document, if it is there.
    ///
    /// # Errors
    /// Key over its limit, or the table belongs to another projection.
    pub fn delete(&mut self, table: TableName, key: &Key) -> Result<(), ReadError> {
        self.write(table, key, None)
    }

    /// What was written for a key; `None`: nothing, ask the database.
    pub fn get(&self, table: TableName, key: &Key) -> Option<&Buffered> {
        self.tables.get(&table)?.get(key)
    }

    /// The rows of a range, at most `limit` and never more than [`SCAN_ROWS_MAX`]: those of the database, which `base`
    /// yields in the order of their keys, with the buffered writes laid over them.
    ///
    /// # Errors
    /// The first error that `base` yields.
    pub fn scan(
        &self,
        table: TableName,
        range: &KeyRange,
        limit: usize,
        base: impl Iterator<Item = Result<(Key, Vec<u8>), ReadError>>,
    ) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        let buffered = self.tables.get(&table).filter(|_| !range.is_empty()).map(|rows| rows.range(range.bounds()));
        let merged = Merged { buffered: buffered.into_iter().flatten().peekable(), base: base.peekable() };
        merged.take(limit.min(SCAN_ROWS_MAX)).collect()
    }

    /// Takes the writes out, table by table in the order of their keys, and leaves the buffer empty.
    pub fn take(&mut self) -> impl Iterator<Item = (TableName, BTreeMap<Key, Buffered>)> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.tables).into_iter()
    }

    fn write(&mut self, table: TableName, key: &Key, value: Buffered) -> Result<(), ReadError> {
        let key_bytes = key.as_bytes().len();
        if key_bytes > Key::BYTES_MAX {
            return Err(ReadError::TooLarge { what: "key", actual: key_bytes, limit: Key::BYTES_MAX });
        }
        if table.projection != self.projection {
            // Two writers of one table could be neither rebuilt nor fenced on their own.
            return Err(ReadError::Broken(format!(
                "projection {} wrote to {table}, which is not its own",
                self.projection
            )));
        }
        self.bytes += key_bytes + value.as_ref().map_or(0, Vec::len);
        self.tables.entry(table).or_default().insert(key.clone(), value);
        Ok(())
    }
}

struct Merged<'a, L, B>
where
    L: Iterator<Item = (&'a Key, &'a Buffered)>,
    B: Iterator<Item = Result<(Key, Vec<u8>), ReadError>>,
{
    buffered: Peekable<L>,
    base: Peekable<B>,
}

impl<'a, L, B> Iterator for Merged<'a, L, B>
where
    L: Iterator<Item = (&'a Key, &'a Buffered)>,
    B: Iterator<Item = Result<(Key, Vec<u8>), ReadError>>,
{
    type Item = Result<(Key, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let base_first = match (self.buffered.peek(), self.base.peek()) {
                (_, Some(Err(_))) | (None, _) => true,
                (Some(_), None) => false,
                (Some((buffered, _)), Some(Ok((base, _)))) => {
                    if *buffered == base {
                        self.base.next();
                        continue;
                    }
                    base < *buffered
                }
            };
            if base_first {
                return self.base.next();
            }
            if let (key, Some(document)) = self.buffered.next()? {
                return Some(Ok((key.clone(), document.clone())));
            }
        }
    }
}
