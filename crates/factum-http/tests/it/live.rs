//! `GET /queries/{name}/live`: events as their readers see them, and what a reader can hold on to.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use factum::{
    Answers, Query, QueryDispatcher, QueryError,
    projections::Phase,
    read::{Checkpoint, CheckpointMove, Key, Lane, ReadSnapshot, ReadTransaction},
    runtime::Stopper,
    store::Position,
};
use factum_http::{Drained, ReadSurface, Server, ServerOptions, read_surface};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tower::ServiceExt as _;

use crate::toy::{OUTCAST, TOTALS, TOTALS_KEY, Totals, Toy, get, send, with};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// A limit that a test wants to see reached.
const SOON: Duration = Duration::from_millis(50);

const LIVE: &str = "/queries/total/live?counter=a";

/// The projection has folded an event: the counter stands at `total` now.
fn stands_at(toy: &Toy, position: u64, counter: &str, total: u32) {
    let epoch = toy.read_store.claim(TOTALS_KEY).unwrap();
    let incarnation = toy.store.identity().incarnation;
    let next = Checkpoint { position: Position::new(position), incarnation, event_id: None };
    let previous = toy.read_store.checkpoints(TOTALS_KEY).unwrap().first().map(|(_, checkpoint)| *checkpoint);
    let moves = [CheckpointMove { lane: Lane::own_store(), previous, next }];
    let put = &mut |tx: &mut dyn ReadTransaction| TOTALS.put(tx, &Key::from(counter), &total);
    toy.read_store.write(TOTALS_KEY, epoch, &moves, put).unwrap();
    toy.watermarks.moved(TOTALS_KEY, [(Lane::own_store(), next)]);
}

async fn open(app: &Router, request: Request<Body>) -> (Response<()>, Body) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    (Response::from_parts(parts, ()), body)
}

/// The next event or comment, whole.
async fn next(body: &mut Body) -> Option<String> {
    let frame = timeout(PATIENCE, body.frame()).await.expect("nothing is told")?;
    Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
}

fn field<'a>(event: &'a str, name: &str) -> Option<&'a str> {
    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn the_answer_comes_first_and_again_whenever_it_has_changed() {
    let toy = Toy::new();
    stands_at(&toy, 1, "a", 5);
    let (head, mut events) = open(&toy.read_app(), get(LIVE)).await;
    assert_eq!(head.status(), 200);
    let header = |name: &str| head.headers()[name].to_str().unwrap().to_owned();
    assert_eq!([header("content-type"), header("cache-control")], ["text/event-stream", "no-store"]);
    let first = next(&mut events).await.unwrap();
    assert_eq!((field(&first, "data"), field(&first, "retry")), (Some("5"), Some("1000")), "{first}");
    assert!(first.ends_with("\n\n"));
    stands_at(&toy, 2, "b", 1);
    stands_at(&toy, 3, "a", 6);
    let second = next(&mut events).await.unwrap();
    assert_eq!((field(&second, "data"), field(&second, "retry")), (Some("6"), None), "{second}");
    assert_ne!(field(&first, "id"), field(&second, "id"));
}

#[tokio::test]
async fn who_comes_back_is_answered_nothing_older_than_what_they_saw_on_any_instance() {
    let toy = Toy::new();
    stands_at(&toy, 7, "a", 5);
    let (_, mut events) = open(&toy.read_app(), get(LIVE)).await;
    let seen = next(&mut events).await.unwrap();
    let id = field(&seen, "id").unwrap();
    let other = Toy::on(Arc::clone(&toy.store));
    stands_at(&other, 6, "a", 4);
    let again = || with(get(LIVE), &[("last-event-id", id)]);
    let early = send(&other.read_app(), again()).await;
    assert_eq!((early.refusal(), early.header("retry-after")), ((503, "not-yet".into()), "1"));
    stands_at(&other, 7, "a", 5);
    let (_, mut events) = open(&other.read_app(), again()).await;
    assert_eq!(field(&next(&mut events).await.unwrap(), "data"), Some("5"));
    let (head, _) = open(&other.read_app(), with(get(LIVE), &[("last-event-id", "")])).await;
    assert_eq!(head.status(), 200, "who has seen nothing begins");
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_like_any_other() {
    let mut toy = Toy::new();
    stands_at(&toy, 1, "a", 5);
    for (request, status, code) in [
        (get("/queries/total/live?counter=x"), 404, "counter-not-found"),
        (get("/queries/totals/live?counter=a"), 404, "unknown-query"),
        (get("/queries/total/live"), 400, "invalid"),
        (get("/queries/total/live?counter=a&counted=x"), 400, "unknown-field"),
        (with(get(LIVE), &[("last-event-id", "garbage")]), 400, "invalid"),
        (with(get(LIVE), &[("last-event-id", "W10"), ("last-event-id", "W10")]), 400, "invalid"),
        (with(get(LIVE), &[("factum-at-least", "garbage")]), 400, "invalid"),
        (get("/queries/total/live/on?counter=a"), 404, "not-found"),
    ] {
        let case = format!("{request:?}");
        assert_eq!(send(&toy.read_app(), request).await.refusal(), (status, code.into()), "{case}");
    }
    toy.options.authenticate = Arc::new(|_: &http::HeaderMap| {
        Ok(factum::principal::Principal { actor: factum::ActorId::new(OUTCAST).unwrap() })
    });
    assert_eq!(send(&toy.read_app(), get(LIVE)).await.refusal(), (403, "denied".into()));
    toy.watermarks.set_phase(TOTALS_KEY, Phase::Refilling { done: 3, total: 10 });
    let toy = Toy { options: factum_http::SurfaceOptions::default(), ..toy };
    assert_eq!(send(&toy.read_app(), get(LIVE)).await.refusal(), (503, "rebuilding".into()));
}

#[tokio::test]
async fn silence_is_broken_by_comments() {
    let mut toy = Toy::new();
    toy.options.live_heartbeat = Duration::from_millis(1);
    stands_at(&toy, 1, "a", 5);
    let (_, mut events) = open(&toy.read_app(), get(LIVE)).await;
    assert!(next(&mut events).await.unwrap().contains("data: 5"));
    for _ in 0..3 {
        assert_eq!(next(&mut events).await.as_deref(), Some(":\n\n"));
    }
    stands_at(&toy, 2, "a", 6);
    let mut told = next(&mut events).await.unwrap();
    while told == ":\n\n" {
        told = next(&mut events).await.unwrap();
    }
    assert_eq!(field(&told, "data"), Some("6"));
}

/// What a counter stands at; above 5 the answer waits until somebody lets it go.
#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "slow", reads(Totals))]
struct Slow {}

static SLOW_ASKED: AtomicU32 = AtomicU32::new(0);
static SLOW_MAY_ANSWER: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Answers for Slow {
    type Answer = u32;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u32, QueryError> {
        let total = TOTALS.get(read, &Key::from("a"))?.unwrap_or_default();
        SLOW_ASKED.fetch_add(1, Ordering::SeqCst);
        let (may_answer, changed) = &SLOW_MAY_ANSWER;
        let may_answer = may_answer.lock().unwrap();
        drop(changed.wait_while(may_answer, |may| !*may && total > 5).unwrap());
        Ok(total)
    }
}

/// A query that takes longer than a heartbeat was given up and asked anew after each, all of them at work at once, and never
/// answered.
#[tokio::test]
async fn a_query_that_outlasts_heartbeats_is_asked_once_and_answers() {
    let mut toy = Toy::new();
    toy.options.live_heartbeat = Duration::from_millis(1);
    stands_at(&toy, 1, "a", 5);
    let queries = QueryDispatcher::builder(Arc::clone(&toy.read_store), Arc::clone(&toy.watermarks));
    let queries = queries.answers::<Slow>().live_interval(Duration::ZERO).build().unwrap();
    let (_, mut events) = open(&surface(&toy, queries), get("/queries/slow/live")).await;
    assert!(next(&mut events).await.unwrap().contains("data: 5"));
    stands_at(&toy, 2, "a", 6);
    while SLOW_ASKED.load(Ordering::SeqCst) < 2 {
        assert_eq!(next(&mut events).await.as_deref(), Some(":\n\n"));
    }
    for _ in 0..3 {
        assert_eq!(next(&mut events).await.as_deref(), Some(":\n\n"));
    }
    *SLOW_MAY_ANSWER.0.lock().unwrap() = true;
    SLOW_MAY_ANSWER.1.notify_all();
    let mut told = next(&mut events).await.unwrap();
    while told == ":\n\n" {
        told = next(&mut events).await.unwrap();
    }
    assert_eq!((field(&told, "data"), SLOW_ASKED.load(Ordering::SeqCst)), (Some("6"), 2));
}

#[tokio::test]
async fn only_so_many_are_open_and_who_hangs_up_makes_place() {
    let mut toy = Toy::new();
    toy.options.live_max = 2;
    stands_at(&toy, 1, "a", 5);
    let app = toy.read_app();
    let shown = async || {
        let page = send(&app, get("/metrics")).await;
        let line = page.text().lines().find(|line| line.starts_with("factum_http_live_queries ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let (_, first) = open(&app, get(LIVE)).await;
    let (_, second) = open(&app, get(LIVE)).await;
    assert_eq!(shown().await, "2");
    let third = send(&app, get(LIVE)).await;
    assert_eq!((third.refusal(), third.header("retry-after")), ((429, "too-many-requests".into()), "1"));
    assert_eq!(send(&app, get("/queries/total?counter=a")).await.text(), "5", "others are answered");
    drop(second);
    assert_eq!(shown().await, "1");
    assert_eq!(open(&app, get(LIVE)).await.0.status(), 200);
    drop(first);
    assert_eq!(send(&app, get("/queries/total/live?counter=x")).await.status, 404);
    assert_eq!(shown().await, "0", "a refused one holds no place");
    let page = send(&app, get("/metrics")).await;
    assert!(page.text().contains(r#"name="live",status="200""#), "{}", page.text());
}

#[tokio::test]
async fn it_ends_when_there_is_no_answer_any_more() {
    let toy = Toy::new();
    stands_at(&toy, 1, "a", 5);
    let (_, mut events) = open(&toy.read_app(), get(LIVE)).await;
    next(&mut events).await.unwrap();
    let epoch = toy.read_store.claim(TOTALS_KEY).unwrap();
    toy.read_store.write(TOTALS_KEY, epoch, &[], &mut |tx| TOTALS.delete(tx, &Key::from("a"))).unwrap();
    stands_at(&toy, 2, "b", 1);
    assert_eq!(next(&mut events).await, None);
    assert_eq!(send(&toy.read_app(), get(LIVE)).await.refusal(), (404, "counter-not-found".into()));
}

async fn serve(app: Router, options: ServerOptions) -> (SocketAddr, Stopper, JoinHandle<Drained>) {
    let (stopper, stop) = Stopper::new();
    let bound = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().options(options);
    let addr = bound.local_addr();
    (addr, stopper, tokio::spawn(bound.serve(app, stop)))
}

async fn ask(addr: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Reads on until the text read ends with this.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let read = timeout(PATIENCE, stream.read_buf(&mut text)).await.expect("nothing comes").unwrap();
        assert!(read > 0, "it ends after {}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn it_ends_cleanly_when_the_service_stops() {
    let toy = Toy::new();
    stands_at(&toy, 1, "a", 5);
    let (addr, stopper, serving) = serve(toy.read_app(), ServerOptions::default()).await;
    let mut stream = ask(addr, LIVE).await;
    until(&mut stream, "data: 5\n\n\r\n").await;
    stopper.stop();
    let mut rest = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut rest)).await.expect("it goes on").unwrap();
    assert_eq!(rest, "0\r\n\r\n", "the answer is whole");
    assert_eq!(serving.await.unwrap(), Drained { cut: 0, left: 0 });
}

#[tokio::test]
async fn while_it_is_read_it_outlives_idle_connections_and_keeps_its_place() {
    let mut toy = Toy::new();
    toy.options.live_heartbeat = SOON / 5;
    stands_at(&toy, 1, "a", 5);
    let options = ServerOptions { connections_max: 2, idle_timeout: SOON, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(toy.read_app(), options).await;
    let mut live = ask(addr, LIVE).await;
    until(&mut live, "data: 5\n\n\r\n").await;
    // Others come and stay, each after the other: there is one place left for all of them.
    let mut others = Vec::new();
    for _ in 0..5 {
        let mut other = ask(addr, "/healthz").await;
        until(&mut other, "ok\n").await;
        others.push(other);
    }
    tokio::time::sleep(SOON * 3).await;
    stands_at(&toy, 2, "a", 6);
    until(&mut live, "data: 6\n\n\r\n").await;
}

#[tokio::test]
async fn when_live_queries_hold_more_than_half_of_all_places_they_give_way_too() {
    let toy = Toy::new();
    stands_at(&toy, 1, "a", 5);
    let options = ServerOptions { connections_max: 2, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(toy.read_app(), options).await;
    let mut all = [ask(addr, LIVE).await, ask(addr, LIVE).await];
    for live in &mut all {
        until(live, "data: 5\n\n\r\n").await;
    }
    until(&mut ask(addr, "/healthz").await, "ok\n").await;
}

fn surface(toy: &Toy, queries: QueryDispatcher) -> Router {
    read_surface(ReadSurface {
        queries,
        read_models: factum::rebuild::ReadModels::default(),
        quarantine: Arc::new(factum::quarantine::Quarantine::new(None, factum::Runtime::tokio())),
        forks: Arc::default(),
        traffic: factum::service::Traffic::default(),
        health: toy.health.clone(),
        options: toy.options.clone(),
    })
}

/// What a counter stands at, at length.
#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "long", reads(Totals))]
struct Long {}

impl Answers for Long {
    type Answer = String;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<String, QueryError> {
        let total = TOTALS.get(read, &Key::from("a"))?.unwrap_or_default();
        Ok(total.to_string().repeat(100_000))
    }
}

#[tokio::test]
async fn who_never_reads_is_cut_and_makes_place() {
    let toy = Toy::new();
    stands_at(&toy, 1, "a", 100);
    let queries = QueryDispatcher::builder(Arc::clone(&toy.read_store), Arc::clone(&toy.watermarks));
    let queries = queries.answers::<Long>().live_interval(Duration::ZERO).build().unwrap();
    let app = surface(&toy, queries);
    let options = ServerOptions { head_timeout: SOON, idle_timeout: SOON * 4, ..ServerOptions::default() };
    let (addr, _stopper, _serving) = serve(app.clone(), options).await;
    let _deaf = ask(addr, "/queries/long/live").await;
    let open = async || {
        let page = send(&app, get("/metrics")).await;
        page.text().contains("factum_http_live_queries 1\n")
    };
    let cut = async {
        while !open().await {
            tokio::task::yield_now().await;
        }
        // Each time there is more to tell than before, until nobody takes it any more.
        for position in 2.. {
            stands_at(&toy, position, "a", 100 + u32::try_from(position % 800).unwrap());
            tokio::time::sleep(Duration::from_millis(2)).await;
            if !open().await {
                return;
            }
        }
    };
    timeout(PATIENCE, cut).await.expect("it is kept for ever");
}
