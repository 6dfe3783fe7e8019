//! Whether a broker answers: one request of Kafka's protocol, so that this crate needs no client of it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

/// How long a broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The most bytes of an answer that are taken.
const ANSWER_BYTES_MAX: u32 = 1 << 20;
/// A request for metadata of no topic: the length of what follows, the request's kind (3) and version (1), its number (1), no
/// name of a client, and no topics (<https://kafka.apache.org/protocol>).
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];

/// Whether a broker answers at `host:port`, as one that serves clients.
pub fn answers(bootstrap: &str) -> bool {
    let Ok(mut addresses) = bootstrap.to_socket_addrs() else { return false };
    addresses.any(|address| brokers(address).is_ok_and(|brokers| brokers > 0))
}

/// How many brokers it knows.
fn brokers(address: SocketAddr) -> io::Result<u32> {
    let mut connection = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    connection.set_read_timeout(Some(ANSWER_MAX))?;
    connection.write_all(&REQUEST)?;
    let length = number(&mut connection)?;
    if !(8..=ANSWER_BYTES_MAX).contains(&length) {
        return Err(io::Error::other("no answer of a broker"));
    }
    let _request = number(&mut connection)?;
    number(&mut connection)
}

fn number(connection: &mut TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    connection.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
