//! A small workload, with the power failing at every one of its operations, under several seeds of what survives.

use std::sync::Arc;

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    Append, AppendError, Disk, Drive, Engine, Entropy, ExpectedVersion, OpenError, Options, ProgressError, Version,
};

use crate::support::{all_texts, command, event, expecting, note, stream};

/// What survives of un-synced sectors and names: nothing, everything, and mixtures.
const SEEDS: [u64; 10] = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55];

fn options() -> Options {
    Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(1)).segment_bytes(8_192)
}

/// What the workload was promised, and what it had asked for when the power failed.
#[derive(Default, Debug, Clone)]
struct Promises {
    acknowledged: Vec<(String, String)>,
    /// Appends under way, whole batches, in order.
    under_way: Vec<Vec<(String, String)>>,
    commands: Vec<u8>,
    progress: Option<Vec<u8>>,
    progress_under_way: Option<Vec<u8>>,
    epoch: u64,
    /// The identity was shown to somebody.
    identity: Option<[u8; 16]>,
}

/// Ended by the power.
struct Dark;

impl From<AppendError> for Dark {
    fn from(error: AppendError) -> Self {
        assert!(matches!(error, AppendError::Poisoned(_)), "{error:?}");
        Dark
    }
}

impl From<OpenError> for Dark {
    fn from(error: OpenError) -> Self {
        assert!(matches!(error, OpenError::Io(_)), "{error:?}");
        Dark
    }
}

impl From<ProgressError> for Dark {
    fn from(error: ProgressError) -> Self {
        assert!(matches!(error, ProgressError::Unavailable(_)), "{error:?}");
        Dark
    }
}

impl Promises {
    fn open(&mut self, disk: &SimDisk) -> Result<Engine, Dark> {
        let engine = Engine::open_on(Arc::new(disk.clone()), options())?;
        self.identity = Some(engine.identity().incarnation);
        Ok(engine)
    }

    /// Appends several requests as one group.
    fn group(&mut self, engine: &Engine, appends: Vec<Append>) -> Result<(), Dark> {
        self.under_way = appends.iter().map(texts).collect();
        let commands = appends.iter().filter_map(|append| append.command).map(|command| command.id[0]);
        let commands: Vec<u8> = commands.collect();
        let tickets: Vec<_> = appends.into_iter().map(|append| engine.submit(append)).collect();
        engine.step();
        for ticket in tickets {
            crate::support::now(ticket)?;
        }
        self.acknowledged.extend(std::mem::take(&mut self.under_way).into_iter().flatten());
        self.commands.extend(commands);
        Ok(())
    }

    fn append(&mut self, engine: &Engine, append: Append) -> Result<(), Dark> {
        self.group(engine, vec![append])
    }

    fn advance(&mut self, engine: &Engine, next: &[u8]) -> Result<(), Dark> {
        self.progress_under_way = Some(next.to_vec());
        engine.advance_progress("relay", self.epoch, self.progress.as_deref(), next)?;
        self.progress = self.progress_under_way.take();
        Ok(())
    }

    fn claim(&mut self, engine: &Engine) -> Result<(), Dark> {
        self.epoch = engine.claim_progress("relay")?.epoch;
        Ok(())
    }
}

fn texts(append: &Append) -> Vec<(String, String)> {
    let events = append.streams.iter().flat_map(|stream| {
        let name = stream.stream.as_str().to_owned();
        stream.events.iter().map(move |event| (name.clone(), event.data.clone()))
    });
    events.map(|(stream, data)| (stream, String::from_utf8(data).expect("text"))).collect()
}

/// Everything an engine does to a disk, small: two openings, groups of one and of many, several segments, progress.
fn work(disk: &SimDisk, promises: &mut Promises) -> Result<(), Dark> {
    let engine = promises.open(disk)?;
    promises.append(&engine, expecting("a-1", ExpectedVersion::NoStream, &["one", "two"]))?;
    promises.claim(&engine)?;
    promises.append(&engine, note("a-1", &"three ".repeat(300)).command(command(1, 1)))?;
    promises.advance(&engine, b"2")?;
    promises.group(
        &engine,
        vec![
            note("b-1", "four"),
            note("a-1", "five")
                .stream(stream("b-1"), ExpectedVersion::Exact(Version::new(1)), vec![event("six")])
                .command(command(2, 1)),
            note("c-1", &"seven ".repeat(200)),
        ],
    )?;
    promises.advance(&engine, &[7; 3_000])?;
    promises.append(&engine, note("a-1", &"eight ".repeat(400)).command(command(3, 1)))?;
    drop(engine);
    let engine = promises.open(disk)?;
    promises.append(&engine, note("d-1", "nine"))?;
    promises.append(&engine, note("d-1", &"ten ".repeat(900)))?;
    promises.claim(&engine)?;
    promises.advance(&engine, b"4")?;
    promises.append(&engine, expecting("d-1", ExpectedVersion::Exact(Version::new(2)), &["eleven"]))?;
    Ok(())
}

/// What an opening finds is what was promised, and perhaps whole appends of what was under way.
fn check(engine: &Engine, promises: &Promises, story: &str) -> Vec<(String, String)> {
    let found = all_texts(engine);
    let mut allowed = promises.acknowledged.clone();
    let mut fits = found == allowed;
    for batch in &promises.under_way {
        allowed.extend(batch.iter().cloned());
        fits |= found == allowed;
    }
    assert!(fits, "{story}: found {} events, promised {promises:?}", found.len());
    for id in &promises.commands {
        let known = engine.command([*id; 16]).expect("readable").expect(story);
        assert_eq!(known.fingerprint, [1; 16], "{story}");
    }
    let progress = engine.progress("relay").expect(story);
    assert!(progress.epoch == promises.epoch || progress.epoch == promises.epoch + 1, "{story}: {progress:?}");
    let either = progress.value == promises.progress || progress.value == promises.progress_under_way;
    assert!(either, "{story}: progress");
    engine.verify(&mut |_| {}).expect(story);
    found
}

/// Opens a disk after a crash, twice, and goes on working.
fn check_recovery(disk: &SimDisk, promises: &Promises, story: &str) {
    let open = |disk: &SimDisk| match Engine::open_on(Arc::new(disk.clone()), options()) {
        Ok(engine) => engine,
        Err(error) => panic!("{story}: {error}"),
    };
    let engine = open(disk);
    if let Some(incarnation) = promises.identity {
        assert!(!engine.recovery().created, "{story}: the store was there");
        assert_eq!(engine.identity().incarnation, incarnation, "{story}");
    }
    let found = check(&engine, promises, story);
    // A second crash loses nothing that the first opening served.
    let again = disk.after_power_loss(0);
    if let Some(cut) = &engine.recovery().cut {
        let kept = again.contents(&cut.side_file).expect(story);
        assert_eq!(kept.len() as u64, cut.bytes, "{story}: cut bytes are kept before they are overwritten");
    }
    drop(engine);
    let engine = open(&again);
    assert_eq!(all_texts(&engine), found, "{story}: reopened");
    assert_eq!(engine.recovery().cut, None, "{story}: a tail is cut once");
    engine.append(note("z-1", "afterwards")).expect(story);
    engine.close().expect(story);
    // A clean close is durable when it is answered.
    let engine = open(&again.after_power_loss(0));
    assert!(engine.recovery().clean, "{story}");
    assert_eq!(all_texts(&engine).len(), found.len() + 1, "{story}");
}

fn operations_of_the_workload() -> u64 {
    let disk = SimDisk::new();
    let mut promises = Promises::default();
    assert!(work(&disk, &mut promises).is_ok());
    assert_eq!(promises.acknowledged.len(), 11);
    let history = disk.history();
    assert!(history.iter().any(|what| what.contains("rename segment.next to segment-00000003.log")), "{history:#?}");
    disk.operations()
}

#[test]
fn the_power_fails_at_every_operation_and_nothing_acknowledged_is_lost() {
    let operations = operations_of_the_workload();
    assert!(operations > 60, "{operations} operations");
    println!("a power cut at each of {operations} operations, with {} seeds of what survives", SEEDS.len());
    for operation in 1..=operations {
        for seed in SEEDS {
            let disk = SimDisk::new();
            disk.fail_at(operation, SimFault::PowerLoss);
            let mut promises = Promises::default();
            // The last operations are those of closing, which answers nobody here.
            let ended = work(&disk, &mut promises).is_err();
            let what = disk.history().last().cloned().unwrap_or_default();
            let story = format!("power lost at operation {operation} ({what}), seed {seed}, ended {ended}");
            check_recovery(&disk.after_power_loss(seed), &promises, &story);
        }
    }
}

#[test]
fn a_second_power_failure_during_recovery_loses_nothing_either() {
    let operations = operations_of_the_workload();
    let mut crashes = 0;
    for operation in (1..=operations).step_by(3) {
        for seed in [1, 7, 11] {
            let disk = SimDisk::new();
            disk.fail_at(operation, SimFault::PowerLoss);
            let mut promises = Promises::default();
            let _ended = work(&disk, &mut promises);
            for recovering in 1.. {
                let disk = disk.after_power_loss(seed);
                disk.fail_at(recovering, SimFault::PowerLoss);
                let opened = Engine::open_on(Arc::new(disk.clone()), options()).is_ok();
                let story = format!("power lost at {operation}, then at {recovering} of recovery, seed {seed}");
                check_recovery(&disk.after_power_loss(seed + 100), &promises, &story);
                if opened {
                    break;
                }
                crashes += 1;
            }
        }
    }
    println!("{crashes} more during recovery");
    assert!(crashes > 100, "{crashes} crashes during recovery");
}

/// Whether a torn tail is still what it was, or is kept: an opening that is interrupted must not lose it unreported.
#[test]
fn a_torn_tail_is_in_the_log_or_in_a_file_of_its_own_while_it_is_cut() {
    const LOG: &str = "segment-00000001.log";
    let disk = SimDisk::new();
    let engine = Engine::open_on(Arc::new(disk.clone()), options()).expect("opens");
    let end =
        |disk: &SimDisk| disk.contents(LOG).expect("a log").iter().rposition(|byte| *byte != 0).expect("bytes") + 1;
    engine.append(note("a-1", "whole")).expect("accepted");
    let from = end(&disk);
    engine.append(note("a-1", &"torn ".repeat(300))).expect("accepted");
    let to = end(&disk);
    let mut log = disk.contents(LOG).expect("a log");
    log[from + 200] ^= 1;
    disk.tamper(LOG, &log);
    let torn = &log[from..to];
    for seed in SEEDS {
        for recovering in 1.. {
            let disk = disk.after_kill();
            disk.fail_at(recovering, SimFault::PowerLoss);
            let opened = Engine::open_on(Arc::new(disk.clone()), options()).is_ok();
            let after = disk.after_power_loss(seed);
            let names = after.list().expect("listed").into_iter().filter(|name| name.starts_with("cut-"));
            let kept = names.filter_map(|name| after.contents(&name)).any(|bytes| bytes == torn);
            let still = after.contents(LOG).expect("a log")[from..to] == *torn;
            assert!(kept || still, "seed {seed}, power lost at operation {recovering} of opening");
            if opened {
                break;
            }
        }
    }
}

#[test]
fn a_process_killed_at_any_operation_leaves_what_it_acknowledged() {
    for operation in 1..=operations_of_the_workload() {
        let disk = SimDisk::new();
        disk.fail_at(operation, SimFault::PowerLoss);
        let mut promises = Promises::default();
        let _ended = work(&disk, &mut promises);
        let story = format!("killed at operation {operation}");
        check_recovery(&disk.after_kill(), &promises, &story);
        // What an opening served after the kill is there after a power failure too.
        let killed = disk.after_kill();
        let Ok(engine) = Engine::open_on(Arc::new(killed.clone()), options()) else { panic!("{story}") };
        // Into a segment, perhaps, whose name the killed process had no time to make durable.
        engine.append(note("z-1", "afterwards")).expect(&story);
        let served = all_texts(&engine);
        let engine = Engine::open_on(Arc::new(killed.after_power_loss(0)), options()).expect(&story);
        assert_eq!(all_texts(&engine), served, "{story}: served, then lost");
    }
}

#[test]
fn the_power_fails_under_several_writers_and_each_finds_what_was_acknowledged_to_it() {
    const WRITERS: u64 = 4;
    for operation in (8..120).step_by(4) {
        let disk = SimDisk::new();
        disk.fail_at(operation, SimFault::PowerLoss);
        let Ok(engine) = Engine::open_on(Arc::new(disk.clone()), options().drive(Drive::Threads)) else { continue };
        let acknowledged: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(writing(&engine, writer))).collect();
            writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
        });
        drop(engine);
        for seed in SEEDS {
            let engine = Engine::open_on(Arc::new(disk.after_power_loss(seed)), options()).expect("opens");
            for (writer, acknowledged) in acknowledged.iter().enumerate() {
                let found = crate::support::texts_of(&engine, &format!("w-{writer}"));
                let expected: Vec<String> = (0..found.len()).map(|number| number.to_string()).collect();
                assert_eq!(found, expected, "operation {operation}, seed {seed}");
                let count = found.len() as u64;
                // One more may be there: it was under way.
                assert!((*acknowledged..=acknowledged + 1).contains(&count), "operation {operation}, seed {seed}");
            }
            engine.verify(&mut |_| {}).expect("sound");
        }
    }
}

/// Appends to a stream of its own until the power fails; returns how many were acknowledged.
fn writing(engine: &Engine, writer: u64) -> impl FnOnce() -> u64 + Send {
    move || {
        for number in 0.. {
            let expected = ExpectedVersion::Exact(Version::new(number));
            let append = expecting(&format!("w-{writer}"), expected, &[&number.to_string()]);
            let answer = if writer.is_multiple_of(2) {
                engine.append(append)
            } else {
                crate::support::wait(engine.submit(append))
            };
            match answer {
                Ok(receipt) => assert_eq!(receipt.streams[0].1, Version::new(number + 1)),
                // The second where the power failed under a helper, and what judging needs could not be read.
                Err(AppendError::Poisoned(_) | AppendError::Unavailable(_)) => return number,
                Err(error) => panic!("{error:?}"),
            }
        }
        unreachable!("the power fails before the numbers end")
    }
}
