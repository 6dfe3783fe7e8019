//! Index files: their header, their blocks, and a store with a mutated one.

use std::sync::Arc;

use fuzz::Target;

use super::{ended, event, file, mend, options, told, trimmed};
use crate::disk::Disk;
use crate::format::{mask, u32_at};
use crate::index::block::{BLOCK_BYTES, Batches, Fences, Keys, Kind, check};
use crate::index::header::RunHeader;
use crate::sim::SimDisk;
use crate::{
    Append, Clause, CommandRecord, Direction, Engine, ExpectedVersion, Position, ReadError, Selection, StreamName, Tag,
    Version,
};

/// Memory that opening and reading the whole store may take.
const STORE_BYTES_MAX: u64 = 2 << 20;
const STREAMS: [&str; 3] = ["a-1", "b-1", "nobody"];

/// A store of several segments: the sealed ones have an index file.
fn grown() -> SimDisk {
    let disk = SimDisk::new();
    let engine = Engine::open_on(Arc::new(disk.clone()), options()).expect("opens");
    for number in 0..24_u8 {
        let name = StreamName::new(STREAMS[usize::from(number % 2)]).expect("valid");
        let tags: &[&str] = if number % 3 == 0 { &["k:1", "k:2"] } else { &["k:1"] };
        let events = vec![event(["a", "b", "c"][usize::from(number % 3)], tags, &"text ".repeat(120))];
        let append = Append::new(7).stream(name, ExpectedVersion::Any, events);
        engine.append(append.command(CommandRecord { id: [number; 16], fingerprint: [2; 16] })).expect("accepted");
    }
    engine.close().expect("closes");
    disk
}

/// The largest of the index files.
fn index_file(disk: &SimDisk) -> String {
    let names = Disk::list(disk).expect("listed").into_iter().filter(|name| name.starts_with("index-"));
    names.max_by_key(|name| file(disk, name).len()).expect("there is one")
}

/// What a store answers that goes through its index.
fn answers(engine: &Engine) -> Result<Vec<String>, ReadError> {
    let mut answers = Vec::new();
    for name in STREAMS {
        let name = StreamName::new(name).expect("valid");
        let page = engine.read_stream(&name, Version::MAX, Direction::Backward, usize::MAX)?;
        answers.push(format!("{:?} {:?}", page.events, engine.stream_version(&name)?));
    }
    let tagged = Clause::names(["a"]).tag(Tag::new("k:2").expect("valid"));
    for selection in [Selection::of(tagged), Selection::of(Clause::names(["b"])), Selection::everything()] {
        let page = engine.read(&selection, Position::ZERO, Direction::Forward, usize::MAX)?;
        answers.push(format!("{:?} {}", page.events, page.read_to));
    }
    for id in [0, 11, 23, 99] {
        answers.push(format!("{:?}", engine.command([id; 16])?));
    }
    Ok(answers)
}

/// A block of full length that begins like this.
fn block_of(bytes: &[u8]) -> Vec<u8> {
    let mut block = bytes.to_vec();
    block.resize(BLOCK_BYTES, 0);
    block
}

/// Whether a checksum stands over bytes that were never written: no damage does that.
fn forged(bytes: &[u8], truth: &[u8], mask: u32) -> bool {
    bytes.chunks(BLOCK_BYTES).zip(truth.chunks(BLOCK_BYTES)).enumerate().any(|(number, (block, true_block))| {
        block != true_block
            && block.len() == BLOCK_BYTES
            && match number {
                0 => RunHeader::decode(block).is_ok(),
                _ => u32_at(block, 0) == crate::format::checksum(&block[4..], mask),
            }
    })
}

/// A store with this index file: the same answers, unless it was forged; then whatever they are, they do no harm.
fn opened(disk: &SimDisk, name: String, mask: u32) -> Target {
    let truth = file(disk, &name);
    let expected = {
        let engine = Engine::open_on(Arc::new(disk.after_kill()), options()).expect("opens");
        answers(&engine).expect("readable")
    };
    let files: Vec<_> = Disk::list(&disk.after_kill()).expect("listed");
    let files: Vec<_> = files.into_iter().map(|name| (name.clone(), file(disk, &name))).collect();
    Target::new("index", [truth.clone()], move |bytes| {
        let disk = SimDisk::new();
        for (name, content) in &files {
            disk.tamper(name, content);
        }
        disk.tamper(&name, bytes);
        let forged = forged(bytes, &truth, mask);
        let engine = match Engine::open_on(Arc::new(disk), options()) {
            Ok(engine) => engine,
            Err(error) => {
                assert!(forged, "a damaged index is made anew: {error}");
                return told(&error);
            }
        };
        match answers(&engine) {
            Ok(found) => {
                assert!(forged || found == expected, "the same answers as from the log");
                format!("answered, as from the log: {}", found == expected)
            }
            Err(error) => {
                assert!(forged, "a damaged index is made anew: {error}");
                told(&error)
            }
        }
    })
    .mend(move |bytes| mend::index(bytes, mask))
    .holding(STORE_BYTES_MAX)
    .costly()
}

/// Blocks of one kind, read entry by entry.
fn blocks(
    name: &'static str,
    kind: Kind,
    (index, mask): (&[u8], u32),
    read: impl Fn(&[u8]) -> String + Send + Sync + 'static,
) -> Target {
    let written = |block: &&[u8]| check(block, kind, u32_at(block, 4), mask);
    let seeds: Vec<_> = index.chunks_exact(BLOCK_BYTES).filter(written).map(<[u8]>::to_vec).collect();
    Target::new(name, seeds, move |bytes| {
        let block = block_of(bytes);
        if check(&block, kind, u32_at(&block, 4), mask) { read(&block) } else { "refused".to_owned() }
    })
    .mend(move |bytes| {
        bytes.resize(BLOCK_BYTES, 0);
        mend::index_block(bytes, mask);
    })
}

pub(super) fn targets() -> Vec<Target> {
    let disk = grown();
    let name = index_file(&disk);
    let index = file(&disk, &name);
    let header = RunHeader::decode(&index[..BLOCK_BYTES]).expect("sound");
    let (mask, file_first) = (header.mask(), header.first);
    vec![
        Target::new("index-header", [trimmed(index[..BLOCK_BYTES].to_vec())], |bytes| {
            ended(RunHeader::decode, |header| header.encode().to_vec(), bytes)
        })
        .mend(|bytes| {
            mend::small_by(bytes, |body| match (body.get(32..48), body.get(68..72)) {
                (Some(_), Some(_)) => mask_of(body),
                _ => 0,
            });
        }),
        blocks("index-keys", Kind::Keys, (&index, mask), move |block| {
            let keys = Keys { block, file_first };
            let read = |index| keys.get(index).and_then(|entry| keys.positions(&entry));
            let sound = (0..keys.count()).filter(|index| read(*index).is_some_and(|all| all.is_sorted())).count();
            let _found = keys.partition(|fence| fence.first <= file_first);
            format!("{} of {} entries are sound", sound.min(1), keys.count().min(2))
        }),
        blocks("index-batches", Kind::Batches, (&index, mask), |block| {
            let batches = Batches(block);
            let last = batches.count().checked_sub(1).map(|index| batches.get(index).length);
            let found = batches.find(batches.first()).map(|index| batches.get(index));
            format!("{} batches, the first found: {}, {}", batches.count().min(2), found.is_some(), last.is_some())
        }),
        blocks("index-fences", Kind::Fences, (&index, mask), |block| {
            let fences = Fences(block);
            let sorted = (0..fences.count()).map(|index| fences.get(index).key).is_sorted();
            format!("{} fences, in order: {sorted}", fences.count().min(3))
        }),
        opened(&disk, name, mask),
    ]
}

fn mask_of(body: &[u8]) -> u32 {
    mask(&crate::format::array_at(body, 32), u32_at(body, 68))
}
