//! Documents in SQL tables: one SQL table for each table of a projection's version.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use factum::{
    ProjectionKey,
    read::{Buffered, Generation, Key, KeyRange, ReadError, TableName},
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, ToSql, types::ValueRef};

use crate::error::{is_missing_table, read_error};

/// The longest name of a projection, in bytes.
const PROJECTION_NAME_BYTES_MAX: usize = 100;
/// The longest name of a table, in bytes.
const TABLE_NAME_BYTES_MAX: usize = 100;

/// The statements on one table, as text: written once, then looked up.
pub(crate) struct Statements {
    /// The quoted name of the SQL table.
    name: String,
    get: String,
    upsert: String,
    delete: String,
}

/// The statements of every table used so far.
#[derive(Default)]
pub(crate) struct Catalog(RwLock<HashMap<(TableName, Generation), Arc<Statements>>>);

impl Catalog {
    fn of(&self, table: (TableName, Generation)) -> Result<Arc<Statements>, ReadError> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&table) {
            return Ok(Arc::clone(known));
        }
        let (TableName { projection, table: name }, generation) = table;
        let name = sql_name(projection, generation, name)?;
        let statements = Arc::new(Statements {
            get: format!("SELECT document FROM {name} WHERE key = ?1"),
            upsert: format!(
                "INSERT INTO {name} (key, document) VALUES (?1, ?2) \
                 ON CONFLICT (key) DO UPDATE SET document = excluded.document"
            ),
            delete: format!("DELETE FROM {name} WHERE key = ?1"),
            name,
        });
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(table, Arc::clone(&statements));
        Ok(statements)
    }
}

/// The quoted name of the SQL table: `"account_summaries_v1__lines"`, of its second generation
/// `"account_summaries_v1_g2__lines"`. No two tables share one: a projection's name in kebab-case has no `__`, so the
/// first one ends projection, version and generation; and a version's `_v1` is no generation's `_g1`.
fn sql_name(projection: ProjectionKey, generation: Generation, table: &str) -> Result<String, ReadError> {
    if !is_kebab(projection.name) || projection.name.starts_with("sqlite") {
        let message = format!("projection name `{}`: use kebab-case, not beginning with `sqlite`", projection.name);
        return Err(ReadError::Broken(message));
    }
    if !is_snake(table) {
        return Err(ReadError::Broken(format!("table name `{table}` is made of a-z, 0-9 and _")));
    }
    Ok(quoted(&prefix(projection.name, projection.version, generation), table))
}

fn quoted(prefix: &str, table: &str) -> String {
    format!("\"{prefix}{table}\"")
}

/// What the names of a generation's tables begin with.
fn prefix(projection: &str, version: u32, generation: Generation) -> String {
    let generation = if generation == Generation::FIRST { String::new() } else { format!("_g{generation}") };
    format!("{}_v{version}{generation}__", projection.replace('-', "_"))
}

/// The tables of a generation, in order.
pub(crate) fn names(
    connection: &Connection,
    projection: &str,
    version: u32,
    generation: Generation,
) -> rusqlite::Result<Vec<String>> {
    let prefix = prefix(projection, version, generation);
    let sql = "SELECT substr(name, length(?1) + 1) FROM sqlite_schema \
               WHERE type = 'table' AND substr(name, 1, length(?1)) = ?1 ORDER BY name";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([prefix], |row| row.get(0))?.collect()
}

/// Drops the tables of a generation.
pub(crate) fn discard(
    connection: &Connection,
    projection: &str,
    version: u32,
    generation: Generation,
) -> rusqlite::Result<()> {
    let prefix = prefix(projection, version, generation);
    for table in names(connection, projection, version, generation)?.iter().filter(|table| is_snake(table)) {
        connection.execute_batch(&format!("DROP TABLE {}", quoted(&prefix, table)))?;
    }
    Ok(())
}

/// Deletes the first documents of a table; how many it deleted.
pub(crate) fn delete_some(
    connection: &Connection,
    (projection, version, generation): (&str, u32, Generation),
    table: &str,
    limit: usize,
) -> rusqlite::Result<usize> {
    if !is_snake(table) {
        return Ok(0);
    }
    let name = quoted(&prefix(projection, version, generation), table);
    let sql = format!("DELETE FROM {name} WHERE key IN (SELECT key FROM {name} ORDER BY key LIMIT ?1)");
    connection.prepare_cached(&sql)?.execute([i64::try_from(limit).unwrap_or(i64::MAX)])
}

/// The documents of a table after a key.
pub(crate) fn rows_after(
    connection: &Connection,
    (projection, generation): (ProjectionKey, Generation),
    table: &str,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
    let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
    let range = KeyRange { start, end: Bound::Unbounded };
    scan_named(connection, &sql_name(projection, generation, table)?, table, &range, limit, |rows| rows.collect())
}

fn is_kebab(name: &str) -> bool {
    name.len() <= PROJECTION_NAME_BYTES_MAX
        && name
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

fn is_snake(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= TABLE_NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The document under a key; a table that is not there yet has none.
pub(crate) fn get(
    catalog: &Catalog,
    connection: &Connection,
    table: (TableName, Generation),
    key: &Key,
) -> Result<Option<Vec<u8>>, ReadError> {
    let found = connection
        .prepare_cached(&catalog.of(table)?.get)
        .and_then(|mut statement| statement.query_row([key.as_bytes()], |row| text(row, 0)).optional());
    match found {
        Err(error) if is_missing_table(&error) => Ok(None),
        other => other.map_err(|error| read_error(&table.0.to_string(), error)),
    }
}

/// The rows of a range.
type Found<'a> = dyn Iterator<Item = Result<(Key, Vec<u8>), ReadError>> + 'a;

/// Hands the rows of a range to `take`, in the order of their keys; at most `limit`.
pub(crate) fn scan<T>(
    catalog: &Catalog,
    connection: &Connection,
    table: (TableName, Generation),
    range: &KeyRange,
    limit: usize,
    take: impl FnOnce(&mut Found<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    scan_named(connection, &catalog.of(table)?.name, &table.0, range, limit, take)
}

fn scan_named<T>(
    connection: &Connection,
    name: &str,
    place: &(impl Display + ?Sized),
    range: &KeyRange,
    limit: usize,
    take: impl FnOnce(&mut Found<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let failed = |error| read_error(&place.to_string(), error);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut parameters: Vec<&dyn ToSql> = vec![&limit];
    let (start, end) = (range.start.as_ref().map(Key::as_bytes), range.end.as_ref().map(Key::as_bytes));
    let mut sql = format!("SELECT key, document FROM {name}");
    let mut word = " WHERE";
    for (bound, inclusive, exclusive) in [(&start, ">=", ">"), (&end, "<=", "<")] {
        let (operator, key) = match bound {
            Bound::Unbounded => continue,
            Bound::Included(key) => (inclusive, key),
            Bound::Excluded(key) => (exclusive, key),
        };
        parameters.push(key);
        sql.push_str(&format!("{word} key {operator} ?{}", parameters.len()));
        word = " AND";
    }
    sql.push_str(" ORDER BY key LIMIT ?1");
    let mut statement = match connection.prepare_cached(&sql) {
        Err(error) if is_missing_table(&error) => return take(&mut std::iter::empty()),
        other => other.map_err(failed)?,
    };
    let rows = statement.query_map(&*parameters, |row| {
        let key = Key::from_bytes(row.get_ref(0)?.as_blob()?.to_vec());
        Ok((key, text(row, 1)?))
    });
    let mut rows = rows
        .map_err(failed)?
        // A statement prepared when the table was there finds out only now that it is gone.
        .take_while(|row| !row.as_ref().is_err_and(is_missing_table))
        .map(|row| row.map_err(failed));
    take(&mut rows)
}

/// Writes what a transaction buffered for one table, which is made first where it is not there yet.
pub(crate) fn flush(
    catalog: &Catalog,
    connection: &Connection,
    table: (TableName, Generation),
    rows: &BTreeMap<Key, Buffered>,
) -> Result<(), ReadError> {
    let statements = catalog.of(table)?;
    write(connection, &statements, rows)
        .or_else(|error| {
            if !is_missing_table(&error) {
                return Err(error);
            }
            create(connection, &statements.name)?;
            write(connection, &statements, rows)
        })
        .map_err(|error| read_error(&table.0.to_string(), error))
}

fn create(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE {name} (key BLOB NOT NULL PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID"
    ))
}

fn write(connection: &Connection, statements: &Statements, rows: &BTreeMap<Key, Buffered>) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(&statements.upsert)?;
    let mut delete: Option<CachedStatement<'_>> = None;
    for (key, document) in rows {
        match document {
            // Bound as text without a look at it: what was put is what is read back.
            Some(document) => upsert.execute((key.as_bytes(), Text(document)))?,
            None => match &mut delete {
                Some(delete) => delete.execute([key.as_bytes()])?,
                None => delete.insert(connection.prepare_cached(&statements.delete)?).execute([key.as_bytes()])?,
            },
        };
    }
    Ok(())
}

struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    match row.get_ref(column)? {
        ValueRef::Text(text) => Ok(text.to_vec()),
        other => Err(rusqlite::Error::InvalidColumnType(column, "document".to_owned(), other.data_type())),
    }
}
