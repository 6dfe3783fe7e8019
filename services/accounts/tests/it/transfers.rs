//! `transfers` as `accounts` sees it: who sends commands on one topic, and hears what becomes of them on two.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use accounts::Config;
use factum::{
    ActorId, CorrelationId, Position, Service, StreamName, Version,
    bus::{
        Assignment, Bus, BusEvent, CANCEL_NAME, Consumer, ConsumerOptions, Envelope, MemoryBus, Origin, REFUSED_NAME,
        TopicPartition, TopicSpec, partition_of,
    },
    model::{EventId, Incarnation, Source, StoreId},
    service::STOP_LIMIT_DEFAULT,
    testing::NOW,
};
use factum_http::Server;
use serde_json::{Value, json};
use uuid::Uuid;

const COMMANDS: &str = "bank.accounts.commands.transfers";
const OUTCOMES: [&str; 2] = ["bank.accounts.account.events", "bank.accounts.outcome.events"];
const PARTITIONS: u32 = 12;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Transfers {
    accounts: Service,
    bus: Arc<MemoryBus>,
    consumer: Box<dyn Consumer>,
    /// What was heard that a command caused, by the command's id.
    heard: BTreeMap<String, Vec<Envelope>>,
    sent: u64,
    /// The position of the last command on each partition.
    last: [Position; PARTITIONS as usize],
    _folder: tempfile::TempDir,
}

impl Transfers {
    /// Starts `accounts` on a bus.
    pub async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus = Arc::new(MemoryBus::default());
        bus.ensure_topics(&[TopicSpec::new(COMMANDS, PARTITIONS).unwrap()]).await.unwrap();
        let listener = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let config = Config { data: folder.path().to_owned(), listener, webhook: None };
        let accounts = accounts::service(config, bus.clone()).await.unwrap();
        let options = ConsumerOptions {
            group: "transfers".to_owned(),
            topics: OUTCOMES.map(Arc::from).into(),
            assignment: Assignment::Everything,
        };
        let consumer = bus.consumer(options).await.unwrap();
        let last = [Position::ZERO; PARTITIONS as usize];
        Self { accounts, bus, consumer, heard: BTreeMap::new(), sent: 0, last, _folder: folder }
    }

    pub const fn accounts(&self) -> &Service {
        &self.accounts
    }

    pub async fn send(&mut self, name: &str, id: &str, account: &str, document: &Value) {
        self.sent += 1;
        let position = Position::new(self.sent);
        let key = StreamName::new(format!("account-{account}")).unwrap();
        let partition = partition_of(key.as_str().as_bytes(), PARTITIONS);
        let source = Source {
            store: StoreId::from_uuid(Uuid::from_u128(1)),
            incarnation: Incarnation::from_uuid(Uuid::from_u128(2)),
        };
        let envelope = Envelope {
            id: EventId::from_uuid(Uuid::from_u128(self.sent.into())),
            origin: Origin { system: "bank".to_owned(), service: "transfers".to_owned(), source },
            name: name.to_owned(),
            stream: StreamName::new(id.split('/').next().unwrap()).unwrap(),
            key,
            version: Version::new(self.sent),
            recorded_at: NOW,
            position,
            previous: std::mem::replace(&mut self.last[partition as usize], position),
            lineage: Vec::new(),
            command_id: Some(id.into()),
            correlation_id: CorrelationId::from_uuid(Uuid::from_u128(3)),
            causation_id: None,
            actor: ActorId::anonymous(),
            data: serde_json::to_vec(document).unwrap().into(),
        };
        let record = (TopicPartition::new(COMMANDS, partition), envelope.encode());
        self.bus.producer().await.unwrap().produce(vec![record]).await.unwrap();
    }

    pub async fn cancel(&mut self, id: &str, account: &str) {
        self.send(CANCEL_NAME, id, account, &json!({})).await;
    }

    /// What became of a command: the name of the first message under its id, and its document.
    pub async fn outcome(&mut self, id: &str) -> (String, Value) {
        loop {
            if let Some(message) = self.heard.get(id).and_then(|messages| messages.first()) {
                return (message.name.clone(), serde_json::from_slice(&message.data).unwrap());
            }
            self.hear().await;
        }
    }

    /// The code by which a command was refused.
    pub async fn refusal(&mut self, id: &str) -> String {
        let (name, refusal) = self.outcome(id).await;
        assert_eq!(name, REFUSED_NAME, "{id} came to {refusal}");
        assert!(refusal["message"].as_str().is_some_and(|message| !message.is_empty()), "{refusal}");
        refusal["code"].as_str().unwrap().to_owned()
    }

    /// How many messages were heard so far under a command's id.
    pub fn heard(&self, id: &str) -> usize {
        self.heard.get(id).map_or(0, Vec::len)
    }

    async fn hear(&mut self) {
        let next = tokio::time::timeout(PATIENCE, self.consumer.next()).await;
        match next.expect("something is heard in time").unwrap() {
            BusEvent::Assigned(partitions) => {
                for partition in partitions {
                    let earliest = self.consumer.earliest(&partition).await.unwrap();
                    self.consumer.seek(&partition, earliest).await.unwrap();
                }
            }
            BusEvent::Records(_, records) => {
                for record in records {
                    let message = Envelope::decode(&record.headers, &record.value).unwrap();
                    let Some(id) = message.command_id.clone() else { continue };
                    self.heard.entry(id.to_string()).or_default().push(message);
                }
            }
            BusEvent::Revoked(..) => panic!("nobody else is in the group"),
        }
    }

    pub async fn end(self) {
        self.accounts.stop(STOP_LIMIT_DEFAULT).await.unwrap();
    }
}
