//! A way to the broker that can be cut, slowed down and darkened.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// How much is passed on at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// They pass.
    Fair,
    /// Each chunk comes so much later.
    Slow(Duration),
    /// They are cut, and so are new ones.
    Dark,
}

/// Passes connections on to one address; ends with its owner.
#[derive(Debug)]
pub struct Proxy {
    at: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Raised to cut what is open.
    cuts: watch::Sender<u64>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Listens on a free port of this machine, for connections to `port` on it.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("a port for a proxy")?;
        let at = listener.local_addr()?;
        let (weather, _) = watch::channel(Weather::Fair);
        let (cuts, _) = watch::channel(0);
        let (skies, knives) = (weather.clone(), cuts.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((caller, _)) = listener.accept().await else { continue };
                if *skies.borrow() == Weather::Dark {
                    continue;
                }
                tokio::spawn(pass_on(caller, port, skies.subscribe(), knives.subscribe()));
            }
        });
        Ok(Self { at, weather, cuts, accepting: accepting.abort_handle() })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// Cuts every connection that is open; new ones pass.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Changes what becomes of connections from now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
        if weather == Weather::Dark {
            self.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn pass_on(caller: TcpStream, port: u16, weather: watch::Receiver<Weather>, mut cuts: watch::Receiver<u64>) {
    let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    // What is cut at random should not lie in buffers first.
    let _ = (caller.set_nodelay(true), broker.set_nodelay(true));
    let weather = Arc::new(weather);
    let (caller, broker) = (caller.into_split(), broker.into_split());
    tokio::select! {
        biased;
        _ = cuts.changed() => {}
        () = pump(caller.0, broker.1, Arc::clone(&weather)) => {}
        () = pump(broker.0, caller.1, weather) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    weather: Arc<watch::Receiver<Weather>>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        let now = *weather.borrow();
        if let Weather::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each line with itself.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = caller.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        port
    }

    async fn says(connection: &mut TcpStream) -> std::io::Result<()> {
        let mut heard = [0; 5];
        connection.write_all(b"hello").await?;
        connection.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"hello");
        Ok(())
    }

    #[tokio::test]
    async fn a_connection_passes_until_it_is_cut_and_none_passes_in_the_dark() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let connect = || TcpStream::connect(proxy.at);
        let mut first = connect().await.unwrap();
        says(&mut first).await.unwrap();
        proxy.cut();
        assert!(says(&mut first).await.is_err(), "it was cut");
        let mut second = connect().await.unwrap();
        says(&mut second).await.unwrap();
        proxy.set(Weather::Dark);
        assert!(says(&mut second).await.is_err(), "the dark cuts what is open");
        assert!(says(&mut connect().await.unwrap()).await.is_err(), "and what comes");
        proxy.set(Weather::Slow(Duration::from_millis(20)));
        let begun = std::time::Instant::now();
        says(&mut connect().await.unwrap()).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(40), "there and back");
    }
}
