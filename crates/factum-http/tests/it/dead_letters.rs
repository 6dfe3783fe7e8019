//! `/admin/dead-letters`: what waits to be acknowledged, and acknowledging it.

use factum::{
    ActorId, CorrelationId, EventId,
    store::{Append, ExpectedVersion, Metadata, NewEvent, StreamName},
    testing::NOW,
};
use serde_json::json;
use uuid::Uuid;

use crate::toy::{Toy, from, get, near, post, send};

const TOPIC: &str = "toys.counters.commands.shops";

fn letter(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Letters as a receiver keeps them.
async fn toy_with_letters(partition: u32, count: u128) -> Toy {
    let toy = Toy::new();
    let kept = |number| NewEvent {
        id: EventId::from_uuid(letter(number)),
        name: "dead-letter.received".into(),
        schema: 1,
        tags: Vec::new(),
        data: serde_json::to_vec(&json!({
            "topic": TOPIC, "partition": partition, "offset": number, "reason": "it has no command id", "headers": [],
            "value": "d2hhdD8=", "value_bytes": 5,
        }))
        .unwrap(),
    };
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(letter(0)),
        causation_id: None,
        actor: ActorId::system(),
        bus_command: None,
    };
    let stream = StreamName::new(format!("dead_letter-{TOPIC}.{partition}")).unwrap();
    let events = (1..=count).map(kept).collect();
    toy.store.append(Append::new(metadata, NOW).stream(stream, ExpectedVersion::NoStream, events)).await.unwrap();
    toy
}

#[tokio::test]
async fn what_is_no_command_is_shown_until_somebody_acknowledges_it() {
    let app = toy_with_letters(3, 3).await.write_app();
    let listed = send(&app, near(get("/admin/dead-letters?limit=2"))).await.json();
    assert_eq!((&listed["open"], listed["letters"].as_array().map(Vec::len)), (&json!(3), Some(2)));
    let expected = json!({
        "event_id": letter(1).to_string(), "stream": format!("dead_letter-{TOPIC}.3"), "version": 1,
        "received_at": NOW.to_string(), "topic": TOPIC, "partition": 3, "offset": 1,
        "reason": "it has no command id", "text": "what?", "value_bytes": 5,
    });
    assert_eq!(listed["letters"][0], expected);
    let acknowledge = async |body: serde_json::Value| {
        send(&app, near(post("/admin/dead-letters/acknowledge", body.to_string()))).await
    };
    let refused = acknowledge(json!({ "event_id": letter(2), "reason": "" })).await;
    assert_eq!((refused.refusal(), &refused.json()["field"]), ((400, "invalid".to_owned()), &json!("reason")));
    let refused = acknowledge(json!({ "event_id": "2", "reason": "a test" })).await;
    assert_eq!((refused.refusal(), &refused.json()["field"]), ((400, "invalid".to_owned()), &json!("event_id")));
    let done = acknowledge(json!({ "event_id": letter(2), "reason": "a test", "actor": "ada" })).await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!({ "done": 2, "left": 1 })));
    let again = acknowledge(json!({ "event_id": letter(2), "reason": "a test" })).await;
    assert_eq!(again.refusal(), (404, "not-found".to_owned()));
    let listed = send(&app, near(get("/admin/dead-letters"))).await.json();
    assert_eq!((&listed["open"], &listed["letters"][0]["event_id"]), (&json!(1), &json!(letter(3))));
}

#[tokio::test]
async fn dead_letters_are_for_callers_on_the_same_machine() {
    let app = toy_with_letters(0, 1).await.write_app();
    let body = json!({ "event_id": letter(1), "reason": "a test" }).to_string();
    for request in [get("/admin/dead-letters"), post("/admin/dead-letters/acknowledge", body.clone())] {
        assert_eq!(send(&app, from("192.0.2.7:5000", request)).await.refusal(), (403, "loopback-only".to_owned()));
    }
    let mut plain = post("/admin/dead-letters/acknowledge", body);
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(send(&app, near(plain)).await.refusal(), (415, "unsupported-media-type".to_owned()));
}
