//! What the routes have in common at which operators on the same machine look and decide.

use std::{fmt::Display, net::SocketAddr};

use axum::{Extension, body::Body, extract::ConnectInfo};
use factum::{
    ActorId, EventId, Reason,
    input::{UnknownFields, from_json, hyphenated_uuid},
    store::AppendError,
};
use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::{Shared, admin::is_local, body};
use crate::{answers::store_unavailable, code::Code, headers::must_be_json, problem::Problem};

/// Who is at the other end, where that is known.
pub(super) type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;

/// Refuses whoever is not on the same machine; `what` is to be seen or done: `the log is shown`.
pub(super) fn nobody_else(what: &str, peer: Peer, headers: &HeaderMap) -> Result<(), Problem> {
    if is_local(peer.map(|Extension(ConnectInfo(peer))| peer), headers) {
        return Ok(());
    }
    let detail = format!("{what} to callers on the same machine only: ask 127.0.0.1 or localhost, without a proxy");
    Err(Problem::of(Code::LoopbackOnly, detail))
}

/// How many an answer is to have at most.
pub(super) fn limit(said: Option<usize>, (usual, max): (usize, usize)) -> Result<usize, Problem> {
    let limit = said.unwrap_or(usual);
    let refused = || Problem::invalid("limit", &format!("write a number from 1 to {max}"));
    (1..=max).contains(&limit).then_some(limit).ok_or_else(refused)
}

/// A body that calls itself JSON: a page in a browser on this machine cannot send that elsewhere without asking.
pub(super) async fn document<T: DeserializeOwned>(
    shared: &Shared,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    must_be_json(headers)?;
    let body = body::read(shared, headers, body).await?;
    Ok(from_json(&body.bytes, UnknownFields::Refuse)?)
}

/// Who decides: whoever the surface says asks, and only where it does not know, whoever they say they are.
pub(super) fn who(shared: &Shared, headers: &HeaderMap, said: Option<String>) -> Result<ActorId, Problem> {
    let asks = shared.options.authenticate.authenticate(headers)?.actor;
    match said {
        Some(said) if asks == ActorId::anonymous() => {
            ActorId::new(&said).ok_or_else(|| Problem::invalid("actor", "send 1 to 128 visible ASCII characters"))
        }
        _ => Ok(asks),
    }
}

/// Why something is decided.
pub(super) fn why(said: &str) -> Result<Reason, Problem> {
    let refused = || Problem::invalid("reason", &format!("say why in 1 to {} characters", Reason::CHARS_MAX));
    Reason::new(said).ok_or_else(refused)
}

/// The event that a field names.
pub(super) fn event(field: &str, said: &str) -> Result<EventId, Problem> {
    let refused = |_| Problem::invalid(field, "send a UUID with its hyphens");
    hyphenated_uuid(said).map(EventId::from_uuid).map_err(refused)
}

/// A decision that the event store did not record; `told` what to do about it.
pub(super) fn not_recorded(error: &AppendError, told: &str) -> Problem {
    match error {
        AppendError::Store(error) => store_unavailable(error),
        error => failed(error, told),
    }
}

/// Something that did not do as asked: why is for the log, what to do for the caller.
pub(super) fn failed(error: impl Display, told: &str) -> Problem {
    tracing::warn!(%error, "what an operator asked for failed");
    Problem::unavailable(told)
}
