//! The write-ahead log on its way to the disk.

use std::{
    ffi::c_int,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, hooks::Wal};

/// Pages in the log at which a commit moves them into the file. A refill writes the same pages again and again: the
/// later they are moved, the fewer times.
const CHECKPOINT_PAGES: c_int = 8_192;
/// The same where what is written does not answer: nobody waits for it, but everybody for the processor and the disk.
const CHECKPOINT_PAGES_BESIDE: c_int = 1_024;
/// Pages after which the log is synced. Moving them into the file begins with a sync: had it all of them to write,
/// whoever else syncs on this disk, event stores above all, would wait until tens of megabytes are through.
const SYNC_PAGES: c_int = 256;

/// The log of one file. It is written at each commit, and synced in small portions by a thread of its own, so that no
/// projection waits for it; the thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// Asks for a sync. One that waits already covers what was written since.
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// What is being committed does not answer.
    beside: AtomicBool,
}

impl Log {
    pub(crate) fn of(file: &Path) -> io::Result<Self> {
        Self::synced_by(file, |path| {
            // Nothing that is promised rests on it, so that nobody needs to hear of an error: a checkpoint syncs the
            // log by itself, and is told the same.
            let _ = sync(path);
        })
    }

    fn synced_by(file: &Path, sync: impl Fn(&Path) + Send + 'static) -> io::Result<Self> {
        let mut path = file.to_owned().into_os_string();
        path.push("-wal");
        let path = PathBuf::from(path);
        let (due, wanted) = sync_channel(1);
        let log = path.clone();
        let life = move || wanted.into_iter().for_each(|()| sync(&log));
        let thread = thread::Builder::new().name("factum-sqlite-log".to_owned()).spawn(life)?;
        Ok(Self { path, due: Some(due), thread: Some(thread), beside: AtomicBool::new(false) })
    }

    /// How long its file is; it keeps its length when it is begun anew.
    pub(crate) fn file_bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Whether what is committed next is a generation that does not answer. Only by who holds the writing connection.
    pub(crate) fn commits_beside(&self, beside: bool) {
        self.beside.store(beside, Ordering::Relaxed);
    }

    /// Watches what a connection commits, in place of SQLite's own checkpoints.
    pub(crate) fn watch(self: &Arc<Self>, writer: &mut Connection) -> rusqlite::Result<()> {
        let (log, mut portions) = (Arc::clone(self), Portions::default());
        writer.wal_hook(Some(move |wal: &mut Wal, pages: c_int| {
            if portions.is_over(pages)
                && let Some(due) = &log.due
            {
                // Full: it is asked for already.
                let _ = due.try_send(());
            }
            let beside = log.beside.load(Ordering::Relaxed);
            if pages >= if beside { CHECKPOINT_PAGES_BESIDE } else { CHECKPOINT_PAGES } {
                // What was written is committed all the same; the next commit tries again.
                let _ = wal.checkpoint();
            }
            Ok(())
        }))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and nothing is left to do if it did.
            let _ = thread.join();
        }
    }
}

/// By a handle of its own: SQLite, which holds its locks on other files, does not notice.
#[allow(clippy::disallowed_methods)]
fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_data()
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
    fn commits_have_the_log_synced_and_it_is_moved_into_the_file_before_it_is_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut writer = Connection::open(&path).unwrap();
        writer.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
        let (synced, syncs) = std::sync::mpsc::channel();
        let log = Log::synced_by(&path, move |path| synced.send(sync(path).is_ok()).unwrap()).unwrap();
        let log = Arc::new(log);
        log.watch(&mut writer).unwrap();
        writer.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)").unwrap();
        let fill = |writer: &Connection, pages: c_int| {
            writer.execute("INSERT INTO t (data) VALUES (zeroblob(?1))", [i64::from(pages) * 4096]).unwrap();
        };
        fill(&writer, 10);
        fill(&writer, SYNC_PAGES);
        let within = std::time::Duration::from_secs(10);
        assert_eq!(syncs.recv_timeout(within), Ok(true));
        assert!(syncs.try_recv().is_err(), "ten pages are not synced by themselves");
        for _ in 0..3 * CHECKPOINT_PAGES / 1_024 {
            fill(&writer, 1_024);
        }
        let longest = u64::try_from(CHECKPOINT_PAGES + 2_048).unwrap() * 4_200;
        assert!(log.file_bytes() < longest, "{} bytes", log.file_bytes());
        // Begun anew at the next commit, and kept shorter from then on.
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        log.commits_beside(true);
        for _ in 0..16 {
            fill(&writer, CHECKPOINT_PAGES_BESIDE / 4);
        }
        let longest = u64::try_from(2 * CHECKPOINT_PAGES_BESIDE).unwrap() * 4_200;
        assert!(log.file_bytes() < longest, "{} bytes", log.file_bytes());
        drop((writer, log));
        assert!(syncs.iter().all(|synced| synced), "the thread has ended");
    }
}
