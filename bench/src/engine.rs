//! The engine beside a bare loop of write and fdatasync, in the same run and directory.
//!
//! Every figure is a median over rounds in which the competitors take turns, each between two runs of the bare loop:
//! a disk that slows down slows down all of them.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use factum_engine::{Append, Direction, Engine, ExpectedVersion, NewEvent, Options, Position, StreamName};

use crate::ground::{Ground, two_threads};

/// Bytes of an event's data.
const EVENT_BYTES: usize = 200;
/// Zero-filled beforehand for the bare loop, which starts again from its beginning.
const BARE_FILE_BYTES: u64 = 16 << 20;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Milliseconds each competitor runs in a round.
    #[arg(long, default_value_t = 200)]
    milliseconds: u64,
}

/// One competitor in one round.
#[derive(Debug, Clone, Default)]
struct Measured {
    rate: f64,
    /// The rate divided by that of the bare loop right before and after.
    ratio: f64,
    p50: Duration,
    p99: Duration,
}

impl Measured {
    fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
        let rate = latencies.len() as f64 / elapsed.as_secs_f64();
        Measured { rate, ratio: 1.0, p50: at(0.5), p99: at(0.99) }
    }
}

/// Measures and prints a table.
///
/// # Errors
/// Those of the disk.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let time = Duration::from_millis(arguments.milliseconds);
    let runtime = two_threads()?;
    let tasks = [1, 2, 8, 64, 256];
    let mut rows: Vec<(String, Vec<Measured>)> =
        vec![("bare write + fdatasync".to_owned(), Vec::new()), ("append(), 1 thread".to_owned(), Vec::new())];
    rows.extend(tasks.map(|tasks| (format!("submit().await, {tasks} tasks"), Vec::new())));
    let bytes = bytes_of_an_append(&directory.path().join("probe"))?;
    let bare_path = directory.path().join("bare");
    let engine = Engine::open(&directory.path().join("store"), Options::default())?;
    for _ in 0..arguments.rounds {
        let mut before = on_a_thread(|| bare(&bare_path, bytes, time / 2))?;
        for row in 1..rows.len() {
            let measured = match row {
                1 => on_a_thread(|| appends(&engine, time))?,
                _ => runtime.block_on(submits(&engine, tasks[row - 2], time))?,
            };
            let after = on_a_thread(|| bare(&bare_path, bytes, time / 2))?;
            let ratio = measured.rate * 2.0 / (before.rate + after.rate);
            rows[row].1.push(Measured { ratio, ..measured });
            rows[0].1.push(std::mem::replace(&mut before, after));
        }
    }
    engine.close()?;
    print(&rows, bytes);
    bulk(&directory.path().join("bulk"))
}

/// Runs on a thread of its own, as the tasks do: the one the program began on tends to sit on the disk's own core.
fn on_a_thread(measure: impl FnOnce() -> Result<Measured> + Send) -> Result<Measured> {
    std::thread::scope(|scope| scope.spawn(measure).join())
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the measurement panicked")))
}

fn print(rows: &[(String, Vec<Measured>)], bytes: usize) {
    let medians: Vec<Measured> = rows.iter().map(|(_, rounds)| median(rounds)).collect();
    println!("one event of {EVENT_BYTES} B an append, {bytes} B in the log, synced before the answer; medians");
    println!("{:<28} {:>12} {:>8} {:>10} {:>10}", "", "appends/s", "× bare", "p50 µs", "p99 µs");
    for ((name, _), measured) in rows.iter().zip(&medians) {
        println!(
            "{name:<28} {:>12.0} {:>8.2} {:>10.1} {:>10.1}",
            measured.rate,
            measured.ratio,
            measured.p50.as_secs_f64() * 1e6,
            measured.p99.as_secs_f64() * 1e6,
        );
    }
    let ratio = medians[2].p50.as_secs_f64() / medians[1].p50.as_secs_f64();
    println!("a lone submit().await takes {ratio:.2} × the time of an append() (p50)");
}

fn median(rounds: &[Measured]) -> Measured {
    let middle = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let of = |value: fn(&Measured) -> f64| middle(rounds.iter().map(value).collect());
    Measured {
        rate: of(|measured| measured.rate),
        ratio: of(|measured| measured.ratio),
        p50: Duration::from_secs_f64(of(|measured| measured.p50.as_secs_f64())),
        p99: Duration::from_secs_f64(of(|measured| measured.p99.as_secs_f64())),
    }
}

fn event(number: u64) -> NewEvent {
    let mut data = vec![b'x'; EVENT_BYTES];
    data[..8].copy_from_slice(&number.to_le_bytes());
    NewEvent {
        id: u128::from(number).to_le_bytes(),
        name: "account.funds-deposited".into(),
        schema: 1,
        tags: Vec::new(),
        metadata: Vec::new(),
        data,
    }
}

fn one(stream: &StreamName, number: u64) -> Append {
    Append::new(number).stream(stream.clone(), ExpectedVersion::Any, vec![event(number)])
}

/// What an append of the benchmark takes in the log, group header and all.
fn bytes_of_an_append(path: &Path) -> Result<usize> {
    let engine = Engine::open(path, Options::default())?;
    engine.append(one(&StreamName::new("account-1")?, 1))?;
    engine.close()?;
    let log = std::fs::read(path.join("segment-00000001.log"))?;
    Ok(log.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1 - 4096))
}

/// Writes of the same size, each synced, one after the other, into a file filled with zeros beforehand.
fn bare(path: &Path, bytes: usize, time: Duration) -> Result<Measured> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() < BARE_FILE_BYTES {
        file.write_all_at(&vec![0; BARE_FILE_BYTES as usize], 0)?;
        file.sync_all()?;
    }
    let content = vec![b'x'; bytes];
    let (mut latencies, mut offset) = (Vec::new(), 0);
    let started = Instant::now();
    while started.elapsed() < time {
        let begun = Instant::now();
        file.write_all_at(&content, offset)?;
        file.sync_data()?;
        latencies.push(begun.elapsed());
        offset = (offset + bytes as u64) % (BARE_FILE_BYTES - bytes as u64);
    }
    Ok(Measured::of(latencies, started.elapsed()))
}

fn appends(engine: &Engine, time: Duration) -> Result<Measured> {
    let stream = StreamName::new("account-1")?;
    let mut latencies = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let begun = Instant::now();
        engine.append(one(&stream, latencies.len() as u64))?;
        latencies.push(begun.elapsed());
    }
    Ok(Measured::of(latencies, started.elapsed()))
}

async fn submits(engine: &Engine, tasks: usize, time: Duration) -> Result<Measured> {
    let started = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let stream = StreamName::new(format!("account-{tasks}-{task}"))?;
                let mut latencies = Vec::new();
                while started.elapsed() < time {
                    let begun = Instant::now();
                    engine.submit(one(&stream, latencies.len() as u64)).await?;
                    latencies.push(begun.elapsed());
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in running {
        latencies.extend(task.await??);
    }
    Ok(Measured::of(latencies, started.elapsed()))
}

/// Batches of 1,000 events, then everything read again, then opened again.
fn bulk(path: &Path) -> Result<()> {
    const BATCHES: u64 = 500;
    const BATCH_EVENTS: u64 = 1_000;
    let engine = Engine::open(path, Options::default())?;
    let streams: Vec<StreamName> =
        (0..100).map(|number| StreamName::new(format!("account-{number}"))).collect::<Result<_, _>>()?;
    let started = Instant::now();
    for batch in 0..BATCHES {
        let events = (0..BATCH_EVENTS).map(event).collect();
        let stream = streams[batch as usize % streams.len()].clone();
        engine.append(Append::new(batch).stream(stream, ExpectedVersion::Any, events))?;
    }
    let events = (BATCHES * BATCH_EVENTS) as f64;
    println!("batches of 1,000 events     {:>12.0} events/s", events / started.elapsed().as_secs_f64());

    let (mut after, mut read, started) = (Position::ZERO, 0, Instant::now());
    loop {
        let page = engine.read(&factum_engine::Selection::everything(), after, Direction::Forward, 4_096)?;
        read += page.events.iter().map(|event| event.data().len()).sum::<usize>();
        after = page.read_to;
        if page.end {
            break;
        }
    }
    assert_eq!(read, EVENT_BYTES * (BATCHES * BATCH_EVENTS) as usize, "everything was read");
    println!("replay, warm                {:>12.0} events/s", events / started.elapsed().as_secs_f64());

    let started = Instant::now();
    let page = engine.read_stream(&streams[0], factum_engine::Version::ZERO, Direction::Forward, 1_000)?;
    let elapsed = started.elapsed();
    println!("1,000 events of a stream    {:>12.2} ms ({} events)", elapsed.as_secs_f64() * 1e3, page.events.len());

    let started = Instant::now();
    engine.verify(&mut |_| {})?;
    println!("verify                      {:>12.0} events/s", events / started.elapsed().as_secs_f64());
    engine.close()?;
    let started = Instant::now();
    let engine = Engine::open(path, Options::default())?;
    println!("open, {events} events        {:>12.1} ms", started.elapsed().as_secs_f64() * 1e3);
    engine.close()?;
    let new = tempfile::tempdir_in(path)?;
    let started = Instant::now();
    Engine::open(new.path(), Options::default())?;
    println!("open a new store            {:>12.1} ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
