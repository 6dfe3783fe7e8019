//! A disk that fails, or is full, while the store is open.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{AppendError, Disk, DiskFile, Drive, Engine, Entropy, OpenError, Options, Position, ProgressError};

use crate::support::{all_texts, command, note, now, texts_of, wait};

/// How long a write takes at most that waits for what must not happen meanwhile.
const LONG_WRITE: Duration = Duration::from_millis(200);

fn options() -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192)
}

fn open(disk: &SimDisk) -> Engine {
    Engine::open_on(Arc::new(disk.clone()), options()).expect("opens")
}

/// A store with one event, and its disk.
fn one_event() -> (SimDisk, Engine) {
    let disk = SimDisk::new();
    let engine = open(&disk);
    engine.append(note("a-1", "kept")).expect("accepted");
    (disk, engine)
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_again() {
    let (disk, engine) = one_event();
    disk.fail_at(disk.operations() + 2, SimFault::Error(ErrorKind::Other));
    assert!(matches!(engine.append(note("a-1", "unsure")), Err(AppendError::Poisoned(_))));
    assert!(disk.history().last().expect("history").starts_with("sync segment"));
    // The next sync would succeed, and would prove nothing.
    assert!(matches!(engine.append(note("a-1", "more")), Err(AppendError::Poisoned(_))));
    assert_eq!(texts_of(&engine, "a-1"), ["kept"], "reads go on up to the synced head");
    assert_eq!(engine.heads().synced, Position::new(1));
    assert!(engine.close().is_err(), "closed without a marker");

    // The process is restarted, the machine is not: the page cache still shows the append.
    let restarted = disk.after_kill();
    let engine = open(&restarted);
    assert_eq!(engine.recovery().rewritten_groups, 1);
    assert_eq!(texts_of(&engine, "a-1"), ["kept", "unsure"]);
    // What was served now survives a power failure, although its first sync had failed.
    let engine = open(&restarted.after_power_loss(0));
    assert_eq!(texts_of(&engine, "a-1"), ["kept", "unsure"]);
}

#[test]
fn a_failed_write_poisons_and_what_it_left_is_cut() {
    let (disk, engine) = one_event();
    disk.fail_at(disk.operations() + 1, SimFault::Error(ErrorKind::Other));
    assert!(matches!(engine.append(note("a-1", "lost")), Err(AppendError::Poisoned(_))));
    assert!(matches!(engine.append(note("a-1", "more")), Err(AppendError::Poisoned(_))));
    let engine = open(&disk.after_kill());
    assert_eq!(texts_of(&engine, "a-1"), ["kept"]);
    assert!(engine.recovery().cut.is_some());
}

#[test]
fn a_group_that_fails_fails_whole_and_its_refusals_and_repeats_with_it() {
    let (disk, engine) = one_event();
    disk.fail_at(disk.operations() + 2, SimFault::Error(ErrorKind::Other));
    let tickets = [
        engine.submit(note("a-1", "one").command(command(1, 1))),
        engine.submit(note("a-1", "one").command(command(1, 1))),
        engine.submit(note("a-1", "two").command(command(1, 2))),
    ];
    engine.step();
    for ticket in tickets {
        assert!(matches!(now(ticket), Err(AppendError::Poisoned(_))));
    }
    assert_eq!(engine.command([1; 16]).expect("readable"), None, "nothing of it was staged for good");
}

#[test]
fn a_full_disk_refuses_appends_and_recovers_by_itself_when_there_is_space() {
    let disk = SimDisk::new();
    let engine = open(&disk);
    disk.set_space(Some(5_000));
    let mut accepted = Vec::new();
    let refused = loop {
        let text = format!("{} ", accepted.len()).repeat(200);
        match engine.append(note("a-1", &text)) {
            Ok(_) => accepted.push(text),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::DiskFull), "{refused:?}");
    assert!(!accepted.is_empty());
    assert_eq!(texts_of(&engine, "a-1"), accepted, "reads go on");
    let still = engine.append(note("a-1", &"x".repeat(2_000)));
    assert!(matches!(still, Err(AppendError::DiskFull)));
    disk.set_space(None);
    let receipt = engine.append(note("a-1", "afterwards")).expect("accepted without a restart");
    assert_eq!(receipt.last.get(), accepted.len() as u64 + 1);
    accepted.push("afterwards".to_owned());
    assert_eq!(texts_of(&engine, "a-1"), accepted);
    drop(engine);
    assert_eq!(texts_of(&open(&disk.after_power_loss(0)), "a-1"), accepted);
}

#[test]
fn a_group_cut_short_by_a_full_disk_is_taken_back_and_never_found() {
    // The text ends in zeros, which the segment holds already: cut within them, the group is whole unless taken back.
    let text = format!("end{}", "\0".repeat(100));
    let (disk, engine) = one_event();
    let before = log_bytes(&disk);
    engine.append(note("a-1", &text).command(command(4, 4))).expect("accepted");
    let bytes = log_bytes(&disk) - before + 100;
    // A file system that needs space for overwriting too.
    for written in [0, 1, 63, 64, 200, bytes - 101, bytes - 100, bytes - 99, bytes - 1] {
        let (disk, engine) = one_event();
        disk.fail_at(disk.operations() + 1, SimFault::FullAfter(written));
        let refused = engine.append(note("a-1", &text).command(command(4, 4)));
        assert!(matches!(refused, Err(AppendError::DiskFull)), "{written}: {refused:?}");
        assert_eq!(engine.command([4; 16]).expect("readable"), None);
        // Of a sector that was written twice and not synced, a power cut may leave what it held in between.
        let cuts = (0..40).map(|seed| disk.after_power_loss(seed));
        for after in std::iter::once(disk.after_kill()).chain(cuts) {
            let engine = open(&after);
            assert_eq!(texts_of(&engine, "a-1"), ["kept"], "after {written} bytes");
        }
    }
    let (disk, engine) = one_event();
    disk.fail_at(disk.operations() + 1, SimFault::FullAfter(100));
    assert!(matches!(engine.append(note("a-1", "refused")), Err(AppendError::DiskFull)));
    engine.append(note("a-1", "later")).expect("accepted without a restart");
    assert_eq!(texts_of(&engine, "a-1"), ["kept", "later"]);
}

/// Bytes of the first segment up to the last that is not zero.
fn log_bytes(disk: &SimDisk) -> usize {
    let log = disk.contents("segment-00000001.log").expect("a log");
    log.iter().rposition(|byte| *byte != 0).expect("bytes") + 1
}

#[test]
fn making_a_store_on_a_full_disk_says_so_and_succeeds_later() {
    for space in [0, 100, 5_000, 8_192, 8_250] {
        let disk = SimDisk::new();
        disk.set_space(Some(space));
        let refused = Engine::open_on(Arc::new(disk.clone()), options());
        assert!(matches!(refused, Err(OpenError::DiskFull)), "{space}: {refused:?}");
        disk.set_space(None);
        let engine = open(&disk);
        engine.append(note("a-1", "first")).expect("accepted");
    }
}

#[test]
fn short_reads_and_writes_change_nothing() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        disk.shorten(seed);
        let engine = open(&disk);
        for number in 0..8 {
            engine.append(note("a-1", &number.to_string().repeat(100))).expect("accepted");
        }
        engine.claim_progress("relay").expect("claimed");
        let texts = all_texts(&engine);
        drop(engine);
        disk.shorten(seed + 1);
        assert_eq!(all_texts(&open(&disk)), texts, "seed {seed}");
    }
}

#[test]
fn a_failed_progress_write_leaves_the_name_unavailable_until_reopened() {
    let (disk, engine) = one_event();
    engine.claim_progress("relay").expect("claimed");
    engine.advance_progress("relay", 1, None, b"1").expect("advanced");
    disk.fail_at(disk.operations() + 2, SimFault::Error(ErrorKind::Other));
    let failed = engine.advance_progress("relay", 1, Some(b"1"), b"2");
    assert!(matches!(failed, Err(ProgressError::Unavailable(_))), "{failed:?}");
    let again = engine.advance_progress("relay", 1, Some(b"1"), b"2");
    assert!(matches!(again, Err(ProgressError::Unavailable(_))));
    engine.append(note("a-1", "the log is not concerned")).expect("accepted");
    for seed in 0..8 {
        let value = open(&disk.after_power_loss(seed)).progress("relay").expect("readable").value;
        assert!([b"1", b"2"].map(|value| Some(value.to_vec())).contains(&value), "seed {seed}: {value:?}");
    }
}

#[test]
fn progress_cut_short_by_a_full_disk_is_taken_back_and_recorded_once_there_is_space() {
    // A file system that needs space for overwriting too.
    for written in [0, 1, 20, 50] {
        let (disk, engine) = one_event();
        engine.claim_progress("relay").expect("claimed");
        engine.advance_progress("relay", 1, None, b"1").expect("advanced");
        disk.fail_at(disk.operations() + 1, SimFault::FullAfter(written));
        let refused = engine.advance_progress("relay", 1, Some(b"1"), b"2");
        assert!(matches!(refused, Err(ProgressError::DiskFull)), "{written}: {refused:?}");
        for after in [disk.after_power_loss(0), disk.after_power_loss(1), disk.after_power_loss(9)] {
            assert_eq!(open(&after).progress("relay").expect("readable").value, Some(b"1".to_vec()));
        }
        let (disk, engine) = one_event();
        engine.claim_progress("relay").expect("claimed");
        disk.fail_at(disk.operations() + 1, SimFault::FullAfter(written));
        assert!(engine.advance_progress("relay", 1, None, b"1").is_err());
        engine.advance_progress("relay", 1, None, b"1").expect("advanced without a restart");
        assert_eq!(open(&disk.after_kill()).progress("relay").expect("readable").value, Some(b"1".to_vec()));
    }
}

/// What happens before a write.
type Hook = Arc<dyn Fn() + Send + Sync>;

/// A disk whose files do something else first when they are written.
struct Treacherous(SimDisk, Hook);

impl Disk for Treacherous {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(TreacherousFile(self.0.open(name)?, self.1.clone())))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Send + Sync>> {
        self.0.lock(name)
    }
}

struct TreacherousFile(Arc<dyn DiskFile>, Hook);

impl DiskFile for TreacherousFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        (self.1)();
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

#[test]
fn a_panic_of_the_writer_leaves_nobody_waiting_and_nothing_acknowledged() {
    for drive in [Drive::Manual, Drive::Threads] {
        let treason = Arc::new(AtomicBool::new(false));
        let disk = SimDisk::new();
        let told = treason.clone();
        let panics = move || assert!(!told.load(Ordering::SeqCst), "a bug of the disk");
        let treacherous = Treacherous(disk.clone(), Arc::new(panics));
        let engine = Engine::open_on(Arc::new(treacherous), options().drive(drive)).expect("opens");
        engine.append(note("a-1", "kept")).expect("accepted");
        treason.store(true, Ordering::SeqCst);
        let ticket = engine.submit(note("a-1", "lost"));
        if drive == Drive::Manual {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.step())).is_err());
        }
        assert!(matches!(wait(ticket), Err(AppendError::Interrupted)));
        treason.store(false, Ordering::SeqCst);
        let after = engine.append(note("a-1", "refused"));
        assert!(matches!(after, Err(AppendError::Interrupted | AppendError::Poisoned(_))), "{after:?}");
        assert_eq!(texts_of(&engine, "a-1"), ["kept"], "reads go on");
        assert!(engine.close().is_err());
        assert_eq!(texts_of(&open(&disk), "a-1"), ["kept"]);
    }
}

#[test]
fn progress_that_was_shown_after_a_restart_survives_a_power_failure() {
    let (disk, engine) = one_event();
    engine.claim_progress("relay").expect("claimed");
    disk.fail_at(disk.operations() + 2, SimFault::Error(ErrorKind::Other));
    assert!(engine.advance_progress("relay", 1, None, b"1").is_err());
    // The page cache shows what the failed sync did not write.
    let restarted = disk.after_kill();
    let shown = open(&restarted).progress("relay").expect("readable");
    assert_eq!(shown.value, Some(b"1".to_vec()));
    assert_eq!(open(&restarted.after_power_loss(0)).progress("relay").expect("readable"), shown);
}

/// The slot that a failed sync left in doubt was made durable by writing the other, the only one that was sure; cut short,
/// that left none.
#[test]
fn progress_in_doubt_is_not_lost_while_it_is_made_durable() {
    for seed in 0..60 {
        for dark_at in 1.. {
            let (disk, engine) = one_event();
            engine.claim_progress("relay").expect("claimed");
            engine.advance_progress("relay", 1, None, &[1; 700]).expect("advanced");
            disk.fail_at(disk.operations() + 2, SimFault::Error(ErrorKind::Other));
            assert!(engine.advance_progress("relay", 1, Some(&[1; 700]), &[2; 700]).is_err());
            let restarted = disk.after_kill();
            let engine = open(&restarted);
            restarted.fail_at(restarted.operations() + dark_at, SimFault::PowerLoss);
            let shown = engine.progress("relay").ok();
            let found = open(&restarted.after_power_loss(seed)).progress("relay").expect("readable").value;
            let either = [Some(vec![1; 700]), Some(vec![2; 700])].contains(&found);
            assert!(either, "seed {seed}, operation {dark_at}: {found:?}");
            if let Some(shown) = shown {
                assert_eq!(found, shown.value, "seed {seed}: shown, then lost");
                break;
            }
        }
    }
}

/// Otherwise the next to open the store would find its progress changed behind its back.
#[test]
fn closing_waits_for_progress_that_is_being_recorded() {
    let (disk, engine) = one_event();
    engine.claim_progress("relay").expect("claimed");
    engine.close().expect("closes");
    let (slow, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begun, wait_for_write) = std::sync::mpsc::channel();
    let (slows, sees, early) = (slow.clone(), closed.clone(), Arc::new(AtomicBool::new(false)));
    let tells = early.clone();
    let hook = move || {
        if slows.swap(false, Ordering::SeqCst) {
            begun.send(()).expect("waited for");
            let started = Instant::now();
            while !sees.load(Ordering::SeqCst) && started.elapsed() < LONG_WRITE {
                std::thread::yield_now();
            }
            tells.store(sees.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    };
    let engine = Engine::open_on(Arc::new(Treacherous(disk.clone(), Arc::new(hook))), options()).expect("opens");
    assert_eq!(engine.progress("relay").expect("readable").epoch, 1);
    slow.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let records = scope.spawn(|| engine.advance_progress("relay", 1, None, b"1"));
        wait_for_write.recv().expect("it is being written");
        engine.close().expect("closes");
        closed.store(true, Ordering::SeqCst);
        records.join().expect("no panic").expect("recorded before the close");
    });
    assert!(!early.load(Ordering::SeqCst), "closed while progress was being written");
    assert!(matches!(engine.advance_progress("relay", 1, Some(b"1"), b"2"), Err(ProgressError::Closed)));
    assert_eq!(open(&disk).progress("relay").expect("readable").value, Some(b"1".to_vec()));
}

#[test]
fn a_lone_append_and_a_group_of_many_cost_one_write_and_one_sync_each_and_tell_followers() {
    let (disk, engine) = one_event();
    let before = disk.operations() as usize;
    engine.append(note("a-1", "lone")).expect("accepted");
    let tickets: Vec<_> = (0..10).map(|number| engine.submit(note("a-1", &number.to_string()))).collect();
    engine.step();
    assert!(tickets.into_iter().all(|ticket| now(ticket).is_ok()));
    let history = disk.history().split_off(before);
    let log: Vec<&str> = history.iter().filter(|what| !what.ends_with("of head")).map(|what| &what[..4]).collect();
    assert_eq!(log, ["writ", "sync", "writ", "sync"], "{history:?}");
    assert_eq!(history.len(), 6, "the head file is written and not synced: {history:?}");
}

#[test]
fn a_store_opens_on_a_full_disk_although_an_index_file_is_missing() {
    let disk = SimDisk::new();
    let engine = open(&disk);
    for number in 0..28 {
        engine.append(note("a-1", &format!("{number} ").repeat(300))).expect("accepted");
    }
    let told = texts_of(&engine, "a-1");
    let disk = disk.after_kill();
    let mut indexes: Vec<_> =
        disk.list().expect("listed").into_iter().filter(|name| name.starts_with("index-")).collect();
    indexes.sort();
    // The power failed, and the last but one had lost its name.
    disk.remove(&indexes[indexes.len() - 2]).expect("removed");
    disk.set_space(Some(0));
    let engine = open(&disk);
    assert_eq!(texts_of(&engine, "a-1"), told);
    let status = engine.index_status();
    assert_eq!((status.files, status.unindexed_segments), (indexes.len() - 2, 2));
    disk.set_space(None);
    engine.append(note("a-1", "afterwards")).expect("accepted");
    assert_eq!(engine.index_status().unindexed_segments, 0);
    assert_eq!(texts_of(&engine, "a-1").len(), told.len() + 1);
}
