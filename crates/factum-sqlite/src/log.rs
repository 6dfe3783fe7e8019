//! The write-ahead log on its way to the disk.

use std::{
    ffi::c_int,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, hooks::Wal};

/// Pages in the log at which a commit moves them into the file. A refill writes the same pages again and again: the
/// later they are moved, the fewer times.
const CHECKPOINT_PAGES: c_int = 8_192;
/// Pages after which the log is synced. Moving them into the file begins with a sync: had it all of them to write,
/// whoever else syncs on this disk, event stores above all, would wait until tens of megabytes are through.
const SYNC_PAGES: c_int = 256;

/// The log of one file. It is written at each commit, and synced in small portions.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    due: AtomicBool,
}

impl Log {
    pub(crate) fn of(file: &Path) -> Self {
        let mut path = file.to_owned().into_os_string();
        path.push("-wal");
        Self { path: path.into(), due: AtomicBool::new(false) }
    }

    /// How long its file is; it keeps its length when it is begun anew.
    pub(crate) fn file_bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Watches what a connection commits, in place of SQLite's own checkpoints.
    pub(crate) fn watch(self: &Arc<Self>, writer: &mut Connection) -> rusqlite::Result<()> {
        let (log, mut portions) = (Arc::clone(self), Portions::default());
        writer.wal_hook(Some(move |wal: &mut Wal, pages: c_int| {
            if portions.is_over(pages) {
                log.due.store(true, Ordering::Relaxed);
            }
            if pages >= CHECKPOINT_PAGES {
                // What was written is committed all the same; the next commit tries again.
                let _ = wal.checkpoint();
            }
            Ok(())
        }))
    }

    /// Syncs a portion that is due. Nothing that is promised rests on it, so that nobody needs to hear of an error:
    /// a checkpoint syncs the log by itself, and is told the same.
    pub(crate) fn sync_when_due(&self) {
        if self.due.swap(false, Ordering::Relaxed) {
            let _ = self.sync();
        }
    }

    /// By a handle of its own: SQLite, which holds its locks on other files, does not notice.
    #[allow(clippy::disallowed_methods)]
    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_data()
    }
}

/// Divides a growing log.
#[derive(Default)]
struct Portions {
    /// Pages in the log when the last one was over.
    last: c_int,
}

impl Portions {
    fn is_over(&mut self, pages: c_int) -> bool {
        if pages < self.last {
            // The log was begun anew.
            self.last = 0;
        }
        let over = pages - self.last >= SYNC_PAGES;
        if over {
            self.last = pages;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_over_after_so_many_pages_also_when_the_log_is_begun_anew() {
        let mut portions = Portions::default();
        assert!(!portions.is_over(SYNC_PAGES - 1));
        assert!(portions.is_over(SYNC_PAGES));
        assert!(!portions.is_over(SYNC_PAGES + 1));
        assert!(portions.is_over(5 * SYNC_PAGES), "one large commit");
        assert!(!portions.is_over(5), "begun anew");
        assert!(!portions.is_over(SYNC_PAGES - 1));
        assert!(portions.is_over(SYNC_PAGES));
    }

    #[test]
    fn commits_make_a_sync_due_and_the_log_is_moved_into_the_file_before_it_is_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut writer = Connection::open(&path).unwrap();
        writer.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
        let log = Arc::new(Log::of(&path));
        log.watch(&mut writer).unwrap();
        writer.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)").unwrap();
        let fill = |pages: c_int| {
            writer.execute("INSERT INTO t (data) VALUES (zeroblob(?1))", [i64::from(pages) * 4096]).unwrap();
        };
        fill(10);
        assert!(!log.due.load(Ordering::Relaxed));
        fill(SYNC_PAGES);
        assert!(log.due.load(Ordering::Relaxed));
        log.sync_when_due();
        assert!(!log.due.load(Ordering::Relaxed));
        for _ in 0..3 * CHECKPOINT_PAGES / 1_024 {
            fill(1_024);
        }
        let longest = u64::try_from(CHECKPOINT_PAGES + 2_048).unwrap() * 4_200;
        assert!(log.file_bytes() < longest, "{} bytes", log.file_bytes());
    }
}
