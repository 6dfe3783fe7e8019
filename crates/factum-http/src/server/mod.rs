//! A listener with limits on everything a peer can hold on to, and an orderly end.

mod connection;
mod owned;
mod progress;
mod watched;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use factum::runtime::Stop;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::options::ServerOptions;

/// How long to wait after the system refused to hand over a connection, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    /// requests under way end within [`ServerOptions::drain_timeout`], and cuts what is left.
    pub async fn serve(self, router: Router, mut stop: Stop) -> Drained {
        let Self { listener, options, .. } = self;
        let places = Arc::new(Semaphore::new(options.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
        let options = Arc::new(options);
        let mut connections = JoinSet::new();
        while let Some(Some((stream, peer, place))) = stop.unless(accept(&listener, &places)).await {
            // What has ended is let go of, so that the set stays as small as the limit.
            while connections.try_join_next().is_some() {}
            let (router, options, stop) = (router.clone(), Arc::clone(&options), stop.clone());
            connections.spawn(async move {
                connection::serve(stream, peer, router, &options, stop).await;
                drop(place);
            });
        }
        drop(listener);
        drain(connections, options.drain_timeout).await
    }
}

/// The next connection, once there is a place for it; `None` never happens while the places are open.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, place)),
            // The peer changed its mind in the backlog: the next one need not wait for that.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take connections now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn drain(mut connections: JoinSet<()>, limit: Duration) -> Drained {
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(limit, all).await.is_ok() {
        return Drained { cut: 0 };
    }
    while connections.try_join_next().is_some() {}
    let cut = connections.len();
    tracing::warn!(cut, "connections did not end in time and are cut");
    connections.shutdown().await;
    Drained { cut }
}
