//! What is asked of a broker in Kafka's own protocol (<https://kafka.apache.org/protocol>): a handful of small requests, so
//! that this crate needs no client of it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

/// How long a broker may take to answer what it needs no time for.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long it may take to do something.
const DONE_MAX: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are taken.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The kind and version of each request; none of these versions has tagged fields.
const METADATA: (i16, i16) = (3, 1);
const DELETE_TOPICS: (i16, i16) = (20, 1);
const DELETE_RECORDS: (i16, i16) = (21, 1);
/// What an answer says for "done".
const NO_ERROR: i16 = 0;

/// Whether a broker answers at `host:port`, as one that serves clients.
pub fn answers(bootstrap: &str) -> bool {
    let Ok(mut addresses) = bootstrap.to_socket_addrs() else { return false };
    addresses.any(|address| brokers(address).is_ok_and(|brokers| brokers > 0))
}

/// How many brokers it knows.
fn brokers(address: SocketAddr) -> io::Result<i32> {
    let no_topic = Request::new(METADATA).number(0);
    no_topic.ask(address, ANSWER_MAX)?.number()
}

/// Deletes a topic with all that it holds.
pub(super) fn delete_topic(address: SocketAddr, topic: &str) -> io::Result<()> {
    let request = Request::new(DELETE_TOPICS).number(1).text(topic).number(millis(DONE_MAX));
    let mut answer = request.ask(address, ANSWER_MAX + DONE_MAX)?;
    let (_throttled, _topics, _name) = (answer.number()?, answer.number()?, answer.text()?);
    answer.done()
}

/// Deletes the records of a partition before an offset, as retention does.
pub(super) fn delete_records(address: SocketAddr, topic: &str, partition: i32, before: i64) -> io::Result<()> {
    let request = Request::new(DELETE_RECORDS).number(1).text(topic);
    let request = request.number(1).number(partition).long(before).number(millis(DONE_MAX));
    let mut answer = request.ask(address, ANSWER_MAX + DONE_MAX)?;
    let (_throttled, _topics, _name) = (answer.number()?, answer.number()?, answer.text()?);
    let (_partitions, _partition, _begins) = (answer.number()?, answer.number()?, answer.long()?);
    answer.done()
}

fn millis(duration: Duration) -> i32 {
    duration.as_millis().try_into().unwrap_or(i32::MAX)
}

/// A request on its way to being whole.
struct Request(Vec<u8>);

impl Request {
    fn new((kind, version): (i16, i16)) -> Self {
        let (request, nameless) = (1_i32, -1_i16);
        let mut bytes = Vec::new();
        bytes.extend(kind.to_be_bytes());
        bytes.extend(version.to_be_bytes());
        bytes.extend(request.to_be_bytes());
        bytes.extend(nameless.to_be_bytes());
        Self(bytes)
    }

    fn number(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn long(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        // The names of topics are short; one that is not is cut, and unknown.
        let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
        self.0.extend(length.to_be_bytes());
        self.0.extend(&text.as_bytes()[..length.unsigned_abs().into()]);
        self
    }

    fn ask(self, address: SocketAddr, limit: Duration) -> io::Result<Answer> {
        let mut connection = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        connection.set_read_timeout(Some(limit))?;
        let length = u32::try_from(self.0.len()).map_err(io::Error::other)?;
        connection.write_all(&[&length.to_be_bytes(), &self.0[..]].concat())?;
        let mut length = [0; 4];
        connection.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_BYTES_MAX {
            return Err(io::Error::other("no answer of a broker"));
        }
        let mut bytes = vec![0; length];
        connection.read_exact(&mut bytes)?;
        let mut answer = Answer { bytes, read: 0 };
        let _request = answer.number()?;
        Ok(answer)
    }
}

/// An answer, as far as it was read.
struct Answer {
    bytes: Vec<u8>,
    read: usize,
}

impl Answer {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.bytes[self.read..].first_chunk().copied().ok_or_else(too_short)?;
        self.read += N;
        Ok(bytes)
    }

    fn short(&mut self) -> io::Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn number(&mut self) -> io::Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> io::Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Passes over a text.
    fn text(&mut self) -> io::Result<()> {
        let length = usize::try_from(self.short()?).map_err(io::Error::other)?;
        self.read += length;
        if self.read > self.bytes.len() { Err(too_short()) } else { Ok(()) }
    }

    /// The error code that comes next is none.
    fn done(&mut self) -> io::Result<()> {
        match self.short()? {
            NO_ERROR => Ok(()),
            code => Err(io::Error::other(format!("the broker refuses: error code {code}"))),
        }
    }
}

fn too_short() -> io::Error {
    io::Error::other("the broker's answer is too short")
}
