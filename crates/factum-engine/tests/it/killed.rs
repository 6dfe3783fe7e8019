//! A real process that appends from several threads, killed with SIGKILL at random moments, again and again.
//!
//! It is this test binary itself, started once more to run [`the_process_that_is_killed`]. Each acknowledgement is a line
//! on its standard output; what this process read of it must be in the store, at the position that was told.
//! A killed process takes nothing with it that was written, so that this holds in every mode of durability.
//! `FACTUM_PROOF_TIMES` and `FACTUM_PROOF_SEED` choose another length and course of [`long`].

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use factum_engine::{Append, CommandRecord, Durability, Engine, ExpectedVersion, Options, StreamName, Version};

use crate::support::{Chance, all_texts, event, number_from_environment, stream, wait};

const KILLS: u64 = 24;
const WRITERS: u64 = 6;
/// A store is killed so often before the next is made: a long run is not one ever longer check.
const KILLS_PER_STORE: u64 = 8;
/// A death comes when so many acknowledgements were read since the start, at most; with none it comes at once.
const ACKNOWLEDGED_BEFORE_DEATH_MAX: u64 = 300;
/// And so much later, at most.
const DEATH_AFTER_MICROS_MAX: u64 = 3_000;
/// How long the process may take for what is waited for.
const LOAD_MAX: Duration = Duration::from_secs(60);

const DIRECTORY: &str = "FACTUM_KILLED_DIRECTORY";
const MODE: &str = "FACTUM_KILLED_MODE";
/// Three stores of four answer when the append is synced, the others when it is written.
const MODES: [&str; 4] = ["synced", "synced", "interval", "synced"];

fn options(mode: &str) -> Options {
    let durability = match mode {
        "synced" => Durability::Synced,
        _ => Durability::Interval(Duration::from_millis(2)),
    };
    // Small, so that the process dies while it seals and begins segments too.
    Options::default().segment_bytes(16 << 10).durability(durability)
}

/// What the append with this number, from 0, of a writer holds: always the same.
fn texts_of_append(writer: u64, number: u64) -> Vec<String> {
    let mut chance = Chance::new(writer << 32 | number);
    let events = 1 + chance.below(3);
    (0..events).map(|part| format!("{writer} {number} {part} ") + &"x".repeat(chance.below(600) as usize)).collect()
}

fn id_of_append(writer: u64, number: u64) -> [u8; 16] {
    u128::from(writer << 32 | number).to_be_bytes()
}

fn own_stream(writer: u64) -> StreamName {
    stream(&format!("w-{writer}"))
}

/// Texts by writer, as whole appends, found in the writers' streams.
fn appends_found(texts: &[(String, String)], writer: u64, story: &str) -> u64 {
    let own = own_stream(writer);
    let mut found = texts.iter().filter(|(name, _)| name == own.as_str()).map(|(_, text)| text).peekable();
    for number in 0.. {
        if found.peek().is_none() {
            return number;
        }
        for expected in texts_of_append(writer, number) {
            assert_eq!(found.next(), Some(&expected), "{story}: append {number} of writer {writer} is not whole");
        }
    }
    unreachable!("a store holds a finite number of appends")
}

#[test]
#[ignore = "started by the tests of this file, to be killed"]
fn the_process_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let mode = std::env::var(MODE).expect("told together with the directory");
    let engine = Engine::open(Path::new(&directory), options(&mode)).expect("opens");
    let texts = all_texts(&engine);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (engine, first) = (&engine, appends_found(&texts, writer, "at the start"));
            scope.spawn(move || append_on(engine, writer, first));
        }
    });
}

/// Appends until the process is killed, and tells each acknowledgement.
fn append_on(engine: &Engine, writer: u64, first: u64) {
    let mut version = engine.stream_version(&own_stream(writer)).expect("readable");
    for number in first.. {
        let events = texts_of_append(writer, number).iter().map(|text| event(text)).collect();
        let record = CommandRecord { id: id_of_append(writer, number), fingerprint: [1; 16] };
        let append =
            Append::new(number).stream(own_stream(writer), ExpectedVersion::Exact(version), events).command(record);
        let answer = if writer.is_multiple_of(2) { engine.append(append) } else { wait(engine.submit(append)) };
        let receipt = answer.expect("nothing fails but the process");
        version = receipt.streams[0].1;
        // One write of one short line: a pipe takes all of it or nothing.
        let line = format!("acknowledged {writer} {number} {}\n", receipt.last);
        let told = std::io::stdout().lock().write_all(line.as_bytes());
        told.expect("the one who kills listens until the end");
    }
}

/// Writer and number of an append.
type Which = (u64, u64);
/// What the one who kills was told: the position of each append's last event.
type Acknowledged = HashMap<Which, u64>;

/// Starts the process on a store; its acknowledgements come one by one until it is dead.
fn start(directory: &Path, mode: &str) -> (Child, Receiver<(Which, u64)>) {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["killed::the_process_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(MODE, mode)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let output = child.stdout.take().expect("it is piped");
    let (told, listen) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Between the lines the test harness says what it does.
            let Some((_, words)) = line.split_once("acknowledged ") else { continue };
            let numbers: Vec<u64> = words.split(' ').map(|word| word.parse().expect("a number")).collect();
            let [writer, number, last] = numbers[..] else { panic!("{line}") };
            if told.send(((writer, number), last)).is_err() {
                break;
            }
        }
    });
    (child, listen)
}

/// Lets the process append for a while and kills it.
fn run_and_kill(directory: &Path, mode: &str, chance: &mut Chance, acknowledged: &mut Acknowledged, story: &str) {
    let (mut child, listen) = start(directory, mode);
    let until = Instant::now() + LOAD_MAX;
    // Some die while they open the store.
    let wanted = if chance.below(6) == 0 { 0 } else { 1 + chance.below(ACKNOWLEDGED_BEFORE_DEATH_MAX) };
    for _ in 0..wanted {
        let told = listen.recv_timeout(until.saturating_duration_since(Instant::now()));
        let (append, last) = told.unwrap_or_else(|error| panic!("{story}: no acknowledgement: {error}"));
        acknowledged.insert(append, last);
    }
    let death = Instant::now() + Duration::from_micros(chance.below(DEATH_AFTER_MICROS_MAX));
    while Instant::now() < death {
        std::hint::spin_loop();
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it is dead");
    // What was told before its death is in the pipe.
    acknowledged.extend(listen.iter());
}

/// Opens the store and holds it against what was told; returns how many appends it has.
fn check(directory: &Path, acknowledged: &Acknowledged, story: &str) -> u64 {
    let engine = Engine::open(directory, options("synced")).unwrap_or_else(|error| panic!("{story}: {error}"));
    let texts = all_texts(&engine);
    let mut appends = 0;
    for writer in 0..WRITERS {
        let found = appends_found(&texts, writer, story);
        let told = acknowledged.keys().filter(|(by, _)| *by == writer).map(|(_, number)| number + 1).max();
        assert!(found >= told.unwrap_or(0), "{story}: writer {writer} was told of {told:?} appends, {found} are there");
        appends += found;
    }
    for ((writer, number), last) in acknowledged {
        let known = engine.command(id_of_append(*writer, *number)).expect(story);
        let known = known.unwrap_or_else(|| panic!("{story}: append {number} of writer {writer} is lost"));
        assert_eq!(known.receipt.last.get(), *last, "{story}: append {number} of writer {writer} moved");
        let (name, version) = &known.receipt.streams[0];
        assert_eq!(name, &own_stream(*writer), "{story}");
        assert!(*version > Version::ZERO, "{story}");
    }
    let report = engine.verify(&mut |_| {}).expect(story);
    assert_eq!((report.events, report.batches), (texts.len() as u64, appends), "{story}: nothing but whole appends");
    engine.close().expect(story);
    appends
}

fn kill(times: u64, seed: u64) {
    println!("{times} kills, seed {seed}");
    let mut chance = Chance::new(seed);
    let (mut killed, mut appends, mut told) = (0, 0, 0);
    while killed < times {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut acknowledged, mode) = (Acknowledged::new(), MODES[killed as usize / KILLS_PER_STORE as usize % 4]);
        let end = times.min(killed + KILLS_PER_STORE);
        while killed < end {
            killed += 1;
            let story = format!("seed {seed}, kill {killed}, {mode}");
            run_and_kill(directory.path(), mode, &mut chance, &mut acknowledged, &story);
            // Now and then the next process, not this one, is the first to find what a death left.
            if killed < end && chance.below(3) > 0 {
                check(directory.path(), &acknowledged, &story);
            }
        }
        appends += check(directory.path(), &acknowledged, &format!("seed {seed}, after kill {killed}"));
        told += acknowledged.len() as u64;
    }
    println!("{killed} kills: {told} appends acknowledged, {appends} found, none lost, none in part");
    assert!(told > times, "it was killed under load");
}

#[test]
fn a_process_killed_under_load_leaves_every_append_it_acknowledged_and_none_in_part() {
    kill(KILLS, number_from_environment("FACTUM_PROOF_SEED", 1));
}

#[test]
#[ignore = "minutes; cargo xtask engine-kill"]
fn long() {
    kill(number_from_environment("FACTUM_PROOF_TIMES", 300), number_from_environment("FACTUM_PROOF_SEED", 1));
}
