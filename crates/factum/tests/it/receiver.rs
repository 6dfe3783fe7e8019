//! Commands over the bus: each ends in one recorded outcome, whatever happens on the way.

mod faults;
mod outcomes;
mod topics;

use std::{sync::Arc, time::Duration};

use factum::{
    ActorId, CorrelationId, EventId, Runtime, Service, StoreId,
    bus::{
        Bus, CANCEL_NAME, Envelope, MemoryBus, NewRecord, Origin, TopicPartition, TopicSpec, command_topic,
        partition_of, wire_name,
    },
    model::{Incarnation, Source},
    runtime::StatusReport,
    service::{ServiceBuilder, settle},
    store::{Direction, EventStore, Fork, MemoryStore, Position, RecordedEvent, Selection, StreamName, Version},
    testing::NOW,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    accounts::{ACCOUNT, CloseAccount, Deposit, Misbehave, OpenAccount, Withdraw, Witness},
    world::{eventually, message, within},
};

const PARTITIONS: u32 = 2;
const SENDER: &str = "transfers";
const LIMIT: Duration = Duration::from_secs(10);

/// The sending service, as the bus knows it.
struct Sender {
    bus: MemoryBus,
    source: Source,
    lineage: Vec<Fork>,
    position: u64,
    /// The last position on each partition.
    last: Vec<u64>,
}

impl Sender {
    async fn new(bus: &MemoryBus) -> Self {
        Self::named(bus, 50).await
    }

    async fn named(bus: &MemoryBus, store: u128) -> Self {
        bus.ensure_topics(&[TopicSpec::new(&topic(), PARTITIONS).unwrap()]).await.unwrap();
        let source = Source {
            store: StoreId::from_uuid(Uuid::from_u128(store)),
            incarnation: Incarnation::from_uuid(Uuid::from_u128(store + 1)),
        };
        Self { bus: bus.clone(), source, lineage: Vec::new(), position: 0, last: vec![0; PARTITIONS as usize] }
    }

    /// The next message, as a relay would write it.
    fn next(&mut self, id: Option<&str>, name: &str, document: &Value) -> (TopicPartition, Envelope) {
        let key = account(ACCOUNT);
        let partition = partition_of(key.as_str().as_bytes(), PARTITIONS);
        self.position += 1;
        let previous = std::mem::replace(&mut self.last[partition as usize], self.position);
        let envelope = Envelope {
            id: EventId::from_uuid(Uuid::from_u128(
                self.source.incarnation.as_uuid().as_u128() << 64 | u128::from(self.position),
            )),
            origin: Origin { system: "bank".into(), service: SENDER.into(), source: self.source },
            name: name.to_owned(),
            stream: StreamName::new("transfer-1").unwrap(),
            key,
            version: Version::new(self.position),
            recorded_at: NOW,
            position: Position::new(self.position),
            previous: Position::new(previous),
            lineage: self.lineage.clone(),
            command_id: id.map(Into::into),
            correlation_id: CorrelationId::from_uuid(Uuid::from_u128(0xc0)),
            causation_id: None,
            actor: ActorId::new("ada").unwrap(),
            data: document.to_string().into(),
        };
        (TopicPartition::new(topic(), partition), envelope)
    }

    async fn produce(&self, partition: TopicPartition, record: NewRecord) {
        self.bus.producer().await.unwrap().produce(vec![(partition, record)]).await.unwrap();
    }

    async fn send_as(&mut self, id: &str, name: &str, document: &Value) {
        let (partition, envelope) = self.next(Some(id), name, document);
        self.produce(partition, envelope.encode()).await;
    }

    async fn send(&mut self, id: &str, command: &str, document: &Value) {
        self.send_as(id, &wire_name("bank", "accounts", command), document).await;
    }

    async fn deposit(&mut self, id: &str, amount: u64) {
        self.send(id, "deposit", &json!({ "account_id": ACCOUNT, "amount": amount })).await;
    }

    async fn withdraw(&mut self, id: &str, amount: u64) {
        self.send(id, "withdraw", &json!({ "account_id": ACCOUNT, "amount": amount })).await;
    }

    async fn cancel(&mut self, id: &str) {
        self.send_as(id, CANCEL_NAME, &json!({})).await;
    }
}

fn topic() -> String {
    command_topic("bank", "accounts", SENDER)
}

fn account(id: Uuid) -> StreamName {
    StreamName::new(format!("account-{id}")).unwrap()
}

fn builder(store: &Arc<dyn EventStore>, bus: &Arc<dyn Bus>, runtime: &Runtime) -> ServiceBuilder {
    Service::builder("bank", "accounts")
        .runtime(runtime.clone())
        .store(store.clone())
        .bus(bus.clone())
        .handles::<OpenAccount>()
        .receives_from(SENDER, |commands| {
            commands
                .takes::<Deposit>()
                .takes::<Withdraw>()
                .takes::<CloseAccount>()
                .takes::<Witness>()
                .takes::<Misbehave>()
        })
}

/// The receiving service at work on memory, and who sends to it.
struct Story {
    service: Service,
    store: Arc<dyn EventStore>,
    bus: MemoryBus,
    sender: Sender,
}

impl Story {
    /// An account is open, with this much on it.
    async fn with(balance: u128) -> Self {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(1));
        let bus = MemoryBus::new();
        let service = start(&store, &bus).await;
        open(&service, balance).await;
        let sender = Sender::new(&bus).await;
        Self { service, store, bus, sender }
    }

    /// Waits until everything sent has been dealt with and what came of it is published.
    async fn settled(&self) {
        within(settle(&[&self.service])).await.unwrap();
    }

    /// What is recorded besides the story's own preparation, in order: stream category, event name, document.
    async fn recorded(&self) -> Vec<(String, String, Value)> {
        recorded(self.store.as_ref()).await.iter().map(shown).collect()
    }

    /// The messages about outcomes: command id, name, document.
    fn outcomes(&self) -> Vec<(String, String, Value)> {
        outcomes(&self.bus)
    }

    fn receiver(&self) -> StatusReport {
        receiver(&self.service)
    }

    /// Waits until the receiver shows something.
    async fn shows(&self, condition: impl Fn(&StatusReport) -> bool) {
        eventually(|| condition(&self.receiver()).then_some(()), || format!("{:?}", self.receiver())).await;
    }

    async fn balance(&self) -> i128 {
        balance(self.store.as_ref()).await
    }

    async fn end(self) {
        self.service.stop(LIMIT).await.unwrap();
    }
}

fn receiver(service: &Service) -> StatusReport {
    let loops = service.health().loops();
    loops.into_iter().find(|(name, _)| name == "commands from transfers").unwrap().1
}

async fn start(store: &Arc<dyn EventStore>, bus: &MemoryBus) -> Service {
    let bus: Arc<dyn Bus> = Arc::new(bus.clone());
    builder(store, &bus, &crate::world::impatient()).start().await.unwrap()
}

async fn open(service: &Service, balance: u128) {
    let opened = service.commands().dispatch(OpenAccount { account_id: Some(ACCOUNT), currency: "EUR".into() }).await;
    opened.unwrap();
    let deposit = json!({ "account_id": ACCOUNT, "amount": balance }).to_string();
    // Deposits are not for its own surface: they are only taken over the bus.
    let named = service.commands().dispatch_named("deposit", deposit.as_bytes(), Default::default()).await;
    assert!(matches!(named, Err(factum::DispatchError::UnknownCommand(_))), "{named:?}");
    if balance > 0 {
        let own = factum::CommandDispatcher::builder(service.store().unwrap().clone()).handles::<Deposit>().build();
        own.unwrap().dispatch(Deposit { account_id: ACCOUNT, amount: balance }).await.unwrap();
    }
}

/// What came over the bus and what came of it, in order of recording.
async fn recorded(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let batch = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).await.unwrap();
    batch.events.into_iter().filter(|event| event.metadata.bus_command.is_some() || is_own(event)).collect()
}

fn is_own(event: &RecordedEvent) -> bool {
    event.stream.category() != "account"
}

fn shown(event: &RecordedEvent) -> (String, String, Value) {
    (
        event.metadata.bus_command.as_deref().unwrap_or_default().to_owned(),
        event.name.to_string(),
        serde_json::from_slice(&event.data).unwrap(),
    )
}

fn outcomes(bus: &MemoryBus) -> Vec<(String, String, Value)> {
    let mut all: Vec<_> = (0..12)
        .flat_map(|partition| bus.records(&TopicPartition::new("bank.accounts.outcome.events", partition)))
        .map(|record| message(&record))
        .collect();
    all.sort_by_key(|message| message.position);
    all.into_iter()
        .map(|message| {
            let document = serde_json::from_slice(&message.data).unwrap();
            (message.command_id.unwrap_or_default().to_string(), message.name, document)
        })
        .collect()
}

async fn balance(store: &dyn EventStore) -> i128 {
    let batch = store.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).await.unwrap();
    let amount = |event: &RecordedEvent| {
        let document: Value = serde_json::from_slice(&event.data).unwrap();
        i128::from(document["amount"].as_u64().unwrap_or_default())
    };
    let change = |event: &RecordedEvent| match &*event.name {
        "account.deposited" => amount(event),
        "account.withdrawn" => -amount(event),
        _ => 0,
    };
    batch.events.iter().map(change).sum()
}
