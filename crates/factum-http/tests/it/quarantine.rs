//! `/admin/quarantine`: what is taken and refused there. What it does is told where something is parked.

use axum::Router;
use serde_json::json;

use crate::toy::{Toy, from, get, near, post, send, with};

#[tokio::test]
async fn with_nothing_parked_it_says_so_and_refuses_what_names_nothing() {
    for app in [Toy::new().read_app(), Toy::new().write_app()] {
        says_and_refuses(&app).await;
    }
}

async fn says_and_refuses(app: &Router) {
    let listed = send(app, near(get("/admin/quarantine"))).await;
    assert_eq!((listed.status.as_u16(), listed.json()), (200, json!({ "keys": [] })));
    let refused = async |request| {
        let answer = send(app, near(request)).await;
        (answer.refusal(), answer.json()["field"].clone())
    };
    let told = |status: u16, code: &str, field: &str| ((status, code.to_owned()), json!(field));
    let show = |parameters: &str| get(&format!("/admin/quarantine/messages?{parameters}"));
    assert_eq!(refused(show("handler=totals&key=a")).await, told(400, "invalid", "handler"));
    assert_eq!(refused(show("handler=totals&key=a&after=x")).await, told(400, "invalid", "after"));
    assert_eq!(refused(show("handler=totals")).await, told(400, "invalid", "key"));
    assert_eq!(refused(get("/admin/quarantine?limit=0")).await, told(400, "invalid", "limit"));
    assert_eq!(refused(get("/admin/quarantine?from=a")).await, told(400, "unknown-field", "from"));
    let discard = |more: serde_json::Value| {
        let mut body = json!({ "handler": "totals", "key": "a", "reason": "a test" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post("/admin/quarantine/discard", body.to_string())
    };
    let event = "6f1a7c1e-0000-4000-8000-000000000001";
    assert_eq!(refused(discard(json!({}))).await, told(400, "invalid", "event_id"));
    assert_eq!(refused(discard(json!({ "event_id": "x" }))).await, told(400, "invalid", "event_id"));
    assert_eq!(refused(discard(json!({ "event_id": event, "actor": "a b" }))).await, told(400, "invalid", "actor"));
    assert_eq!(refused(discard(json!({ "event_id": event, "by": "a" }))).await, told(400, "unknown-field", "by"));
    assert_eq!(
        refused(discard(json!({ "event_id": event, "reason": "" }))).await,
        told(400, "invalid", "reason"),
        "before anything is looked for"
    );
    let retry = json!({ "handler": "totals", "key": "a" }).to_string();
    assert_eq!(refused(post("/admin/quarantine/retry", retry)).await, told(400, "invalid", "handler"));
    let all = |body: serde_json::Value| post("/admin/quarantine/retry-all", body.to_string());
    assert_eq!(refused(all(json!({ "handler": "totals" }))).await, told(400, "invalid", "handler"));
    assert_eq!(refused(all(json!({ "handler": "totals", "limit": 101 }))).await, told(400, "invalid", "limit"));
    assert_eq!(refused(all(json!({ "handler": "totals", "key": "a" }))).await, told(400, "unknown-field", "key"));
}

#[tokio::test]
async fn it_is_for_callers_on_the_same_machine() {
    let app = Toy::new().read_app();
    let body = json!({ "handler": "totals", "key": "a" }).to_string();
    let far = [
        get("/admin/quarantine"),
        get("/admin/quarantine/messages?handler=totals&key=a"),
        post("/admin/quarantine/retry", body.clone()),
        post("/admin/quarantine/retry-all", json!({ "handler": "totals" }).to_string()),
        post("/admin/quarantine/discard", body.clone()),
    ];
    for request in far {
        let path = request.uri().to_string();
        let answer = send(&app, from("192.0.2.7:5000", request)).await;
        assert_eq!(answer.refusal(), (403, "loopback-only".to_owned()), "{path}");
    }
    let proxied = with(get("/admin/quarantine"), &[("x-forwarded-for", "192.0.2.7")]);
    assert_eq!(send(&app, near(proxied)).await.refusal().0, 403);
    // What a page in a browser may send anywhere unasked calls itself text.
    let mut plain = post("/admin/quarantine/retry", body);
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(send(&app, near(plain)).await.refusal(), (415, "unsupported-media-type".to_owned()));
}
