//! The two surfaces of a service: one to write to, one to read from. They are separate routers for separate
//! listeners, so that each can be given permissions and a network of its own.

mod admin;
mod attended;
mod body;
mod commands;
mod dead_letters;
mod forks;
mod gate;
mod health;
mod live;
mod observe;
mod operators;
mod parked;
mod quarantine;
mod queries;
mod read_models;
mod traffic;
mod trouble;

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use factum::{
    Service,
    contract::pretty,
    dispatch::CommandDispatcher,
    forks::Forks,
    quarantine::Quarantine,
    query::QueryDispatcher,
    rebuild::ReadModels,
    receiver::DeadLetters,
    service::{Health, Traffic},
    store::EventStore,
};
use http::{Uri, header};
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use admin::{EVENTS_DEFAULT, EVENTS_MAX};
pub use commands::CommandAnswer;
pub(crate) use dead_letters::{AcknowledgeBody, LETTERS_DEFAULT, LETTERS_MAX};
pub use dead_letters::{AcknowledgedAnswer, DeadLetterAnswer, DeadLettersAnswer};
pub(crate) use forks::AcceptBody;
pub use forks::{AcceptedForkAnswer, AcceptedForksAnswer, ForkAnswer, ForksAnswer, HeardAnswer, HeardMessageAnswer};
pub use health::{LoopAnswer, ReadyAnswer};
pub use parked::{
    HandledAnswer, ParkedAnswer, ParkedKeyAnswer, ParkedMessageAnswer, ParkedMessagesAnswer, QuarantineAnswer,
    RetriedKeyAnswer, RetriedKeysAnswer,
};
pub(crate) use quarantine::{DiscardBody, PARKED_DEFAULT, PARKED_MAX, RetryAllBody, RetryBody};
pub use read_models::{DoneAnswer, GenerationAnswer, ProgressAnswer, ReadModelAnswer, ReadModelsAnswer};

pub(crate) use traffic::RewindBody;
pub use traffic::{
    AlarmAnswer, ConsumerAnswer, ConsumersAnswer, LaneAnswer, PartitionAnswer, RelayAnswer, RelaysAnswer,
    RewoundAnswer, TopicAnswer, TopicsAnswer, WatermarkAnswer,
};

use self::{gate::Gate, trouble::Trouble};
use crate::{
    code::Code,
    meter::Meter,
    openapi,
    options::{About, SurfaceOptions},
    problem::Problem,
};

/// What a write surface is made of.
#[derive(Clone)]
pub struct WriteSurface {
    /// Where its commands go; every registered one is mounted.
    pub commands: CommandDispatcher,
    /// What `/admin/quarantine` shows and decides about.
    pub quarantine: Arc<Quarantine>,
    /// What `/admin/dead-letters` shows and acknowledges.
    pub dead_letters: Arc<DeadLetters>,
    /// What `/admin/forks` shows and decides about.
    pub forks: Arc<Forks>,
    /// What `/admin/relays`, `/admin/consumers` and `/admin/topics` show and decide about.
    pub traffic: Traffic,
    /// What `/readyz` and `/metrics` show.
    pub health: Health,
    /// Its limits.
    pub options: SurfaceOptions,
}

impl WriteSurface {
    /// Of a service, with the usual options, named after it.
    ///
    /// # Panics
    /// The service handles no command.
    pub fn of(service: &Service) -> Self {
        let options = SurfaceOptions { about: About::service(service), ..SurfaceOptions::default() };
        let (commands, quarantine) = (service.commands().clone(), Arc::clone(service.quarantine()));
        let (dead_letters, health) = (Arc::clone(service.dead_letters()), service.health().clone());
        let (forks, traffic) = (Arc::clone(service.forks()), service.traffic().clone());
        Self { commands, quarantine, dead_letters, forks, traffic, health, options }
    }
}

/// What a read surface is made of.
#[derive(Clone)]
pub struct ReadSurface {
    /// Where its queries go; every registered one is mounted.
    pub queries: QueryDispatcher,
    /// What `/admin/read-models` shows and rebuilds.
    pub read_models: ReadModels,
    /// What `/admin/quarantine` shows and decides about.
    pub quarantine: Arc<Quarantine>,
    /// What `/admin/forks` shows and decides about.
    pub forks: Arc<Forks>,
    /// What `/admin/relays`, `/admin/consumers` and `/admin/topics` show and decide about.
    pub traffic: Traffic,
    /// What `/readyz` and `/metrics` show.
    pub health: Health,
    /// Its limits.
    pub options: SurfaceOptions,
}

impl ReadSurface {
    /// Of a service, with the usual options, named after it.
    ///
    /// # Panics
    /// The service answers no query.
    pub fn of(service: &Service) -> Self {
        let options = SurfaceOptions { about: About::service(service), ..SurfaceOptions::default() };
        let (queries, read_models) = (service.queries().clone(), service.read_models().clone());
        let (quarantine, forks) = (Arc::clone(service.quarantine()), Arc::clone(service.forks()));
        let (traffic, health) = (service.traffic().clone(), service.health().clone());
        Self { queries, read_models, quarantine, forks, traffic, health, options }
    }
}

/// The write surface of a service: `POST /commands/{name}` for every registered command, `/admin/events`,
/// `/admin/quarantine`, `/admin/dead-letters` and `/admin/forks` for callers on the same machine, and `/healthz`, `/readyz`, `/metrics`,
/// `/openapi.json`.
pub fn write_surface(surface: WriteSurface) -> Router {
    let WriteSurface { commands, quarantine, dead_letters, forks, traffic, health, options } = surface;
    let infos = commands.commands();
    let names = infos.iter().map(|command| command.name).collect();
    let document = openapi::of_commands(&options.about, &infos);
    let store = Some(Arc::clone(commands.store()));
    let shared = Arc::new(Shared::new("write", COMMANDS, names, health, options, store));
    let letters = Router::new()
        .route("/admin/dead-letters", get(dead_letters::list))
        .route("/admin/dead-letters/acknowledge", post(dead_letters::acknowledge))
        .with_state(dead_letters::Admin { shared: Arc::clone(&shared), dead_letters });
    let routes = Router::new()
        .route("/commands/{name}", post(commands::command))
        .with_state(commands::Commands { shared: Arc::clone(&shared), dispatcher: commands })
        .route("/admin/events", get(admin::events).with_state(Arc::clone(&shared)))
        .merge(letters)
        .merge(parked(&shared, quarantine))
        .merge(forked(&shared, forks))
        .merge(carried(&shared, traffic));
    mounted(routes, shared, &document)
}

/// The read surface of a service: `GET /queries/{name}` and `GET /queries/{name}/live` for every registered query,
/// `/admin/read-models`, `/admin/quarantine` and `/admin/forks` for callers on the same machine, and `/healthz`, `/readyz`,
/// `/metrics`, `/openapi.json`.
pub fn read_surface(surface: ReadSurface) -> Router {
    let ReadSurface { queries, read_models, quarantine, forks, traffic, health, options } = surface;
    let infos = queries.queries();
    let names = infos.iter().map(|query| query.name).collect();
    let document = openapi::of_queries(&options.about, &infos);
    let shared = Shared::new("read", QUERIES, names, health, options, None);
    let shared = Arc::new(Shared { read_models, ..shared });
    let admin = Router::new()
        .route("/admin/read-models", get(read_models::list))
        .route("/admin/read-models/{operation}", post(read_models::begin))
        .with_state(read_models::Admin { shared: Arc::clone(&shared) });
    let routes = Router::new()
        .route("/queries/{name}", get(queries::query))
        .route("/queries/{name}/live", get(live::live))
        .with_state(queries::Queries { shared: Arc::clone(&shared), dispatcher: queries })
        .merge(admin)
        .merge(parked(&shared, quarantine))
        .merge(forked(&shared, forks))
        .merge(carried(&shared, traffic));
    mounted(routes, shared, &document)
}

/// What is parked, on either surface: projections are behind queries, process managers and reactors behind commands.
fn parked(shared: &Arc<Shared>, quarantine: Arc<Quarantine>) -> Router {
    Router::new()
        .route("/admin/quarantine", get(quarantine::list))
        .route("/admin/quarantine/messages", get(quarantine::show))
        .route("/admin/quarantine/retry", post(quarantine::retry))
        .route("/admin/quarantine/retry-all", post(quarantine::retry_all))
        .route("/admin/quarantine/discard", post(quarantine::discard))
        .with_state(quarantine::Admin { shared: Arc::clone(shared), quarantine })
}

/// Who stands at a fork, on either surface: a service that answers queries only may have reactors and process managers.
fn forked(shared: &Arc<Shared>, forks: Arc<Forks>) -> Router {
    Router::new()
        .route("/admin/forks", get(forks::list))
        .route("/admin/forks/accept", post(forks::accept))
        .with_state(forks::Admin { shared: Arc::clone(shared), forks })
}

/// What goes over the bus, on either surface: services that answer queries hear topics, those that take commands publish.
fn carried(shared: &Arc<Shared>, traffic: Traffic) -> Router {
    Router::new()
        .route("/admin/relays", get(traffic::relays))
        .route("/admin/relays/rewind", post(traffic::rewind))
        .route("/admin/consumers", get(traffic::consumers))
        .route("/admin/topics", get(traffic::topics))
        .with_state(traffic::Admin { shared: Arc::clone(shared), traffic })
}

/// What stands before the name of a command in a path.
const COMMANDS: &str = "/commands/";
/// What stands before the name of a query in a path.
const QUERIES: &str = "/queries/";

/// What every route of a surface shares.
struct Shared {
    surface: &'static str,
    prefix: &'static str,
    names: BTreeSet<&'static str>,
    health: Health,
    gate: Gate,
    meter: Meter,
    trouble: Trouble,
    options: SurfaceOptions,
    store: Option<Arc<dyn EventStore>>,
    read_models: ReadModels,
}

impl Shared {
    fn new(
        surface: &'static str,
        prefix: &'static str,
        names: BTreeSet<&'static str>,
        health: Health,
        options: SurfaceOptions,
        store: Option<Arc<dyn EventStore>>,
    ) -> Self {
        let gate = Gate::new(&options);
        Self {
            surface,
            prefix,
            names,
            health,
            gate,
            meter: Meter::default(),
            trouble: Trouble::default(),
            options,
            store,
            read_models: ReadModels::default(),
        }
    }

    /// What a request to this path is called in logs and metrics: never what the caller wrote.
    fn name_of(&self, path: &str) -> &'static str {
        match path {
            "/healthz" => "healthz",
            "/readyz" => "readyz",
            "/metrics" => "metrics",
            "/openapi.json" => "openapi",
            "/admin/events" if self.store.is_some() => "admin-events",
            "/admin/consumers" => "admin-consumers",
            "/admin/topics" => "admin-topics",
            _ if path.starts_with("/admin/relays") => "admin-relays",
            _ if path.starts_with("/admin/dead-letters") => "admin-dead-letters",
            _ if path.starts_with("/admin/forks") => "admin-forks",
            _ if path.starts_with("/admin/quarantine") => "admin-quarantine",
            _ if path.starts_with("/admin/read-models") => "admin-read-models",
            _ => match path.strip_prefix(self.prefix) {
                Some(name) => match name.strip_suffix("/live") {
                    Some(name) if self.names.contains(name) => "live",
                    _ => self.names.get(name).copied().unwrap_or("unknown"),
                },
                None => "other",
            },
        }
    }
}

/// Adds what every surface has, and puts the layers around it.
fn mounted(routes: Router, shared: Arc<Shared>, document: &Value) -> Router {
    // Written once: it does not change as long as the service runs.
    let document = Bytes::from(pretty(document));
    routes
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready).with_state(Arc::clone(&shared)))
        .route("/metrics", get(health::metrics).with_state(Arc::clone(&shared)))
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], document.clone())))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(from_fn_with_state(shared, observe::observe))
}

async fn not_found(uri: Uri) -> Problem {
    // Whoever reaches this with a command or query has the other surface's address, or a path that goes on.
    let hint = match uri.path() {
        path if path.starts_with(COMMANDS) => {
            "commands are taken at POST /commands/{name} on the service's write surface"
        }
        path if path.starts_with(QUERIES) => {
            "queries are answered at GET /queries/{name}, or GET /queries/{name}/live, on the service's read surface"
        }
        _ => "there is nothing at this path: GET /openapi.json lists what there is",
    };
    Problem::of(Code::NotFound, hint)
}

async fn method_not_allowed() -> Problem {
    let detail = "this path does not take this method: the Allow header names those it does";
    Problem::of(Code::MethodNotAllowed, detail)
}
