//! What nobody sends by mistake.

use http::{Method, Request};
use uuid::Uuid;

use crate::toy::{Toy, get, post, raise, send, with};

#[tokio::test]
async fn documents_made_to_hurt_are_refused_and_the_service_goes_on() {
    let app = Toy::new().write_app();
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!(r#"{{"by":{arrays}}}"#);
    let nested_beside = format!(r#"{{"by":1,"deep":{arrays}}}"#);
    let unclosed = format!(r#"{{"by":{}"#, "[".repeat(100_000));
    let objects = format!("{}1{}", r#"{"by":"#.repeat(100_000), "}".repeat(100_000));
    let digits = format!(r#"{{"by":{}}}"#, "9".repeat(100_000));
    for (body, code) in [
        (nested.into_bytes(), "invalid"),
        (nested_beside.into_bytes(), "unknown-field"),
        (unclosed.into_bytes(), "malformed"),
        (objects.into_bytes(), "invalid"),
        (digits.into_bytes(), "invalid"),
        (b"{\"by\":1,\"note\":\"\xff\xfe\"}".to_vec(), "malformed"),
        (b"\xef\xbb\xbf{\"by\":1}".to_vec(), "malformed"),
        (b"{\"by\":1}\0".to_vec(), "malformed"),
        (b"\0".to_vec(), "malformed"),
        (br#"{"by":1,"by":2}"#.to_vec(), "invalid"),
        (br#"{"by":1} {"by":2}"#.to_vec(), "malformed"),
        (b"{} {}".to_vec(), "malformed"),
        (br#"[{"by":1}]"#.to_vec(), "malformed"),
        (br#"{"by":1,"note":"\ud800"}"#.to_vec(), "malformed"),
        (br#"{"by":-1}"#.to_vec(), "invalid"),
        (br#"{"by":1e400}"#.to_vec(), "invalid"),
        (br#"{"by":NaN}"#.to_vec(), "malformed"),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = send(&app, post("/commands/raise", body)).await;
        assert_eq!(answer.refusal(), (400, code.into()), "{shown}");
        assert!(answer.body.len() < 2_000, "{shown}: {} bytes", answer.body.len());
    }
    let nul = send(&app, post("/commands/raise", r#"{"by":1,"note":"a\u0000b"}"#)).await;
    assert_eq!(nul.status, 200, "a NUL in a text is a character like others");
}

#[tokio::test]
async fn paths_made_to_confuse_find_nothing() {
    let app = Toy::new().write_app();
    for path in [
        "/commands/%FF",
        "/commands/raise%00",
        "/commands/..%2Fadmin%2Fevents",
        "/commands//raise",
        "//commands/raise",
        "/commands/RAISE",
        "/commands/raise/",
        "/commands/",
        "/Commands/raise",
        "/commands/%2e%2e",
    ] {
        let answer = send(&app, post(path, r#"{"by":1}"#)).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        answer.problem();
    }
}

#[tokio::test]
async fn methods_nobody_takes_are_refused_with_those_that_are() {
    let app = Toy::new().write_app();
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(method).uri("/commands/raise").body(axum::body::Body::empty());
        let answer = send(&app, request.unwrap()).await;
        assert_eq!(answer.refusal(), (405, "method-not-allowed".into()));
        assert_eq!(answer.header("allow"), "POST");
    }
}

#[tokio::test]
async fn query_strings_made_to_confuse_are_refused() {
    let toy = Toy::new();
    let app = toy.read_app();
    let many = (0..1_000).map(|index| format!("&x{index}=1")).collect::<String>();
    for parameters in ["?%FF=1".to_owned(), "?=1".into(), "?&&&".into(), format!("?counter=x{many}")] {
        let answer = send(&app, get(&format!("/queries/total{parameters}"))).await;
        assert_eq!(answer.status, 400, "{parameters}");
        answer.problem();
    }
    // Form encoding knows no malformed text: what is no UTF-8 becomes a replacement character.
    assert_eq!(send(&app, get("/queries/total?counter=%FF%00")).await.status, 404);
}

#[tokio::test]
async fn many_and_large_headers_are_read_past() {
    let app = Toy::new().write_app();
    let mut request = raise(Uuid::from_u128(1), 1);
    for index in 0..1_000 {
        let name = http::HeaderName::from_bytes(format!("x-{index}").as_bytes()).unwrap();
        request.headers_mut().insert(name, "v".repeat(1_000).parse().unwrap());
    }
    assert_eq!(send(&app, request).await.status, 200);
    let huge = "k".repeat(100_000);
    let answer = send(&app, with(raise(Uuid::from_u128(1), 1), &[("idempotency-key", &huge)])).await;
    assert_eq!(answer.refusal(), (400, "invalid".into()));
}
