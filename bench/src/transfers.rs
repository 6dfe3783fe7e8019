//! Transfers end to end: request, hold, credit, capture, completed; two services, a process manager and the local bus
//! between them, every step synced. The read side runs beside them, as in the bank.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use accounts::domain::DepositFunds;
use anyhow::{Context as _, Result, ensure};
use factum::{
    Clause, Position, Selection, Service,
    bus::{Bus, LocalBus, LocalBusOptions},
    dispatch::CommandOptions,
    service::STOP_LIMIT_DEFAULT,
    store::Subscription,
};
use factum_http::Server;
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use transfers::domain::{RequestTransfer, TransferId};
use uuid::Uuid;

use crate::{
    bank::{account_ids, opening},
    ground::{Ground, two_threads},
    statistics::{median, micros, percentile, processor_seconds},
};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Transfers in a round, many at once.
    #[arg(long, default_value_t = 10_000)]
    transfers: usize,
    /// How many at once.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Transfers in a round, one after another.
    #[arg(long, default_value_t = 200)]
    alone: usize,
    /// Accounts between which they go.
    #[arg(long, default_value_t = 256)]
    accounts: usize,
}

/// Longer than any transfer that is still a result.
const TRANSFER_LIMIT: Duration = Duration::from_secs(60);
/// How many ends are read at once.
const ENDS_AT_ONCE: usize = 256;

/// Measures and prints.
///
/// # Errors
/// Those of the services.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.accounts > 1, "a transfer takes two accounts");
    let directory = arguments.ground.folder()?;
    let runtime = two_threads()?;
    runtime.block_on(measure(arguments, directory.path()))
}

/// The bank, as it starts itself.
struct Bank {
    accounts: Service,
    transfers: Service,
    statements: Service,
    bus: Arc<dyn Bus>,
}

impl Bank {
    async fn start(data: &Path) -> Result<Self> {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::open(data.join("bus"), LocalBusOptions::default())?);
        let any = ([127, 0, 0, 1], 0).into();
        let config =
            accounts::Config { data: data.join("accounts"), listener: Server::bind(any).await?, webhook: None };
        let accounts = accounts::service(config, Arc::clone(&bus)).await?;
        let config = transfers::Config { data: data.join("transfers"), listener: Server::bind(any).await? };
        let transfers = transfers::service(config, Arc::clone(&bus)).await?;
        let config = statements::Config { data: data.join("statements"), listener: Server::bind(any).await? };
        let statements = statements::service(config, Arc::clone(&bus)).await?;
        Ok(Self { accounts, transfers, statements, bus })
    }

    /// Opens accounts, and puts more into each than will be taken.
    async fn open(&self, ids: &[Uuid]) -> Result<()> {
        for id in ids {
            let commands = self.accounts.commands();
            commands.dispatch_named("open-account", opening(id).as_bytes(), CommandOptions::default()).await?;
            let account_id = id.to_string().parse()?;
            let deposit = DepositFunds { account_id, amount: "10000000".parse()?, currency: "EUR".parse()? };
            commands.dispatch(deposit).await?;
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        for service in [self.accounts, self.transfers, self.statements] {
            service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| anyhow::anyhow!(unclean.join("; ")))?;
        }
        Ok(self.bus.close().await?)
    }
}

/// Who waits for which transfer.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<HashMap<String, oneshot::Sender<bool>>>>);

impl Ends {
    fn of(&self, transfer: Uuid) -> oneshot::Receiver<bool> {
        let (ended, end) = oneshot::channel();
        let stream = format!("transfer-{transfer}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, ended);
        end
    }

    /// Tells who waits, for ever.
    async fn tell(self, mut subscription: Subscription) -> Result<()> {
        loop {
            let batch = subscription.next(ENDS_AT_ONCE).await?;
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for event in &batch.events {
                if let Some(ended) = waiting.remove(event.stream.as_str()) {
                    // Nobody waits for a transfer that took too long.
                    let _ = ended.send(&*event.name == "transfer.completed");
                }
            }
        }
    }
}

/// The accounts, and how many transfers were made between them.
struct Callers {
    bank: Bank,
    ends: Ends,
    accounts: Vec<Uuid>,
    made: AtomicUsize,
}

impl Callers {
    /// One transfer, until it is recorded as completed.
    async fn transfer(&self) -> Result<Duration> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let account = |index: usize| self.accounts[index % self.accounts.len()].to_string().parse();
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("transfer {number}").as_bytes());
        let transfer_id: TransferId = id.to_string().parse()?;
        // Another partner each time round.
        let distance = 1 + number / self.accounts.len() % (self.accounts.len() - 1);
        let request = RequestTransfer {
            transfer_id: Some(transfer_id),
            from: account(number)?,
            to: account(number + distance)?,
            amount: "0.01".parse()?,
            currency: "EUR".parse()?,
        };
        let end = self.ends.of(id);
        let sent = Instant::now();
        self.bank.transfers.commands().dispatch(request).await.context("a request")?;
        let completed = timeout(TRANSFER_LIMIT, end).await.context("a transfer does not end")??;
        ensure!(completed, "transfer {id} was rejected");
        Ok(sent.elapsed())
    }
}

async fn measure(arguments: &Arguments, data: &Path) -> Result<()> {
    let bank = Bank::start(data).await?;
    let accounts = account_ids(arguments.accounts);
    bank.open(&accounts).await?;
    let ends = Ends::default();
    let store = bank.transfers.store().context("transfers have a store")?;
    let names = Selection::of(Clause::names(["transfer.completed", "transfer.rejected"]));
    let telling = tokio::spawn(ends.clone().tell(Subscription::new(Arc::clone(store), names, Position::ZERO)));
    let callers = Arc::new(Callers { bank, ends, accounts, made: AtomicUsize::new(0) });
    let [mut rates, mut p50s, mut p99s, mut alone, mut processor] = [const { Vec::new() }; 5];
    for _ in 0..arguments.rounds {
        let (begun, processor_before) = (Instant::now(), processor_seconds()?);
        let mut taken = at_once(&callers, arguments).await?;
        rates.push(taken.len() as f64 / begun.elapsed().as_secs_f64());
        processor.push((processor_seconds()? - processor_before) * 1e6 / taken.len() as f64);
        p50s.push(micros(percentile(&mut taken, 0.5)) / 1e3);
        p99s.push(micros(percentile(&mut taken, 0.99)) / 1e3);
        let mut taken = Vec::with_capacity(arguments.alone);
        for _ in 0..arguments.alone {
            taken.push(callers.transfer().await?);
        }
        alone.push(micros(percentile(&mut taken, 0.5)) / 1e3);
    }
    println!("request → completed, medians of {} rounds", arguments.rounds);
    let (rate, p50, p99) = (median(&mut rates), median(&mut p50s), median(&mut p99s));
    println!("{} at once   {rate:.0}/s   p50 {p50:.1} ms   p99 {p99:.1} ms", arguments.concurrency);
    println!("processor time, all threads: {:.0} µs a transfer", median(&mut processor));
    println!("one alone   p50 {:.2} ms", median(&mut alone));
    telling.abort();
    let callers = Arc::into_inner(callers).context("a caller is still there")?;
    callers.bank.stop().await
}

/// A round's transfers, so many at once; how long each took.
async fn at_once(callers: &Arc<Callers>, arguments: &Arguments) -> Result<Vec<Duration>> {
    let each = arguments.transfers / arguments.concurrency.max(1);
    let mut tasks: JoinSet<Result<Vec<Duration>>> = JoinSet::new();
    for _ in 0..arguments.concurrency {
        let callers = Arc::clone(callers);
        tasks.spawn(async move {
            let mut taken = Vec::with_capacity(each);
            for _ in 0..each {
                taken.push(callers.transfer().await?);
            }
            Ok(taken)
        });
    }
    let mut taken = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        taken.extend(ended??);
    }
    Ok(taken)
}
