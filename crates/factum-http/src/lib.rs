//! HTTP surfaces of a [factum] service: its commands, its queries, and what operators look at.
//!
//! ```text
//! POST /commands/{name} ─► write surface ─► CommandDispatcher        one router and one listener each,
//! GET  /queries/{name}  ─► read surface  ─► QueryDispatcher          with limits and permissions of their own
//! ```
//!
//! Every registered command and query is mounted by itself. Every no is a [`Problem`] (RFC 9457) with a stable code.
//! Every resource a caller can hold has a named limit: [`SurfaceOptions`], [`ServerOptions`].
//!
//! It is not a framework for other routes (merge those of your own into the [`axum::Router`]s it returns), and it
//! ends no TLS: put a proxy in front of what leaves the machine.
#![forbid(unsafe_code)]

mod answers;
mod authenticate;
pub mod headers;
mod meter;
mod options;
pub mod problem;
mod server;
mod surface;

pub use authenticate::{Anonymous, Authenticate, Unauthenticated};
pub use options::{ServerOptions, SurfaceOptions};
pub use problem::Problem;
pub use server::{BindError, Bound, Drained, Server};
pub use surface::{CommandAnswer, LoopAnswer, ReadSurface, ReadyAnswer, WriteSurface, read_surface, write_surface};
