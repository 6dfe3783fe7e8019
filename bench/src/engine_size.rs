//! The engine with many events in many streams: memory, opening after a kill, a scattered stream, the latency of an
//! append, and bytes on disk. What is killed is a process of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use factum_engine::{
    Append, Clause, CommandRecord, Direction, Durability, Engine, ExpectedVersion, NewEvent, Options, Position,
    Selection, StreamName, Tag, Ticket, Version,
};

use crate::ground::Ground;

/// Bytes of an event's data.
const EVENT_BYTES: usize = 200;
/// Events of the stream that is scattered over all.
const SCATTERED_EVENTS: u64 = 1_000;
/// Appends that are measured, one after the other.
const MEASURED_APPENDS: usize = 3_000;
/// Size of the small store that the large one is compared with.
const SMALL_EVENTS: u64 = 100_000;
/// Appends under way while the store is filled.
const UNDER_WAY: usize = 512;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Events, one an append, each with a command id and a tag.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Streams they are spread over.
    #[arg(long, default_value_t = 100_000)]
    streams: u64,
    #[command(flatten)]
    ground: Ground,
    /// Fill this store, say so, and wait to be killed. For this program's own use.
    #[arg(long, hide = true)]
    fill: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// Those of the disk.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(directory) = &arguments.fill {
        return fill_and_wait(directory, arguments);
    }
    let directory = arguments.ground.folder()?;
    println!("{} events of {EVENT_BYTES} B in {} streams, one an append", arguments.events, arguments.streams);
    let small = measure(&directory.path().join("small"), SMALL_EVENTS.min(arguments.events), arguments.streams)?;
    let large = measure(&directory.path().join("large"), arguments.events, arguments.streams)?;
    println!("{:<44} {:>14} {:>14}", "", small.events, large.events);
    let rows: [Row; 11] = [
        ("filling, events/s", |one| one.fill_rate),
        ("resident after filling, MiB", |one| one.filler_mib),
        ("opened after a kill, ms", |one| one.open.as_secs_f64() * 1e3),
        ("resident after opening, MiB", |one| one.opened_mib),
        ("a stream of 1,000 scattered events, µs", |one| one.stream.as_secs_f64() * 1e6),
        ("first 100 events of a tag, µs", |one| one.tag.as_secs_f64() * 1e6),
        ("an append to a known stream, synced, p50 µs", |one| one.append.as_secs_f64() * 1e6),
        ("resident at the end, MiB", |one| one.end_mib),
        ("bytes of log an event", |one| one.log_bytes),
        ("bytes of index an event", |one| one.index_bytes),
        ("index files", |one| one.index_files as f64),
    ];
    for (name, value) in rows {
        println!("{name:<44} {:>14.1} {:>14.1}", value(&small), value(&large));
    }
    println!("{:<44} {:>14} {:>14.2}", "append, × the small store", "", ratio(large.append, small.append));
    Ok(())
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// A figure's name and where it is found.
type Row = (&'static str, fn(&Measured) -> f64);

struct Measured {
    events: u64,
    fill_rate: f64,
    filler_mib: f64,
    open: Duration,
    opened_mib: f64,
    stream: Duration,
    tag: Duration,
    append: Duration,
    end_mib: f64,
    log_bytes: f64,
    index_bytes: f64,
    index_files: usize,
}

/// Fills a store in another process, kills that, and measures what it left.
fn measure(directory: &Path, events: u64, streams: u64) -> Result<Measured> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["engine-size", "--events", &events.to_string(), "--streams", &streams.to_string(), "--fill"])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut told = String::new();
    BufReader::new(child.stdout.take().context("its output")?).read_line(&mut told)?;
    child.kill()?;
    child.wait()?;
    let (fill_rate, filler_mib) = told.trim().split_once(' ').context("the child failed")?;

    let begun = Instant::now();
    let engine = Engine::open(directory, Options::default())?;
    let open = begun.elapsed();
    let opened_mib = resident_mib()?;
    let scattered = StreamName::new("scattered-1")?;
    let stream = median(30, || {
        let page = engine.read_stream(&scattered, Version::ZERO, Direction::Forward, 2_000)?;
        ensure!(page.events.len() as u64 == SCATTERED_EVENTS.min(events), "{} events", page.events.len());
        Ok(())
    })?;
    let tagged = Selection::of(Clause::tags([Tag::new("branch:7")?]));
    let tag = median(30, || {
        let page = engine.read(&tagged, Position::ZERO, Direction::Forward, 100)?;
        ensure!(page.events.len() == 100, "{} events", page.events.len());
        Ok(())
    })?;
    let mut number = events;
    let append = median(MEASURED_APPENDS, || {
        number += 1;
        engine.append(one(number, streams)?)?;
        Ok(())
    })?;
    let (end_mib, status) = (resident_mib()?, engine.index_status());
    engine.close()?;
    let (log, index) = bytes_on_disk(directory)?;
    Ok(Measured {
        events,
        fill_rate: fill_rate.parse()?,
        filler_mib: filler_mib.parse()?,
        open,
        opened_mib,
        stream,
        tag,
        append,
        end_mib,
        log_bytes: log as f64 / number as f64,
        index_bytes: index as f64 / number as f64,
        index_files: status.files,
    })
}

/// The life of the process that is killed.
fn fill_and_wait(directory: &Path, arguments: &Arguments) -> Result<()> {
    let engine = Engine::open(directory, Options::default().durability(Durability::Unsynced))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let begun = Instant::now();
    let mut under_way: VecDeque<Ticket> = VecDeque::with_capacity(UNDER_WAY);
    let every = (arguments.events / SCATTERED_EVENTS).max(1);
    let mut scattered = 0;
    for number in 0..arguments.events {
        if under_way.len() == UNDER_WAY
            && let Some(oldest) = under_way.pop_front()
        {
            runtime.block_on(oldest)?;
        }
        let append = if number % every == 0 && scattered < SCATTERED_EVENTS {
            scattered += 1;
            Append::new(number).stream(StreamName::new("scattered-1")?, ExpectedVersion::Any, vec![event(number)?])
        } else {
            one(number, arguments.streams)?
        };
        under_way.push_back(engine.submit(append));
    }
    for ticket in under_way {
        runtime.block_on(ticket)?;
    }
    engine.sync()?;
    let rate = arguments.events as f64 / begun.elapsed().as_secs_f64();
    println!("{rate} {}", resident_mib()?);
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}

fn one(number: u64, streams: u64) -> Result<Append> {
    // A prime away from each other, so that a stream's events lie far apart.
    let stream = StreamName::new(format!("account-{}", number.wrapping_mul(7_368_787) % streams))?;
    let id = id_of(number);
    let append = Append::new(number).stream(stream, ExpectedVersion::Any, vec![event(number)?]);
    Ok(append.command(CommandRecord { id, fingerprint: id }))
}

/// Spreads a number over an id.
fn id_of(number: u64) -> [u8; 16] {
    let spread = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    spread.to_le_bytes()
}

fn event(number: u64) -> Result<NewEvent> {
    let mut data = vec![b'x'; EVENT_BYTES];
    data[..8].copy_from_slice(&number.to_le_bytes());
    Ok(NewEvent {
        id: u128::from(number).to_le_bytes(),
        name: "account.funds-deposited".into(),
        schema: 1,
        tags: vec![Tag::new(format!("branch:{}", number % 1_000))?],
        metadata: Vec::new(),
        data,
    })
}

fn median(times: usize, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        work()?;
        taken.push(begun.elapsed());
    }
    taken.sort_unstable();
    Ok(taken[times / 2])
}

/// Resident memory of this process.
fn resident_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a line with VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Bytes of the log, and of its index.
fn bytes_on_disk(directory: &Path) -> Result<(u64, u64)> {
    let (mut log, mut index) = (0, 0);
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (name, length) = (entry.file_name(), entry.metadata()?.len());
        let name = name.to_string_lossy();
        log += if name.ends_with(".log") { length } else { 0 };
        index += if name.ends_with(".run") { length } else { 0 };
    }
    Ok((log, index))
}
