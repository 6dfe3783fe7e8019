//! `/healthz`, `/readyz`, `/metrics`.

use factum::{
    runtime::{LoopState, Status},
    store::Position,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    toy::{Toy, get, near, post, raise, send, with},
    troubled::{Trouble, Troubled},
};

/// What a panic or an error says may quote anybody's data, and be as long as it likes.
#[tokio::test]
async fn what_went_wrong_is_told_on_the_same_machine_and_in_bounds() {
    let toy = Toy::new();
    let status = Status::new("process transfer");
    toy.health.watch(status.clone());
    toy.health.started();
    status.update(|report| {
        report.state = LoopState::BackingOff;
        report.last_error = Some(format!("Ada's account {}", "é".repeat(5_000)));
        report.alarms.insert("transfer-7".to_owned(), "it panicked: Ada owes 5 EUR".to_owned());
        report.alarms.insert("transfer-8".to_owned(), "it panicked: Bob owes 5 EUR".to_owned());
    });
    let near_by = send(&toy.read_app(), near(get("/readyz"))).await;
    let shown = near_by.json()["loops"][0].clone();
    assert_eq!(shown["last_error"].as_str().unwrap().chars().count(), 1_001, "and a sign that there is more");
    assert_eq!(shown["alarms"]["transfer-7"], "it panicked: Ada owes 5 EUR");
    for far in [get("/readyz"), near(with(get("/readyz"), &[("x-forwarded-for", "192.0.2.7")]))] {
        let far = send(&toy.read_app(), far).await;
        assert!(!far.text().contains("Ada") && !far.text().contains("transfer-"), "{}", far.text());
        let told = "see the log, or ask on the same machine";
        let shown = &far.json()["loops"][0];
        assert_eq!((&shown["state"], &shown["last_error"]), (&json!("backing-off"), &json!(told)));
        assert_eq!(shown["alarms"], json!({ "2": told }));
    }
}

#[tokio::test]
async fn alive_is_not_ready() {
    let toy = Toy::new();
    let status = Status::new("projection totals@1");
    toy.health.watch(status.clone());
    for app in [toy.write_app(), toy.read_app()] {
        assert_eq!(send(&app, get("/healthz")).await.status, 200);
        let starting = send(&app, get("/readyz")).await;
        assert_eq!(starting.status, 503);
        assert_eq!((&starting.json()["ready"], &starting.json()["reason"]), (&json!(false), &json!("starting")));
    }
    status.update(|report| {
        report.state = LoopState::BackingOff;
        report.position = Position::new(3);
        report.target = Position::new(5);
        report.last_error = Some("the bus is down".into());
        report.alarms.insert("dead letters".to_owned(), "1 on a topic".to_owned());
    });
    toy.health.started();
    let ready = send(&toy.read_app(), near(get("/readyz"))).await;
    assert_eq!(ready.status, 200);
    let expected = json!({ "ready": true, "reason": "", "loops": [{
        "name": "projection totals@1", "state": "backing-off", "position": 3, "target": 5,
        "last_error": "the bus is down", "alarms": { "dead letters": "1 on a topic" },
    }] });
    assert_eq!(ready.json(), expected);
    toy.health.stopping();
    assert_eq!(send(&toy.read_app(), get("/readyz")).await.json()["reason"], "stopping");
}

#[tokio::test]
async fn metrics_count_requests_by_registered_names_and_never_by_what_callers_write() {
    let app = Toy::new().write_app();
    send(&app, raise(Uuid::from_u128(1), 1)).await;
    send(&app, raise(Uuid::from_u128(1), 1)).await;
    send(&app, raise(Uuid::from_u128(1), 2_000)).await;
    for path in ["/commands/inventedname", "/inventedname", "/inventedname2?inventedname"] {
        send(&app, post(path, "{}")).await;
    }
    let answer = send(&app, get("/metrics")).await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    has(r#"factum_http_requests_total{surface="write",name="raise",status="200"} 2"#);
    has(r#"factum_http_requests_total{surface="write",name="raise",status="422"} 1"#);
    has(r#"factum_http_requests_total{surface="write",name="unknown",status="404"} 1"#);
    has(r#"factum_http_requests_total{surface="write",name="other",status="404"} 2"#);
    has(r#"factum_http_request_duration_seconds_bucket{surface="write",name="raise",status="200",le="+Inf"} 2"#);
    has(r#"factum_http_request_duration_seconds_count{surface="write",name="raise",status="200"} 2"#);
    has(r#"factum_http_requests_in_flight{surface="write"} 1"#);
    has(r#"factum_store_head{kind="synced"} 2"#);
    has("factum_ready 0");
    assert!(!text.contains("inventedname"), "{text}");
    assert_well_formed(text);
}

#[tokio::test]
async fn metrics_show_the_loops_and_escape_their_names() {
    let toy = Toy::new();
    let status = Status::new("relay \"odd\\name\"");
    toy.health.watch(status.clone());
    status.update(|report| {
        report.state = LoopState::Live;
        report.position = Position::new(7);
        report.target = Position::new(9);
        report.processed = 7;
        report.dropped = 1;
        report.alarms.insert("a transfer".to_owned(), "has stalled".to_owned());
    });
    let answer = send(&toy.read_app(), get("/metrics")).await;
    let name = r#"loop="relay \"odd\\name\"""#;
    for line in [
        format!("factum_loop_position{{{name}}} 7"),
        format!("factum_loop_target{{{name}}} 9"),
        format!("factum_loop_lag{{{name}}} 2"),
        format!("factum_loop_processed_total{{{name}}} 7"),
        format!("factum_loop_alarms{{{name}}} 1"),
        format!("factum_loop_dropped_total{{{name}}} 1"),
        format!("factum_loop_state{{{name},state=\"live\"}} 1"),
        format!("factum_loop_state{{{name},state=\"failed\"}} 0"),
    ] {
        assert!(answer.text().lines().any(|found| found == line), "{line} is not in\n{}", answer.text());
    }
    assert!(!answer.text().contains("factum_store_head"));
    assert_well_formed(answer.text());
}

#[tokio::test]
async fn a_scrape_is_answered_also_when_the_store_is_not() {
    let app = Toy::on(Troubled::new(Trouble::Unavailable).store()).write_app();
    let answer = send(&app, get("/metrics")).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("factum_store_head"));
}

/// Every sample belongs to the family announced last, and no family is announced twice.
fn assert_well_formed(text: &str) {
    let (mut family, mut families) = ("", Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(!families.contains(&family), "{family} is announced twice");
            families.push(family);
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(sample.starts_with(family) && value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
