//! Typed handles on tables of documents.

use std::{fmt, marker::PhantomData};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use super::{Key, KeyRange, ReadError, ReadSnapshot, ReadTransaction, TableName};
use crate::model::{Projection, ProjectionKey, document};

/// A table of documents `D`, which belongs to one version of one projection.
///
/// ```
/// # use factum::{Delivery, Projection, read::{ReadError, ReadTransaction, Table}};
/// # #[derive(Default)] struct Totals;
/// # impl Projection for Totals {
/// #     const NAME: &'static str = "totals";
/// #     const VERSION: u32 = 1;
/// #     type Event = factum::testing::NoEvent;
/// #     fn project(&self, _: &Self::Event, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> { Ok(()) }
/// # }
/// const TOTALS: Table<u64> = Table::of::<Totals>("totals");
/// fn add(tx: &mut dyn ReadTransaction, name: &str, amount: u64) -> Result<(), ReadError> {
///     let sum = TOTALS.get(tx, &name.into())?.unwrap_or(0) + amount;
///     TOTALS.put(tx, &name.into(), &sum)
/// }
/// ```
pub struct Table<D> {
    name: TableName,
    document: PhantomData<fn() -> D>,
}

impl<D> Clone for Table<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Table<D> {}

impl<D> fmt::Debug for Table<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

impl<D: Serialize + DeserializeOwned> Table<D> {
    /// The table of this name of a projection.
    ///
    /// # Panics
    /// At compile time in a `const`: the name holds something other than `a`–`z`, `0`–`9` and `_`.
    pub const fn of<P: Projection>(table: &'static str) -> Self {
        let bytes = table.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 40, "a table's name has 1 to 40 characters");
        assert!(!is_reserved(bytes), "tables that begin with factum_ are the framework's own");
        let mut at = 0;
        while at < bytes.len() {
            assert!(matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_'), "a table's name is made of a-z, 0-9 and _");
            at += 1;
        }
        Self { name: TableName { projection: ProjectionKey::of::<P>(), table }, document: PhantomData }
    }

    /// A table of the framework's own, beside those of a projection.
    pub(crate) const fn reserved(name: TableName) -> Self {
        Self { name, document: PhantomData }
    }

    /// The table's name in the read store.
    pub const fn name(&self) -> TableName {
        self.name
    }

    /// The document under a key.
    ///
    /// # Errors
    /// The read store failed, or the document is unreadable.
    pub fn get(&self, read: &mut (impl ReadSnapshot + ?Sized), key: &Key) -> Result<Option<D>, ReadError> {
        read.get(self.name, key)?.map(|document| self.decode(&document)).transpose()
    }

    /// Documents in a range in order of their keys, at most `limit`, and where the next page starts.
    ///
    /// # Errors
    /// The read store failed, or a document is unreadable.
    pub fn page(
        &self,
        read: &mut (impl ReadSnapshot + ?Sized),
        range: &KeyRange,
        limit: usize,
    ) -> Result<Page<D>, ReadError> {
        let limit = limit.min(super::SCAN_ROWS_MAX - 1);
        let mut rows = read.scan(self.name, range, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|(key, _)| Cursor { table: self.name.tag(), after: key.clone() });
        let documents = rows.iter().map(|(_, document)| self.decode(document)).collect::<Result<_, _>>()?;
        Ok(Page { documents, next })
    }

    /// Documents in a range in order of their keys, at most `limit`, each with its key.
    pub(crate) fn rows(
        &self,
        read: &mut (impl ReadSnapshot + ?Sized),
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, D)>, ReadError> {
        let rows = read.scan(self.name, range, limit)?;
        rows.into_iter().map(|(key, document)| Ok((key, self.decode(&document)?))).collect()
    }

    /// What is left of a range after the page that gave this cursor, as text.
    ///
    /// # Errors
    /// It is no cursor of this table, or points outside of the range: it belongs to another question.
    pub fn resume(&self, range: KeyRange, cursor: &str) -> Result<KeyRange, InvalidCursor> {
        let after = Cursor::parse(cursor).filter(|cursor| cursor.table == self.name.tag()).ok_or(InvalidCursor)?.after;
        if range.contains(&after) { Ok(range.after(after)) } else { Err(InvalidCursor) }
    }

    /// Writes a document, replacing what was there.
    ///
    /// # Errors
    /// Over a limit, or the read store failed.
    pub fn put(&self, tx: &mut (impl ReadTransaction + ?Sized), key: &Key, document: &D) -> Result<(), ReadError> {
        let bytes = serde_json::to_vec(document)
            .map_err(|source| ReadError::Broken(format!("a document of {} cannot be written: {source}", self.name)))?;
        tx.put(self.name, key, bytes)
    }

    /// Deletes a document, if it is there.
    ///
    /// # Errors
    /// The read store failed.
    pub fn delete(&self, tx: &mut (impl ReadTransaction + ?Sized), key: &Key) -> Result<(), ReadError> {
        tx.delete(self.name, key)
    }

    fn decode(&self, document: &[u8]) -> Result<D, ReadError> {
        document::read(document)
            .map_err(|source| ReadError::Damaged { place: self.name.to_string(), source: source.into() })
    }
}

/// What the names of the framework's own tables begin with, beside those of a projection.
pub const RESERVED_TABLES: &str = "factum_";

const fn is_reserved(name: &[u8]) -> bool {
    const RESERVED: &[u8] = RESERVED_TABLES.as_bytes();
    if name.len() < RESERVED.len() {
        return false;
    }
    let mut at = 0;
    while at < RESERVED.len() {
        if name[at] != RESERVED[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// A page of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<D> {
    /// The documents, in order of their keys.
    pub documents: Vec<D>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Cursor>,
}

/// Where the next page starts: after a key of a table. Stable while documents come and go. As text opaque and safe in
/// URLs; [`Table::resume`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// [`TableName::tag`] of the table: another one may have keys that look the same.
    table: u64,
    after: Key,
}

/// The text is no cursor for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no cursor of this question: use `next` of the page before, unchanged")]
pub struct InvalidCursor;

/// Bytes of a cursor before its key.
const TAG_BYTES: usize = size_of::<u64>();

impl Cursor {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > (TAG_BYTES + Key::BYTES_MAX).div_ceil(3) * 4 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tag, key) = bytes.split_first_chunk()?;
        let usable = !key.is_empty() && key.len() <= Key::BYTES_MAX;
        usable.then(|| Self { table: u64::from_be_bytes(*tag), after: Key::from_bytes(key.to_vec()) })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.table.to_be_bytes(), self.after.as_bytes()].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}
