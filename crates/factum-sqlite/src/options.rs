//! How the file is used.

use std::time::Duration;

/// Options of a [`SqliteReadStore`](crate::SqliteReadStore).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    pub(crate) readers_max: usize,
    pub(crate) wait_timeout: Duration,
    pub(crate) busy_timeout: Duration,
    pub(crate) query_timeout: Duration,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) inspection_log_bytes_max: u64,
}

impl SqliteOptions {
    /// The default of [`SqliteOptions::readers_max`].
    pub const READERS_MAX_DEFAULT: usize = 8;
    /// The default of [`SqliteOptions::wait_timeout`].
    pub const WAIT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
    /// The default of [`SqliteOptions::busy_timeout`].
    pub const BUSY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
    /// The default of [`SqliteOptions::query_timeout`].
    pub const QUERY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
    /// The default of [`SqliteOptions::buffer_bytes_max`].
    pub const BUFFER_BYTES_MAX_DEFAULT: usize = 32 << 20;
    /// The default of [`SqliteOptions::inspection_log_bytes_max`].
    pub const INSPECTION_LOG_BYTES_MAX_DEFAULT: u64 = 512 << 20;

    /// How many read connections there are at most, at least 1; they are opened when needed. Each takes up to 2 MiB
    /// of cache.
    #[must_use]
    pub fn readers_max(mut self, connections: usize) -> Self {
        self.readers_max = connections.max(1);
        self
    }

    /// How long a call waits for a connection of this process to become free, before it answers
    /// [`Unavailable`](factum::read::ReadError::Unavailable).
    #[must_use]
    pub const fn wait_timeout(mut self, limit: Duration) -> Self {
        self.wait_timeout = limit;
        self
    }

    /// How long a call waits for a lock that another process holds on the file, before it answers
    /// [`Unavailable`](factum::read::ReadError::Unavailable).
    #[must_use]
    pub const fn busy_timeout(mut self, limit: Duration) -> Self {
        self.busy_timeout = limit;
        self
    }

    /// How long a query may hold on to its snapshot: the next thing it reads after that is
    /// [`Unavailable`](factum::read::ReadError::Unavailable). As long as somebody holds one, the write-ahead log keeps
    /// everything written since.
    #[must_use]
    pub const fn query_timeout(mut self, limit: Duration) -> Self {
        self.query_timeout = limit;
        self
    }

    /// How many bytes a transaction buffers before it hands its writes to SQLite, still uncommitted.
    #[must_use]
    pub const fn buffer_bytes_max(mut self, bytes: usize) -> Self {
        self.buffer_bytes_max = bytes;
        self
    }

    /// How long the write-ahead log may get while generations of a read model are compared, in bytes. As long as that
    /// takes, the log keeps everything written since it began; when it is longer than this, the comparison is given up
    /// with [`Unavailable`](factum::read::ReadError::Unavailable), and nobody else notices.
    #[must_use]
    pub const fn inspection_log_bytes_max(mut self, bytes: u64) -> Self {
        self.inspection_log_bytes_max = bytes;
        self
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers_max: Self::READERS_MAX_DEFAULT,
            wait_timeout: Self::WAIT_TIMEOUT_DEFAULT,
            busy_timeout: Self::BUSY_TIMEOUT_DEFAULT,
            query_timeout: Self::QUERY_TIMEOUT_DEFAULT,
            buffer_bytes_max: Self::BUFFER_BYTES_MAX_DEFAULT,
            inspection_log_bytes_max: Self::INSPECTION_LOG_BYTES_MAX_DEFAULT,
        }
    }
}
