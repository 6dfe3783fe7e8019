//! What somebody changed in the file, by hand and while nobody looked, is found by comparing it with a fresh fold.

use std::{path::Path, sync::Arc, time::Duration};

use factum::{
    ActorId, Delivery, Event, EventId, Message, MessageType, Projection, Service,
    bus::{Bus, LocalBus, LocalBusOptions},
    model::CorrelationId,
    read::{Key, ReadError, ReadTransaction, Table},
    rebuild::Operation,
    relay::{OutgoingMessage, Publication},
    runtime::{Driver, ManualClock, Runtime, Task},
    service::settle,
    store::{
        Append, BoxFuture, EngineOptions, EngineStore, EventStore, ExpectedVersion, Metadata, NewEvent, StreamName,
    },
    testing,
};
use factum_sqlite::{SqliteOptions, SqliteReadStore};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const TOPIC: &str = "shop.desk.sale.events";
const WAIT_MAX: Duration = Duration::from_secs(30);
const SALES: u64 = 12;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sold {
    pieces: u64,
}

#[derive(Clone, Debug, PartialEq, Event)]
enum SaleEvent {
    #[factum(name = "sale.sold")]
    Sold(Sold),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.desk.sold.v1")]
struct PiecesSold {
    pieces: u64,
}

struct Sales;

impl Publication for Sales {
    const TOPIC: &'static str = TOPIC;
    const PARTITIONS: u32 = 2;
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<PiecesSold>()];
    type Event = SaleEvent;

    fn translate(event: &SaleEvent, _: &Delivery) -> Option<OutgoingMessage> {
        let SaleEvent::Sold(Sold { pieces }) = event;
        Some(Self::outgoing(&PiecesSold { pieces: *pieces }))
    }
}

/// What was sold, by the desk's own events.
#[derive(Default)]
struct OwnSums;

impl Projection for OwnSums {
    const NAME: &'static str = "own-sums";
    const VERSION: u32 = 1;
    type Event = SaleEvent;

    fn project(&self, event: &SaleEvent, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let SaleEvent::Sold(Sold { pieces }) = event;
        add(Table::of::<Self>("sums"), from, *pieces, tx)
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
enum SaleMessage {
    #[factum(name = "shop.desk.sold.v1")]
    Sold(Sold),
}

/// The same by what is published of them.
#[derive(Default)]
struct Sums;

impl Projection for Sums {
    const NAME: &'static str = "sums";
    const VERSION: u32 = 1;
    type Event = SaleMessage;

    fn project(&self, event: &SaleMessage, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let SaleMessage::Sold(Sold { pieces }) = event;
        add(Table::of::<Self>("sums"), from, *pieces, tx)
    }
}

fn add(sums: Table<u64>, from: &Delivery, pieces: u64, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
    let key = Key::from(from.stream.as_str());
    let sum = sums.get(tx, &key)?.unwrap_or(0) + pieces;
    sums.put(tx, &key, &sum)
}

/// How much quicker time goes by.
const HASTE: u32 = 10;

/// A runtime on which waits are short: how long is tried what cannot come to anything is not what is tested.
struct Impatient(ManualClock);

impl Driver for Impatient {
    fn now(&self) -> factum::Timestamp {
        self.0.now()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> Task {
        self.0.spawn(task)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        Box::pin(async move {
            tokio::time::sleep(duration / HASTE).await;
            clock.advance(duration);
        })
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.0.blocking(work)
    }
}

struct Desk {
    events: Arc<dyn EventStore>,
    service: Service,
}

impl Desk {
    async fn open(data: &Path) -> Self {
        let events: Arc<dyn EventStore> =
            Arc::new(EngineStore::open(data.join("events"), EngineOptions::default()).unwrap());
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::open(data.join("bus"), LocalBusOptions::default()).unwrap());
        let read_store = SqliteReadStore::open(data.join("read.db"), SqliteOptions::default()).unwrap();
        let runtime = Runtime::new(Arc::new(Impatient(Runtime::manual(1).1)));
        let builder = Service::builder("shop", "desk").store(Arc::clone(&events)).bus(bus).runtime(runtime);
        let builder = builder.read_store(Arc::new(read_store)).publishes::<Sales>();
        let service = builder.projects::<OwnSums>().consumes::<Sums>(&[TOPIC]).start().await.unwrap();
        Self { events, service }
    }

    async fn sell(&self) {
        for number in 0..SALES {
            let event = SaleEvent::Sold(Sold { pieces: number + 1 });
            let mut data = Vec::new();
            event.encode(&mut data);
            let id = EventId::from_uuid(Uuid::from_u128(number.into()));
            let event = NewEvent { id, name: event.name().into(), schema: 1, tags: Vec::new(), data };
            let stream = StreamName::new(format!("sale-{}", number % 3)).unwrap();
            let metadata = Metadata {
                correlation_id: CorrelationId::from_uuid(Uuid::from_u128(7)),
                causation_id: None,
                actor: ActorId::system(),
                bus_command: None,
            };
            let append = Append::new(metadata, testing::NOW);
            self.events.append(append.stream(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
        }
        let settled = tokio::time::timeout(WAIT_MAX, settle(&[&self.service])).await;
        settled.expect("settles in time").expect("settles");
    }

    /// What comes of it for each of the two, the own one first.
    async fn verify(&self) -> Vec<Result<String, String>> {
        self.carry_out(Operation::Verify).await
    }

    async fn carry_out(&self, operation: Operation) -> Vec<Result<String, String>> {
        self.service.read_models().request(None, operation).unwrap();
        let idle = tokio::time::timeout(WAIT_MAX, self.service.read_models().idle()).await;
        idle.unwrap_or_else(|_| panic!("{:#?}", (self.service.read_models().reports(), self.service.health().loops())));
        let reports = self.service.read_models().reports();
        reports.into_iter().map(|report| report.last.expect("it was carried out").result).collect()
    }

    async fn close(self) {
        self.service.stop(WAIT_MAX).await.unwrap();
    }
}

/// The two of them, each by the name of its table and the lane its checkpoint is on.
const BOTH: [(&str, &str, &str); 2] =
    [("own-sums", "own_sums_v1__sums", "own"), ("sums", "sums_v1__sums", "topic/shop.desk.sale.events/%")];

/// Makes what to do to a table.
type Harm = fn(&str) -> String;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_changed_by_hand_in_a_stopped_service_is_found() {
    let harms: [(&str, Harm); 5] = [
        ("nothing", |_| String::new()),
        ("a document altered", |table| {
            format!("UPDATE {table} SET document = document + 1 WHERE key = (SELECT max(key) FROM {table})")
        }),
        ("a document deleted", |table| format!("DELETE FROM {table} WHERE key = (SELECT min(key) FROM {table})")),
        ("a document added", |table| {
            format!("INSERT INTO {table} SELECT CAST(key || x'00' AS BLOB), document FROM {table} LIMIT 1")
        }),
        ("two documents swapped", |table| {
            let two = format!("SELECT key FROM {table} LIMIT 2");
            let sum = format!("SELECT sum(document) FROM {table} WHERE key IN ({two})");
            format!("UPDATE {table} SET document = ({sum}) - document WHERE key IN ({two})")
        }),
    ];
    for (harm, sql) in harms {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path()).await;
        desk.sell().await;
        desk.close().await;
        let file = Connection::open(dir.path().join("read.db")).unwrap();
        for (_, table, _) in BOTH {
            file.execute_batch(&sql(table)).unwrap();
        }
        drop(file);
        let desk = Desk::open(dir.path()).await;
        for (verified, (name, ..)) in desk.verify().await.into_iter().zip(BOTH) {
            match harm {
                "nothing" => assert!(verified.as_ref().is_ok_and(|text| text.contains("3 documents")), "{verified:?}"),
                _ => {
                    let told = verified.expect_err(harm);
                    assert!(told.starts_with("differs from a fresh fold: table sums: Key("), "{name}, {harm}: {told}");
                }
            }
        }
        // What is wrong is replaced.
        assert!(desk.carry_out(Operation::Replace).await.iter().all(Result::is_ok), "{harm}");
        assert!(desk.verify().await.iter().all(Result::is_ok), "{harm}");
        desk.close().await;
    }
}

/// A watermark set back would have a message folded in twice, one set forth would leave messages out; neither shows in
/// the documents before the next message.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_was_moved_by_hand_is_found() {
    for by in [-1, 1, 1_000] {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path()).await;
        desk.sell().await;
        desk.close().await;
        let file = Connection::open(dir.path().join("read.db")).unwrap();
        for (name, _, lane) in BOTH {
            let sql = "UPDATE factum_checkpoints \
                       SET checkpoint = json_set(checkpoint, '$.position', json_extract(checkpoint, '$.position') + ?1) \
                       WHERE projection = ?2 AND lane LIKE ?3";
            assert!(file.execute(sql, (by, name, lane)).unwrap() > 0, "{name} has one on {lane}");
        }
        drop(file);
        let desk = Desk::open(dir.path()).await;
        let told: Vec<_> = desk.verify().await.into_iter().map(|verified| verified.expect_err("moved")).collect();
        let (own, topics) = match by {
            // It shows at once where the partition is read again, and else where the two stand.
            -1 => (
                "event 11 is not the one this read model was filled with",
                ["stands still", "live generation is behind"],
            ),
            _ => ("the store ends at 12", ["is behind the live one: it is at "; 2]),
        };
        assert!(told[0].contains(own) && topics.iter().any(|text| told[1].contains(text)), "{by}: {told:?}");
        // Where it is cannot be told from another place that is really ahead; only the own store's end is known.
        let replaced = desk.carry_out(Operation::Replace).await;
        assert!(replaced[0].is_ok() && replaced[1].is_ok() == (by < 0), "{by}: {replaced:?}");
        assert!(desk.verify().await[0].is_ok(), "{by}");
        desk.close().await;
    }
}
