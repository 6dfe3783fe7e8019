//! A message that no projection of accounts can take: what an operator sees of it and does about it, by HTTP.

use std::{path::Path, sync::Arc, time::Duration};

use factum::{
    ActorId, EventId, Service,
    bus::{Bus, Envelope, MemoryBus, Origin, TopicPartition, TopicSpec},
    model::{CorrelationId, Incarnation, Source, StoreId},
    service::STOP_LIMIT_DEFAULT,
    store::{Position, StreamName, Version},
    testing::NOW,
};
use factum_http::Server;
use serde_json::{Value, json};
use statements::messages::{ACCOUNT_TOPIC, TRANSFER_TOPIC};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

use crate::world::account;

/// How long the service may take to have what was sent.
const PATIENCE: Duration = Duration::from_secs(20);
const PROJECTION: &str = "account-summaries";

/// The service at work, and where it answers.
struct Site {
    service: Service,
    at: std::net::SocketAddr,
}

impl Site {
    async fn start(data: &Path, bus: &MemoryBus) -> Self {
        let listener = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = listener.local_addr();
        let config = statements::Config { data: data.to_owned(), listener };
        let service = statements::service(config, Arc::new(bus.clone())).await.unwrap();
        Self { service, at }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut peer = TcpStream::connect(self.at).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.at,
            body.len()
        );
        peer.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, Value::Null).await
    }

    /// What of the summaries is parked.
    async fn parked(&self) -> Vec<Value> {
        let (status, answer) = self.get("/admin/quarantine").await;
        assert_eq!(status, 200, "{answer}");
        let mut keys = answer["keys"].as_array().unwrap().clone();
        keys.retain(|key| key["handler"] == PROJECTION);
        keys
    }

    /// Waits until an account is shown at a version.
    async fn shows(&self, account: Uuid, version: u64) {
        let shown = async {
            while self.get(&format!("/queries/account-summary?account_id={account}")).await.1["version"] != version {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, shown).await.unwrap_or_else(|_| panic!("{account} is not shown at {version}"));
    }

    async fn decide(&self, decision: &str, more: Value) -> (u16, Value) {
        let mut body = json!({ "handler": PROJECTION, "key": stream(account(1)), "actor": "ada" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send("POST", &format!("/admin/quarantine/{decision}"), body).await
    }

    async fn stop(self) {
        self.service.stop(STOP_LIMIT_DEFAULT).await.unwrap();
    }
}

fn stream(account: Uuid) -> String {
    format!("account-{account}")
}

/// Puts a message on the one partition; its position is its number.
async fn tell(bus: &MemoryBus, number: u64, account: Uuid, (name, version): (&str, u64), data: Value) {
    let stream = StreamName::new(stream(account)).unwrap();
    let (store, incarnation) = (StoreId::from_uuid(Uuid::from_u128(8)), Incarnation::from_uuid(Uuid::from_u128(9)));
    let envelope = Envelope {
        id: EventId::from_uuid(Uuid::from_u128(number.into())),
        origin: Origin { system: "bank".into(), service: "accounts".into(), source: Source { store, incarnation } },
        name: format!("bank.accounts.{name}.v1"),
        key: stream.clone(),
        stream,
        version: Version::new(version),
        recorded_at: NOW,
        position: Position::new(number),
        previous: Position::new(number - 1),
        lineage: Vec::new(),
        command_id: None,
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(3)),
        causation_id: None,
        actor: ActorId::system(),
        data: data.to_string().into(),
    };
    let mut producer = bus.producer().await.unwrap();
    producer.produce(vec![(TopicPartition::new(ACCOUNT_TOPIC, 0), envelope.encode())]).await.unwrap();
}

fn opened(account: Uuid) -> Value {
    json!({ "account_id": account, "holder": "Ann", "currency": "EUR" })
}

fn deposited(account: Uuid) -> Value {
    json!({ "account_id": account, "amount_minor": 100, "balance_minor": 100, "available_minor": 100, "currency": "EUR" })
}

#[tokio::test]
async fn a_message_nobody_can_take_is_shown_tried_again_and_discarded_for_good() {
    let (folder, bus) = (tempfile::tempdir().unwrap(), MemoryBus::new());
    let topics = [ACCOUNT_TOPIC, TRANSFER_TOPIC].map(|topic| TopicSpec::new(topic, 1).unwrap());
    bus.ensure_topics(&topics).await.unwrap();
    let [never_opened, other] = [account(1), account(2)];
    tell(&bus, 1, never_opened, ("funds-deposited", 2), deposited(never_opened)).await;
    tell(&bus, 2, other, ("account-opened", 1), opened(other)).await;
    let site = Site::start(folder.path(), &bus).await;

    site.shows(other, 1).await;
    let parked = site.parked().await;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!((&parked[0]["key"], &parked[0]["messages"]), (&json!(stream(never_opened)), &json!(1)));
    assert!(parked[0]["reason"].as_str().unwrap().contains("comes before its opening"), "{parked:?}");
    let show = format!("/admin/quarantine/messages?handler={PROJECTION}&key={}", stream(never_opened));
    let (status, shown) = site.get(&show).await;
    assert_eq!(status, 200, "{shown}");
    let event = shown["parked"][0]["messages"][0]["event_id"].clone();
    assert_eq!((&event, &shown["parked"][0]["messages"][0]["version"]), (&parked[0]["event_id"], &json!(2)));

    let (status, tried) = site.decide("retry", json!({})).await;
    assert_eq!((status, &tried["done"], &tried["left"]), (200, &json!(0), &json!(1)), "{tried}");
    assert!(tried["failed"].as_str().unwrap().contains("comes before its opening"), "{tried}");
    let other_event = Uuid::from_u128(2);
    let (status, refused) = site.decide("discard", json!({ "event_id": other_event, "reason": "a test" })).await;
    assert_eq!((status, &refused["field"]), (400, &json!("event_id")), "only what stands first: {refused}");
    let (status, dropped) = site.decide("discard", json!({ "event_id": event, "reason": "never opened" })).await;
    assert_eq!((status, dropped), (200, json!({ "done": 1, "left": 0, "failed": null })));
    assert!(site.parked().await.is_empty());
    let (status, gone) = site.decide("retry", json!({})).await;
    assert_eq!((status, &gone["code"]), (404, &json!("not-found")), "{gone}");
    site.stop().await;

    for file in ["read.db", "read.db-wal", "read.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
    let site = Site::start(folder.path(), &bus).await;
    tell(&bus, 3, other, ("funds-deposited", 2), deposited(other)).await;
    site.shows(other, 2).await;
    assert!(site.parked().await.is_empty(), "a discard holds when everything is read again");
    // What comes later for the key is judged by itself.
    tell(&bus, 4, never_opened, ("account-opened", 3), opened(never_opened)).await;
    site.shows(never_opened, 3).await;
    site.stop().await;
}
