//! Two generations of a read model, document by document.

use std::{collections::BTreeSet, fmt};

use crate::{
    model::ProjectionKey,
    read::{Generation, Inspection, Key, ReadError},
};

/// How many documents are looked at in one go.
const PAGE_ROWS: usize = 1_000;
/// Bytes of a checksum that are shown.
const SHOWN_BYTES: usize = 16;

/// A checksum over every document of a generation, in the order of tables and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// BLAKE3 over names, keys and documents, each with its length before it.
    pub digest: [u8; 32],
    /// How many documents there are.
    pub documents: u64,
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest[..SHOWN_BYTES].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The checksum of a generation.
///
/// # Errors
/// The read store failed.
pub fn checksum(
    inspection: &mut dyn Inspection,
    projection: ProjectionKey,
    generation: Generation,
) -> Result<Checksum, ReadError> {
    let (mut hasher, mut documents) = (blake3::Hasher::new(), 0);
    for table in inspection.tables(projection, generation)? {
        let mut after: Option<Key> = None;
        loop {
            let rows = inspection.rows(projection, generation, &table, after.as_ref(), PAGE_ROWS)?;
            let Some((last, _)) = rows.last() else { break };
            if after.is_none() {
                // Only now: a table that lost its last document is as good as one that never had any.
                part(&mut hasher, table.as_bytes());
            }
            for (key, document) in &rows {
                part(&mut hasher, key.as_bytes());
                part(&mut hasher, document);
            }
            documents += rows.len() as u64;
            after = Some(last.clone());
        }
        part(&mut hasher, b"");
    }
    Ok(Checksum { digest: *hasher.finalize().as_bytes(), documents })
}

fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

/// The first place at which two generations differ, in words without any document's content; `None`: nowhere.
pub(super) fn difference(
    inspection: &mut dyn Inspection,
    projection: ProjectionKey,
    live: Generation,
    fresh: Generation,
) -> Result<Option<String>, ReadError> {
    let mut tables: BTreeSet<String> = inspection.tables(projection, live)?.into_iter().collect();
    tables.extend(inspection.tables(projection, fresh)?);
    for table in tables {
        let mut after: Option<Key> = None;
        loop {
            let left = inspection.rows(projection, live, &table, after.as_ref(), PAGE_ROWS)?;
            let right = inspection.rows(projection, fresh, &table, after.as_ref(), PAGE_ROWS)?;
            let equal = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
            if equal < left.len().max(right.len()) {
                return Ok(Some(differ(&table, left.get(equal), right.get(equal))));
            }
            let Some((last, _)) = left.last() else { break };
            after = Some(last.clone());
        }
    }
    Ok(None)
}

type Row = (Key, Vec<u8>);

fn differ(table: &str, live: Option<&Row>, fresh: Option<&Row>) -> String {
    match (live, fresh) {
        (Some((left, _)), Some((right, _))) if left == right => format!("table {table}: {left:?} has other content"),
        (Some((left, _)), Some((right, _))) if left > right => format!("table {table}: {right:?} is missing"),
        (Some((left, _)), _) => format!("table {table}: {left:?} is there and must not be"),
        (None, Some((right, _))) => format!("table {table}: {right:?} is missing"),
        (None, None) => format!("table {table}"),
    }
}
