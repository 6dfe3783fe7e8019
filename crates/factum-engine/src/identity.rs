//! Who a store is: positions mean something only together with it.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};

use crate::format::batch::Link;
use crate::numbers::Position;
use crate::options::Entropy;
use crate::scan::Cursor;

/// Id, incarnation and key of a store.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Minted when the store is made; survives restores.
    pub store: [u8; 16],
    /// One unbroken history: minted when the store is made and at every restore.
    pub incarnation: [u8; 16],
    /// Secret of the store, for keyed hashes: fingerprints and pseudonymous tags.
    pub key: [u8; 32],
    /// Where this history left earlier ones, the oldest first.
    pub forks: Vec<Fork>,
}

/// Where a history left the one it was restored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The incarnation left.
    pub parent: [u8; 16],
    /// The last position both share.
    pub position: Position,
    /// Hash of the batch that ends there.
    pub hash: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("store", &format_args!("{:032x}", u128::from_be_bytes(self.store)))
            .field("incarnation", &format_args!("{:032x}", u128::from_be_bytes(self.incarnation)))
            .field("key", &"(secret)")
            .field("forks", &self.forks)
            .finish()
    }
}

impl Identity {
    /// Which of its histories an incarnation is: 0 for the oldest, one for each fork, the present one last.
    pub(crate) fn generation(&self, incarnation: &[u8; 16]) -> Option<usize> {
        let parents = self.forks.iter().map(|fork| &fork.parent);
        parents.chain([&self.incarnation]).position(|known| known == incarnation)
    }

    /// Whether the history of one generation, which ends here in the log, was left here for a later generation.
    pub(crate) fn left_at(&self, from: usize, to: usize, head: u64, link: &Link) -> bool {
        self.forks[from..to].iter().all(|fork| fork.position.get() == head && fork.hash == *link)
    }

    /// The same store in a new incarnation that leaves the present one where its log ends.
    pub(crate) fn forked(&self, entropy: Entropy, end: &Cursor) -> io::Result<Identity> {
        let fork = Fork { parent: self.incarnation, position: Position::new(end.head), hash: end.link };
        let random = random(entropy, &self.incarnation)?;
        let mut identity = self.clone();
        identity.incarnation = crate::format::array_at(&random, 0);
        identity.forks.push(fork);
        Ok(identity)
    }

    pub(crate) fn mint(entropy: Entropy) -> io::Result<Identity> {
        let random = random(entropy, &[])?;
        Ok(Identity {
            store: crate::format::array_at(&random, 0),
            incarnation: crate::format::array_at(&random, 16),
            key: crate::format::array_at(&random, 32),
            forks: Vec::new(),
        })
    }
}

/// Chance; what is seeded differs by what it is for.
fn random(entropy: Entropy, purpose: &[u8]) -> io::Result<[u8; 64]> {
    let mut random = [0; 64];
    match entropy {
        Entropy::System => OpenOptions::new().read(true).open("/dev/urandom")?.read_exact(&mut random)?,
        Entropy::Seeded(seed) => {
            blake3::Hasher::new().update(&seed.to_le_bytes()).update(purpose).finalize_xof().fill(&mut random);
        }
    }
    Ok(random)
}
