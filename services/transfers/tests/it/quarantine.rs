//! A message that no transfer can take: what an operator sees of it and does about it, by HTTP.

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
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use transfers::messages::{ACCOUNT_TOPIC, OUTCOME_TOPIC};
use uuid::Uuid;

/// How long the service may take to have what was sent.
const PATIENCE: Duration = Duration::from_secs(20);
const HANDLER: &str = "process/transfer";
const TRANSFER: &str = "transfer-6f1a7c1e-0000-4000-8000-000000000001";

async fn start(data: &Path, bus: &MemoryBus) -> (Service, std::net::SocketAddr) {
    let listener = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr();
    let config = transfers::Config { data: data.to_owned(), listener };
    (transfers::service(config, Arc::new(bus.clone())).await.unwrap(), at)
}

async fn send(at: std::net::SocketAddr, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut peer = TcpStream::connect(at).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// What accounts say of a command of a transfer, by hand; the position is the number.
async fn tell(bus: &MemoryBus, number: u64, data: &str) {
    let stream = StreamName::new("account-6f1a7c1e-0000-4000-8000-000000000009").unwrap();
    let (store, incarnation) = (StoreId::from_uuid(Uuid::from_u128(8)), Incarnation::from_uuid(Uuid::from_u128(9)));
    let envelope = Envelope {
        id: EventId::from_uuid(Uuid::from_u128(number.into())),
        origin: Origin { system: "bank".into(), service: "accounts".into(), source: Source { store, incarnation } },
        name: "bank.accounts.funds-held.v1".into(),
        key: stream.clone(),
        stream,
        version: Version::new(number),
        recorded_at: NOW,
        position: Position::new(number),
        previous: Position::new(number - 1),
        lineage: Vec::new(),
        command_id: Some(format!("{TRANSFER}/hold").into()),
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(3)),
        causation_id: None,
        actor: ActorId::system(),
        data: data.to_owned().into(),
    };
    let mut producer = bus.producer().await.unwrap();
    producer.produce(vec![(TopicPartition::new(ACCOUNT_TOPIC, 0), envelope.encode())]).await.unwrap();
}

async fn parks(at: std::net::SocketAddr, messages: u64) -> Value {
    let parked = async {
        loop {
            let (status, answer) = send(at, "GET", "/admin/quarantine", Value::Null).await;
            assert_eq!(status, 200, "{answer}");
            if answer["keys"][0]["messages"] == messages {
                return answer["keys"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, parked).await.expect("it is parked")
}

#[tokio::test]
async fn a_message_no_transfer_can_take_is_shown_tried_again_and_discarded_for_good() {
    let (folder, bus) = (tempfile::tempdir().unwrap(), MemoryBus::new());
    let topics = [ACCOUNT_TOPIC, OUTCOME_TOPIC].map(|topic| TopicSpec::new(topic, 1).unwrap());
    bus.ensure_topics(&topics).await.unwrap();
    tell(&bus, 1, "7").await;
    tell(&bus, 2, "7").await;
    let (service, at) = start(folder.path(), &bus).await;
    let key = parks(at, 2).await;
    assert_eq!((&key["handler"], &key["key"], &key["version"]), (&json!(HANDLER), &json!(TRANSFER), &Value::Null));
    let (status, shown) =
        send(at, "GET", &format!("/admin/quarantine/messages?handler={HANDLER}&key={TRANSFER}"), Value::Null).await;
    assert_eq!((status, &shown["parked"][0]["messages"][0]["data"]), (200, &json!("7")), "{shown}");

    let decide = async |decision: &str, more: Value| {
        let mut body = json!({ "handler": HANDLER, "key": TRANSFER, "actor": "ada" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        send(at, "POST", &format!("/admin/quarantine/{decision}"), body).await
    };
    let (status, tried) = decide("retry", json!({})).await;
    assert_eq!((status, &tried["done"], &tried["left"]), (200, &json!(0), &json!(2)), "{tried}");
    for left in [1, 0] {
        let event = send(at, "GET", "/admin/quarantine", Value::Null).await.1["keys"][0]["event_id"].clone();
        let (status, dropped) = decide("discard", json!({ "event_id": event, "reason": "never held" })).await;
        assert_eq!((status, &dropped["left"]), (200, &json!(left)), "{dropped}");
    }
    let (status, gone) = decide("retry", json!({})).await;
    assert_eq!((status, &gone["code"]), (404, &json!("not-found")), "{gone}");
    service.stop(STOP_LIMIT_DEFAULT).await.unwrap();

    // What is decided holds when everything is read again.
    let (service, at) = start(folder.path(), &bus).await;
    tell(&bus, 3, "7").await;
    assert_eq!(parks(at, 1).await["position"], 3);
    service.stop(STOP_LIMIT_DEFAULT).await.unwrap();
}
