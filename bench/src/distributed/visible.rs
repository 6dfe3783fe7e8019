//! From a command's receipt to its being visible in another process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Arguments,
    town::{Town, deposit, shown},
};
use crate::statistics::{median, percentile};

/// At most so many commands a second are followed until they are visible: more would measure queries.
const FOLLOWED_A_SECOND: f64 = 100.0;

/// What a rate is like.
pub struct Told {
    /// Commands answered a second.
    pub rate: f64,
    /// Half of those followed were visible after this.
    pub p50: Duration,
    /// 99 of 100 were.
    pub p99: Duration,
}

/// Deposits at a steady rate, whether earlier ones are answered or not; the medians of all rounds.
pub async fn at_rate(town: &Town, accounts: &[Uuid], arguments: &Arguments, rate: f64) -> Result<Told> {
    let (mut p50, mut p99, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let begun = Instant::now();
        let mut latencies = round(town, accounts, rate, Duration::from_secs(arguments.seconds)).await?;
        rates.push(rate * arguments.seconds as f64 / begun.elapsed().as_secs_f64());
        p50.push(percentile(&mut latencies, 0.5).as_secs_f64());
        p99.push(percentile(&mut latencies, 0.99).as_secs_f64());
        town.settled().await?;
    }
    let of = |values: &mut Vec<f64>| Duration::from_secs_f64(median(values));
    Ok(Told { rate: median(&mut rates), p50: of(&mut p50), p99: of(&mut p99) })
}

async fn round(town: &Town, accounts: &[Uuid], rate: f64, time: Duration) -> Result<Vec<Duration>> {
    let (bank, begun) = (town.surfaces(), Instant::now());
    let every = (rate / FOLLOWED_A_SECOND).ceil().max(1.0) as usize;
    let mut sent = JoinSet::new();
    for number in 0..(rate * time.as_secs_f64()) as usize {
        let at = begun + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(at.into()).await;
        let (bank, account) = (bank.clone(), accounts[number % accounts.len()]);
        sent.spawn(async move {
            let receipt = bank.command("deposit-funds", &deposit(&account), &[]).await?.accepted()?;
            let accepted = Instant::now();
            if number % every != 0 {
                return Ok(None);
            }
            shown(&bank, &account, receipt.header("factum-token")).await?;
            Ok::<_, anyhow::Error>(Some(accepted.elapsed()))
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = sent.join_next().await {
        latencies.extend(ended.context("a deposit")??);
    }
    Ok(latencies)
}

/// How many deposits a second go all the way: sent at full speed, until the last is dealt with by the read side.
pub async fn sustainable(town: &Town, accounts: &[Uuid], arguments: &Arguments) -> Result<f64> {
    let (bank, next) = (town.surfaces(), Arc::new(AtomicUsize::new(0)));
    let accounts: Arc<[Uuid]> = accounts.into();
    let (burst, begun) = (arguments.burst, Instant::now());
    let mut senders = JoinSet::new();
    for _ in 0..arguments.concurrency {
        let (bank, next, accounts) = (bank.clone(), Arc::clone(&next), Arc::clone(&accounts));
        senders.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= burst {
                    return Ok::<_, anyhow::Error>(());
                }
                let account = accounts[number % accounts.len()];
                bank.command("deposit-funds", &deposit(&account), &[]).await?.accepted()?;
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.context("a sender")??;
    }
    town.settled().await?;
    Ok(burst as f64 / begun.elapsed().as_secs_f64())
}
