//! The whole bank on one thread, driven by a seed: every delivery and task in an order by chance, calls that fail, hang
//! or kill who makes them, records that the bus forgets, databases that are deleted, twins. After each seed everything
//! is put in order again, and every promise is checked.
//!
//! A failure names the seed that shows it again: `cargo xtask simulate --seeds 1 --seed SEED`.

#![allow(clippy::unwrap_used, reason = "a test")]

mod adversary;
mod audit;
mod clerk;
mod client;
mod diary;
mod operator;
mod outside;
mod owners;
mod world;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use factum::testing::{Odds, Simulation};
use world::World;

/// How many seeds are run with the other tests.
const SEEDS: u64 = 60;

/// At most so many of 10,000 calls fail, half of them after they were done.
const FAILURE: u64 = 200;
/// In one of so many seeds far more do.
const BAD_WORLDS_ONE_IN: u64 = 4;
const FAILURE_BAD: u64 = 1_500;
/// In one of so many seeds the accounts come back from a backup that lacks their last events.
const LOST_HISTORIES_ONE_IN: u64 = 6;
/// When that is, from the beginning.
const HISTORY_LOST_WITHIN: Duration = Duration::from_secs(20);
/// In one of so many of the others a read model fails on one event of an account until the end.
const FAILING_ONE_IN: u64 = 3;
/// On one of so many first ones.
const FAILING_AT_MAX: u64 = 4;
/// In one of so many of them each service has a second owner in the end; in as many every read model is rebuilt.
const THEN_ONE_IN: u64 = 4;
/// After so many seeds that fail, no more are run.
const FAILURES_MAX: usize = 5;

/// What one seed came to, for the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) completed: u64,
    pub(crate) rejected: u64,
    pub(crate) deaths: u64,
    pub(crate) twins: u64,
    pub(crate) losses: u64,
    pub(crate) histories: u64,
    pub(crate) rebuilds: u64,
    pub(crate) decisions: u64,
    pub(crate) told: u64,
    pub(crate) steps: u64,
}

fn number(name: &str) -> u64 {
    let text = env::var(name).unwrap_or_else(|_| panic!("{name} says how many: use cargo xtask simulate"));
    text.parse().unwrap_or_else(|_| panic!("{name} is a number"))
}

fn odds(simulation: &Simulation) -> Odds {
    let up_to = |most: u64| simulation.random_below(most + 1);
    let failure = if up_to(BAD_WORLDS_ONE_IN - 1) == 0 { FAILURE_BAD } else { FAILURE };
    Odds { failure: up_to(failure), delay: up_to(300), death: up_to(12) }
}

/// One seed from the first command to the audit; the order of everything in it as a number.
fn run(seed: u64) -> (Tally, u64) {
    let simulation = Simulation::new(seed);
    let told = simulation.clone();
    let tally = simulation.run(async move {
        let odds = odds(&told);
        let world = World::new(&told, odds);
        let loses_history = told.random_below(LOST_HISTORIES_ONE_IN) == 0;
        let unlucky = !loses_history && told.random_below(FAILING_ONE_IN) == 0;
        // The diary, the clerks, or both.
        let who = if unlucky { 1 + world.random_below(3) } else { 0 };
        diary::fails_on((who & 1 > 0).then(|| (client::any_account(&world), 1 + world.random_below(FAILING_AT_MAX))));
        clerk::fails_on((who & 2 > 0).then(|| client::any_account(&world)));
        world.open();
        let clients = client::all(&world);
        let adversary = adversary::begin(&world);
        let operator = operator::begin(&world);
        if loses_history {
            world.pause(HISTORY_LOST_WITHIN).await;
            adversary::lose_history(&world).await;
        }
        let ledger = clients.finish().await;
        adversary.abort();
        operator.abort();
        diary::fails_on(None);
        clerk::fails_on(None);
        let mut tally = if loses_history {
            audit::after_a_loss(&world).await;
            Tally { histories: 1, ..Tally::default() }
        } else {
            in_order(&told, &world, ledger).await
        };
        tally.deaths = world.deaths();
        world.tally(&mut tally);
        tally
    });
    (Tally { steps: simulation.steps(), ..tally }, simulation.trace())
}

/// Everything in order again, and everything checked; in some worlds more than once.
async fn in_order(simulation: &Simulation, world: &World, ledger: client::Ledger) -> Tally {
    world.put_in_order(&ledger).await;
    operator::clear(world).await;
    world.ended(&ledger).await;
    let mut tally = audit::audit(world, &ledger).await;
    match simulation.random_below(THEN_ONE_IN) {
        0 => {
            let ledger = owners::second_ones(world, ledger).await;
            tally = audit::audit(world, &ledger).await;
        }
        1 => operator::look_twice(world, &ledger).await,
        _ => {}
    }
    tally
}

#[test]
fn whatever_happens_to_the_bank_the_audit_is_clean() {
    all(1, SEEDS);
}

#[test]
fn a_seed_tells_the_same_story_again() {
    assert_eq!(run(1).1, run(1).1);
}

#[test]
#[ignore = "as long as told: cargo xtask simulate"]
fn long() {
    all(number("FACTUM_PROOF_SEED"), number("FACTUM_PROOF_SEEDS"));
}

fn all(first: u64, count: u64) {
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(first));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let total = Arc::new(Mutex::new(Tally::default()));
    let threads: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
        .map(|_| {
            let (next, failures, total) = (Arc::clone(&next), Arc::clone(&failures), Arc::clone(&total));
            thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + count || failures.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                        Ok((tally, _)) => add(&mut total.lock().unwrap(), tally),
                        Err(_) => {
                            eprintln!("seed {seed} fails");
                            failures.lock().unwrap().push(seed);
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let failures = failures.lock().unwrap().clone();
    println!("{count} seeds from {first} in {:?}: {:?}", began.elapsed(), total.lock().unwrap());
    assert!(
        failures.is_empty(),
        "{} seeds fail: {failures:?}; again: cargo xtask simulate --seeds 1 --seed {}",
        failures.len(),
        failures[0]
    );
}

fn add(total: &mut Tally, tally: Tally) {
    let Tally {
        acknowledged,
        refused,
        completed,
        rejected,
        deaths,
        twins,
        losses,
        histories,
        rebuilds,
        decisions,
        told,
        steps,
    } = tally;
    total.acknowledged += acknowledged;
    total.refused += refused;
    total.completed += completed;
    total.rejected += rejected;
    total.deaths += deaths;
    total.twins += twins;
    total.losses += losses;
    total.histories += histories;
    total.rebuilds += rebuilds;
    total.decisions += decisions;
    total.told += told;
    total.steps += steps;
}
