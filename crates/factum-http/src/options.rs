//! Every limit of a surface and of its listener, by name.

use std::{fmt, sync::Arc, time::Duration};

use factum::Service;

use crate::authenticate::{Anonymous, Authenticate};

/// What `/openapi.json` says the surface is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The system and the service: `bank accounts`.
    pub title: String,
    /// The service's version: `0.1.0`.
    pub version: String,
}

impl About {
    /// What a service says about itself.
    pub fn service(service: &Service) -> Self {
        let title = format!("{} {}", service.system(), service.name());
        Self { title, version: service.version().to_owned() }
    }
}

/// Somebody's service, `service` at version `0.0.0`.
impl Default for About {
    fn default() -> Self {
        Self { title: "service".to_owned(), version: "0.0.0".to_owned() }
    }
}

/// The limits of a surface, and who may be asking. Cheap to clone.
///
/// ```
/// use factum_http::SurfaceOptions;
/// let options = SurfaceOptions { requests_max: 64, ..SurfaceOptions::default() };
/// assert_eq!(options.body_bytes_max, 1 << 20);
/// ```
#[derive(Clone)]
pub struct SurfaceOptions {
    /// The largest body of a command, in bytes; larger ones are answered 413. 1 MiB by default, as the event stores
    /// take no larger event.
    pub body_bytes_max: usize,
    /// The most bytes of bodies held at one time, over all requests of the surface; what comes beyond is answered
    /// 429. 64 MiB by default.
    pub bodies_bytes_max: usize,
    /// How long a body may take to arrive; slower ones are answered 408. 10 seconds by default.
    pub body_timeout: Duration,
    /// How long a command or query may take; slower ones are answered 503, and go on holding their place among
    /// [`SurfaceOptions::requests_max`] until they end. 10 seconds by default; longer than a query waits for a token.
    pub request_timeout: Duration,
    /// The most commands or queries worked on at one time; more are answered 429. 512 by default.
    pub requests_max: usize,
    /// The most live queries open at one time; more are answered 429. 256 by default. While more than half of all
    /// [`ServerOptions::connections_max`] are live queries, those, too, give way to newcomers.
    pub live_max: usize,
    /// How long a live query is silent before it sends a comment to show that it is alive. 15 seconds by default; less
    /// than [`ServerOptions::idle_timeout`], after which a connection on which nothing moves is cut.
    pub live_heartbeat: Duration,
    /// The longest path with query string, in bytes; longer ones are answered 414. 8 KiB by default.
    pub uri_bytes_max: usize,
    /// What the surface is of. [`About::default`] by default.
    pub about: About,
    /// Tells who asks, from a request's headers. Everybody is anonymous by default.
    pub authenticate: Arc<dyn Authenticate>,
}

impl Default for SurfaceOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            bodies_bytes_max: 64 << 20,
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            requests_max: 512,
            live_max: 256,
            live_heartbeat: Duration::from_secs(15),
            uri_bytes_max: 8 << 10,
            about: About::default(),
            authenticate: Arc::new(Anonymous),
        }
    }
}

impl fmt::Debug for SurfaceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SurfaceOptions")
            .field("body_bytes_max", &self.body_bytes_max)
            .field("bodies_bytes_max", &self.bodies_bytes_max)
            .field("body_timeout", &self.body_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("requests_max", &self.requests_max)
            .field("live_max", &self.live_max)
            .field("live_heartbeat", &self.live_heartbeat)
            .field("uri_bytes_max", &self.uri_bytes_max)
            .finish_non_exhaustive()
    }
}

/// The limits of a listener and its connections.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The most connections open at one time, and at most a quarter of the files the process may have open (see
    /// [`raise_open_files`](crate::raise_open_files)). When all places are taken, the connection on which nothing has
    /// moved for longest gives way to a newcomer; while a request is worked on for each, newcomers wait in the system's
    /// backlog. 4,096 by default.
    pub connections_max: usize,
    /// The largest head of a request, in bytes; larger ones are answered 431. 32 KiB by default. A connection's read
    /// buffer grows to about twice that at most, so that all of them together stay bounded.
    pub head_bytes_max: usize,
    /// How long a new connection may take to send the head of its first request; a slower one is answered 408, one that
    /// sends nothing is closed. 5 seconds by default.
    pub head_timeout: Duration,
    /// How long a connection is kept between an answer and the next request's whole head, and how long a peer may
    /// take none of an answer that waits for it (up to twice as long). 60 seconds by default; longer than
    /// [`SurfaceOptions::request_timeout`].
    pub idle_timeout: Duration,
    /// How long requests under way may take to end after the stop signal, before they are cut; also those whose callers
    /// have hung up. 10 seconds by default.
    pub drain_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            head_bytes_max: 32 << 10,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
