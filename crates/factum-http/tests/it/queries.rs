//! `GET /queries/{name}`.

use std::sync::Arc;

use factum::{
    projections::Phase,
    read::{Checkpoint, Lane, MemoryReadStore, ReadError},
    store::Position,
};
use http::{Method, Request};
use uuid::Uuid;

use crate::{
    toy::{Answer, TOTALS_KEY, Toy, get, post, raise, send, with},
    troubled::{SECRET, UnreadableStore},
};

#[tokio::test]
async fn a_query_answers_its_document() {
    let toy = Toy::new();
    toy.set_total("a b", 5);
    let answer = send(&toy.read_app(), get("/queries/total?counter=a%20b")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "5"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn head_is_get_without_the_document() {
    let toy = Toy::new();
    toy.set_total("a", 5);
    let head = Request::builder().method(Method::HEAD).uri("/queries/total?counter=a");
    let answer = send(&toy.read_app(), head.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
    assert_eq!(answer.header("content-length"), "1");
}

#[tokio::test]
async fn what_cannot_be_answered_has_its_status_and_code() {
    let app = Toy::new().read_app();
    for (request, status, code, field) in [
        (get("/queries/total?counter=x"), 404, "counter-not-found", None),
        (get("/queries/total?counter="), 400, "invalid", Some("counter")),
        (get("/queries/total"), 400, "invalid", Some("counter")),
        (get("/queries/total?counter=x&counter=x"), 400, "invalid", Some("counter")),
        (get("/queries/total?counter=x&panic=perhaps"), 400, "invalid", Some("panic")),
        (get("/queries/total?counter=x&cuonter=x"), 400, "unknown-field", Some("cuonter")),
        (get("/queries/total?counter=x&panic=true"), 500, "internal", None),
        (get("/queries/totals"), 404, "unknown-query", None),
        (post("/queries/total", "{}"), 405, "method-not-allowed", None),
        (post("/commands/raise", "{}"), 404, "not-found", None),
        (get("/admin/events"), 404, "not-found", None),
    ] {
        let case = format!("{request:?}");
        let answer = send(&app, request).await;
        assert_eq!(answer.refusal(), (status, code.into()), "{case}");
        assert_eq!(answer.problem().field.as_deref(), field, "{case}");
        assert!(!answer.text().contains("secret"), "{case}");
    }
    assert!(send(&app, post("/commands/raise", "{}")).await.text().contains("write surface"));
    assert_eq!(send(&app, post("/queries/total", "{}")).await.header("allow"), "GET,HEAD");
}

async fn ask(toy: &Toy, token: &str) -> Answer {
    send(&toy.read_app(), with(get("/queries/total?counter=x"), &[("factum-at-least", token)])).await
}

#[tokio::test]
async fn a_query_waits_until_what_its_token_stands_for_is_visible() {
    let toy = Toy::new();
    let token = send(&toy.write_app(), raise(Uuid::from_u128(1), 1)).await.header("factum-token").to_owned();
    let early = ask(&toy, &token).await;
    assert_eq!(early.refusal(), (503, "not-yet".into()));
    assert_eq!(early.header("retry-after"), "1");

    toy.set_total("x", 1);
    let incarnation = toy.store.identity().incarnation;
    let checkpoint = Checkpoint { position: Position::new(1), incarnation, event_id: None };
    toy.watermarks.moved(TOTALS_KEY, [(Lane::own_store(), checkpoint)]);
    assert_eq!(ask(&toy, &token).await.text(), "1");

    // Of a store whose events no projection here has ever seen.
    let foreign = send(&Toy::new().write_app(), raise(Uuid::from_u128(1), 1)).await.header("factum-token").to_owned();
    assert_eq!(ask(&toy, &foreign).await.refusal(), (400, "token-not-applicable".into()));
}

#[tokio::test]
async fn a_token_comes_once_and_as_it_was_given() {
    let toy = Toy::new();
    for headers in [
        &[("factum-at-least", "garbage")][..],
        &[("factum-at-least", "")],
        &[("factum-at-least", "e30")],
        &[("factum-at-least", "e30"), ("factum-at-least", "e30")],
    ] {
        let answer = send(&toy.read_app(), with(get("/queries/total?counter=x"), headers)).await;
        assert_eq!(answer.refusal(), (400, "invalid".into()), "{headers:?}");
        assert_eq!(answer.problem().field.as_deref(), Some("Factum-At-Least"));
    }
}

#[tokio::test]
async fn a_read_model_being_restored_says_how_far_it_is() {
    let toy = Toy::new();
    toy.watermarks.set_phase(TOTALS_KEY, Phase::Refilling { done: 3, total: 10 });
    let answer = send(&toy.read_app(), get("/queries/total?counter=x")).await;
    assert_eq!(answer.refusal(), (503, "rebuilding".into()));
    assert_eq!((answer.problem().done, answer.problem().total), (Some(3), Some(10)));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_read_store_in_trouble_is_told_without_its_secrets() {
    let lost = || ReadError::Unavailable(SECRET.into());
    let damaged = || ReadError::Damaged { place: SECRET.into(), source: SECRET.into() };
    for (error, status, code) in [(lost as fn() -> ReadError, 503, "unavailable"), (damaged, 500, "damaged")] {
        let mut toy = Toy::new();
        toy.read_store = Arc::new(UnreadableStore { inner: MemoryReadStore::new(), error });
        let answer = send(&toy.read_app(), get("/queries/total?counter=x")).await;
        assert_eq!(answer.refusal(), (status, code.into()));
        assert!(!answer.text().contains(SECRET), "{answer:?}");
    }
}
