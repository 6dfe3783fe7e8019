//! What point reads wait for while all read models of statements are rebuilt beside them, and messages go on coming.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use factum::{
    ProjectionKey, Service,
    bus::{Bus, LocalBus, LocalBusOptions},
    query::AskOptions,
    rebuild::{FillingPace, Operation},
    service::STOP_LIMIT_DEFAULT,
};
use factum_http::Server;
use statements::read_models::{AccountSummaries, DailyTotals, StatementLines};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::interval,
};

use crate::{
    ground::{Ground, two_threads},
    refill::{Happened, Publisher, messages, whole},
    statistics::{micros, percentile},
};

/// Longer than any rebuild that is still a result.
const REBUILD_LIMIT: Duration = Duration::from_secs(600);
/// How often messages are published.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(20);

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Messages that are there before.
    #[arg(long, default_value_t = 300_000)]
    events: usize,
    /// Accounts they are about.
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// Messages a second meanwhile.
    #[arg(long, default_value_t = 500)]
    messages_per_second: u32,
    /// Queries a second.
    #[arg(long, default_value_t = 1_000)]
    queries_per_second: u32,
    /// How much of the time the rebuild works, in percent.
    #[arg(long, default_value_t = FillingPace::SHARE_PERCENT_DEFAULT)]
    share_percent: u32,
    /// How long one of its transactions takes at most, in microseconds.
    #[arg(long, default_value_t = FillingPace::TRANSACTION_TIME_MAX_DEFAULT.as_micros() as u64)]
    transaction_us: u64,
    /// How long it is asked without a rebuild, before and after; the rebuild takes as long as it takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// Measures and prints.
///
/// # Errors
/// Those of the services, and a query that fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let runtime = two_threads()?;
    runtime.block_on(measure(arguments, directory.path()))
}

async fn measure(arguments: &Arguments, data: &Path) -> Result<()> {
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::open(data.join("bus"), LocalBusOptions::default())?);
    let limit = (REBUILD_LIMIT.as_secs() + 2 * arguments.seconds) as usize * arguments.messages_per_second as usize;
    let mut before = messages(arguments.events + limit, arguments.accounts);
    let meanwhile = before.split_off(arguments.events);
    let mut publisher = Publisher::new(bus.as_ref()).await?;
    publisher.publish(&before).await?;
    let listener = Server::bind(([127, 0, 0, 1], 0).into()).await?;
    let config = statements::Config { data: data.join("statements"), listener };
    let service = statements::service(config, Arc::clone(&bus)).await?;
    let (summaries, totals, lines) = (
        ProjectionKey::of::<AccountSummaries>(),
        ProjectionKey::of::<DailyTotals>(),
        ProjectionKey::of::<StatementLines>(),
    );
    for projection in [summaries, totals, lines] {
        whole(service.watermarks(), projection).await?;
    }
    let transaction_time_max = Duration::from_micros(arguments.transaction_us);
    service.read_models().set_pace(FillingPace { transaction_time_max, share_percent: arguments.share_percent });
    println!(
        "{} messages before, {}/s meanwhile, {} queries/s",
        arguments.events, arguments.messages_per_second, arguments.queries_per_second
    );
    println!("{:<18} {:>9} {:>9} {:>9} {:>9} {:>11}", "", "seconds", "p50 µs", "p99 µs", "p999 µs", "late p99 µs");
    let over = Arc::new(AtomicBool::new(false));
    let each = f64::from(arguments.messages_per_second) * PUBLISH_INTERVAL.as_secs_f64();
    let publishing = tokio::spawn(go_on(publisher, meanwhile, each.ceil() as usize, Arc::clone(&over)));
    let asked = phases(arguments, &service, &before).await;
    over.store(true, Ordering::Relaxed);
    publishing.await??;
    let [alone, beside, after] = asked?;
    println!("p99 beside a rebuild / without: {:.2} (before), {:.2} (after)", beside / alone, beside / after);
    service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| anyhow::anyhow!(unclean.join("; ")))?;
    Ok(bus.close().await?)
}

/// The 99th percentile without, beside, and after a rebuild.
async fn phases(arguments: &Arguments, service: &Service, known: &[Happened]) -> Result<[f64; 3]> {
    let quiet = || tokio::time::sleep(Duration::from_secs(arguments.seconds));
    let alone = phase("without", arguments, service, known, quiet()).await?;
    let rebuilt = async {
        let requested = service.read_models().request(None, Operation::Rebuild);
        requested.map_err(anyhow::Error::from)?;
        tokio::time::timeout(REBUILD_LIMIT, service.read_models().idle()).await.context("the rebuild takes too long")
    };
    let beside = phase("beside a rebuild", arguments, service, known, rebuilt).await?;
    for report in service.read_models().reports() {
        let last = report.last.context("it was rebuilt")?;
        ensure!(last.result.is_ok(), "{}: {:?}", report.projection, last.result);
    }
    let after = phase("after", arguments, service, known, quiet()).await?;
    Ok([alone, beside, after])
}

/// Asks at a steady rate until `end` is done; the 99th percentile, in microseconds from when each query was sent.
async fn phase<T>(
    name: &str,
    arguments: &Arguments,
    service: &Service,
    known: &[Happened],
    end: impl Future<Output = T>,
) -> Result<f64> {
    let begun = Instant::now();
    let mut ticks = Ticks::every(Duration::from_secs(1) / arguments.queries_per_second);
    let (mut took, mut late, mut end) = (Vec::new(), Vec::new(), std::pin::pin!(end));
    for number in 0.. {
        let Tick { due, sent } = tokio::select! {
            biased;
            _ = &mut end => break,
            tick = ticks.next() => tick.context("the clock has stopped")?,
        };
        // A stride of a prime: not always the same accounts, nor always neighbours.
        let account = known[number * 7_919 % known.len()].account;
        let parameters = format!("account_id={account}");
        let answered = service.queries().ask_named("account-summary", &parameters, AskOptions::default()).await;
        ensure!(answered.is_ok(), "{:?}", answered.err());
        took.push(sent.elapsed());
        late.push(sent.saturating_duration_since(due));
    }
    ensure!(!took.is_empty(), "nothing was asked");
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| micros(percentile(&mut took, share)));
    let (late, seconds) = (micros(percentile(&mut late, 0.99)), begun.elapsed().as_secs_f64());
    println!("{name:<18} {seconds:>9.1} {p50:>9.0} {p99:>9.0} {p999:>9.0} {late:>11.0}");
    Ok(p99)
}

/// A query, on its way.
struct Tick {
    due: Instant,
    sent: Instant,
}

/// Sends queries at a steady rate, whether or not those before were answered, from a thread of its own: a timer of the
/// runtime is up to two milliseconds late, each time as much, and that would be measured. What the machine lets this thread
/// itself be late is no part of an answer's time: it stands for somebody on another machine.
struct Ticks(UnboundedReceiver<Tick>);

impl Ticks {
    fn every(pause: Duration) -> Self {
        let (tick, ticks) = unbounded_channel();
        let mut due = Instant::now();
        // It ends with whoever listens.
        std::thread::spawn(move || {
            while tick.send(Tick { due, sent: Instant::now() }).is_ok() {
                due += pause;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Self(ticks)
    }

    async fn next(&mut self) -> Option<Tick> {
        self.0.recv().await
    }
}

/// Publishes so many messages at a time until it is over.
async fn go_on(mut publisher: Publisher, messages: Vec<Happened>, each: usize, over: Arc<AtomicBool>) -> Result<()> {
    let mut due = interval(PUBLISH_INTERVAL);
    for some in messages.chunks(each.max(1)) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        due.tick().await;
        publisher.publish(some).await?;
    }
    Ok(())
}
