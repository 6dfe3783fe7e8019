//! The headers factum gives a meaning to. Each is taken once and well-formed, or the request is refused.

use factum::{
    CorrelationId,
    input::hyphenated_uuid,
    query::Moment,
    store::{ExpectedVersion, Version},
    token::Token,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{code::Code, problem::Problem};

/// The caller's own key for a command, by which a repeat is recognised: 1 to [`IDEMPOTENCY_KEY_BYTES_MAX`] visible
/// ASCII characters.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer to a command: what a query can wait for.
pub const FACTUM_TOKEN: HeaderName = HeaderName::from_static("factum-token");
/// On a query: the token of what must be visible.
pub const FACTUM_AT_LEAST: HeaderName = HeaderName::from_static("factum-at-least");
/// On a live query: the `id` of the last event that was seen (HTML, server-sent events).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The UUID that ties together everything one outside request leads to; echoed.
pub const FACTUM_CORRELATION_ID: HeaderName = HeaderName::from_static("factum-correlation-id");

/// The longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// The value of a header that may come once; `field` is its name as people write it.
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName, field: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Problem::invalid(field, "the header came more than once: send it once")),
        None => Ok(first),
    }
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    const FIELD: &str = "Idempotency-Key";
    let Some(value) = once(headers, &IDEMPOTENCY_KEY, FIELD)? else { return Ok(None) };
    let bytes = value.as_bytes();
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if fits => Ok(Some(key.to_owned())),
        _ => Err(Problem::invalid(FIELD, "send 1 to 255 visible ASCII characters")),
    }
}

/// What `If-Match` asks of the stream; [`ExpectedVersion::Any`] without one.
pub(crate) fn expected_version(headers: &HeaderMap) -> Result<ExpectedVersion, Problem> {
    const FIELD: &str = "If-Match";
    let Some(value) = once(headers, &header::IF_MATCH, FIELD)? else { return Ok(ExpectedVersion::Any) };
    let expected = value.to_str().ok().and_then(|text| match text {
        "*" => Some(ExpectedVersion::StreamExists),
        _ => strong_etag(text).map(ExpectedVersion::Exact),
    });
    expected.ok_or_else(|| Problem::invalid(FIELD, "send one version as an ETag said it, such as \"7\", or *"))
}

fn strong_etag(text: &str) -> Option<Version> {
    let digits = text.strip_prefix('"')?.strip_suffix('"')?;
    // One text a version: what never was an ETag of ours matches nothing.
    let canonical = digits == "0" || !digits.starts_with('0');
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && decimal).then(|| digits.parse().ok().map(Version::new))?
}

/// A version as a strong ETag: `"7"`.
pub(crate) fn etag(version: Version) -> String {
    format!("\"{version}\"")
}

pub(crate) fn at_least(headers: &HeaderMap) -> Result<Option<Token>, Problem> {
    const FIELD: &str = "Factum-At-Least";
    let Some(value) = once(headers, &FACTUM_AT_LEAST, FIELD)? else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.parse().ok());
    token.map(Some).ok_or_else(|| Problem::invalid(FIELD, "no token: send what Factum-Token said, unchanged"))
}

pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<Moment>, Problem> {
    const FIELD: &str = "Last-Event-ID";
    // Clients that have seen nothing yet may send nothing.
    let Some(value) = once(headers, &LAST_EVENT_ID, FIELD)?.filter(|value| !value.is_empty()) else { return Ok(None) };
    let moment = value.to_str().ok().and_then(|text| text.parse().ok());
    moment.map(Some).ok_or_else(|| Problem::invalid(FIELD, "send what the id of an event said, unchanged, or nothing"))
}

pub(crate) fn correlation_id(headers: &HeaderMap) -> Result<Option<CorrelationId>, Problem> {
    const FIELD: &str = "Factum-Correlation-Id";
    let Some(value) = once(headers, &FACTUM_CORRELATION_ID, FIELD)? else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| hyphenated_uuid(text).ok());
    id.map(|id| Some(CorrelationId::from_uuid(id)))
        .ok_or_else(|| Problem::invalid(FIELD, "send a UUID with its hyphens"))
}

/// Refuses what does not call itself JSON. A charset may be named: UTF-8, as RFC 8259 wants it.
pub(crate) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let only = types.next().filter(|_| types.next().is_none());
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "send the document as it is, not encoded";
        return Err(unsupported(detail).field("Content-Encoding"));
    }
    if only.and_then(|value| value.to_str().ok()).is_some_and(is_json) {
        return Ok(());
    }
    let detail = "send one JSON document with Content-Type: application/json";
    Err(unsupported(detail).field("Content-Type"))
}

fn unsupported(detail: &str) -> Problem {
    Problem::of(Code::UnsupportedMediaType, detail)
}

fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    })
}
