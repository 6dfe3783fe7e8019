//! Checked blocks of index files, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

use super::block::BLOCK_BYTES;
use crate::shared::lock;

/// Parts with a lock each.
const SHARDS: usize = 16;

/// A file's number, a block's number in it.
pub(crate) type BlockId = (u64, u32);
pub(crate) type Block = Arc<[u8]>;

/// Hashes block ids, which nobody outside chooses.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// Keeps the blocks that were used lately.
pub(crate) struct BlockCache {
    shards: Vec<Mutex<Shard>>,
    shard_blocks: usize,
}

#[derive(Default)]
struct Shard {
    places: HashMap<BlockId, usize, BuildHasherDefault<Spread>>,
    slots: Vec<Slot>,
    hand: usize,
}

struct Slot {
    id: BlockId,
    block: Block,
    /// Since the hand passed it last.
    used: bool,
}

impl BlockCache {
    /// Of at most so many bytes of blocks, but at least one block a part.
    pub(crate) fn new(bytes: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        BlockCache { shards, shard_blocks: (bytes / BLOCK_BYTES / SHARDS).max(1) }
    }

    fn shard(&self, id: BlockId) -> &Mutex<Shard> {
        &self.shards[(id.0 as usize).wrapping_mul(7).wrapping_add(id.1 as usize) % SHARDS]
    }

    pub(crate) fn get(&self, id: BlockId) -> Option<Block> {
        let mut shard = lock(self.shard(id));
        let place = *shard.places.get(&id)?;
        let slot = &mut shard.slots[place];
        slot.used = true;
        Some(slot.block.clone())
    }

    pub(crate) fn put(&self, id: BlockId, block: Block) {
        let mut shard = lock(self.shard(id));
        if shard.places.contains_key(&id) {
            return;
        }
        let slot = Slot { id, block, used: false };
        if shard.slots.len() < self.shard_blocks {
            let place = shard.slots.len();
            shard.slots.push(slot);
            shard.places.insert(id, place);
            return;
        }
        // Second chance: who was used since the hand passed is passed once more.
        let place = loop {
            let hand = shard.hand;
            shard.hand = (hand + 1) % self.shard_blocks;
            if !std::mem::replace(&mut shard.slots[hand].used, false) {
                break hand;
            }
        };
        let evicted = std::mem::replace(&mut shard.slots[place], slot);
        shard.places.remove(&evicted.id);
        shard.places.insert(id, place);
    }

    /// Bytes of blocks it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).slots.len() * BLOCK_BYTES).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_is_used() {
        let cache = BlockCache::new(64 * BLOCK_BYTES);
        let block: Block = Arc::from(vec![0; BLOCK_BYTES]);
        cache.put((1, 0), block.clone());
        for number in 0..1_000 {
            assert!(cache.get((1, 0)).is_some(), "{number}");
            cache.put((2, number), block.clone());
            assert!(cache.bytes() <= 64 * BLOCK_BYTES);
        }
        assert!(cache.get((2, 0)).is_none());
        assert!(cache.get((2, 999)).is_some());
    }
}
