//! How long work stands still when somebody dies.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use system_tests::Surfaces;
use uuid::Uuid;

use super::town::{PATIENCE, POLL, Town, Who, deposit, listens, says, shown};
use crate::statistics::{median, micros};

/// Kills each so many times, and prints.
pub async fn measure(town: &mut Town, accounts: &[Uuid], kills: usize) -> Result<()> {
    println!("{:<52} {:>9} {:>9}", format!("killed {kills} times, work stands still"), "median s", "max s");
    let mut rows: [(&str, Vec<Duration>); 5] = [
        ("accounts, until the standby decides", Vec::new()),
        ("accounts, until statements show what it decided", Vec::new()),
        ("statements, until they answer again", Vec::new()),
        ("the broker, from its answering to publishing", Vec::new()),
        ("the broker, from its answering to statements", Vec::new()),
    ];
    for kill in 0..kills {
        let account = &accounts[kill % accounts.len()];
        let [decides, shows] = accounts_die(town, account).await?;
        let answers = statements_die(town, account).await?;
        let [publishes, is_shown] = broker_dies(town, account).await?;
        for ((_, times), time) in rows.iter_mut().zip([decides, shows, answers, publishes, is_shown]) {
            times.push(time);
        }
    }
    for (name, times) in &mut rows {
        let max = times.iter().max().copied().unwrap_or_default();
        let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        println!("{name:<52} {:>9.2} {:>9.2}", median(&mut seconds), micros(max) / 1e6);
    }
    Ok(())
}

/// Deposits as soon as somebody decides about it; the token.
async fn deposited(bank: &Surfaces, account: &Uuid) -> Result<String> {
    let begun = Instant::now();
    loop {
        if let Ok(answer) = bank.command("deposit-funds", &deposit(account), &[]).await
            && answer.status == 200
        {
            return Ok(answer.header("factum-token").to_owned());
        }
        ensure!(begun.elapsed() < PATIENCE, "nobody decides");
        tokio::time::sleep(POLL).await;
    }
}

async fn accounts_die(town: &mut Town, account: &Uuid) -> Result<[Duration; 2]> {
    let bank = town.surfaces();
    let mut standby = town.spawn(Who::Accounts, &["--standby"])?;
    says(&mut standby, "stands by").await?;
    let begun = Instant::now();
    town.process(Who::Accounts).kill()?;
    let token = deposited(&bank, account).await?;
    let decides = begun.elapsed();
    shown(&bank, account, &token).await?;
    let shows = begun.elapsed();
    *town.process(Who::Accounts) = standby;
    Ok([decides, shows])
}

async fn statements_die(town: &mut Town, account: &Uuid) -> Result<Duration> {
    let bank = town.surfaces();
    let begun = Instant::now();
    town.process(Who::Statements).kill()?;
    let token = deposited(&bank, account).await?;
    let mut again = town.spawn(Who::Statements, &[])?;
    listens(&mut again).await?;
    shown(&bank, account, &token).await?;
    *town.process(Who::Statements) = again;
    Ok(begun.elapsed())
}

async fn broker_dies(town: &mut Town, account: &Uuid) -> Result<[Duration; 2]> {
    let bank = town.surfaces();
    town.kafka.kill()?;
    let token = deposited(&bank, account).await?;
    tokio::task::block_in_place(|| town.kafka.start())?;
    let back = Instant::now();
    while !relays_are_at_the_end(&bank).await {
        ensure!(back.elapsed() < PATIENCE, "nothing is published");
        tokio::time::sleep(POLL).await;
    }
    let publishes = back.elapsed();
    shown(&bank, account, &token).await?;
    let is_shown = back.elapsed();
    town.settled().await?;
    Ok([publishes, is_shown])
}

async fn relays_are_at_the_end(bank: &Surfaces) -> bool {
    let answer = bank.send(system_tests::Side::Write, "GET", "/admin/relays", Vec::new(), &[]).await;
    answer.is_ok_and(|answer| super::town::all_at_the_end(&answer, "relays"))
}
