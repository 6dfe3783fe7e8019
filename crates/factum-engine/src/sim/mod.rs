//! A simulated disk, for tests of everything that stands on [`Disk`]: what was not synced may be lost,
//! kept, torn or out of order after a crash, as its seed says, and any operation can be made to fail.
//!
//! ```
//! use std::sync::Arc;
//! use factum_engine::{Drive, Engine, Entropy, Options, sim::SimDisk};
//!
//! let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192);
//! let disk = SimDisk::new();
//! let engine = Engine::open_on(Arc::new(disk.clone()), options.clone())?;
//! let after = disk.after_power_loss(42);
//! assert!(Engine::open_on(Arc::new(after), options).is_ok());
//! # drop(engine);
//! # Ok::<(), factum_engine::OpenError>(())
//! ```

mod inode;
mod world;

use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile};
use crate::shared::lock;
use world::{Change, World};

/// What happens instead of an operation's success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimFault {
    /// The power fails: the operation may have happened in part, and every later one fails.
    PowerLoss,
    /// The operation fails with an error of this kind. A sync that fails leaves its bytes to be seen by readers of
    /// the running system, but no later sync writes them.
    Error(io::ErrorKind),
    /// A write stops after so many bytes, and what is left of it finds the disk full.
    FullAfter(usize),
}

/// A disk in memory, deterministic to the last byte. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        SimDisk::of(World::default())
    }

    fn of(world: World) -> Self {
        SimDisk { world: Arc::new(Mutex::new(world)) }
    }

    /// How many operations that change something were begun: creations, renames, removals, writes, syncs.
    #[must_use]
    pub fn operations(&self) -> u64 {
        lock(&self.world).history.len() as u64
    }

    /// Those operations in words, in order.
    #[must_use]
    pub fn history(&self) -> Vec<String> {
        lock(&self.world).history.clone()
    }

    /// Plans a fault for the operation with this number, counted from 1.
    pub fn fail_at(&self, operation: u64, fault: SimFault) {
        lock(&self.world).faults.insert(operation, fault);
    }

    /// Lets files grow by so many bytes in all; without a limit by `None`, as in the beginning.
    pub fn set_space(&self, bytes: Option<u64>) {
        lock(&self.world).space = bytes;
    }

    /// From now on reads and writes do less than asked, by this seed.
    pub fn shorten(&self, seed: u64) {
        lock(&self.world).short = Some(Chance::new(seed));
    }

    /// The disk as the next boot finds it. Of each sector that was written and not synced, and of each name changed
    /// and not synced, the seed decides what is there. Seed 0 loses it all, seed 1 keeps it all. This disk is dead.
    #[must_use]
    pub fn after_power_loss(&self, seed: u64) -> SimDisk {
        SimDisk::of(lock(&self.world).lose_power(seed))
    }

    /// The disk as the next process finds it when this one was killed: nothing written is lost yet. This disk is dead.
    #[must_use]
    pub fn after_kill(&self) -> SimDisk {
        SimDisk::of(lock(&self.world).kill())
    }

    /// Bytes of a file as a reader sees them.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let world = lock(&self.world);
        world.inode_of(name).map(|inode| world.inodes[inode].now().to_vec())
    }

    /// Replaces a file's bytes, durably, behind everybody's back; makes the file when there is none.
    pub fn tamper(&self, name: &str, bytes: &[u8]) {
        lock(&self.world).tamper(name, bytes);
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = lock(&self.world).create(name)?;
        Ok(Arc::new(SimFile { world: self.world.clone(), name: name.to_owned(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = lock(&self.world).open(name)?;
        Ok(Arc::new(SimFile { world: self.world.clone(), name: name.to_owned(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        lock(&self.world).rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.world).remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        lock(&self.world).list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        lock(&self.world).sync_dir()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Send + Sync>> {
        lock(&self.world).lock(name)?;
        Ok(Box::new(SimLock { world: self.world.clone(), name: name.to_owned() }))
    }
}

struct SimLock {
    world: Arc<Mutex<World>>,
    name: String,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        lock(&self.world).locks.remove(&self.name);
    }
}

struct SimFile {
    world: Arc<Mutex<World>>,
    /// As it was when the file was opened: for the history.
    name: String,
    inode: usize,
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        lock(&self.world).read(self.inode, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        lock(&self.world).change(self.inode, &self.name, Change::Write { bytes, offset })
    }

    fn sync(&self) -> io::Result<()> {
        lock(&self.world).change(self.inode, &self.name, Change::Sync).map(drop)
    }

    fn len(&self) -> io::Result<u64> {
        lock(&self.world).length(self.inode)
    }
}

/// Chance by seed (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Chance(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
