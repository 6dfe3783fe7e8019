//! Calls decoders, in parallel, and watches them.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::mutate::mutate;
use crate::target::Target;

/// Memory a decoder may hold at one time whatever its input, unless its target says otherwise…
pub const MEMORY_BASE_BYTES_MAX: u64 = 256 << 10;
/// … and for each byte of its input.
pub const MEMORY_FACTOR_MAX: u64 = 64;
/// How long one call may take; one that takes longer is taken to be endless, and ends the process.
pub const EXECUTION_MAX: Duration = Duration::from_secs(20);

const THREADS: usize = 2;
/// How often the watch looks.
const WATCH_PERIOD: Duration = Duration::from_millis(100);
/// Inputs kept in memory to be mutated further, for each target.
const POOL_INPUTS_MAX: usize = 512;
/// A costly target gets so many times fewer executions.
const COSTLY_SHARE: u64 = 100;
/// Longest name of a file in the corpus.
const FILE_NAME_BYTES_MAX: usize = 60;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Executions of all targets together, at least, those of costly ones not counted.
    pub executions: u64,
    /// The same seed makes the same inputs.
    pub seed: u64,
    /// Whether inputs with an ending that no file of the corpus has are written to it.
    pub keep: bool,
}

impl Run {
    /// As long runs are told: `FACTUM_PROOF_EXECUTIONS`, `FACTUM_PROOF_SEED`, and `FACTUM_PROOF_KEEP` when it is set.
    ///
    /// # Panics
    /// When one is no number.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name: &str, otherwise| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name} is {text}: {error}")),
            Err(_) => otherwise,
        };
        Run {
            executions: number("FACTUM_PROOF_EXECUTIONS", 1_000_000),
            seed: number("FACTUM_PROOF_SEED", 1),
            keep: std::env::var_os("FACTUM_PROOF_KEEP").is_some(),
        }
    }
}

/// What a run of one target came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The target.
    pub target: &'static str,
    /// How often its decoder was called.
    pub executions: u64,
    /// The most bytes it held at one time.
    pub memory_bytes: u64,
    /// All the ways in which it ended.
    pub endings: BTreeSet<String>,
}

/// Calls every target with its valid inputs and with each file of its folder in the corpus; returns how many there were.
///
/// # Panics
/// When a decoder does not pass; the input is named.
pub fn replay(targets: &[Target], corpus: &Path) -> usize {
    let mut calls = 0;
    for target in targets {
        for (name, input) in inputs(target, corpus) {
            let called = catch_unwind(AssertUnwindSafe(|| execute(target, &input)));
            if let Err(panic) = called {
                eprintln!("{}: {name}", target.name);
                resume_unwind(panic);
            }
            calls += 1;
        }
    }
    calls
}

/// The target's own inputs and the corpus', by name.
fn inputs(target: &Target, corpus: &Path) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<_> = target.seeds.iter().map(|seed| ("a valid input".to_owned(), seed.clone())).collect();
    let mut files: Vec<PathBuf> = match fs::read_dir(corpus.join(target.name)) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    for file in files {
        let input = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        inputs.push((file.display().to_string(), input));
    }
    inputs
}

/// Calls the decoder; returns how it ended and the most bytes it held.
fn execute(target: &Target, input: &[u8]) -> (String, u64) {
    let mut ending = String::new();
    let memory = allocation_counter::measure(|| ending = (target.decode)(input)).bytes_max;
    let limit = target.memory_bytes_max + MEMORY_FACTOR_MAX * input.len() as u64;
    assert!(memory <= limit, "{} held {memory} bytes for an input of {}", target.name, input.len());
    (ending, memory)
}

/// What a thread is doing, for the watch.
#[derive(Default)]
struct Doing {
    target: &'static str,
    input: Vec<u8>,
    since: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fuzzes every target, the same number of times each, and prints what came of each.
///
/// # Panics
/// When a decoder does not pass; the input was written to the target's folder in the corpus, where [`replay`] finds it.
pub fn run(targets: &[Target], corpus: &Path, run: Run) -> Vec<Outcome> {
    let light = targets.iter().filter(|target| !target.costly).count().max(1) as u64;
    let each = run.executions.div_ceil(light);
    println!("{} executions, {each} of a target, seed {}", run.executions, run.seed);
    let (next, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let doing: Vec<Mutex<Doing>> = (0..THREADS).map(|_| Mutex::default()).collect();
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let workers: Vec<_> = doing
            .iter()
            .map(|doing| {
                let (next, outcomes) = (&next, &outcomes);
                scope.spawn(move || {
                    while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let executions = if target.costly { each.div_ceil(COSTLY_SHARE) } else { each };
                        let outcome = fuzz(target, corpus, Run { executions, ..run }, doing);
                        println!(
                            "  {:24} {:>9} executions, {:>3} endings, at most {} bytes held",
                            outcome.target,
                            outcome.executions,
                            outcome.endings.len(),
                            outcome.memory_bytes
                        );
                        lock(outcomes).push(outcome);
                    }
                })
            })
            .collect();
        scope.spawn(|| watch(&doing, corpus, &ended));
        let results: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ended.store(true, Ordering::Relaxed);
        for result in results {
            result.unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |name| targets.iter().position(|target| target.name == name);
    outcomes.sort_by_key(|outcome: &Outcome| place(outcome.target));
    outcomes
}

/// Ends the process when a call takes too long: nothing else can be done about an endless loop.
fn watch(doing: &[Mutex<Doing>], corpus: &Path, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        thread::sleep(WATCH_PERIOD);
        for doing in doing {
            let doing = lock(doing);
            if doing.since.is_some_and(|since| since.elapsed() > EXECUTION_MAX) {
                let file = write(corpus, doing.target, "endless", &doing.input);
                eprintln!("{} does not end; the input is {}", doing.target, file.display());
                std::process::exit(1);
            }
        }
    }
}

fn fuzz(target: &Target, corpus: &Path, run: Run, doing: &Mutex<Doing>) -> Outcome {
    let mut chance = Rng::with_seed(run.seed);
    let mut endings = BTreeSet::new();
    let mut pool = Vec::new();
    for (_, input) in inputs(target, corpus) {
        endings.insert(execute(target, &input).0);
        pool.push(input);
    }
    let mut memory_bytes = 0;
    for _ in 0..run.executions {
        let mut input = pool[chance.usize(..pool.len())].clone();
        mutate(&mut input, &pool[chance.usize(..pool.len())], target.words, &mut chance);
        if let Some(mend) = target.mend.as_ref().filter(|_| chance.bool()) {
            mend(&mut input);
        }
        {
            let mut doing = lock(doing);
            (doing.target, doing.since) = (target.name, Some(Instant::now()));
            doing.input.clone_from(&input);
        }
        let (ending, memory) = catch_unwind(AssertUnwindSafe(|| execute(target, &input))).unwrap_or_else(|panic| {
            let file = write(corpus, target.name, "found", &input);
            eprintln!("{} does not pass, seed {}; the input is {}", target.name, run.seed, file.display());
            resume_unwind(panic)
        });
        lock(doing).since = None;
        memory_bytes = memory_bytes.max(memory);
        if !endings.contains(&ending) {
            if run.keep {
                write(corpus, target.name, &ending, &input);
            }
            endings.insert(ending);
            if pool.len() < POOL_INPUTS_MAX {
                pool.push(input);
            }
        }
    }
    Outcome { target: target.name, executions: run.executions, memory_bytes, endings }
}

/// Puts an input into a target's folder, under a name made of how it ended.
fn write(corpus: &Path, target: &str, ending: &str, input: &[u8]) -> PathBuf {
    let words = ending.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    name.truncate(FILE_NAME_BYTES_MAX);
    let folder = corpus.join(target);
    let file = folder.join(name);
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input)) {
        eprintln!("{} was not written: {error}; the input: {}", file.display(), input.escape_ascii());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(executions: u64) -> Run {
        Run { executions, seed: 7, keep: false }
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seen = |seed| {
            let inputs = std::sync::Arc::new(Mutex::new(Vec::new()));
            let notes = inputs.clone();
            let target = Target::new("notes", [b"one, two".to_vec()], move |bytes| {
                lock(&notes).push(bytes.to_vec());
                bytes.len().to_string()
            });
            run(&[target.words(&["three"])], Path::new("none"), Run { seed, ..quiet(500) });
            lock(&inputs).clone()
        };
        assert_eq!(seen(1), seen(1));
        assert_ne!(seen(1), seen(2));
    }

    #[test]
    fn a_decoder_that_panics_is_found_and_its_input_is_kept_and_replayed() {
        let corpus = tempfile::tempdir().expect("a directory");
        let target = || {
            Target::new("trusting", [vec![3, 1, 2, 3]], |bytes| {
                let length = usize::from(bytes.first().copied().unwrap_or(0));
                // Trusts the length.
                let sum = bytes.iter().skip(1).take(length).map(|byte| u32::from(*byte)).sum::<u32>();
                assert!(bytes.is_empty() || bytes.len() > length, "beyond the end");
                format!("{}", sum > 6)
            })
        };
        let found = catch_unwind(|| run(&[target()], corpus.path(), quiet(1_000)));
        assert!(found.is_err());
        assert!(corpus.path().join("trusting/found").is_file());
        assert!(catch_unwind(|| replay(&[target()], corpus.path())).is_err());
    }

    #[test]
    fn a_decoder_that_believes_a_length_before_it_has_the_bytes_is_found() {
        let corpus = tempfile::tempdir().expect("a directory");
        let target = Target::new("greedy", [vec![1, 0, 0, 0, 9]], |bytes| {
            let length = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length).min(1 << 30));
            let room: Vec<u8> = Vec::with_capacity(length as usize);
            (room.capacity() > 1).to_string()
        });
        assert!(catch_unwind(AssertUnwindSafe(|| run(&[target], corpus.path(), quiet(2_000)))).is_err());
    }

    #[test]
    fn what_is_behind_a_checksum_is_reached_by_mending_it() {
        let target = Target::new("summed", [vec![6, 1, 2, 3]], |bytes| match bytes {
            [sum, rest @ ..] if rest.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == *sum => {
                format!("read {}", rest.len().min(4))
            }
            _ => "refused".to_owned(),
        });
        let target = target.mend(|bytes| {
            if let Some((sum, rest)) = bytes.split_first_mut() {
                *sum = rest.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
            }
        });
        let outcomes = run(&[target], Path::new("none"), quiet(1_000));
        assert_eq!(outcomes[0].endings.len(), 6, "{:?}", outcomes[0].endings);
    }

    #[test]
    fn endings_that_are_new_are_kept_when_wanted() {
        let corpus = tempfile::tempdir().expect("a directory");
        let target = || Target::new("first", [vec![0]], |bytes| format!("first: {:?}", bytes.first().map(|b| b % 3)));
        run(&[target()], corpus.path(), Run { keep: true, ..quiet(500) });
        let kept = replay(&[target()], corpus.path());
        assert_eq!(kept, 1 + 3, "the valid input, and one for each other ending");
    }
}
