//! `GET /admin/events`: the log itself, for operators and tools on the same machine.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use factum::{
    CommandId, EventId, Timestamp,
    store::{Direction, EventStore, Metadata, Position, RecordedEvent, Selection},
};
use http::{HeaderMap, HeaderName, header, uri::Authority};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Shared,
    operators::{Peer, nobody_else},
};
use crate::{answers::store_unavailable, code::Code, problem::Problem, work::Work};

/// The most events one answer holds.
pub(crate) const EVENTS_MAX: usize = 1_000;
/// How many events an answer holds unless told otherwise.
pub(crate) const EVENTS_DEFAULT: usize = 100;
/// How many events are read at one time: what a large answer holds in memory beside itself.
const READ_EVENTS_MAX: usize = 64;
/// An answer ends after the line that takes it beyond this, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What proxies add to the requests they pass on.
const PROXIED: [HeaderName; 3] =
    [header::FORWARDED, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// A line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    stream: &'a str,
    version: u64,
    #[serde(rename = "type")]
    name: &'a str,
    data: Box<RawValue>,
    metadata: LineMetadata<'a>,
}

#[derive(Serialize)]
struct LineMetadata<'a> {
    event_id: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<CommandId>,
    #[serde(flatten)]
    metadata: &'a Metadata,
    recorded_at: Timestamp,
    schema: u32,
}

/// Events in order of position, a line each. A short answer is not the end: an empty one is.
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    peer: Peer,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Response, Problem> {
    nobody_else("the log is shown", peer, &headers)?;
    let page = Page::parse(parameters.as_deref().unwrap_or_default())?;
    let Some(store) = shared.store.clone() else { return Err(Problem::internal()) };
    let lines = shared.gate.run(owner, "ask again", async move { lines(store.as_ref(), page).await }).await??;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

/// Whether a request was made on this machine, for this machine.
pub(super) fn is_local(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    // Without a known peer there is no telling where a request comes from.
    let near = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    // A proxy on this machine is near, whoever it asks for is not.
    let proxied = PROXIED.iter().any(|name| headers.contains_key(name));
    // A browser on this machine sends the name it was told to resolve: a foreign one that resolves to here is a
    // page that wants to read what it must not (DNS rebinding).
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    // A page from elsewhere, in a browser on this machine, may ask anything here unseen: it must not begin anything. What
    // has no origin, as a file, is from elsewhere, too.
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    near && !proxied && host.is_none_or(names_loopback) && origin.is_none_or(is_page_of_loopback)
}

fn is_page_of_loopback(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, host)| names_loopback(host))
}

fn names_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

struct Page {
    after: Position,
    limit: usize,
}

impl Page {
    fn parse(parameters: &str) -> Result<Self, Problem> {
        let (mut after, mut limit) = (None, None);
        for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
            let slot = match name.as_ref() {
                "after" => &mut after,
                "limit" => &mut limit,
                _ => {
                    let detail = "is not known here: after and limit are";
                    return Err(Problem::of(Code::UnknownField, detail).field(name));
                }
            };
            let number = value.parse::<u64>().map_err(|_| Problem::invalid(&name, "write a whole number from 0 on"))?;
            if slot.replace(number).is_some() {
                return Err(Problem::invalid(&name, "is given more than once"));
            }
        }
        let limit = limit.unwrap_or(EVENTS_DEFAULT as u64);
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=EVENTS_MAX).contains(limit));
        let limit = limit.ok_or_else(|| Problem::invalid("limit", "write a number from 1 to 1000"))?;
        Ok(Self { after: Position::new(after.unwrap_or(0)), limit })
    }
}

async fn lines(store: &dyn EventStore, page: Page) -> Result<Vec<u8>, Problem> {
    let selection = Selection::everything();
    let (mut after, mut left) = (page.after, page.limit);
    let mut lines = Vec::new();
    while left > 0 && lines.len() < ANSWER_BYTES_MAX {
        let count = left.min(READ_EVENTS_MAX);
        let read = store.read(&selection, after, Direction::Forward, count).await;
        let batch = read.map_err(|error| {
            tracing::warn!(%error, "events cannot be listed");
            store_unavailable(&error)
        })?;
        for event in batch.events.iter().take(count) {
            write_line(event, &mut lines)?;
            if lines.len() >= ANSWER_BYTES_MAX {
                break;
            }
        }
        if batch.end || batch.events.is_empty() {
            break;
        }
        left = left.saturating_sub(batch.events.len());
        after = batch.read_to;
    }
    Ok(lines)
}

fn write_line(event: &RecordedEvent, lines: &mut Vec<u8>) -> Result<(), Problem> {
    let unreadable = |error: serde_json::Error| {
        tracing::error!(position = %event.position, %error, "an event's document cannot be shown");
        Problem::damaged()
    };
    let line = Line {
        position: event.position.get(),
        stream: event.stream.as_str(),
        version: event.version.get(),
        name: &event.name,
        data: document(&event.data).map_err(unreadable)?,
        metadata: LineMetadata {
            event_id: event.id,
            command_id: event.command_id,
            metadata: &event.metadata,
            recorded_at: event.recorded_at,
            schema: event.schema,
        },
    };
    serde_json::to_writer(&mut *lines, &line).map_err(unreadable)?;
    lines.push(b'\n');
    Ok(())
}

/// An event's document as it is stored, digit by digit, on one line; as a JSON string when it is no JSON.
fn document(data: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let text = String::from_utf8_lossy(data);
    // Line breaks in a JSON document are white space, or escaped.
    match RawValue::from_string(text.replace(['\n', '\r'], " ")) {
        Ok(document) => Ok(document),
        Err(_) => serde_json::value::to_raw_value(&text),
    }
}
