//! What the queries that answer in pages have in common.

use factum::prelude::*;
use factum::read::InvalidCursor;

/// Documents of a page, unless told otherwise.
pub(super) const LIMIT_DEFAULT: usize = 50;
/// The most documents of a page.
pub(super) const LIMIT_MAX: usize = 500;

/// How many documents a page has.
pub(super) fn page_size(limit: Option<usize>) -> Result<usize, InvalidField> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(InvalidField::new("limit", format!("must be 1 to {LIMIT_MAX}")))
    }
}

/// The part of a range in which a page begins.
pub(super) fn rest<D: serde::Serialize + serde::de::DeserializeOwned>(
    table: Table<D>,
    range: KeyRange,
    cursor: Option<&str>,
) -> Result<KeyRange, InvalidField> {
    let Some(cursor) = cursor else { return Ok(range) };
    table.resume(range, cursor).map_err(|error: InvalidCursor| InvalidField::new("cursor", error))
}
