//! Closing, while the engine's own threads are at work.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use factum_engine::sim::SimDisk;
use factum_engine::{AppendError, Disk, DiskFile, Engine, Options};

use crate::support::{note, texts_of};

/// A disk that notes which changes were made while nobody had the lock, and on which index files take long, or
/// make who writes them panic.
#[derive(Clone)]
struct Watched {
    disk: SimDisk,
    panics: bool,
    watch: Arc<Watch>,
}

#[derive(Default)]
struct Watch {
    locked: AtomicBool,
    making: AtomicBool,
    late: Mutex<Vec<String>>,
}

/// How long an index file takes while the lock is held.
const MAKING_MAX: Duration = Duration::from_millis(300);

impl Watched {
    fn note(&self, what: &str) {
        if !self.watch.locked.load(Ordering::SeqCst) {
            self.watch.late.lock().expect("no panic").push(what.to_owned());
        }
    }
}

struct Held {
    _lock: Box<dyn Send + Sync>,
    watch: Arc<Watch>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watch.locked.store(false, Ordering::SeqCst);
    }
}

impl Disk for Watched {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if name.starts_with("index-") {
            assert!(!self.panics, "a mistake in making an index file");
            self.watch.making.store(true, Ordering::SeqCst);
            let started = Instant::now();
            while self.watch.locked.load(Ordering::SeqCst) && started.elapsed() < MAKING_MAX {
                std::thread::yield_now();
            }
        }
        self.note(name);
        self.disk.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.note(from);
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.note(name);
        self.disk.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.note("the directory");
        self.disk.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Send + Sync>> {
        let lock = self.disk.lock(name)?;
        self.watch.locked.store(true, Ordering::SeqCst);
        Ok(Box::new(Held { _lock: lock, watch: self.watch.clone() }))
    }
}

#[test]
fn a_store_is_unlocked_when_no_index_file_is_being_made_any_more() {
    let disk = Watched { disk: SimDisk::new(), panics: false, watch: Arc::default() };
    let options = Options::default().segment_bytes(8_192);
    let engine = Engine::open_on(Arc::new(disk.clone()), options.clone()).expect("opens");
    let mut told = Vec::new();
    while !disk.watch.making.load(Ordering::SeqCst) {
        let text = format!("note {}", told.len());
        engine.append(note("s-1", &text)).expect("accepted");
        told.push(text);
    }
    engine.close().expect("closes");
    let late = disk.watch.late.lock().expect("no panic").clone();
    assert!(late.is_empty(), "changed after the lock was released: {late:?}");
    let engine = Engine::open_on(Arc::new(disk), options).expect("opens again");
    assert_eq!(texts_of(&engine, "s-1"), told);
}

#[test]
fn nobody_waits_for_index_files_after_who_makes_them_panicked() {
    let disk = Watched { disk: SimDisk::new(), panics: true, watch: Arc::default() };
    let options = Options::default().segment_bytes(8_192);
    let engine = Engine::open_on(Arc::new(disk.clone()), options.clone()).expect("opens");
    let mut told = Vec::new();
    let refused = loop {
        let text = format!("{} ", told.len()).repeat(300);
        match engine.append(note("s-1", &text)) {
            Ok(_) => told.push(text),
            Err(refused) => break refused,
        }
        assert!(told.len() < 1_000, "never refused");
    };
    assert!(matches!(refused, AppendError::Unavailable(_)), "{refused:?}");
    assert!(engine.index_status().failure.is_some());
    assert_eq!(texts_of(&engine, "s-1"), told);
    engine.close().expect("closes");
    let engine = Engine::open_on(Arc::new(disk.disk), options).expect("opens again");
    assert_eq!(texts_of(&engine, "s-1"), told);
    engine.append(note("s-1", "more")).expect("accepted");
}
