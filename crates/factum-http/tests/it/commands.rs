//! `POST /commands/{name}`.

use factum::{ActorId, principal::Principal};
use factum_http::Unauthenticated;
use http::{HeaderMap, HeaderValue, Request};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

use crate::{
    toy::{OUTCAST, Toy, UNBEARABLE, get, post, raise, send, with},
    troubled::{SECRET, Trouble, Troubled},
};

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
async fn a_command_with_nothing_to_do_answers_where_the_aggregate_is() {
    let app = Toy::new().write_app();
    send(&app, raise(COUNTER, 5)).await;
    let answer = send(&app, raise(COUNTER, 0)).await;
    assert_eq!((answer.header("etag"), answer.json()["position"].as_u64()), ("\"1\"", Some(1)));
}

#[tokio::test]
async fn an_aggregate_nobody_named_gets_an_id_of_the_command() {
    let app = Toy::new().write_app();
    let nameless = || with(post("/commands/raise", r#"{"by":1}"#), &[("idempotency-key", "k")]);
    let (first, repeat) = (send(&app, nameless()).await, send(&app, nameless()).await);
    assert!(first.json()["id"].as_str().unwrap().parse::<Uuid>().is_ok());
    assert_eq!(first.body, repeat.body);
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
async fn the_same_key_from_two_callers_is_two_keys() {
    let mut toy = Toy::new();
    toy.options.authenticate = Arc::new(by_name);
    let app = toy.write_app();
    let from = |name| with(raise(COUNTER, 5), &[("idempotency-key", "k"), ("x-name", name)]);
    assert_eq!(send(&app, from("ann")).await.header("etag"), "\"1\"");
    assert_eq!(send(&app, from("bob")).await.header("etag"), "\"2\"");
    assert_eq!(send(&app, from("ann")).await.header("etag"), "\"1\"");
}

#[tokio::test]
async fn who_may_not_or_does_not_say_who_they_are_is_turned_away() {
    let mut toy = Toy::new();
    toy.options.authenticate = Arc::new(by_name);
    let app = toy.write_app();
    let nobody = send(&app, raise(COUNTER, 1)).await;
    assert_eq!(nobody.refusal(), (401, "unauthenticated".into()));
    assert_eq!(nobody.header("www-authenticate"), "Name");
    let outcast = send(&app, with(raise(COUNTER, 1), &[("x-name", OUTCAST)])).await;
    assert_eq!(outcast.refusal(), (403, "denied".into()));
}

fn by_name(headers: &HeaderMap) -> Result<Principal, Unauthenticated> {
    let name = headers.get("x-name").and_then(|name| ActorId::new(name.to_str().ok()?));
    let challenge = HeaderValue::from_static("Name");
    name.map(|actor| Principal { actor }).ok_or(Unauthenticated { reason: "say who you are".into(), challenge })
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
        (post("/commands/raise/more", "{}"), 404, "not-found", None),
        (get("/queries/total"), 404, "not-found", None),
        (get("/nowhere"), 404, "not-found", None),
    ] {
        let case = format!("{request:?}");
        let answer = send(&app, request).await;
        assert_eq!(answer.refusal(), (status, code.into()), "{case}");
        assert_eq!(answer.problem().field.as_deref(), field, "{case}");
    }
    assert_eq!(send(&app, get("/commands/raise")).await.header("allow"), "POST");
    assert!(send(&app, get("/queries/total")).await.text().contains("read surface"));
}

#[tokio::test]
async fn headers_that_mean_something_come_once_and_well_formed() {
    let app = Toy::new().write_app();
    let longest = "k".repeat(255);
    let too_long = "k".repeat(256);
    assert_eq!(send(&app, with(raise(COUNTER, 1), &[("idempotency-key", &longest)])).await.status, 200);
    for (headers, field) in [
        (&[("idempotency-key", "")][..], "Idempotency-Key"),
        (&[("idempotency-key", "two words")], "Idempotency-Key"),
        (&[("idempotency-key", too_long.as_str())], "Idempotency-Key"),
        (&[("idempotency-key", "a"), ("idempotency-key", "a")], "Idempotency-Key"),
        (&[("if-match", "7")], "If-Match"),
        (&[("if-match", "W/\"7\"")], "If-Match"),
        (&[("if-match", "\"07\"")], "If-Match"),
        (&[("if-match", "\"+7\"")], "If-Match"),
        (&[("if-match", "\"\"")], "If-Match"),
        (&[("if-match", "\"")], "If-Match"),
        (&[("if-match", "\"7\", \"8\"")], "If-Match"),
        (&[("if-match", "\"18446744073709551616\"")], "If-Match"),
        (&[("if-match", "\"1\""), ("if-match", "\"1\"")], "If-Match"),
        (&[("factum-correlation-id", "journey")], "Factum-Correlation-Id"),
        (&[("factum-correlation-id", "{6f1a7c1e-0000-4000-8000-000000000001}")], "Factum-Correlation-Id"),
        (&[("factum-correlation-id", "6f1a7c1e000040008000000000000001")], "Factum-Correlation-Id"),
    ] {
        let answer = send(&app, with(raise(COUNTER, 1), headers)).await;
        assert_eq!(answer.refusal(), (400, "invalid".into()), "{headers:?}");
        assert_eq!(answer.problem().field.as_deref(), Some(field), "{headers:?}");
    }
    let mut opaque = raise(COUNTER, 1);
    opaque.headers_mut().insert("idempotency-key", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    assert_eq!(send(&app, opaque).await.refusal(), (400, "invalid".into()));
}

#[tokio::test]
async fn only_json_is_taken_and_only_if_it_says_so() {
    let app = Toy::new().write_app();
    let typed = |media_type: &str| {
        let request = Request::post("/commands/raise").header("content-type", media_type);
        request.body(r#"{"by":1}"#.into()).unwrap()
    };
    for taken in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
        assert_eq!(send(&app, typed(taken)).await.status, 200, "{taken}");
    }
    for refused in ["text/plain", "application/json; charset=latin1", "application/jsonp", "", "application/json;x"] {
        let answer = send(&app, typed(refused)).await;
        assert_eq!(answer.refusal(), (415, "unsupported-media-type".into()), "{refused}");
    }
    let untyped = Request::post("/commands/raise").body(r#"{"by":1}"#.into()).unwrap();
    assert_eq!(send(&app, untyped).await.status, 415);
    let packed = with(raise(COUNTER, 1), &[("content-encoding", "gzip")]);
    assert_eq!(send(&app, packed).await.problem().field.as_deref(), Some("Content-Encoding"));
}

#[tokio::test]
async fn a_store_in_trouble_is_told_without_its_secrets() {
    for (trouble, status, code, retry_after) in [
        (Trouble::Conflict, 409, "contended", "1"),
        (Trouble::Unavailable, 503, "unavailable", "1"),
        (Trouble::ReadOnly, 503, "unavailable", ""),
        (Trouble::Damaged, 500, "damaged", ""),
    ] {
        let answer = send(&Toy::on(Troubled::new(trouble).store()).write_app(), raise(COUNTER, 1)).await;
        assert_eq!(answer.refusal(), (status, code.into()), "{trouble:?}");
        assert_eq!(answer.header("retry-after"), retry_after, "{trouble:?}");
        assert!(!answer.text().contains(SECRET), "{answer:?}");
    }
    let full = send(&Toy::on(Troubled::new(Trouble::Full).store()).write_app(), raise(COUNTER, 1)).await;
    assert!(full.text().contains("disk") && full.header("retry-after") == "1", "{full:?}");
    let panicked = send(&Toy::new().write_app(), raise(COUNTER, UNBEARABLE)).await;
    assert!(!panicked.text().contains("secret"), "{panicked:?}");
}

#[tokio::test]
async fn a_store_that_needs_a_restart_makes_the_service_unready() {
    let toy = Toy::on(Troubled::new(Trouble::ReadOnly).store());
    toy.health.started();
    let app = toy.write_app();
    assert_eq!(send(&app, get("/readyz")).await.status, 200);
    let answer = send(&app, raise(COUNTER, 1)).await;
    assert!(answer.text().contains("restart"), "{answer:?}");
    let ready = send(&app, get("/readyz")).await;
    assert!(ready.status == 503 && ready.text().contains("restart"), "{ready:?}");
}

#[tokio::test]
async fn the_correlation_id_is_echoed_also_with_a_refusal() {
    let app = Toy::new().write_app();
    let id = "6c0f0a1e-0000-4000-8000-00000000000a";
    let ours = |by| with(raise(COUNTER, by), &[("factum-correlation-id", id)]);
    assert_eq!(send(&app, ours(1)).await.header("factum-correlation-id"), id);
    assert_eq!(send(&app, ours(1_001)).await.header("factum-correlation-id"), id);
    let made = send(&app, raise(COUNTER, 1)).await;
    assert!(made.header("factum-correlation-id").parse::<Uuid>().is_ok());
}
