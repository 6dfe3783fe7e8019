//! Filling read models from nothing: the statements service after its read database was deleted, and one row an event.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use factum::{
    Delivery, Event, Personal, Projection, ProjectionKey, Service, Timestamp,
    bus::{Bus, Envelope, LocalBus, LocalBusOptions, Origin, Producer, TopicPartition, TopicSpec, partition_of},
    model::{ActorId, CorrelationId, EventId, Incarnation, Source, StoreId},
    projections::{Phase, Watermarks},
    read::{Key, ReadError, ReadTransaction, Table},
    service::STOP_LIMIT_DEFAULT,
    store::{
        Append, EngineOptions, EngineStore, EventStore, ExpectedVersion, Metadata, NewEvent, Position, StreamName,
        Version,
    },
};
use factum_http::Server;
use factum_sqlite::{SqliteOptions, SqliteReadStore};
use serde::{Deserialize, Serialize};
use statements::{
    messages::{ACCOUNT_TOPIC, AccountMessage, AccountOpened, FundsDeposited, FundsWithdrawn},
    read_models::{AccountSummaries, DailyTotals, StatementLines},
};
use uuid::Uuid;

use crate::{
    bank,
    ground::{Ground, two_threads},
    statistics::{median, processor_seconds},
};

/// Partitions of the topic, as `accounts` makes it.
const PARTITIONS: u32 = 12;
/// Messages handed to the bus, and events appended, at once.
const CHUNK: usize = 1_000;
/// Longer than any refill that is still a result.
const REFILL_LIMIT: Duration = Duration::from_secs(600);
/// 2026-11-23T09:30:00Z.
const FIRST: Timestamp = Timestamp::from_micros(1_795_426_200_000_000);

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    ground: Ground,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages on the bus, and events in the store.
    #[arg(long, default_value_t = 500_000)]
    events: usize,
    /// Accounts they are about.
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// Only the competitor whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// Measures and prints.
///
/// # Errors
/// Those of the services.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let runtime = two_threads()?;
    runtime.block_on(measure(arguments, directory.path()))
}

async fn measure(arguments: &Arguments, data: &Path) -> Result<()> {
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::open(data.join("bus"), LocalBusOptions::default())?);
    let messages = messages(arguments.events, arguments.accounts);
    Publisher::new(bus.as_ref()).await?.publish(&messages).await?;
    let store = EngineStore::open(data.join("store"), EngineOptions::default())?;
    append(&store, &messages).await?;
    // A service closes its event store when it stops: each round opens it again.
    store.close().await?;
    drop(messages);
    println!(
        "{} messages of {} accounts, medians of {} rounds",
        arguments.events, arguments.accounts, arguments.rounds
    );
    println!("{:<44} {:>10} {:>10} {:>19}", "", "events/s", "seconds", "processor µs/event");
    for name in [STATEMENTS, ROWS_OF_BUS, ROWS_OF_STORE] {
        if arguments.only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let (mut seconds, mut processor) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let read = tempfile::tempdir_in(data)?;
            let (begun, processor_before) = (Instant::now(), processor_seconds()?);
            let (service, projections) = start(name, read.path(), &bus, &data.join("store")).await?;
            for projection in &projections {
                whole(service.watermarks(), *projection).await?;
            }
            seconds.push(begun.elapsed().as_secs_f64());
            processor.push((processor_seconds()? - processor_before) * 1e6 / arguments.events as f64);
            service.stop(STOP_LIMIT_DEFAULT).await.map_err(|unclean| anyhow::anyhow!(unclean.join("; ")))?;
        }
        let (seconds, processor) = (median(&mut seconds), median(&mut processor));
        println!("{name:<44} {:>10.0} {seconds:>10.2} {processor:>19.1}", arguments.events as f64 / seconds);
    }
    Ok(bus.close().await?)
}

const STATEMENTS: &str = "statements, all its projections, from the bus";
const ROWS_OF_BUS: &str = "one row an event, from the bus";
const ROWS_OF_STORE: &str = "one row an event, from the own store";

/// A service on an empty read database, and what it is to fill.
async fn start(name: &str, data: &Path, bus: &Arc<dyn Bus>, store: &Path) -> Result<(Service, Vec<ProjectionKey>)> {
    if name == STATEMENTS {
        let listener = Server::bind(([127, 0, 0, 1], 0).into()).await?;
        let config = statements::Config { data: data.to_owned(), listener };
        let projections = vec![
            ProjectionKey::of::<AccountSummaries>(),
            ProjectionKey::of::<DailyTotals>(),
            ProjectionKey::of::<StatementLines>(),
        ];
        return Ok((statements::service(config, Arc::clone(bus)).await?, projections));
    }
    let read_store = SqliteReadStore::open(data.join("read.db"), SqliteOptions::default())?;
    let builder = Service::builder("bench", "rows").read_store(Arc::new(read_store));
    let service = if name == ROWS_OF_BUS {
        builder.bus(Arc::clone(bus)).consumes::<Rows>(&[ACCOUNT_TOPIC]).start().await?
    } else {
        builder.store(Arc::new(EngineStore::open(store, EngineOptions::default())?)).projects::<Rows>().start().await?
    };
    Ok((service, vec![ProjectionKey::of::<Rows>()]))
}

/// Once the projection has begun, and filled its read models.
pub(crate) async fn whole(watermarks: &Watermarks, projection: ProjectionKey) -> Result<()> {
    let filled = async {
        // Before it has looked, nothing is known of it.
        while watermarks.phase(projection) == Phase::Live && nothing_applied(watermarks, projection) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        watermarks.whole(projection).await;
    };
    tokio::time::timeout(REFILL_LIMIT, filled).await.context("the refill takes too long")?;
    ensure!(!nothing_applied(watermarks, projection), "nothing was filled");
    Ok(())
}

fn nothing_applied(watermarks: &Watermarks, projection: ProjectionKey) -> bool {
    watermarks.all().iter().all(|(key, _, lanes)| *key != projection || lanes.is_empty())
}

/// One small row for each event, under its account and version.
#[derive(Default)]
struct Rows;

/// What a row holds.
#[derive(Serialize, Deserialize)]
struct Row {
    amount_minor: u64,
}

const ROWS: Table<Row> = Table::of::<Rows>("rows");

impl Projection for Rows {
    const NAME: &'static str = "rows";
    const VERSION: u32 = 1;
    type Event = AccountMessage;

    fn project(
        &self,
        message: &AccountMessage,
        delivery: &Delivery,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        let amount_minor = match message {
            AccountMessage::Deposited(funds) => funds.amount_minor,
            AccountMessage::Withdrawn(funds) => funds.amount_minor,
            AccountMessage::Held(funds) => funds.amount_minor,
            AccountMessage::Credited(funds) => funds.amount_minor,
            AccountMessage::Captured(funds) => funds.amount_minor,
            AccountMessage::Released(funds) => funds.amount_minor,
            AccountMessage::Opened(_) | AccountMessage::Closed(_) => 0,
        };
        let key = Key::from(delivery.stream.as_str()).number(delivery.version.get());
        ROWS.put(tx, &key, &Row { amount_minor })
    }
}

/// What happened to an account.
pub(crate) struct Happened {
    pub(crate) account: Uuid,
    version: u64,
    message: AccountMessage,
}

/// Each account is opened; then money comes in and goes out, in turn over all accounts.
pub(crate) fn messages(count: usize, accounts: usize) -> Vec<Happened> {
    let accounts = bank::account_ids(accounts.max(1));
    let currency = serde_json::from_str(r#""EUR""#).expect("is a currency");
    let happened = |number: usize| {
        let (account, version) = (accounts[number % accounts.len()], (number / accounts.len()) as u64 + 1);
        let account_id = account.to_string();
        let (amount_minor, balance_minor) = (12_500, 12_500 * (version % 2));
        let message = match version {
            1 => AccountMessage::Opened(AccountOpened {
                account_id,
                holder: Personal::known(format!("Holder {number} of the bench")),
                currency,
            }),
            even if even % 2 == 0 => {
                let balance_minor = balance_minor + amount_minor;
                let available_minor = Some(balance_minor);
                let funds = FundsDeposited { account_id, amount_minor, balance_minor, available_minor, currency };
                AccountMessage::Deposited(funds)
            }
            _ => {
                let available_minor = Some(balance_minor);
                let funds = FundsWithdrawn { account_id, amount_minor, balance_minor, available_minor, currency };
                AccountMessage::Withdrawn(funds)
            }
        };
        Happened { account, version, message }
    };
    (0..count).map(happened).collect()
}

fn encoded(message: &AccountMessage) -> Vec<u8> {
    let mut data = Vec::new();
    message.encode(&mut data);
    data
}

/// Puts messages on the bus as a relay would.
pub(crate) struct Publisher {
    producer: Box<dyn Producer>,
    origin: Origin,
    previous: [Position; PARTITIONS as usize],
    published: u64,
}

impl Publisher {
    pub(crate) async fn new(bus: &dyn Bus) -> Result<Self> {
        bus.ensure_topics(&[TopicSpec::new(ACCOUNT_TOPIC, PARTITIONS)?]).await?;
        let source = Source {
            store: StoreId::from_uuid(Uuid::from_u128(1)),
            incarnation: Incarnation::from_uuid(Uuid::from_u128(2)),
        };
        let origin = Origin { system: "bank".to_owned(), service: "accounts".to_owned(), source };
        let previous = [Position::ZERO; PARTITIONS as usize];
        Ok(Self { producer: bus.producer().await?, origin, previous, published: 0 })
    }

    pub(crate) async fn publish(&mut self, messages: &[Happened]) -> Result<()> {
        for happened in messages.chunks(CHUNK) {
            let mut records = Vec::with_capacity(happened.len());
            for Happened { account, version, message } in happened {
                self.published += 1;
                let number = self.published;
                let stream = StreamName::new(format!("account-{account}"))?;
                let partition = partition_of(stream.as_str().as_bytes(), PARTITIONS);
                let position = Position::new(number);
                let before = std::mem::replace(&mut self.previous[partition as usize], position);
                let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes());
                let envelope = Envelope {
                    id: EventId::from_uuid(id),
                    origin: self.origin.clone(),
                    name: message.name().to_owned(),
                    key: stream.clone(),
                    stream,
                    version: Version::new(*version),
                    recorded_at: FIRST.plus(Duration::from_micros(number * 37)),
                    position,
                    previous: before,
                    lineage: Vec::new(),
                    command_id: None,
                    correlation_id: CorrelationId::from_uuid(id),
                    causation_id: None,
                    actor: ActorId::anonymous(),
                    data: encoded(message).into(),
                };
                records.push((TopicPartition::new(ACCOUNT_TOPIC, partition), envelope.encode()));
            }
            self.producer.produce(records).await?;
        }
        Ok(())
    }
}

/// Appends the messages as events of an own store.
async fn append(store: &dyn EventStore, messages: &[Happened]) -> Result<()> {
    let metadata = || Metadata {
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(3)),
        causation_id: None,
        actor: ActorId::anonymous(),
        bus_command: None,
    };
    for (chunk, happened) in messages.chunks(CHUNK).enumerate() {
        let mut append = Append::new(metadata(), FIRST);
        for (index, Happened { account, message, .. }) in happened.iter().enumerate() {
            let number = (chunk * CHUNK + index) as u64 + 1;
            let event = NewEvent {
                id: EventId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes())),
                name: message.name().into(),
                schema: 1,
                tags: Vec::new(),
                data: encoded(message),
            };
            append = append.stream(StreamName::new(format!("account-{account}"))?, ExpectedVersion::Any, vec![event]);
        }
        store.append(append).await?;
    }
    Ok(())
}
