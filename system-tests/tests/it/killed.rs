//! SIGKILL at random under load: what was acknowledged is there, once, and the audit is clean after each restart.
//!
//! A third of the load are transfers: each that was accepted ends, once, whatever was going on when the bank died.
//!
//! `FACTUM_TEST_SEED` chooses another course of the load and of the moments of death, `FACTUM_TEST_KILLS` their number;
//! `cargo xtask bank-kill` sets both.

use std::time::Duration;

use anyhow::Context as _;
use system_tests::Site;

use crate::{teller::audit_is_clean, under_load::UnderLoad};

/// How often the bank is killed, unless the environment says.
const KILLS: usize = 10;
/// How many commands are under way at once.
const SENDERS: usize = 16;
/// How many accounts they are about.
const ACCOUNTS: usize = 12;
/// How much later than enough commands were acknowledged a death comes, at most, while more are under way.
const DEATH_AFTER_MAX: Duration = Duration::from_millis(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_under_load_it_keeps_what_it_acknowledged() -> anyhow::Result<()> {
    let seed = std::env::var("FACTUM_TEST_SEED").ok().map_or(Ok(1), |seed| seed.parse())?;
    println!("FACTUM_TEST_SEED={seed}");
    let kills = std::env::var("FACTUM_TEST_KILLS").ok().map_or(Ok(KILLS), |kills| kills.parse())?;
    let mut random = fastrand::Rng::with_seed(seed);
    let site = Site::new()?;
    let mut bank = site.start().await?;
    let mut load = UnderLoad::begin(bank.surfaces(), ACCOUNTS, SENDERS, seed).await?;

    for kill in 1..=kills {
        load.works().await?;
        tokio::time::sleep(DEATH_AFTER_MAX.mul_f64(random.f64())).await;
        bank.kill()?;
        load.shuts();
        bank = site.start().await.with_context(|| format!("after kill {kill}"))?;
        let there = load.is_there_once(bank.surfaces()).await;
        there.with_context(|| format!("after kill {kill}, seed {seed}"))?;
        audit_is_clean(&site).await.with_context(|| format!("after kill {kill}, seed {seed}"))?;
        load.opens(bank.surfaces());
    }

    load.ends(bank.surfaces()).await?;
    // Its last word: every transfer has ended.
    audit_is_clean(&site).await?;
    let (requested, completed) = load.is_complete(bank.surfaces()).await?;
    let answered = load.answered().await;
    println!("{kills} kills, {answered} acknowledged commands, {requested} transfers, {completed} of them completed");
    Ok(())
}
