//! A service small enough to know by heart: counters that are raised up to a limit.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
};
use factum::{
    Aggregate, Answers, Command, Context, Delivery, Event, Events, Handle, InvalidField, Projection, ProjectionKey,
    Query, QueryError, Rejection, RejectionCode, RejectionKind,
    dispatch::CommandDispatcher,
    forks::Forks,
    principal::{Access, Denied},
    projections::{Feed, Watermarks},
    quarantine::Quarantine,
    query::QueryDispatcher,
    read::{Key, MemoryReadStore, ReadError, ReadSnapshot, ReadStore, ReadTransaction, Table},
    rebuild::ReadModels,
    receiver::DeadLetters,
    service::Health,
    store::{EventStore, MemoryStore},
};
use factum_http::{ProblemBody, ReadSurface, SurfaceOptions, WriteSurface, read_surface, write_surface};
use http::{HeaderMap, Request, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

/// No counter goes beyond this.
const TOTAL_MAX: u32 = 1_000;
/// Raising by this much is more than the handler can bear.
pub const UNBEARABLE: u32 = 13;
/// The actor who may do nothing.
pub const OUTCAST: &str = "outcast";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raised {
    by: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Clone, Debug, Event)]
pub enum CounterEvent {
    #[factum(name = "counter.raised")]
    Raised(Raised),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum CounterRejection {
    #[error("the counter would go beyond {TOTAL_MAX}")]
    TooHigh,
    #[error("there is no such counter")]
    NotFound,
}

impl Rejection for CounterRejection {
    const CODES: &'static [RejectionCode] =
        &[RejectionCode::rule("too-high"), RejectionCode::not_found("counter-not-found")];

    fn code(&self) -> &'static str {
        match self {
            Self::TooHigh => "too-high",
            Self::NotFound => "counter-not-found",
        }
    }

    fn kind(&self) -> RejectionKind {
        match self {
            Self::TooHigh => RejectionKind::Rule,
            Self::NotFound => RejectionKind::NotFound,
        }
    }
}

#[derive(Clone, Default)]
pub struct Counter {
    total: u32,
    exists: bool,
}

impl Aggregate for Counter {
    const CATEGORY: &'static str = "counter";
    type Id = Uuid;
    type Event = CounterEvent;
    type Rejection = CounterRejection;

    fn apply(&mut self, event: &CounterEvent) {
        match event {
            CounterEvent::Raised(raised) => {
                self.exists = true;
                self.total += raised.by;
            }
        }
    }
}

/// Raises a counter, which comes to be by being raised. By zero: there is nothing to do.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "raise", aggregate = Counter, id = counter_id, validate = Raise::check)]
pub struct Raise {
    #[serde(default)]
    counter_id: Option<Uuid>,
    by: u32,
    #[serde(default)]
    note: Option<String>,
}

impl Raise {
    fn check(&self) -> Result<(), InvalidField> {
        if self.by > 1_000_000 { Err(InvalidField::new("by", "write at most 1000000")) } else { Ok(()) }
    }
}

impl Handle<Raise> for Counter {
    fn handle(&self, command: &Raise, _: &Context) -> Result<Events<CounterEvent>, CounterRejection> {
        match command.by {
            0 => Ok(Events::none()),
            UNBEARABLE => panic!("the handler cannot bear {UNBEARABLE} and its secret"),
            by if self.total + by > TOTAL_MAX => Err(CounterRejection::TooHigh),
            by => Ok(Events::from(CounterEvent::from(Raised { by, note: command.note.clone() }))),
        }
    }
}

/// Raises a counter that is there already.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "raise-again", aggregate = Counter, id = counter_id)]
pub struct RaiseAgain {
    counter_id: Uuid,
}

impl Handle<RaiseAgain> for Counter {
    fn handle(&self, _: &RaiseAgain, _: &Context) -> Result<Events<CounterEvent>, CounterRejection> {
        if !self.exists {
            return Err(CounterRejection::NotFound);
        }
        Ok(Events::from(CounterEvent::from(Raised { by: 1, note: None })))
    }
}

#[derive(Default)]
pub struct Totals;

impl Projection for Totals {
    const NAME: &'static str = "totals";
    const VERSION: u32 = 1;
    type Event = CounterEvent;

    fn project(&self, _: &CounterEvent, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        Ok(())
    }
}

pub const TOTALS: Table<u32> = Table::of::<Totals>("totals");
pub const TOTALS_KEY: ProjectionKey = ProjectionKey::of::<Totals>();

/// What a counter stands at.
#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "total", reads(Totals))]
pub struct Total {
    counter: String,
    #[serde(default)]
    panic: bool,
    #[serde(default)]
    note: Option<String>,
}

impl Answers for Total {
    type Answer = u32;
    const NOT_FOUND: &'static [&'static str] = &["counter-not-found"];

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u32, QueryError> {
        assert!(!self.panic, "the query cannot bear its secret");
        if self.counter.is_empty() {
            return Err(InvalidField::new("counter", "name one").into());
        }
        let not_found = || QueryError::NotFound { code: "counter-not-found", message: "no such counter".into() };
        TOTALS.get(read, &Key::from(self.counter.as_str()))?.ok_or_else(not_found)
    }
}

/// The parts of the service a test takes hold of.
pub struct Toy {
    pub store: Arc<dyn EventStore>,
    pub read_store: Arc<dyn ReadStore>,
    pub watermarks: Arc<Watermarks>,
    pub health: Health,
    pub options: SurfaceOptions,
    pub token_wait: std::time::Duration,
}

impl Toy {
    pub fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()))
    }

    pub fn on(store: Arc<dyn EventStore>) -> Self {
        let watermarks = Arc::new(Watermarks::default());
        watermarks.track(TOTALS_KEY, Feed::OwnStore, Vec::new());
        Self {
            store,
            read_store: Arc::new(MemoryReadStore::new()),
            watermarks,
            health: Health::default(),
            options: SurfaceOptions::default(),
            token_wait: std::time::Duration::from_millis(20),
        }
    }

    /// Puts a total where the query finds it.
    pub fn set_total(&self, counter: &str, total: u32) {
        let epoch = self.read_store.claim(TOTALS_KEY).unwrap();
        let put = &mut |tx: &mut dyn ReadTransaction| TOTALS.put(tx, &Key::from(counter), &total);
        self.read_store.write(TOTALS_KEY, epoch, &[], put).unwrap();
    }

    pub fn write_app(&self) -> Router {
        let dispatcher = CommandDispatcher::builder(Arc::clone(&self.store))
            .handles::<Raise>()
            .handles::<RaiseAgain>()
            .authorize(all_but_the_outcast)
            .build()
            .unwrap();
        let (health, options) = (self.health.clone(), self.options.clone());
        let quarantine = Arc::new(Quarantine::new(Some(Arc::clone(&self.store)), factum::Runtime::tokio()));
        let dead_letters = Arc::new(DeadLetters::new(Some(Arc::clone(&self.store)), factum::Runtime::tokio()));
        let forks = Forks::new(Some(Arc::clone(&self.store)), None, factum::Runtime::tokio());
        write_surface(WriteSurface {
            commands: dispatcher,
            quarantine,
            dead_letters,
            forks: Arc::new(forks),
            traffic: factum::service::Traffic::default(),
            health,
            options,
        })
    }

    pub fn read_app(&self) -> Router {
        let dispatcher = QueryDispatcher::builder(Arc::clone(&self.read_store), Arc::clone(&self.watermarks))
            .answers::<Total>()
            .own_store(self.store.identity())
            .token_wait(self.token_wait)
            .authorize(all_but_the_outcast)
            .build()
            .unwrap();
        let (health, options) = (self.health.clone(), self.options.clone());
        let quarantine = Arc::new(Quarantine::new(Some(Arc::clone(&self.store)), factum::Runtime::tokio()));
        read_surface(ReadSurface {
            queries: dispatcher,
            read_models: ReadModels::default(),
            quarantine,
            forks: Arc::new(Forks::new(Some(Arc::clone(&self.store)), None, factum::Runtime::tokio())),
            traffic: factum::service::Traffic::default(),
            health,
            options,
        })
    }
}

fn all_but_the_outcast(access: Access<'_>) -> Result<(), Denied> {
    if access.principal.actor.as_str() == OUTCAST { Err(Denied) } else { Ok(()) }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem this answer is, after the checks that hold for every problem.
    pub fn problem(&self) -> ProblemBody {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: ProblemBody = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(problem.kind, "about:blank");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{problem:?}");
        problem
    }

    /// Status and code of the problem this answer is.
    pub fn refusal(&self) -> (u16, String) {
        let problem = self.problem();
        (problem.status, problem.code.into_owned())
    }
}

pub async fn send(app: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub fn with(mut request: Request<Body>, headers: &[(&'static str, &str)]) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// From an address, as the server tells it.
pub fn from(peer: &str, mut request: Request<Body>) -> Request<Body> {
    let peer: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// From the same machine.
pub fn near(request: Request<Body>) -> Request<Body> {
    from("127.0.0.1:5000", request)
}

pub fn raise(counter: Uuid, by: u32) -> Request<Body> {
    post("/commands/raise", json!({ "counter_id": counter, "by": by }).to_string())
}
