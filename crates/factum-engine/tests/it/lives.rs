//! Stores that live through random work and random crashes, several times over, beside a naive model.
//!
//! `FACTUM_PROOF_OPERATIONS` and `FACTUM_PROOF_SEED` choose another length and course of [`long`].

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    Direction, Disk, Drive, Durability, Engine, Entropy, INDEX_CACHE_BYTES_MIN, OpenError, Options, Position,
    Selection, restore_on,
};

use crate::deeds::{Dark, Life};
use crate::model::{Fact, Model};
use crate::support::{Chance, number_from_environment};
use crate::tally::Tally;

/// Operations in the ordinary run of the tests.
const OPERATIONS: u64 = 20_000;
const THREADS: usize = 2;
const LIVES_MAX: u64 = 8;
/// What is done in one life, at most.
const DEEDS_MAX: u64 = 40;
/// The power fails at one of so many first operations of the disk in a life, or not at all.
const DARK_AT_MAX: u64 = 120;

/// What one life has before it.
#[derive(Clone, Copy)]
struct Plan {
    /// The operation of the disk at which the power fails.
    dark_at: Option<u64>,
    /// The disk fails at some operation.
    troubled: bool,
    /// It only looks at what is left.
    last: bool,
}

/// Says whose the panic is that passes by.
struct Naming(u64);

impl Drop for Naming {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("it was the store with seed {}", self.0);
        }
    }
}

/// A store, over all its lives.
struct Store {
    seed: u64,
    chance: Chance,
    durability: Durability,
    options: Options,
    disk: SimDisk,
    model: Model,
    tally: Tally,
    /// The last opening was closed cleanly, and none was tried since.
    closed: bool,
    /// Something was being written or not synced when it ended, and no opening succeeded since.
    torn: bool,
    /// The power failed, and no opening succeeded since.
    cut_off: bool,
    /// An opening failed, perhaps when it synced the zeros in place of a tail, and the power did not fail since: they are
    /// seen, and may not be on the disk.
    zeros_unsure: bool,
    /// What the last opening found is what the model knows.
    adopted: bool,
}

impl Store {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        // Nothing is synced in the background: the writer is driven by hand.
        let durability = *chance.choice(&[Durability::Synced, Durability::Synced, Durability::Unsynced]);
        let options = Options::default()
            .drive(Drive::Manual)
            .durability(durability)
            .index_cache_bytes(*chance.choice(&[INDEX_CACHE_BYTES_MIN, 1 << 20]))
            .entropy(Entropy::Seeded(seed))
            .segment_bytes(*chance.choice(&[8_192, 8_192, 12_288, 32_768]))
            .page_bytes_max(*chance.choice(&[200, 3_000, 4 << 20]));
        let tally = Tally { stores: 1, ..Tally::default() };
        let (disk, model) = (SimDisk::new(), Model::default());
        let (closed, torn, cut_off, adopted) = (false, false, false, false);
        Store {
            seed,
            chance,
            durability,
            options,
            disk,
            model,
            tally,
            closed,
            torn,
            cut_off,
            zeros_unsure: false,
            adopted,
        }
    }

    /// All its lives; returns what happened in them.
    fn live(mut self) -> Tally {
        let _naming = Naming(self.seed);
        let lives = 2 + self.chance.below(LIVES_MAX - 1);
        for life in 0..lives {
            let story = format!("seed {}, life {life}", self.seed);
            let last = life + 1 == lives;
            let dark_at = (!last && !self.chance.once_in(4)).then(|| 1 + self.chance.below(DARK_AT_MAX));
            let fails = dark_at.is_none() && !last && self.chance.once_in(4);
            if let Some(operation) = dark_at {
                self.disk.fail_at(operation, SimFault::PowerLoss);
            } else if fails {
                let operation = 1 + self.chance.below(20);
                self.disk.fail_at(operation, SimFault::Error(std::io::ErrorKind::Other));
            }
            if self.chance.once_in(6) {
                self.disk.shorten(self.chance.below(1_000));
            }
            self.open(Plan { dark_at, troubled: dark_at.is_some() || fails, last }, &story);
            if self.tally.openings > 0 && self.chance.once_in(8) {
                self.restore(&story);
            }
        }
        self.tally.events = self.model.head();
        self.tally
    }

    fn open(&mut self, plan: Plan, story: &str) {
        match Engine::open_on(Arc::new(self.disk.clone()), self.options.clone()) {
            Ok(engine) => {
                let report = engine.recovery();
                assert!(!self.closed || report.clean, "{story}: closed and not clean");
                assert!(self.torn || report.cut.is_none(), "{story}: {:?} was cut, and nothing was torn", report.cut);
                self.tally.openings += 1;
                self.tally.clean_openings += u64::from(report.clean);
                self.tally.tails_cut += u64::from(report.cut.is_some());
                self.tally.groups_rewritten += report.rewritten_groups;
                (self.closed, self.torn, self.adopted) = (false, self.zeros_unsure, false);
                let lived = self.spend(&engine, plan, story);
                if lived.is_err() {
                    self.torn = true;
                } else if self.chance.once_in(3) {
                    self.closed = engine.close().is_ok();
                }
                // A close that failed at its marker may have synced before.
                if self.adopted {
                    self.model.sync_to(engine.heads().synced.get(), story);
                }
                self.torn |= self.model.synced() < self.model.head();
                // The crash comes before the engine is dropped, which would close it.
                self.crash();
            }
            Err(OpenError::Io(_)) if plan.troubled => {
                self.tally.failed_openings += 1;
                (self.closed, self.torn, self.zeros_unsure) = (false, true, true);
                self.crash();
            }
            Err(error) => panic!("{story}: {error:?}"),
        }
    }

    /// One life with an open engine.
    fn spend(&mut self, engine: &Engine, plan: Plan, story: &str) -> Result<(), Dark> {
        let (mut found, mut after) = (Vec::new(), Position::ZERO);
        loop {
            let page = match engine.read(&Selection::everything(), after, Direction::Forward, 50) {
                Ok(page) => page,
                Err(error) => {
                    let dark = plan.dark_at.is_some_and(|operation| self.disk.operations() >= operation);
                    assert!(dark || plan.troubled, "{story}: not readable: {error:?}");
                    if dark {
                        return Err(Dark);
                    }
                    // The disk failed while a damaged index file was to be made anew; it fails once.
                    continue;
                }
            };
            found.extend(page.events.iter().map(Fact::of));
            after = page.read_to;
            if page.end {
                break;
            }
        }
        let promised = if self.cut_off { self.model.synced() } else { self.model.head() };
        self.model.adopt(&found, promised as usize, story);
        (self.cut_off, self.adopted) = (false, true);
        let deeds = if plan.last { 0 } else { self.chance.below(DEEDS_MAX) };
        let Store { disk, model, chance, tally, torn, durability, .. } = self;
        let (durability, poisoned, unsure) = (*durability, false, HashSet::new());
        let Plan { dark_at, troubled, .. } = plan;
        let follower = None;
        let mut life = Life {
            engine,
            disk,
            model,
            chance,
            tally,
            story,
            durability,
            dark_at,
            poisoned,
            follower,
            troubled,
            unsure,
        };
        life.compare_all()?;
        for _ in 0..deeds {
            life.act()?;
        }
        *torn |= life.poisoned;
        Ok(())
    }

    /// It goes on as a copy of itself, restored to another disk; a torn tail stays behind.
    fn restore(&mut self, story: &str) {
        self.tally.restores += 1;
        let target = SimDisk::new();
        let options = self.options.clone().entropy(Entropy::Seeded(self.seed + (self.tally.restores << 40)));
        restore_on(&self.disk, &target, &options).unwrap_or_else(|error| panic!("{story}: {error:?}"));
        // Nothing of it is in doubt, and it was not closed.
        self.disk = target.after_power_loss(0);
        (self.closed, self.torn) = (false, false);
    }

    /// The disk as the next life finds it.
    fn crash(&mut self) {
        self.disk = if self.chance.once_in(3) {
            self.tally.kills += 1;
            self.disk.after_kill()
        } else {
            self.tally.power_losses += 1;
            (self.cut_off, self.zeros_unsure) = (true, false);
            self.disk.after_power_loss(self.chance.below(1_000))
        };
        if self.chance.once_in(4) {
            self.spoil();
        }
    }

    /// Index files may be lost or altered in any way: they are made anew.
    fn spoil(&mut self) {
        let names = self.disk.list().expect("listed").into_iter().filter(|name| name.starts_with("index-"));
        for name in names.collect::<Vec<_>>() {
            let mut bytes = self.disk.contents(&name).expect("a file");
            match self.chance.below(5) {
                0 => self.disk.remove(&name).expect("removed"),
                1 => self.disk.tamper(&name, &bytes[..self.chance.below(bytes.len() as u64 + 1) as usize]),
                2 | 3 if !bytes.is_empty() => {
                    let at = self.chance.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << self.chance.below(8);
                    self.disk.tamper(&name, &bytes);
                }
                _ => continue,
            }
            self.tally.indexes_spoilt += 1;
        }
    }
}

/// Stores by successive seeds, on several threads, until so many operations were done.
fn live(operations: u64, seed: u64) -> Tally {
    let (next, done) = (AtomicU64::new(seed), AtomicU64::new(0));
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    while done.load(Ordering::Relaxed) < operations {
                        let store = Store::new(next.fetch_add(1, Ordering::Relaxed)).live();
                        done.fetch_add(store.operations(), Ordering::Relaxed);
                        tally.add(&store);
                    }
                    tally
                })
            })
            .collect();
        for thread in threads {
            tally.add(&thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    println!("{} operations from seed {seed}: {tally:#?}", tally.operations());
    tally
}

#[test]
fn every_life_begins_with_what_the_ones_before_it_acknowledged() {
    let tally = live(OPERATIONS, number_from_environment("FACTUM_PROOF_SEED", 1));
    // It is the work it is taken for.
    for (what, count) in [
        ("accepted", tally.accepted),
        ("repeats", tally.repeats),
        ("conflicts", tally.conflicts),
        ("crossed", tally.crossed),
        ("ids reused", tally.ids_reused),
        ("disk full", tally.disk_full),
        ("poisoned", tally.poisoned),
        ("tails cut", tally.tails_cut),
        ("groups rewritten", tally.groups_rewritten),
        ("clean openings", tally.clean_openings),
    ] {
        assert!(count > 20, "{what}: {count}");
    }
}

#[test]
#[ignore = "minutes; cargo xtask engine-model"]
fn long() {
    let operations = number_from_environment("FACTUM_PROOF_OPERATIONS", 500_000);
    live(operations, number_from_environment("FACTUM_PROOF_SEED", 1));
}
