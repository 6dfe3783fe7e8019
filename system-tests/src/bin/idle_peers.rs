//! Peers that only hold on to connections: `idle_peers ADDRESS COUNT` opens them one after the other, asks for
//! `/healthz` on each, reads the answer, says `holding` on standard output, and keeps them until it is killed.
//!
//! A process of its own, so that a test has files left for itself.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// More than an answer to `/healthz` has.
const ANSWER_BYTES: usize = 1_024;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().context("an address")?.parse()?;
    let count: usize = arguments.next().context("a number of connections")?.parse()?;
    let peers = (0..count).map(|_| peer(address)).collect::<anyhow::Result<Vec<_>>>()?;
    println!("holding {}", peers.len());
    loop {
        std::thread::park();
    }
}

fn peer(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: bank\r\n\r\n")?;
    let mut answer = [0; ANSWER_BYTES];
    let read = stream.read(&mut answer)?;
    ensure!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    Ok(stream)
}
