//! `GET /queries/{name}`.

use crate::toy::{Toy, get, post, raise, send, with};
use uuid::Uuid;

#[tokio::test]
async fn a_query_answers_its_document() {
    let toy = Toy::new();
    toy.set_total("a b", 5);
    let answer = send(&toy.read_app(), get("/queries/total?counter=a%20b")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "5"));
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn what_cannot_be_answered_has_its_status_and_code() {
    let app = Toy::new().read_app();
    for (request, status, code, field) in [
        (get("/queries/total?counter=x"), 404, "counter-not-found", None),
        (get("/queries/total?counter="), 400, "invalid", Some("counter")),
        (get("/queries/total?counter=x&panic=true"), 500, "internal", None),
        (get("/queries/totals"), 404, "unknown-query", None),
        (post("/queries/total", "{}"), 405, "method-not-allowed", None),
        (post("/commands/raise", "{}"), 404, "not-found", None),
    ] {
        let case = format!("{request:?}");
        let answer = send(&app, request).await;
        assert_eq!(answer.refusal(), (status, code.into()), "{case}");
        assert_eq!(answer.problem().field.as_deref(), field, "{case}");
    }
}

#[tokio::test]
async fn a_query_waits_for_its_token_and_says_when_it_is_not_yet_visible() {
    let toy = Toy::new();
    let token = send(&toy.write_app(), raise(Uuid::from_u128(1), 1)).await.header("factum-token").to_owned();
    let answer = send(&toy.read_app(), with(get("/queries/total?counter=x"), &[("factum-at-least", &token)])).await;
    assert_eq!(answer.refusal(), (503, "not-yet".into()));
    assert_eq!(answer.header("retry-after"), "1");
}
