//! The read side's database: disposable documents, and how far they are.
//!
//! One trait, several implementations ([`MemoryReadStore`] here, SQLite in `factum-sqlite`); the same projection code
//! runs on all of them. Sync on purpose: a projection runs on a thread of its own, and its writes are buffered by the
//! transaction. [`Table`] is the typed handle that projections and queries use.

mod buffer;
mod checkpoint;
mod generations;
mod key;
mod memory;
mod store;
mod table;

pub use buffer::{Buffered, WriteBuffer};
pub use checkpoint::{Checkpoint, CheckpointMove, Epoch, Lane};
pub use generations::{Claimed, GENERATIONS_KEPT_MAX, Generation, Generations, Inspection, Role, StoredModel};
pub use key::{Key, KeyRange};
pub use memory::MemoryReadStore;
pub use store::{DOCUMENT_BYTES_MAX, ReadError, ReadSnapshot, ReadStore, ReadTransaction, SCAN_ROWS_MAX, TableName};
pub use table::{Cursor, InvalidCursor, Page, RESERVED_TABLES, Table};
