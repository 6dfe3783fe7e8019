//! All of a simulated disk: names, files, faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::inode::Inode;
use super::{Chance, SimFault};

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, usize),
    Clear(String),
    Move { from: String, to: String, inode: usize },
}

/// A change of a file.
pub(crate) enum Change<'a> {
    Write { bytes: &'a [u8], offset: u64 },
    Sync,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the directory was synced.
    pending: Vec<NameChange>,
    pub(crate) locks: BTreeSet<String>,
    pub(crate) history: Vec<String>,
    pub(crate) faults: BTreeMap<u64, SimFault>,
    pub(crate) space: Option<u64>,
    pub(crate) short: Option<Chance>,
    dead: bool,
}

impl World {
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power failed")) } else { Ok(()) }
    }

    /// Begins an operation that changes something; returns its planned fault.
    fn begin(&mut self, what: String) -> io::Result<Option<SimFault>> {
        self.alive()?;
        self.history.push(what);
        Ok(self.faults.get(&(self.history.len() as u64)).copied())
    }

    /// Begins an operation on names: one that loses power happens, and may be lost again.
    fn begin_on_names(&mut self, what: String) -> io::Result<()> {
        match self.begin(what)? {
            None | Some(SimFault::FullAfter(_)) => {}
            Some(SimFault::PowerLoss) => self.dead = true,
            Some(SimFault::Error(kind)) => return Err(kind.into()),
        }
        Ok(())
    }

    pub(crate) fn inode_of(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(crate) fn open(&self, name: &str) -> io::Result<usize> {
        self.alive()?;
        self.inode_of(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn create(&mut self, name: &str) -> io::Result<usize> {
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.begin_on_names(format!("create {name}"))?;
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.names.insert(name.to_owned(), inode);
        self.pending.push(NameChange::Set(name.to_owned(), inode));
        self.alive()?;
        Ok(inode)
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.open(from)?;
        self.begin_on_names(format!("rename {from} to {to}"))?;
        self.names.remove(from);
        self.names.insert(to.to_owned(), inode);
        self.pending.push(NameChange::Move { from: from.to_owned(), to: to.to_owned(), inode });
        self.alive()
    }

    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open(name)?;
        self.begin_on_names(format!("remove {name}"))?;
        self.names.remove(name);
        self.pending.push(NameChange::Clear(name.to_owned()));
        self.alive()
    }

    pub(crate) fn list(&self) -> io::Result<Vec<String>> {
        self.alive()?;
        Ok(self.names.keys().cloned().collect())
    }

    pub(crate) fn sync_dir(&mut self) -> io::Result<()> {
        match self.begin("sync the directory".to_owned())? {
            None | Some(SimFault::FullAfter(_)) => {}
            Some(SimFault::PowerLoss) => {
                self.dead = true;
                return self.alive();
            }
            Some(SimFault::Error(kind)) => return Err(kind.into()),
        }
        self.pending.clear();
        self.durable_names = self.names.clone();
        Ok(())
    }

    pub(crate) fn lock(&mut self, name: &str) -> io::Result<()> {
        self.alive()?;
        if self.locks.insert(name.to_owned()) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    pub(crate) fn length(&self, inode: usize) -> io::Result<u64> {
        self.alive()?;
        Ok(self.inodes[inode].now().len() as u64)
    }

    pub(crate) fn read(&mut self, inode: usize, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.alive()?;
        let count = self.shortened(buffer.len());
        Ok(self.inodes[inode].read(&mut buffer[..count], offset))
    }

    fn shortened(&mut self, count: usize) -> usize {
        match &mut self.short {
            Some(chance) if count > 1 => 1 + chance.below(count),
            _ => count,
        }
    }

    /// Writes or syncs; returns how many bytes were written.
    pub(crate) fn change(&mut self, inode: usize, name: &str, change: Change<'_>) -> io::Result<usize> {
        match change {
            Change::Write { bytes, offset } => self.write(inode, name, bytes, offset),
            Change::Sync => self.sync(inode, name).map(|()| 0),
        }
    }

    fn write(&mut self, inode: usize, name: &str, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.begin(format!("write {} bytes at {offset} of {name}", bytes.len()))?;
        let mut count = self.shortened(bytes.len());
        match fault {
            None => {}
            Some(SimFault::PowerLoss) => self.dead = true,
            Some(SimFault::Error(kind)) => {
                // It may have begun: a failed write promises nothing about its bytes.
                self.inodes[inode].write(&bytes[..bytes.len() / 2], offset);
                return Err(kind.into());
            }
            Some(SimFault::FullAfter(0)) => return Err(io::ErrorKind::StorageFull.into()),
            Some(SimFault::FullAfter(limit)) => {
                count = count.min(limit);
                let next = self.history.len() as u64 + 1;
                self.faults.insert(next, SimFault::FullAfter(0));
            }
        }
        if let Some(space) = &mut self.space {
            let reachable = self.inodes[inode].now().len() as u64 + *space;
            count = count.min(reachable.saturating_sub(offset) as usize);
            if count == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *space -= self.inodes[inode].growth(count, offset) as u64;
        }
        self.inodes[inode].write(&bytes[..count], offset);
        self.alive()?;
        Ok(count)
    }

    fn sync(&mut self, inode: usize, name: &str) -> io::Result<()> {
        match self.begin(format!("sync {name}"))? {
            None | Some(SimFault::FullAfter(_)) => self.inodes[inode].sync(),
            Some(SimFault::PowerLoss) => self.dead = true,
            Some(SimFault::Error(kind)) => {
                self.inodes[inode].fail_sync();
                return Err(kind.into());
            }
        }
        self.alive()
    }

    pub(crate) fn lose_power(&mut self, seed: u64) -> World {
        self.dead = true;
        let mut chance = Chance::new(seed);
        let inodes = self.inodes.iter().map(|inode| inode.lose_power(seed, &mut chance)).collect();
        let mut names = self.durable_names.clone();
        for change in &self.pending {
            let kept = match seed {
                0 => false,
                1 => true,
                _ => chance.below(2) == 0,
            };
            if !kept {
                continue;
            }
            match change {
                NameChange::Set(name, inode) => drop(names.insert(name.clone(), *inode)),
                NameChange::Clear(name) => drop(names.remove(name)),
                NameChange::Move { from, to, inode } => {
                    if names.get(from) == Some(inode) {
                        names.remove(from);
                    }
                    names.insert(to.clone(), *inode);
                }
            }
        }
        World { inodes, durable_names: names.clone(), names, ..World::default() }
    }

    pub(crate) fn kill(&mut self) -> World {
        self.dead = true;
        World {
            inodes: self.inodes.clone(),
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending: self.pending.clone(),
            ..World::default()
        }
    }

    pub(crate) fn tamper(&mut self, name: &str, bytes: &[u8]) {
        let inode = Inode::durable(bytes);
        match self.inode_of(name) {
            Some(place) => self.inodes[place] = inode,
            None => {
                self.inodes.push(inode);
                let place = self.inodes.len() - 1;
                self.names.insert(name.to_owned(), place);
                self.durable_names.insert(name.to_owned(), place);
            }
        }
    }
}
