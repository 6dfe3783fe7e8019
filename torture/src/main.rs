//! The distributed bank under random faults: services and their broker killed, stopped, cut off, made forgetful, doubled, while
//! money moves. Then everything is mended, and what must hold is checked.

mod faults;
mod load;
mod proxy;
mod tally;
mod topics;
mod town;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use factum::{
    bus::Bus,
    service::ServiceBuilder,
    store::{Direction, EngineOptions, EngineStore, EventStore, StreamName, Version},
};
use factum_kafka::{KafkaBus, KafkaOptions};
use serde_json::{Map, Value};
use system_tests::{Process, Side, binary};

use faults::Course;
use load::{Acknowledged, Load, Sent};
use tally::Tally;
use topics::{Published, compare};
use town::{Town, Who};

/// How long everything may take to come to rest once nothing breaks any more.
const REST_MAX: Duration = Duration::from_secs(300);
/// How long one audit may take: it waits itself until statements have caught up.
const AUDIT_MAX: Duration = Duration::from_secs(120);
/// How often it is looked whether all is at rest.
const POLL: Duration = Duration::from_millis(500);

/// Breaks the distributed bank at random for some time, and checks what must hold.
#[derive(Debug, Parser)]
struct Options {
    /// How long things go wrong.
    #[arg(long, default_value_t = 3)]
    minutes: u64,
    /// Decides what goes wrong, and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many commands a second, about.
    #[arg(long, default_value_t = 40)]
    rate: u32,
    /// Where everything is written; kept. A temporary folder otherwise, kept only when something did not hold.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let folder = options.folder.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("factum-torture-{}-{}", options.seed, std::process::id()))
    });
    match tortured(&options, &folder).await {
        Ok(()) => {
            if options.folder.is_none() {
                // What is left of a run in which all held is of no use.
                let _ = std::fs::remove_dir_all(&folder);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("seed {}: {error:#}", options.seed);
            eprintln!("what was written is in {}", folder.display());
            ExitCode::FAILURE
        }
    }
}

async fn tortured(options: &Options, folder: &Path) -> anyhow::Result<()> {
    println!("{} minutes, seed {}, in {}", options.minutes, options.seed, folder.display());
    std::fs::create_dir_all(folder)?;
    let mut town = Town::found(folder).await?;
    let mut load = Load::begin(town.surfaces(), options.seed, options.rate).await?;
    let (mut course, mut tally) = (Course::new(options.seed), Tally::default());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) * u32::try_from(options.minutes)? {
        // Before, as what a process counted dies with it.
        tally.ask(&town.surfaces(), &town.replica_surfaces()).await;
        let fault = course.next(&mut town).await?;
        town.check()?;
        load.check()?;
        println!("{:7.1} s  {fault}, {} acknowledged", begun.elapsed().as_secs_f64(), load.acknowledged());
    }
    let sent = load.end().await?;
    let counted = course.counts.iter().map(|(fault, count)| format!("{count} × {fault:?}"));
    println!("{}", counted.collect::<Vec<_>>().join(", "));
    let Sent { acknowledged, refused, again, .. } = &sent;
    println!("{} commands acknowledged, {refused} refused, {again} sent again", acknowledged.len());
    ensure!(!acknowledged.is_empty(), "nothing was acknowledged: nothing was shown");
    rest(&mut town).await?;
    audit(&town, folder).await?;
    if town.replica.is_none() {
        town.start_replica().await?;
    }
    replicas_agree(&town, &sent).await?;
    no_alarm(&town).await?;
    tally.ask(&town.surfaces(), &town.replica_surfaces()).await;
    println!("services counted {} messages sent again and {} dropped, at least", tally.sent_again, tally.dropped);
    town.stop().await?;
    let published = stores_and_topics(&town, &sent).await?;
    let Published { records, messages, sent_again, behind_a_hole } = published;
    println!(
        "{records} records: {messages} messages, {sent_again} sent again, {behind_a_hole} behind a hole filled later"
    );
    town.kafka.stop()?;
    println!("all held");
    Ok(())
}

/// Waits until every service is ready and the audit can begin.
async fn rest(town: &mut Town) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !town.surfaces().are_ready().await {
        town.check()?;
        if begun.elapsed() > REST_MAX {
            anyhow::bail!("not ready within {REST_MAX:?}: {}", alarms(town).await.join("; "));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// `bank audit`, again for as long as services may catch up: every transfer has ended, every answer is the fold's.
async fn audit(town: &Town, folder: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let mut command = Command::new(binary("bank")?);
        command.args(["audit", "--port-base", &town.port_base().to_string()]);
        let ended = Process::start(command, &folder.join("said"), "audit")?.end_within(AUDIT_MAX).await?;
        if ended.status.success() {
            println!("{}", ended.stdout.trim_end());
            return Ok(());
        }
        if begun.elapsed() > REST_MAX {
            anyhow::bail!("the audit is not clean within {REST_MAX:?}: {}{}", ended.stdout, ended.stderr);
        }
    }
}

/// The second `statements` comes to show of every account what the first shows.
async fn replicas_agree(town: &Town, sent: &Sent) -> anyhow::Result<()> {
    let (first, second) = (town.surfaces(), town.replica_surfaces());
    let begun = Instant::now();
    for account in &sent.accounts {
        let path = format!("/queries/account-summary?account_id={account}");
        loop {
            let (one, other) = (first.query(&path, &[]).await?, second.query(&path, &[]).await?);
            if one.status == 200 && one.json == other.json {
                break;
            }
            ensure!(begun.elapsed() < REST_MAX, "one shows {}, the other {}", one.text, other.text);
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

/// What services report of themselves.
async fn alarms(town: &Town) -> Vec<String> {
    let mut all = Vec::new();
    for side in Side::ALL {
        let told = match town.surfaces().send(side, "GET", "/readyz", Vec::new(), &[]).await {
            Ok(answer) => answer.text,
            Err(error) => error.to_string(),
        };
        all.push(format!("{side:?}: {told}"));
    }
    all
}

/// Every loop comes to be live, with no gap that stands and nothing parked.
async fn no_alarm(town: &Town) -> anyhow::Result<()> {
    let all = Side::ALL.map(|side| (town.surfaces(), side)).into_iter().chain([(town.replica_surfaces(), Side::Read)]);
    let begun = Instant::now();
    for (surfaces, side) in all {
        loop {
            let ready = surfaces.send(side, "GET", "/readyz", Vec::new(), &[]).await?;
            let loops = ready.json["loops"].as_array().context("loops")?;
            let is_well = |one: &Value| one["alarms"].as_object().is_some_and(Map::is_empty) && one["state"] == "live";
            if ready.status == 200 && !loops.is_empty() && loops.iter().all(is_well) {
                break;
            }
            ensure!(begun.elapsed() < REST_MAX, "{side:?} reports {}", ready.text);
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

/// Every acknowledged command is in a store where its receipt says; what is on the topics is what the stores say.
async fn stores_and_topics(town: &Town, sent: &Sent) -> anyhow::Result<Published> {
    let bus = KafkaBus::new(KafkaOptions::new(&town.kafka.bootstrap())?)?;
    let services: [(Who, ServiceBuilder, &[&str]); 2] = [
        (Who::Accounts, accounts::builder(), &["open-account", "deposit-funds", "withdraw-funds"]),
        (Who::Transfers, transfers::builder(), &["request-transfer"]),
    ];
    let mut sum = Published::default();
    for (who, builder, commands) in services {
        let folder = town.data().join(who.name()).join("events");
        let store = EngineStore::open(&folder, EngineOptions::default())?;
        let told = sent.acknowledged.values().filter(|told| commands.contains(&told.command));
        all_there(&store, told).await.with_context(|| who.name())?;
        let published = compare(&bus, &store, &builder.publications()).await.with_context(|| who.name())?;
        sum.records += published.records;
        sum.messages += published.messages;
        sum.sent_again += published.sent_again;
        sum.behind_a_hole += published.behind_a_hole;
    }
    bus.close().await?;
    Ok(sum)
}

async fn all_there<'a>(
    store: &dyn EventStore,
    acknowledged: impl Iterator<Item = &'a Acknowledged>,
) -> anyhow::Result<()> {
    let mut places = std::collections::HashSet::new();
    for told in acknowledged {
        let Acknowledged { stream, version, position, .. } = told;
        let (name, version) = (StreamName::new(stream)?, Version::new(*version));
        let batch = store.read_stream(&name, version, Direction::Forward, 1).await?;
        let is_there = batch.events.first().is_some_and(|event| event.position.get() == *position);
        ensure!(is_there, "lost: {told:?}");
        ensure!(places.insert((stream, version)), "two commands were told of one event: {told:?}");
    }
    Ok(())
}
