//! HTTP surfaces of a [factum] service: its commands, its queries, and what operators look at.
//!
//! ```text
//! POST /commands/{name} ─► write surface ─► CommandDispatcher        one router and one listener each,
//! GET  /queries/{name}  ─► read surface  ─► QueryDispatcher          with limits and permissions of their own
//! ```
//!
//! Every registered command and query is mounted by itself, and described by itself at `GET /openapi.json`. Every no is a [`Problem`] (RFC 9457) with a stable code.
//! Every resource a caller can hold has a named limit: [`SurfaceOptions`], [`ServerOptions`].
//!
//! ```
//! # use factum::{Aggregate, Command, Context, Event, Events, Handle, Rejection, dispatch::CommandDispatcher};
//! # use factum::{Runtime, quarantine::Quarantine, runtime::Stopper, service::{Health, Traffic}};
//! # use factum::store::{EventStore, MemoryStore};
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//! # use std::sync::Arc;
//! # #[derive(Clone, Serialize, Deserialize)]
//! # struct Raised {}
//! # #[derive(Clone, Event)]
//! # enum CounterEvent {
//! #     #[factum(name = "counter.raised")]
//! #     Raised(Raised),
//! # }
//! # #[derive(Debug, thiserror::Error)]
//! # #[error("no")]
//! # struct No;
//! # impl Rejection for No {
//! #     fn code(&self) -> &'static str { "no" }
//! # }
//! # #[derive(Clone, Default)]
//! # struct Counter;
//! # impl Aggregate for Counter {
//! #     const CATEGORY: &'static str = "counter";
//! #     type Id = uuid::Uuid;
//! #     type Event = CounterEvent;
//! #     type Rejection = No;
//! #     fn apply(&mut self, event: &CounterEvent) { match event { CounterEvent::Raised(_) => {} } }
//! # }
//! # #[derive(Serialize, Deserialize, JsonSchema, Command)]
//! # #[factum(name = "raise", aggregate = Counter, id = counter_id)]
//! # struct Raise { counter_id: Option<uuid::Uuid> }
//! # impl Handle<Raise> for Counter {
//! #     fn handle(&self, _: &Raise, _: &Context) -> Result<Events<CounterEvent>, No> {
//! #         Ok(Events::from(CounterEvent::from(Raised {})))
//! #     }
//! # }
//! use factum_http::{Server, SurfaceOptions, WriteSurface, write_surface};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
//! let commands = CommandDispatcher::builder(store.clone()).handles::<Raise>().build()?;
//! let quarantine = Arc::new(Quarantine::new(Some(store), Runtime::tokio()));
//! let (dead_letters, health, options) = (Arc::default(), Health::default(), SurfaceOptions::default());
//! let (forks, traffic) = (Arc::default(), Traffic::default());
//! let app = write_surface(WriteSurface { commands, quarantine, dead_letters, forks, traffic, health, options });
//!
//! let bound = Server::bind("127.0.0.1:0".parse()?).await?;
//! println!("try: curl --json '{{}}' http://{}/commands/raise", bound.local_addr());
//! let (stopper, stop) = Stopper::new();
//! let serving = tokio::spawn(bound.serve(app, stop));
//! stopper.stop();
//! serving.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! It is not a framework for other routes (merge those of your own into the [`axum::Router`]s it returns), and it
//! ends no TLS: put a proxy in front of what leaves the machine.
#![forbid(unsafe_code)]

mod answers;
mod authenticate;
mod code;
pub mod headers;
mod meter;
mod openapi;
pub mod operator;
mod options;
pub mod problem;
mod server;
mod surface;
mod work;

pub use authenticate::{Anonymous, Authenticate, Unauthenticated};
pub use code::Code;
pub use options::{About, ServerOptions, SurfaceOptions};
pub use problem::{Problem, ProblemBody};
pub use server::{BindError, Bound, Drained, PORT_WAIT_MAX, Server, raise_open_files};
pub use surface::{
    AcceptedForkAnswer, AcceptedForksAnswer, AcknowledgedAnswer, AlarmAnswer, CommandAnswer, ConsumerAnswer,
    ConsumersAnswer, DeadLetterAnswer, DeadLettersAnswer, DoneAnswer, ForkAnswer, ForksAnswer, GenerationAnswer,
    HandledAnswer, HeardAnswer, HeardMessageAnswer, LaneAnswer, LoopAnswer, ParkedAnswer, ParkedKeyAnswer,
    ParkedMessageAnswer, ParkedMessagesAnswer, PartitionAnswer, ProgressAnswer, QuarantineAnswer, ReadModelAnswer,
    ReadModelsAnswer, ReadSurface, ReadyAnswer, RelayAnswer, RelaysAnswer, RetriedKeyAnswer, RetriedKeysAnswer,
    RewoundAnswer, TopicAnswer, TopicsAnswer, WatermarkAnswer, WriteSurface, read_surface, write_surface,
};
