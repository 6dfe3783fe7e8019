//! `/admin/forks`: what is taken and refused there. What it does is told where a consumer stands at one.

use axum::Router;
use serde_json::json;

use crate::toy::{Toy, from, get, near, post, send, with};

/// A service that takes no commands has reactors and process managers all the same: whoever stood at a fork there could
/// be let go on by nobody.
#[tokio::test]
async fn with_nobody_at_a_fork_either_surface_says_so_and_refuses_what_names_nobody() {
    for app in [Toy::new().write_app(), Toy::new().read_app()] {
        says_and_refuses(&app).await;
    }
}

async fn says_and_refuses(app: &Router) {
    let listed = send(app, near(get("/admin/forks"))).await;
    assert_eq!((listed.status.as_u16(), listed.json()), (200, json!({ "forks": [] })));
    let accept = |body: serde_json::Value| near(post("/admin/forks/accept", body.to_string()));
    let accepted = send(app, accept(json!({ "reason": "nobody is there" }))).await;
    assert_eq!((accepted.status.as_u16(), accepted.json()), (200, json!({ "accepted": [] })));
    let refused = async |request| {
        let answer = send(app, request).await;
        (answer.refusal(), answer.json()["field"].clone())
    };
    let told = |code: &str, field: &str| ((400, code.to_owned()), json!(field));
    assert_eq!(refused(near(get("/admin/forks?limit=1"))).await, told("unknown-field", "limit"));
    assert_eq!(refused(accept(json!({}))).await, told("invalid", "reason"));
    assert_eq!(refused(accept(json!({ "reason": " " }))).await, told("invalid", "reason"));
    assert_eq!(refused(accept(json!({ "reason": "x".repeat(501) }))).await, told("invalid", "reason"));
    assert_eq!(refused(accept(json!({ "reason": "a", "consumer": "b" }))).await, told("invalid", "consumer"));
    assert_eq!(refused(accept(json!({ "reason": "a", "actor": "a b" }))).await, told("invalid", "actor"));
    assert_eq!(refused(accept(json!({ "reason": "a", "fork": 1 }))).await, told("unknown-field", "fork"));
}

#[tokio::test]
async fn it_is_for_callers_on_the_same_machine() {
    let app = Toy::new().write_app();
    let body = json!({ "reason": "a test" }).to_string();
    for request in [get("/admin/forks"), post("/admin/forks/accept", body.clone())] {
        let answer = send(&app, from("192.0.2.7:5000", request)).await;
        assert_eq!(answer.refusal(), (403, "loopback-only".to_owned()));
    }
    let proxied = with(get("/admin/forks"), &[("x-forwarded-for", "192.0.2.7")]);
    assert_eq!(send(&app, near(proxied)).await.refusal().0, 403);
    // What a page in a browser may send anywhere unasked calls itself text.
    let mut plain = post("/admin/forks/accept", body);
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(send(&app, near(plain)).await.refusal(), (415, "unsupported-media-type".to_owned()));
}
