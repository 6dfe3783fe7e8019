//! The open store.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::append::{Append, KnownCommand, Receipt};
use crate::disk::{Disk, StdDisk, put_file};
use crate::error::{AppendError, CloseError, OpenError, ReadError, SyncError};
use crate::format::encode::encode;
use crate::format::mask;
use crate::head::HeadFile;
use crate::identity::Identity;
use crate::index::key::BatchKeys;
use crate::index::upkeep::IndexStatus;
use crate::lookup::{self, Bounded};
use crate::names::StreamName;
use crate::numbers::{Position, Version};
use crate::options::{Drive, Options};
use crate::page::{Direction, Page};
use crate::progress::{Progress, ProgressBook, ProgressError};
use crate::queue::{Lead, Queue, Request, Role, Ticket};
use crate::read;
use crate::recovery::{CLOSED_FILE, Recovered, RecoveryReport, recover};
use crate::select;
use crate::selection::Selection;
use crate::shared::{Shared, lock};
use crate::spare::Spare;
use crate::subscribe::{Heads, SyncedBeyond};
use crate::syncing::Syncing;
use crate::verify::{VerifyError, VerifyProgress, VerifyReport, verify};
use crate::writer::Writer;

/// The file whose lock the process that has the store open holds.
pub const LOCK_FILE: &str = "lock";
/// A lone async caller does the write and sync itself while they take no longer than this: waking a thread and being
/// woken by it costs as much. On a slower disk the writer's thread does it, so that no executor is held up.
const LONE_SYNC_MAX: Duration = Duration::from_micros(500);
/// How long the writer's thread waits for those it has just answered to append again, as long as they come.
const GATHER_MAX: Duration = Duration::from_micros(100);
/// With more callers than this nobody waits: half of them are worth a sync, while the other half is encoded.
const GATHER_APPENDS_MAX: usize = 128;
/// How long it waits for the next of them.
const GATHER_PAUSE_MAX: Duration = Duration::from_micros(15);

/// An open store. Clones share it; when the last is dropped, it is closed.
///
/// All calls may be made from any thread, concurrently. Blocking ones say so.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

/// What the engine's own threads share with its users.
struct Inner {
    shared: Shared,
    queue: Queue,
    /// Held by whoever leads the queue, and by the one who closes.
    writer: Mutex<Writer>,
    spare: Arc<Spare>,
    syncing: Arc<Syncing>,
    progress: ProgressBook,
    report: RecoveryReport,
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
    closed_with: Mutex<Option<Result<(), CloseError>>>,
}

struct Handle {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the store in a directory, or makes one there. Blocks while it recovers.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path, options: Options) -> Result<Engine, OpenError> {
        options.check().map_err(OpenError::Options)?;
        Engine::open_on(Arc::new(StdDisk::open(directory)?), options)
    }

    /// Opens the store on a disk, or makes one there. Blocks while it recovers.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Engine, OpenError> {
        options.check().map_err(OpenError::Options)?;
        let lock = disk.lock(LOCK_FILE).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::from(error),
        })?;
        let Recovered { shared, tail, report } = recover(disk, options)?;
        let drive = shared.options.drive;
        let head_file = HeadFile::open(&*shared.disk, &shared.identity, tail.end())?;
        let syncing = Arc::new(Syncing::new(tail.group, head_file));
        let spare = Arc::new(Spare::default());
        let inner = Arc::new(Inner {
            shared,
            queue: Queue::default(),
            writer: Mutex::new(Writer::new(tail, spare.clone(), syncing.clone())),
            spare,
            syncing,
            progress: ProgressBook::default(),
            report,
            lock: Mutex::new(Some(lock)),
            closed_with: Mutex::new(None),
        });
        let engine = Engine { handle: Arc::new(Handle { inner, threads: Mutex::default() }) };
        if drive == Drive::Threads {
            // Where one cannot be started, dropping the store ends those that were.
            engine.handle.start_threads()?;
        }
        Ok(engine)
    }

    fn inner(&self) -> &Inner {
        &self.handle.inner
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner().report
    }

    /// Appends, and blocks until the answer, which is durable as [`Durability`](crate::Durability) says. A lone caller
    /// does the work itself.
    ///
    /// The command id is judged first, then the versions, then the boundary, against everything acknowledged and everything that will
    /// be acknowledged together with this append.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&self, append: Append) -> Result<Receipt, AppendError> {
        let inner = self.inner();
        let (role, ticket) = inner.enqueue(append, Lead::Caller)?;
        if role == Role::Waits {
            return ticket.wait();
        }
        let threads = inner.shared.options.drive == Drive::Threads;
        let answer = inner.lead(|| ticket.try_take());
        inner.queue.leave(threads);
        answer
    }

    /// Queues an append. It costs no thread: its answer is a future for any executor.
    ///
    /// A caller that has been alone for some time, on a quick disk, does the work itself before this returns, in
    /// about the time of one sync (less than half a millisecond, by the last one's measure): it would otherwise wait
    /// for two threads to wake up. Everybody else is answered by the writer's thread.
    pub fn submit(&self, append: Append) -> Ticket {
        let inner = self.inner();
        let lead = match inner.shared.options.drive {
            Drive::Threads => Lead::LoneCaller,
            Drive::Manual => Lead::Nobody,
        };
        match inner.enqueue(append, lead) {
            Ok((Role::Waits, ticket)) => ticket,
            Ok((Role::Leads, ticket)) => {
                let answer = inner.lead(|| ticket.try_take());
                inner.queue.leave(true);
                Ticket::answered(answer)
            }
            Err(error) => Ticket::answered(Err(error)),
        }
    }

    /// Takes one group from the queue and does it, unless somebody else is about to; returns how many appends were
    /// answered. For those who drive the writer by hand ([`Drive::Manual`]). Blocks for the sync.
    pub fn step(&self) -> usize {
        let inner = self.inner();
        if !inner.queue.try_lead() {
            return 0;
        }
        let answered = inner.step_once();
        inner.queue.leave(inner.shared.options.drive == Drive::Threads);
        answered
    }

    /// Reads a stream: forward the versions from `from` up, backward from `from` down. At most `limit` events.
    /// Blocks only for reading.
    ///
    /// It is for loading what a decision needs, and sees everything written: with a weaker
    /// [`Durability`](crate::Durability) also what a power cut may still take. Who passes on what it reads uses
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// See [`ReadError`]. Of damaged bytes nothing is served.
    pub fn read_stream(
        &self,
        stream: &StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ReadError> {
        read::read_stream(&self.inner().shared, stream, from, direction, limit)
    }

    /// Reads the events of a selection up to the synced head: forward the positions above `after`, backward those
    /// below. At most `limit` events, after a bounded amount of work: a page may end, or be empty, before there is
    /// nothing left; its [`read_to`](Page::read_to) says how far it came. Blocks only for reading.
    ///
    /// # Errors
    /// See [`ReadError`]. Of damaged bytes nothing is served.
    pub fn read(
        &self,
        selection: &Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let shared = &self.inner().shared;
        select::read(shared, shared.announcer.synced(), selection, after, direction, limit)
    }

    /// The version a stream is at, as written; zero when it has no events.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn stream_version(&self, stream: &StreamName) -> Result<Version, ReadError> {
        let shared = &self.inner().shared;
        shared.check_open()?;
        lookup::version(shared, shared.keyer.stream(stream.as_str())).map(Version::new)
    }

    /// State of the index.
    #[must_use]
    pub fn index_status(&self) -> IndexStatus {
        let shared = &self.inner().shared;
        shared.upkeep.status(shared)
    }

    /// What is remembered of a command id, as written.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn command(&self, id: [u8; 16]) -> Result<Option<KnownCommand>, ReadError> {
        self.inner().shared.check_open()?;
        read::command(&self.inner().shared, &id)
    }

    /// The last positions written and known durable.
    #[must_use]
    pub fn heads(&self) -> Heads {
        // In this order: the synced one never looks ahead of the other.
        let synced = self.inner().shared.announcer.synced();
        Heads { written: self.inner().shared.index().head(), synced }
    }

    /// Makes everything written durable now; nothing to do with [`Durability::Synced`](crate::Durability::Synced).
    /// For the end of a load in bulk, and for those who drive the writer by hand. Blocks.
    ///
    /// # Errors
    /// See [`SyncError`]. After a failed sync the store is read-only until it is opened again.
    pub fn sync(&self) -> Result<Heads, SyncError> {
        let Inner { shared, syncing, .. } = self.inner();
        shared.check_open().map_err(|_| SyncError::Closed)?;
        syncing.sync(shared).map_err(SyncError::Poisoned)?;
        Ok(self.heads())
    }

    /// Waits until the synced head is beyond a position.
    pub fn beyond(&self, after: Position) -> SyncedBeyond {
        SyncedBeyond::new(self.inner().shared.announcer.clone(), after)
    }

    /// Who the store is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner().shared.identity
    }

    /// The progress recorded under a name: 1 to 200 bytes without control characters.
    ///
    /// # Errors
    /// See [`ProgressError`].
    pub fn progress(&self, name: &str) -> Result<Progress, ProgressError> {
        self.inner().progress.get(&self.inner().shared, name)
    }

    /// Raises the epoch of a progress record, durably, which fences whoever held it; returns it.
    ///
    /// # Errors
    /// See [`ProgressError`].
    pub fn claim_progress(&self, name: &str) -> Result<Progress, ProgressError> {
        self.inner().progress.claim(&self.inner().shared, name)
    }

    /// Records progress, durably, if the record is at this epoch and this previous value.
    ///
    /// # Errors
    /// [`ProgressError::Fenced`] at another epoch, [`ProgressError::Moved`] at another value; see [`ProgressError`].
    pub fn advance_progress(
        &self,
        name: &str,
        epoch: u64,
        previous: Option<&[u8]>,
        next: &[u8],
    ) -> Result<(), ProgressError> {
        self.inner().progress.advance(&self.inner().shared, name, epoch, previous, next)
    }

    /// Reads the whole log up to the synced head and checks every byte of it, and compares its index with it; appends go
    /// on meanwhile. What is wrong with the index is put right, and reported. Blocks.
    ///
    /// # Errors
    /// [`VerifyError::Corrupt`] names the first damage found.
    pub fn verify(&self, on_progress: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, VerifyError> {
        verify(&self.inner().shared, on_progress)
    }

    /// Closes the store: what is queued is done, a marker says that the close was clean, the lock is released.
    /// Later calls are answered `Closed`; closing again returns what the first closing did. Blocks.
    ///
    /// # Errors
    /// See [`CloseError`]; the store is closed all the same.
    pub fn close(&self) -> Result<(), CloseError> {
        self.handle.close()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("identity", self.identity()).field("heads", &self.heads()).finish()
    }
}

/// Leads the queue until it is dropped; a panic meanwhile is not waited for by anybody.
struct Leading<'a>(&'a Queue);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.break_off();
        }
    }
}

impl Inner {
    /// Checks and encodes on the caller's side, and queues.
    fn enqueue(&self, append: Append, lead: Lead) -> Result<(Role, Ticket), AppendError> {
        let batch = encode(&append, &self.shared.options)?;
        let keys = BatchKeys::of_append(&self.shared.keyer, &append);
        let bounded = append.boundary.map(|boundary| Bounded::new(&self.shared.keyer, boundary));
        let looked = lookup::look(&self.shared, &keys, append.command, bounded.as_ref());
        let looked = looked.map_err(|error| match self.syncing.broken() {
            Some(reason) => AppendError::Poisoned(reason),
            None => error.into(),
        })?;
        let streams = append.streams.into_iter();
        let streams = streams.map(|stream| (stream.stream, stream.expected, stream.events.len() as u16)).collect();
        let (ticket, answer) = Ticket::new();
        let request = Request { batch, streams, command: append.command, bounded, keys, looked, answer };
        let role = self.queue.push(request, lead, self.shared.options.queue_appends_max)?;
        Ok((role, ticket))
    }

    /// By the leader: does groups until there is what the leader waits for.
    fn lead<T>(&self, mut done: impl FnMut() -> Option<T>) -> T {
        loop {
            self.step_once();
            if let Some(done) = done() {
                return done;
            }
        }
    }

    /// By the leader: one group.
    fn step_once(&self) -> usize {
        let _leading = Leading(&self.queue);
        let mut group = Vec::new();
        self.queue.take(&mut group);
        let requests = group.len();
        if requests > 0 {
            let mut writer = lock(&self.writer);
            // Before the answers: who is answered and alone may lead its next append at once.
            self.queue.note_group(requests == 1 && writer.last_sync() < LONE_SYNC_MAX);
            writer.step(&self.shared, &mut group);
            drop(writer);
            if self.shared.options.drive == Drive::Manual {
                self.shared.upkeep.work_through(&self.shared);
            }
        }
        requests
    }

    /// The life of the writer's thread.
    fn write_on(&self) {
        while self.queue.wait_for_lead() {
            loop {
                let mut answered = self.step_once();
                while answered > 0 {
                    self.gather(answered);
                    answered = self.step_once();
                }
                if self.queue.leave_if_empty() {
                    break;
                }
            }
        }
    }

    /// Lets those just answered append again, so that they share the next sync with those already waiting: ends when
    /// all are back, or none came for a moment. Without it two halves take turns, each waiting for the other's sync.
    fn gather(&self, answered: usize) {
        let expected = answered + self.queue.waiting();
        if expected > GATHER_APPENDS_MAX {
            return;
        }
        let started = Instant::now();
        let (mut seen, mut last_came) = (self.queue.waiting(), started);
        while seen < expected {
            thread::yield_now();
            let (waiting, now) = (self.queue.waiting(), Instant::now());
            if waiting > seen {
                (seen, last_came) = (waiting, now);
            }
            if now - last_came > GATHER_PAUSE_MAX || now - started > GATHER_MAX {
                break;
            }
        }
    }

    fn close(&self) -> Result<(), CloseError> {
        let mut closed_with = lock(&self.closed_with);
        if let Some(result) = &*closed_with {
            return result.clone();
        }
        self.queue.close();
        while self.step_once() > 0 {}
        let writer = lock(&self.writer);
        self.syncing.end();
        let synced = self.syncing.sync(&self.shared);
        let result = match writer.broken().map_or(synced, Err) {
            Err(error) => Err(CloseError::Poisoned(error)),
            Ok(()) => {
                let marker = writer.marker().encode(mask(&self.shared.identity.incarnation, 0));
                put_file(&*self.shared.disk, CLOSED_FILE, &marker)
                    .map_err(|error| CloseError::Unavailable(Arc::new(error)))
            }
        };
        drop(writer);
        self.shared.closed.store(true, Ordering::Release);
        self.shared.announcer.close();
        self.progress.finish();
        self.queue.end_thread();
        self.spare.end_help();
        self.shared.upkeep.end();
        // Last: the next to open the store must find nothing of this one under way.
        lock(&self.lock).take();
        *closed_with = Some(result.clone());
        result
    }
}

impl Handle {
    fn start_threads(&self) -> Result<(), OpenError> {
        self.start("factum-writer", Inner::write_on)?;
        self.start("factum-segments", |inner| inner.spare.help(&*inner.shared.disk))?;
        self.start("factum-index", |inner| inner.shared.upkeep.help(&inner.shared))?;
        self.inner.shared.upkeep.want();
        if let Some(delay) = self.inner.shared.options.durability.sync_delay() {
            self.start("factum-syncs", move |inner| inner.syncing.sync_on(&inner.shared, delay))?;
        }
        Ok(())
    }

    fn start(&self, name: &str, life: impl FnOnce(&Inner) + Send + 'static) -> Result<(), OpenError> {
        let inner = self.inner.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || life(&inner))?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    fn close(&self) -> Result<(), CloseError> {
        let result = self.inner.close();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // A thread that panicked has told so through the appends it left unanswered.
            let _ended = thread.join();
        }
        result
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let threads = lock(&self.threads);
        if threads.iter().any(|thread| thread.thread().id() == thread::current().id()) {
            // A waker dropped the last handle on the writer's thread, which cannot wait for itself to finish.
            let inner = self.inner.clone();
            thread::spawn(move || inner.close());
            return;
        }
        drop(threads);
        // Nobody is left to be told; the next opening recovers what an unclean close leaves.
        let _closed = self.close();
    }
}
