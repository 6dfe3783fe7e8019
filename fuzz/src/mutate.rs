//! Changes that bytes may suffer.

use fastrand::Rng;

/// Longest input made.
pub(crate) const INPUT_BYTES_MAX: usize = 64 << 10;
/// Changes to one input, at most.
const CHANGES_MAX: usize = 6;
/// Numbers at which decoders err.
const NUMBERS: [u64; 14] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff, 1 << 32, u64::MAX >> 1, u64::MAX];

/// Changes an input in one or a few places. `other` is another input, to take pieces from.
pub(crate) fn mutate(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], chance: &mut Rng) {
    for _ in 0..chance.usize(1..=CHANGES_MAX).min(chance.usize(1..=CHANGES_MAX)) {
        change(bytes, other, words, chance);
    }
    bytes.truncate(INPUT_BYTES_MAX);
}

fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], chance: &mut Rng) {
    let at = chance.usize(..=bytes.len());
    let kinds = if words.is_empty() { 10 } else { 13 };
    match chance.usize(..kinds) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << chance.u8(..8),
        2 if at < bytes.len() => bytes[at] = chance.u8(..),
        3 | 4 => put_number(bytes, at, chance),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(at..(at + length(chance)).min(bytes.len()))),
        7 => {
            let piece = vec![if chance.bool() { 0 } else { chance.u8(..) }; length(chance)];
            drop(bytes.splice(at..at, piece));
        }
        8 => {
            let end = (at + length(chance)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let to = chance.usize(..=bytes.len());
            drop(bytes.splice(to..to, piece));
        }
        9 => {
            let from = chance.usize(..=other.len());
            let piece = &other[from..(from + length(chance)).min(other.len())];
            let replaced = if chance.bool() { (at + piece.len()).min(bytes.len()) } else { at };
            drop(bytes.splice(at..replaced, piece.iter().copied()));
        }
        10.. => {
            let word = words[chance.usize(..words.len())].as_bytes();
            let times = if chance.u8(..16) == 0 { length(chance) } else { 1 };
            drop(bytes.splice(at..at, word.repeat(times)));
        }
        _ => bytes.push(chance.u8(..)),
    }
}

/// Writes a number of 1, 2, 4 or 8 bytes, little-endian, over what is there: a treacherous one, or the old one moved a bit.
fn put_number(bytes: &mut [u8], at: usize, chance: &mut Rng) {
    let width = 1 << chance.usize(..4);
    // Fields lie on even offsets more often than not.
    let at = if chance.bool() { at } else { at - at % width };
    let Some(field) = bytes.get_mut(at..at + width) else { return };
    let mut old = [0; 8];
    old[..width].copy_from_slice(field);
    let new = match chance.u8(..3) {
        0 => u64::from_le_bytes(old).wrapping_add(chance.u64(..16)),
        1 => u64::from_le_bytes(old).wrapping_sub(chance.u64(..16)),
        _ => NUMBERS[chance.usize(..NUMBERS.len())],
    };
    field.copy_from_slice(&new.to_le_bytes()[..width]);
}

/// Of a piece: mostly short, sometimes long.
fn length(chance: &mut Rng) -> usize {
    match chance.u8(..8) {
        0 => chance.usize(1..=4_096),
        1 | 2 => chance.usize(1..=64),
        _ => chance.usize(1..=8),
    }
}
