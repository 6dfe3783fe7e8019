//! The read store of the embedded default: read models in one SQLite file.
//!
//! [`SqliteReadStore`] keeps each table of a projection as one SQL table, made when it is first written to:
//! `account_summaries_v1__lines(key BLOB PRIMARY KEY, document TEXT)`. Documents are JSON text, readable with the
//! `sqlite3` shell. Effects and checkpoints go into one transaction. The file is derived: deleted while the service
//! is stopped, it is restored from its sources. Tables it did not make are left alone.
//!
//! It is not an event store, and not meant to be shared by processes that write: a second writer is fenced by its
//! epoch, and waits no longer than [`SqliteOptions::busy_timeout`].
//!
//! ```
//! use factum::read::{Key, ReadStore, TableName};
//! use factum_sqlite::{SqliteOptions, SqliteReadStore};
//! # let dir = tempfile::tempdir()?;
//! # let projection = factum::ProjectionKey { name: "account-summaries", version: 1 };
//! # let lines = TableName { projection, table: "lines" };
//! let store = SqliteReadStore::open(dir.path().join("read.db"), SqliteOptions::default())?;
//! let epoch = store.claim(projection)?;
//! store.write(projection, epoch, &[], &mut |tx| tx.put(lines, &Key::from("a"), b"{}".to_vec()))?;
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod checkpoints;
mod damage;
mod error;
mod generations;
mod inspection;
mod log;
mod options;
mod pool;
mod schema;
mod store;
mod tables;
mod transaction;

pub use error::OpenError;
pub use options::SqliteOptions;
pub use store::SqliteReadStore;

#[cfg(test)]
mod tests;
