//! `/admin/relays`, `/admin/consumers`, `/admin/topics`: what is taken and refused there.

use std::sync::Arc;

use axum::Router;
use factum::{
    Delivery, Message, MessageType, OutgoingMessage, Publication, Service, bus::MemoryBus, runtime::Stopper,
    service::settle, store::MemoryStore,
};
use factum_http::{
    Server, WriteSurface,
    operator::{OperatorError, Request, ask},
    write_surface,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::toy::{CounterEvent, Raise, Toy, from, get, near, post, send};

const TOPIC: &str = "toys.counters.counter.events";

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "counter-raised.v1")]
struct CounterRaised {}

struct Counters;

impl Publication for Counters {
    const TOPIC: &'static str = TOPIC;
    const PARTITIONS: u32 = 2;
    const MESSAGES: &'static [MessageType] = &[MessageType::of::<CounterRaised>()];
    type Event = CounterEvent;

    fn translate(_: &CounterEvent, _: &Delivery) -> Option<OutgoingMessage> {
        Some(Self::outgoing(&CounterRaised {}))
    }
}

/// A service that has published three messages.
async fn published() -> (Service, Router) {
    let builder = Service::builder("toys", "counters").store(Arc::new(MemoryStore::new()));
    let builder = builder.bus(Arc::new(MemoryBus::new())).handles::<Raise>().publishes::<Counters>();
    let service = builder.start().await.unwrap();
    let app = write_surface(WriteSurface::of(&service));
    for _ in 0..3 {
        let body = json!({ "counter_id": "6f1a7c1e-0000-4000-8000-000000000007", "by": 1 });
        let raised = send(&app, post("/commands/raise", body.to_string())).await;
        assert_eq!(raised.status.as_u16(), 200, "{raised:?}");
    }
    settle(&[&service]).await.unwrap();
    (service, app)
}

fn rewind(topic: &str, to: u64) -> http::Request<axum::body::Body> {
    near(post("/admin/relays/rewind", json!({ "topic": topic, "to": to }).to_string()))
}

async fn relay(app: &Router) -> Value {
    send(app, near(get("/admin/relays"))).await.json()["relays"][0].take()
}

#[tokio::test]
async fn a_relay_is_shown_and_publishes_again_when_it_is_asked_to() {
    let (service, app) = published().await;
    let shown = relay(&app).await;
    assert_eq!((&shown["topic"], &shown["state"], &shown["head"]), (&json!(TOPIC), &json!("live"), &json!(3)));
    assert_eq!((&shown["lag"], &shown["sent"], &shown["resent"]), (&json!(0), &json!(3), &json!(0)));
    assert_eq!(shown["partitions"].as_array().unwrap().len(), 2);

    let rewound = send(&app, rewind(TOPIC, 1)).await;
    assert_eq!((rewound.status.as_u16(), rewound.json()), (200, json!({ "to": 1, "from": 3 })));
    settle(&[&service]).await.unwrap();
    let shown = relay(&app).await;
    assert_eq!((&shown["sent"], &shown["resent"]), (&json!(5), &json!(2)));
    let topics = send(&app, near(get("/admin/topics"))).await.json();
    let topic = json!({ "topic": TOPIC, "published": true, "partitions": 2, "records": 5 });
    assert_eq!(topics, json!({ "topics": [topic] }));
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let (_service, app) = published().await;
    let refused = async |request| send(&app, request).await.refusal();
    assert_eq!(refused(rewind(TOPIC, 4)).await, (400, "invalid".to_owned()));
    assert_eq!(refused(rewind("toys.others", 0)).await, (404, "not-found".to_owned()));
    assert_eq!(refused(near(get("/admin/relays?limit=1"))).await, (400, "unknown-field".to_owned()));
    assert_eq!(refused(near(post("/admin/relays/rewind", "{}".to_owned()))).await, (400, "invalid".to_owned()));
    let body = json!({ "topic": TOPIC, "to": 0 }).to_string();
    for request in
        [get("/admin/relays"), get("/admin/consumers"), get("/admin/topics"), post("/admin/relays/rewind", body)]
    {
        assert_eq!(refused(from("192.0.2.7:5000", request)).await, (403, "loopback-only".to_owned()));
    }
    assert_eq!(relay(&app).await["resent"], 0);
}

#[tokio::test]
async fn who_publishes_and_hears_nothing_says_so() {
    for app in [Toy::new().write_app(), Toy::new().read_app()] {
        for (path, what) in
            [("/admin/relays", "relays"), ("/admin/consumers", "consumers"), ("/admin/topics", "topics")]
        {
            let shown = send(&app, near(get(path))).await;
            assert_eq!((shown.status.as_u16(), shown.json()), (200, json!({ what: [] })));
        }
    }
}

/// The commands `relay` and `bus` of a service, against its running surface.
#[tokio::test]
async fn operators_are_told_in_words_or_in_json() {
    let (service, app) = published().await;
    let bound = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = bound.local_addr().port();
    let (_stopper, stop) = Stopper::new();
    let _serving = tokio::spawn(bound.serve(app, stop));
    let to = |to| Request::RelayRewind { topic: TOPIC.to_owned(), to };
    let told = ask(port, &to(1), false).await.unwrap();
    assert_eq!(told, format!("{TOPIC}: what was published of events after 1 is published again, up to 3 and on\n"));
    settle(&[&service]).await.unwrap();
    let told = ask(port, &to(3), false).await.unwrap();
    assert_eq!(told, format!("{TOPIC}: the relay is at 3: there is nothing to publish again\n"));
    settle(&[&service]).await.unwrap();
    let told = ask(port, &Request::RelayStatus, false).await.unwrap();
    assert!(
        told.starts_with(&format!("{TOPIC}: live, at 3 of 3, 0 behind\n  sent        5 since it started, 2 of them"))
    );
    let told = ask(port, &Request::BusTopics, false).await.unwrap();
    assert_eq!(told, format!("{TOPIC}: published, 2 partitions, about 5 records so far\n"));
    assert_eq!(ask(port, &Request::BusLag, false).await.unwrap(), "nothing on the bus is heard here\n");
    let told: Value = serde_json::from_str(&ask(port, &Request::RelayStatus, true).await.unwrap()).unwrap();
    assert_eq!(told["relays"][0]["resent"], 2);

    let refused = ask(port, &to(4), false).await.unwrap_err();
    assert_eq!(refused.to_string(), "refused (invalid): position 4 is beyond the head 3 of the store");
    let nobody = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().local_addr().port();
    let refused = ask(nobody, &Request::BusLag, false).await.unwrap_err();
    assert!(matches!(refused, OperatorError::Unreachable { .. }), "{refused}");
}
