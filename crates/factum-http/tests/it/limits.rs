//! What is too large, too slow or too much, and what it costs the others: nothing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
};
use http::Request;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Frame};
use serde_json::json;
use tokio::{sync::Notify, task::JoinHandle};
use uuid::Uuid;

use crate::{
    toy::{Answer, Toy, get, post, raise, send},
    troubled::{Trouble, Troubled},
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body of some frames, which then stalls for ever.
#[derive(Default)]
struct Frames {
    left: Vec<Bytes>,
    stalled: Arc<Notify>,
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.left.pop() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => {
                self.stalled.notify_one();
                Poll::Pending
            }
        }
    }
}

fn streamed(frames: Frames) -> Request<Body> {
    post("/commands/raise", Body::new(UnsyncBoxBody::new(frames)))
}

fn app_with(change: impl FnOnce(&mut Toy)) -> Router {
    let mut toy = Toy::new();
    change(&mut toy);
    toy.write_app()
}

fn spawn(app: &Router, request: Request<Body>) -> JoinHandle<Answer> {
    let app = app.clone();
    tokio::spawn(async move { send(&app, request).await })
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let app = app_with(|toy| toy.options.body_bytes_max = 64);
    let fits = format!("{:64}", r#"{"by":1}"#);
    assert_eq!(send(&app, post("/commands/raise", fits)).await.status, 200);
    let too_large = format!("{:65}", r#"{"by":1}"#);
    assert_eq!(send(&app, post("/commands/raise", too_large.clone())).await.refusal(), (413, "too-large".into()));
    let unannounced = Frames { left: vec![Bytes::from(too_large)], ..Frames::default() };
    assert_eq!(send(&app, streamed(unannounced)).await.refusal(), (413, "too-large".into()));
    // Announced only: not a byte of it is waited for.
    let mut announced = streamed(Frames::default());
    announced.headers_mut().insert("content-length", "65".parse().unwrap());
    assert_eq!(send(&app, announced).await.refusal(), (413, "too-large".into()));
}

#[tokio::test]
async fn an_event_that_is_too_large_for_the_store_is_refused_as_the_command_is() {
    let app = app_with(|toy| toy.options.body_bytes_max = 4 << 20);
    let body = json!({ "by": 1, "note": "n".repeat(2 << 20) }).to_string();
    assert_eq!(send(&app, post("/commands/raise", body)).await.refusal(), (413, "too-large".into()));
}

#[tokio::test]
async fn a_body_that_is_too_slow_is_given_up() {
    let app = app_with(|toy| toy.options.body_timeout = Duration::from_millis(20));
    let slow = Frames { left: vec![Bytes::from_static(b"{")], ..Frames::default() };
    assert_eq!(send(&app, streamed(slow)).await.refusal(), (408, "request-timeout".into()));
}

#[tokio::test]
async fn all_bodies_together_are_bounded_and_given_back() {
    let app = app_with(|toy| {
        toy.options.bodies_bytes_max = 100;
        toy.options.body_timeout = Duration::from_millis(50);
    });
    let body = Frames { left: vec![Bytes::from(vec![b' '; 90])], ..Frames::default() };
    let stalled = Arc::clone(&body.stalled);
    let held = spawn(&app, streamed(body));
    stalled.notified().await;
    let small = || post("/commands/raise", format!("{:20}", r#"{"by":1}"#));
    assert_eq!(send(&app, small()).await.refusal(), (429, "too-many-requests".into()));
    assert_eq!(held.await.unwrap().status, 408);
    assert_eq!(send(&app, small()).await.status, 200);
}

#[tokio::test]
async fn a_path_that_is_too_long_is_refused_and_a_long_answer_quotes_little() {
    let app = Toy::new().write_app();
    let long = format!("/commands/{}", "a".repeat(8_000));
    let answer = send(&app, post(&long, "{}")).await;
    assert_eq!(answer.refusal(), (404, "unknown-command".into()));
    assert!(answer.body.len() < 1_000, "{} bytes", answer.body.len());
    let too_long = format!("/commands/raise?{}", "a".repeat(9_000));
    assert_eq!(send(&app, post(&too_long, "{}")).await.refusal(), (414, "uri-too-long".into()));
}

/// An app whose store hangs, with one request in it.
async fn busy(request_timeout: Duration) -> (Troubled, Router, JoinHandle<Answer>) {
    let store = Troubled::new(Trouble::Hanging);
    let mut toy = Toy::on(store.store());
    toy.options.requests_max = 1;
    toy.options.request_timeout = request_timeout;
    let app = toy.write_app();
    let hanging = spawn(&app, raise(Uuid::from_u128(1), 1));
    store.reached().await;
    (store, app, hanging)
}

#[tokio::test]
async fn more_requests_than_can_be_worked_on_are_turned_away_and_health_is_not() {
    let (store, app, hanging) = busy(PATIENCE).await;
    let turned_away = send(&app, raise(Uuid::from_u128(2), 1)).await;
    assert_eq!(turned_away.refusal(), (429, "too-many-requests".into()));
    assert_eq!(turned_away.header("retry-after"), "1");
    assert_eq!(send(&app, get("/healthz")).await.status, 200);
    assert_eq!(send(&app, get("/metrics")).await.status, 200);
    store.release();
    assert_eq!(hanging.await.unwrap().status, 200);
    assert_eq!(send(&app, raise(Uuid::from_u128(2), 1)).await.status, 200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_keeps_its_place_until_it_ends() {
    let (store, app, hanging) = busy(Duration::from_millis(20)).await;
    let answer = hanging.await.unwrap();
    assert_eq!(answer.refusal(), (503, "unavailable".into()));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(send(&app, raise(Uuid::from_u128(2), 1)).await.status, 429);
    store.release();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while send(&app, raise(Uuid::from_u128(2), 1)).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the place is not given back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_free_a_place_before_the_work_has_ended() {
    let (store, app, hanging) = busy(PATIENCE).await;
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert_eq!(send(&app, raise(Uuid::from_u128(2), 1)).await.status, 429);
    store.release();
    let metrics = send(&app, get("/metrics")).await;
    assert!(metrics.text().contains(r#"name="raise",status="499"} 1"#), "{}", metrics.text());
}
