//! `GET /admin/events`.

use axum::Router;
use factum::{
    ActorId, CorrelationId, EventId, Timestamp,
    store::{Append, ExpectedVersion, Metadata, NewEvent, StreamName},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    toy::{Answer, Toy, from, get, near, post, raise, send, with},
    troubled::{Trouble, Troubled},
};

async fn events(app: &Router, parameters: &str) -> Answer {
    send(app, near(get(&format!("/admin/events{parameters}")))).await
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"), "{answer:?}");
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_line_an_event_with_everything_that_is_known_about_it() {
    let app = Toy::new().write_app();
    let id = Uuid::from_u128(1);
    let journey = Uuid::from_u128(9).to_string();
    let body = json!({ "counter_id": id, "by": 2, "note": "two\nlines" }).to_string();
    send(&app, with(post("/commands/raise", body), &[("factum-correlation-id", &journey)])).await;
    let answer = events(&app, "").await;
    let line = lines(&answer).remove(0);
    assert_eq!(line["position"], 1);
    assert_eq!(line["stream"], format!("counter-{id}"));
    assert_eq!(line["version"], 1);
    assert_eq!(line["type"], "counter.raised");
    assert_eq!(line["data"], json!({ "by": 2, "note": "two\nlines" }));
    let metadata = line["metadata"].as_object().unwrap();
    assert_eq!(metadata["correlation_id"], journey);
    assert_eq!(metadata["actor"], "anonymous");
    assert_eq!(metadata["schema"], 1);
    for key in ["event_id", "command_id"] {
        assert!(metadata[key].as_str().unwrap().parse::<Uuid>().is_ok(), "{metadata:?}");
    }
    assert!(metadata["recorded_at"].as_str().unwrap().ends_with('Z'));
    let top: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(top, ["data", "metadata", "position", "stream", "type", "version"]);
}

#[tokio::test]
async fn a_document_is_shown_digit_by_digit_on_one_line_whatever_it_looks_like() {
    let toy = Toy::new();
    let documents = ["{\n \"by\": 1.10,\r\n \"large\": 123456789012345678901234567890\n}", "no\nJSON"];
    for (index, document) in (1..).zip(documents) {
        let metadata = Metadata {
            correlation_id: CorrelationId::from_uuid(Uuid::from_u128(1)),
            causation_id: None,
            actor: ActorId::system(),
            bus_command: None,
        };
        let event = NewEvent {
            id: EventId::from_uuid(Uuid::from_u128(index)),
            name: "counter.imported".into(),
            schema: 1,
            tags: Vec::new(),
            data: document.into(),
        };
        let stream = StreamName::new(format!("counter-{index}")).unwrap();
        let append = Append::new(metadata, Timestamp::from_micros(1));
        toy.store.append(append.stream(stream, ExpectedVersion::NoStream, vec![event])).await.unwrap();
    }
    let answer = events(&toy.write_app(), "").await;
    let (first, second) = answer.text().trim_end().split_once('\n').unwrap();
    let data = r#""data":{  "by": 1.10,   "large": 123456789012345678901234567890 },"#;
    assert!(first.contains(data), "{first}");
    assert_eq!(serde_json::from_str::<Value>(second).unwrap()["data"], "no\nJSON");
}

#[tokio::test]
async fn pages_follow_each_other_until_an_empty_one() {
    let app = Toy::new().write_app();
    for _ in 0..150 {
        send(&app, raise(Uuid::from_u128(1), 1)).await;
    }
    let positions =
        |answer: &Answer| lines(answer).iter().map(|line| line["position"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(positions(&events(&app, "").await), (1..=100).collect::<Vec<_>>());
    assert_eq!(positions(&events(&app, "?after=100").await), (101..=150).collect::<Vec<_>>());
    assert_eq!(positions(&events(&app, "?after=2&limit=3").await), [3, 4, 5]);
    assert_eq!(positions(&events(&app, "?limit=1000").await).len(), 150);
    assert_eq!(positions(&events(&app, "?after=150").await), [0_u64; 0]);
    assert_eq!(positions(&events(&app, "?after=18446744073709551615").await), [0_u64; 0]);
}

#[tokio::test]
async fn a_page_of_large_events_is_cut_short_and_nothing_is_lost() {
    let app = Toy::new().write_app();
    let note = "n".repeat(1_000_000);
    for _ in 0..9 {
        let body = json!({ "counter_id": Uuid::from_u128(1), "by": 1, "note": note }).to_string();
        assert_eq!(send(&app, post("/commands/raise", body)).await.status, 200);
    }
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let answer = events(&app, &format!("?after={after}")).await;
        assert!(answer.body.len() < 6 << 20, "{} bytes", answer.body.len());
        let page: Vec<_> = lines(&answer).iter().map(|line| line["position"].as_u64().unwrap()).collect();
        let Some(last) = page.last() else { break };
        after = *last;
        seen.extend(page);
    }
    assert_eq!(seen, (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_callers_on_the_same_machine_see_the_log() {
    let app = Toy::new().write_app();
    for peer in ["127.0.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
        assert_eq!(send(&app, from(peer, get("/admin/events"))).await.status, 200, "{peer}");
    }
    for peer in ["10.0.0.1:5000", "[2001:db8::1]:5000", "[::ffff:10.0.0.1]:5000"] {
        assert_eq!(
            send(&app, from(peer, get("/admin/events"))).await.refusal(),
            (403, "loopback-only".into()),
            "{peer}"
        );
    }
    assert_eq!(send(&app, get("/admin/events")).await.status, 403);
    for (header, value, status) in [
        ("host", "localhost:7001", 200),
        ("host", "127.0.0.1:7001", 200),
        ("host", "[::1]:7001", 200),
        ("host", "attacker.example:7001", 403),
        ("host", "localhost.attacker.example", 403),
        ("host", "", 403),
        ("origin", "http://localhost:3000", 200),
        ("origin", "http://[::1]", 200),
        ("origin", "https://attacker.example", 403),
        ("origin", "null", 403),
        ("x-forwarded-for", "10.0.0.1", 403),
        ("forwarded", "for=10.0.0.1", 403),
    ] {
        let answer = send(&app, near(with(get("/admin/events"), &[(header, value)]))).await;
        assert_eq!(answer.status, status, "{header}: {value}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let app = Toy::new().write_app();
    for (parameters, code, field) in [
        ("?limit=0", "invalid", "limit"),
        ("?limit=1001", "invalid", "limit"),
        ("?limit=ten", "invalid", "limit"),
        ("?after=-1", "invalid", "after"),
        ("?after=1&after=2", "invalid", "after"),
        ("?before=1", "unknown-field", "before"),
    ] {
        let answer = events(&app, parameters).await;
        assert_eq!(answer.refusal(), (400, code.into()), "{parameters}");
        assert_eq!(answer.problem().field.as_deref(), Some(field), "{parameters}");
    }
    let broken = Toy::on(Troubled::new(Trouble::Unavailable).store()).write_app();
    assert_eq!(events(&broken, "").await.refusal(), (503, "unavailable".into()));
}
