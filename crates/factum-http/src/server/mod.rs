//! A listener with limits on everything a peer can hold on to, and an orderly end.

mod connection;
mod last_words;
mod open_files;
mod owned;
mod places;
mod progress;
mod watched;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use factum::runtime::Stop;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

pub use self::open_files::raise_open_files;
use self::{places::Places, progress::Progress};
use crate::{options::ServerOptions, work::Work};

/// How long to wait after the system refused to hand over a connection, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long [`Server::bind_when_free`] waits for a port that is in use.
pub const PORT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it looks meanwhile.
const PORT_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Serves a surface on a socket: HTTP/1.1, with the peer's address for the routes as
/// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo).
///
/// ```
/// # use factum::runtime::Stopper;
/// # use factum_http::Server;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let bound = Server::bind("127.0.0.1:0".parse()?).await?;
/// println!("listening on {}", bound.local_addr());
/// let (stopper, stop) = Stopper::new();
/// let serving = tokio::spawn(bound.serve(axum::Router::new(), stop));
/// stopper.stop();
/// assert_eq!(serving.await?.cut, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Server;

/// A socket that is bound: from now on peers can connect, and are served once [`Bound::serve`] runs.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    local_addr: SocketAddr,
    options: ServerOptions,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("port {port} is in use: stop what uses it, or choose another")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The system says no.
    #[error("cannot listen on {addr}: {source}")]
    Refused {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How many connections had to be cut, because they did not end within [`ServerOptions::drain_timeout`].
    pub cut: usize,
    /// How many requests were still being worked on then, whether their callers were there or gone.
    pub left: usize,
}

impl Server {
    /// Binds an address. Port 0 takes any free one: see [`Bound::local_addr`].
    ///
    /// # Errors
    /// [`BindError`]: the port is in use, or the system refuses.
    pub async fn bind(addr: SocketAddr) -> Result<Bound, BindError> {
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::PortInUse { port: addr.port() },
            _ => BindError::Refused { addr, source },
        };
        let listener = TcpListener::bind(addr).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        Ok(Bound { listener, local_addr, options: ServerOptions::default() })
    }

    /// Binds an address as [`Server::bind`] does, and waits up to [`PORT_WAIT_MAX`] for whoever still listens there: a
    /// process whose place is taken over, and that is just ending.
    ///
    /// # Errors
    /// [`BindError`]: the port is in use all that time, or the system refuses.
    pub async fn bind_when_free(addr: SocketAddr) -> Result<Bound, BindError> {
        let until = Instant::now() + PORT_WAIT_MAX;
        loop {
            match Self::bind(addr).await {
                Err(BindError::PortInUse { .. }) if Instant::now() < until => sleep(PORT_LOOK_EVERY).await,
                bound => return bound,
            }
        }
    }
}

impl Bound {
    /// The address, with the port the system chose where none was named.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Sets the limits.
    #[must_use]
    pub fn options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// Serves until the stop signal: then takes no more connections, closes those without a request at once, lets
    /// requests under way end within [`ServerOptions::drain_timeout`], also those whose callers have hung up, and cuts
    /// what is left.
    pub async fn serve(self, router: Router, mut stop: Stop) -> Drained {
        let Self { listener, options, .. } = self;
        let places = Places::new(open_files::connections_max(options.connections_max));
        let surface = Arc::new(connection::Surface { router, options, work: Work::default() });
        let epoch = Instant::now();
        let mut connections = JoinSet::new();
        while let Some((stream, peer)) = stop.unless(accept(&listener, &places)).await {
            // What has ended is let go of, so that the set stays as small as the limit.
            while connections.try_join_next().is_some() {}
            let (surface, stop) = (Arc::clone(&surface), stop.clone());
            let progress = Arc::new(Progress::new(epoch));
            let place = places.take(Arc::clone(&progress));
            connections.spawn(async move {
                surface.serve(stream, peer, progress, stop).await;
                drop(place);
            });
        }
        drop(listener);
        drain(connections, &surface.work, surface.options.drain_timeout).await
    }
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr) {
    let accepted = loop {
        match listener.accept().await {
            Ok(accepted) => break accepted,
            // The peer changed its mind in the backlog: the next one need not wait for that.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take connections now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    places.free().await;
    accepted
}

async fn drain(mut connections: JoinSet<()>, work: &Work, limit: Duration) -> Drained {
    let until = Instant::now() + limit;
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout_at(until, all).await;
    while connections.try_join_next().is_some() {}
    let cut = connections.len();
    connections.shutdown().await;
    // Who hung up has left work behind: nothing of it is to meet a store that is closed.
    let ended = timeout_at(until, work.ended()).await.is_ok();
    let drained = Drained { cut, left: if ended { 0 } else { work.left() } };
    if drained != (Drained { cut: 0, left: 0 }) {
        tracing::warn!(cut, left = drained.left, "connections or the work for them did not end in time");
    }
    drained
}
