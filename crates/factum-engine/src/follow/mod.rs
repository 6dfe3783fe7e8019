//! Following a store that another process writes.

mod error;
mod walk;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

pub use self::error::FollowError;
use self::walk::Walk;
use crate::disk::{Disk, StdDisk, read_file};
use crate::error::Closed;
use crate::format::small::{self, HeadSlot, Unusable};
use crate::head::read_head;
use crate::identity::Identity;
use crate::index::upkeep::{IndexStatus, Upkeep};
use crate::names::StreamName;
use crate::numbers::{Position, Version};
use crate::options::{Drive, InvalidOptions, Options};
use crate::page::{Direction, Page};
use crate::recovery::IDENTITY_FILE;
use crate::restore::UNFINISHED_FILE;
use crate::selection::Selection;
use crate::shared::{Shared, lock};
use crate::subscribe::SyncedBeyond;
use crate::{read, select};

/// How often a follower looks for news, unless the options say otherwise, in milliseconds.
pub const FOLLOW_POLL_MILLIS_DEFAULT: u64 = 5;
/// The most [`FollowerOptions::poll`] may be, in milliseconds.
pub const FOLLOW_POLL_MILLIS_MAX: u64 = 60_000;

/// How a store is followed.
#[derive(Debug, Clone)]
pub struct FollowerOptions {
    poll: Duration,
    read: Options,
}

impl Default for FollowerOptions {
    fn default() -> Self {
        FollowerOptions { poll: Duration::from_millis(FOLLOW_POLL_MILLIS_DEFAULT), read: Options::default() }
    }
}

impl FollowerOptions {
    /// How often to look for news: 1 ms to [`FOLLOW_POLL_MILLIS_MAX`]. A look reads one small file.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Bytes of log one page may hold; see [`Options::page_bytes_max`].
    #[must_use]
    pub fn page_bytes_max(mut self, bytes: usize) -> Self {
        self.read = self.read.page_bytes_max(bytes);
        self
    }

    /// Bytes of index files kept in memory; see [`Options::index_cache_bytes`].
    #[must_use]
    pub fn index_cache_bytes(mut self, bytes: usize) -> Self {
        self.read = self.read.index_cache_bytes(bytes);
        self
    }

    /// Who looks for news: a thread of the follower, or with [`Drive::Manual`] who calls [`Follower::refresh`].
    #[must_use]
    pub fn drive(mut self, drive: Drive) -> Self {
        self.read = self.read.drive(drive);
        self
    }

    fn check(&self) -> Result<(), InvalidOptions> {
        let polls = Duration::from_millis(1)..=Duration::from_millis(FOLLOW_POLL_MILLIS_MAX);
        if !polls.contains(&self.poll) {
            return Err(InvalidOptions { reason: "the interval between polls must be 1 ms to 60 s" });
        }
        self.read.check()
    }
}

/// A store that another process writes, read by this one. Clones share it.
///
/// It takes no lock and writes nothing. It sees what is known durable and no more, so what it saw is there after every
/// crash of the writer and of the machine. The writer may end, crash and start again meanwhile. When the directory
/// comes to hold another history (after a restore), every call answers [`FollowError::Replaced`].
///
/// ```
/// use factum_engine::{Append, Direction, Engine, ExpectedVersion, Follower, FollowerOptions, NewEvent, Options};
/// use factum_engine::{Position, Selection, StreamName};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let engine = Engine::open(directory.path(), Options::default())?;
/// // In another process:
/// let follower = Follower::open(directory.path(), FollowerOptions::default())?;
/// # let event = NewEvent {
/// #     id: [1; 16], name: "account.opened".into(), schema: 1, tags: vec![], metadata: vec![], data: vec![],
/// # };
/// # let append = Append::new(0).stream(StreamName::new("account-1")?, ExpectedVersion::NoStream, vec![event]);
/// engine.append(append)?;
/// let head = follower.wait_beyond(Position::ZERO, Duration::from_secs(10))?;
/// assert_eq!(head, Some(Position::new(1)));
/// let page = follower.read(&Selection::everything(), Position::ZERO, Direction::Forward, 100)?;
/// assert_eq!(page.events[0].name(), "account.opened");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Follower {
    handle: Arc<Handle>,
}

struct Inner {
    shared: Shared,
    poll: Duration,
    walk: Mutex<Walk>,
    /// Why it cannot go on.
    failed: Mutex<Option<FollowError>>,
    ended: Mutex<bool>,
    ending: Condvar,
}

struct Handle {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Follower {
    /// Follows the store in a directory. Blocks while it reads the log.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn open(directory: &Path, options: FollowerOptions) -> Result<Follower, FollowError> {
        if !directory.is_dir() {
            return Err(FollowError::NotFound);
        }
        Follower::open_on(Arc::new(StdDisk::read_only(directory)), options)
    }

    /// Follows the store on a disk. Blocks while it reads the log.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn open_on(disk: Arc<dyn Disk>, options: FollowerOptions) -> Result<Follower, FollowError> {
        options.check().map_err(FollowError::Options)?;
        if read_file(&*disk, UNFINISHED_FILE)?.is_some() {
            return Err(FollowError::UnfinishedRestore);
        }
        let identity = read_file(&*disk, IDENTITY_FILE)?.ok_or(FollowError::NotFound)?;
        let identity = small::decode_identity(&identity).map_err(|unusable| match unusable {
            Unusable::Newer(found) => FollowError::newer(found),
            Unusable::Damaged => FollowError::Identity { what: "its file is damaged" },
        })?;
        if head_of(&*disk)?.is_none() {
            return Err(FollowError::NoHead);
        }
        let FollowerOptions { poll, read: options } = options;
        let drive = options.drive;
        let shared = Shared { upkeep: Upkeep::following(), ..Shared::new(disk, options, identity) };
        let inner = Arc::new(Inner {
            shared,
            poll,
            walk: Mutex::new(Walk::new()),
            failed: Mutex::default(),
            ended: Mutex::default(),
            ending: Condvar::new(),
        });
        inner.refresh()?;
        let thread = match drive {
            Drive::Manual => None,
            Drive::Threads => {
                let follows = inner.clone();
                let named = thread::Builder::new().name("factum-follower".to_owned());
                Some(named.spawn(move || follows.follow())?)
            }
        };
        Ok(Follower { handle: Arc::new(Handle { inner, thread: Mutex::new(thread) }) })
    }

    fn inner(&self) -> &Inner {
        &self.handle.inner
    }

    /// Who the store is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner().shared.identity
    }

    /// The last position known durable, as far as it was noticed.
    #[must_use]
    pub fn synced(&self) -> Position {
        self.inner().shared.announcer.synced()
    }

    /// State of its index: it takes the writer's files where there are any, and has the rest in memory.
    #[must_use]
    pub fn index_status(&self) -> IndexStatus {
        self.inner().shared.upkeep.status(&self.inner().shared)
    }

    /// Looks for news now; returns the last position known durable. Blocks only for reading.
    ///
    /// # Errors
    /// See [`FollowError`]; after any but [`FollowError::Unavailable`] it has to be opened anew.
    pub fn refresh(&self) -> Result<Position, FollowError> {
        self.inner().refresh()
    }

    /// Reads the events of a selection, as [`Engine::read`](crate::Engine::read) does.
    ///
    /// # Errors
    /// See [`FollowError`]. Of damaged bytes nothing is served.
    pub fn read(
        &self,
        selection: &Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, FollowError> {
        self.inner().check()?;
        let shared = &self.inner().shared;
        Ok(select::read(shared, shared.announcer.synced(), selection, after, direction, limit)?)
    }

    /// Reads a stream, as [`Engine::read_stream`](crate::Engine::read_stream) does, but never beyond what is durable.
    ///
    /// # Errors
    /// See [`FollowError`]. Of damaged bytes nothing is served.
    pub fn read_stream(
        &self,
        stream: &StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, FollowError> {
        self.inner().check()?;
        Ok(read::read_stream(&self.inner().shared, stream, from, direction, limit)?)
    }

    /// Waits until a position beyond this one is known durable.
    pub fn beyond(&self, after: Position) -> FollowedBeyond {
        let beyond = SyncedBeyond::new(self.inner().shared.announcer.clone(), after);
        FollowedBeyond { beyond, inner: self.handle.inner.clone() }
    }

    /// Blocks until a position beyond this one is known durable, and returns the last; `None` when that took too long.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Option<Position>, FollowError> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut beyond = self.beyond(after);
        let started = Instant::now();
        loop {
            if let Poll::Ready(head) = Pin::new(&mut beyond).poll(&mut Context::from_waker(&waker)) {
                return head.map(Some);
            }
            match timeout.checked_sub(started.elapsed()) {
                Some(left) if left > Duration::ZERO => thread::park_timeout(left),
                _ => return Ok(None),
            }
        }
    }

    /// Follows no longer; later calls are answered [`FollowError::Closed`]. The last clone does the same when dropped.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("identity", self.identity()).field("synced", &self.synced()).finish()
    }
}

/// The sound slot of the head file.
fn head_of(disk: &dyn Disk) -> Result<Option<HeadSlot>, FollowError> {
    read_head(disk)?.map_err(FollowError::newer)
}

impl Inner {
    fn check(&self) -> Result<(), FollowError> {
        match &*lock(&self.failed) {
            Some(error) => Err(error.clone()),
            None => Ok(self.shared.check_open()?),
        }
    }

    fn refresh(&self) -> Result<Position, FollowError> {
        let mut walk = lock(&self.walk);
        self.check()?;
        let looked = self.look(&mut walk);
        if let Err(error) = &looked
            && error.is_final()
        {
            *lock(&self.failed) = Some(error.clone());
            self.shared.announcer.close();
        }
        looked
    }

    fn look(&self, walk: &mut Walk) -> Result<Position, FollowError> {
        let Identity { store, incarnation, .. } = &self.shared.identity;
        // Without one the directory is being replaced, which is noticed when it is.
        let Some(head) = head_of(&*self.shared.disk)? else {
            return Ok(self.shared.announcer.synced());
        };
        if (&head.store, &head.incarnation) != (store, incarnation) {
            return Err(FollowError::Replaced { incarnation: head.incarnation });
        }
        walk.advance(&self.shared, &head.end)?;
        self.shared.announcer.announce(walk.head());
        self.shared.upkeep.adopt(&self.shared)?;
        Ok(walk.head())
    }

    /// The life of the thread that looks for news.
    fn follow(&self) {
        let mut ended = lock(&self.ended);
        while !*ended {
            drop(ended);
            // A final one is kept for those who ask; any other may be gone at the next look.
            if self.refresh().is_err_and(|error| error.is_final()) {
                return;
            }
            ended = lock(&self.ended);
            if !*ended {
                ended = self.ending.wait_timeout(ended, self.poll).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl Handle {
    fn close(&self) {
        *lock(&self.inner.ended) = true;
        self.inner.ending.notify_all();
        self.inner.shared.closed.store(true, Ordering::Release);
        self.inner.shared.announcer.close();
        if let Some(thread) = lock(&self.thread).take()
            && thread.thread().id() != thread::current().id()
        {
            // A thread that panicked leaves nothing that anybody waits for.
            let _ended = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// Resolves to the synced head as soon as that is beyond a position; to an error when the store cannot be followed
/// any further, or the follower is closed.
///
/// Dropped, it leaves nothing behind.
#[must_use = "futures do nothing unless polled"]
pub struct FollowedBeyond {
    beyond: SyncedBeyond,
    inner: Arc<Inner>,
}

impl Future for FollowedBeyond {
    type Output = Result<Position, FollowError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.beyond).poll(context);
        answer.map(|answer| answer.map_err(|Closed| self.inner.check().err().unwrap_or(FollowError::Closed)))
    }
}
