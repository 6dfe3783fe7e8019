//! `POST /commands/{name}`.

use serde_json::json;
use uuid::Uuid;

use crate::toy::{Toy, UNBEARABLE, get, post, raise, send, with};

const COUNTER: Uuid = Uuid::from_u128(7);

#[tokio::test]
async fn an_accepted_command_answers_where_its_events_are_and_a_token() {
    let app = Toy::new().write_app();
    let answer = send(&app, raise(COUNTER, 5)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = answer.header("factum-token");
    assert!(!token.is_empty());
    let expected = json!({
        "id": COUNTER, "stream": format!("counter-{COUNTER}"), "version": 1, "position": 1, "token": token,
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_repeat_under_the_same_key_answers_the_same_bytes_and_happens_once() {
    let app = Toy::new().write_app();
    let keyed = |by| with(raise(COUNTER, by), &[("idempotency-key", "order-1")]);
    let first = send(&app, keyed(5)).await;
    let second = send(&app, raise(COUNTER, 1)).await;
    let repeat = send(&app, keyed(5)).await;
    assert_eq!((repeat.status, &repeat.body), (first.status, &first.body));
    assert_eq!(repeat.header("etag"), "\"1\"");
    assert_eq!(repeat.header("factum-correlation-id"), first.header("factum-correlation-id"));
    assert_eq!(second.header("etag"), "\"2\"");
    assert_eq!(send(&app, keyed(6)).await.refusal(), (422, "command-id-reused".into()));
}

#[tokio::test]
async fn if_match_says_which_version_the_caller_has_seen() {
    let app = Toy::new().write_app();
    let matching = |etag: &str| with(raise(COUNTER, 1), &[("if-match", etag)]);
    let missing = send(&app, matching("*")).await;
    assert_eq!(missing.refusal(), (412, "not-expected".into()));
    assert_eq!(missing.problem().expected, Some("*".into()));
    assert_eq!(send(&app, matching("\"0\"")).await.status, 200);
    assert_eq!(send(&app, matching("\"1\"")).await.status, 200);
    assert_eq!(send(&app, matching("*")).await.status, 200);
    let stale = send(&app, matching("\"1\"")).await;
    assert_eq!(stale.refusal(), (412, "not-expected".into()));
    assert_eq!((stale.problem().expected, stale.problem().actual), (Some(1.into()), Some(3)));
}

#[tokio::test]
async fn what_the_aggregate_or_the_dispatcher_refuses_has_its_status_and_code() {
    let app = Toy::new().write_app();
    let again = json!({ "counter_id": COUNTER }).to_string();
    for (request, status, code, field) in [
        (raise(COUNTER, 1_001), 422, "too-high", None),
        (post("/commands/raise-again", again), 404, "counter-not-found", None),
        (raise(COUNTER, 2_000_000), 400, "invalid", Some("by")),
        (post("/commands/raise", r#"{"by":"x"}"#), 400, "invalid", Some("by")),
        (post("/commands/raise", r#"{"by":1,"bye":2}"#), 400, "unknown-field", Some("bye")),
        (post("/commands/raise", r#"{"by":1"#), 400, "malformed", None),
        (post("/commands/raise", ""), 400, "malformed", None),
        (post("/commands/lower", "{}"), 404, "unknown-command", None),
        (raise(COUNTER, UNBEARABLE), 500, "internal", None),
        (get("/commands/raise"), 405, "method-not-allowed", None),
        (post("/commands", "{}"), 404, "not-found", None),
        (get("/queries/total"), 404, "not-found", None),
    ] {
        let case = format!("{request:?}");
        let answer = send(&app, request).await;
        assert_eq!(answer.refusal(), (status, code.into()), "{case}");
        assert_eq!(answer.problem().field.as_deref(), field, "{case}");
    }
    let allowed = send(&app, get("/commands/raise")).await;
    assert_eq!(allowed.header("allow"), "POST");
}
