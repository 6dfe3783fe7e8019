//! `GET /queries/{name}/live`: a query's answer, and the next one whenever it has changed, as server-sent events.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use factum::{
    query::{AskError, AskOptions, Live, LiveAnswer, Moment},
    runtime::Stop,
};
use http::{HeaderMap, HeaderName, header};
use hyper::body::{Body as HttpBody, Frame};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use super::queries::Queries;
use crate::{
    headers,
    problem::Problem,
    work::{Stream, Work},
};

/// How long a client should wait before it comes back, in milliseconds.
const RETRY_MS: u32 = 1_000;
/// What tells a client, and everything in between, that the connection is alive: a comment, which no program sees.
const HEARTBEAT: &[u8] = b":\n\n";
/// For proxies that would collect events before they pass them on.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn live(
    State(Queries { shared, dispatcher }): State<Queries>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(parameters): RawQuery,
    owner: Option<Extension<Work>>,
    stop: Option<Extension<Stop>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = shared.options.authenticate.authenticate(&headers)?;
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    if !shared.names.contains(name.as_str()) {
        return Err(AskError::UnknownQuery(name).into());
    }
    let (at_least, not_before) = (headers::at_least(&headers)?, headers::last_event_id(&headers)?);
    let options = AskOptions { at_least, not_before, principal };
    let place = shared.gate.subscribe()?;
    let parameters = parameters.unwrap_or_default();
    let work = async move { dispatcher.live(&name, &parameters, options).await };
    let live = shared.gate.run(owner, "ask again", work).await??;
    let subscriber = Subscriber {
        asking: ask(live),
        stop: stop.map(|Extension(stop)| stop),
        heartbeat: shared.options.live_heartbeat,
        is_greeted: false,
        _place: place,
    };
    let events = Body::new(Events { next: Some(Box::pin(subscriber.next())) });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // One stream a connection: what ends is seen to end, also by what stands in between.
        (header::CONNECTION, "close"),
        (X_ACCEL_BUFFERING, "no"),
    ];
    Ok((headers, Extension(Stream), events).into_response())
}

/// Somebody who is told.
struct Subscriber {
    /// Lasts over heartbeats: a query that takes longer than one would else be asked anew after each, and never answer.
    asking: Asking,
    stop: Option<Stop>,
    heartbeat: Duration,
    is_greeted: bool,
    _place: OwnedSemaphorePermit,
}

/// The next answer, with whom to ask for the one after it.
type Asking = Pin<Box<dyn Future<Output = (Live, Result<LiveAnswer, AskError>)> + Send>>;

/// Asks for nothing before it is waited for.
fn ask(mut live: Live) -> Asking {
    Box::pin(async move {
        let answer = live.next().await;
        (live, answer)
    })
}

/// The next bytes for a subscriber; `None` at the end.
type Next = Pin<Box<dyn Future<Output = Option<(Subscriber, Bytes)>> + Send>>;

impl Subscriber {
    /// Nothing is asked or kept before these bytes are wanted: who does not read is not answered.
    async fn next(mut self) -> Option<(Self, Bytes)> {
        let stopped = async {
            match &mut self.stop {
                Some(stop) => stop.stopped().await,
                None => std::future::pending().await,
            }
        };
        let bytes = tokio::select! {
            biased;
            () = stopped => return None,
            (live, answer) = &mut self.asking => match answer {
                Ok(answer) => {
                    self.asking = ask(live);
                    event(&answer, !self.is_greeted)
                }
                Err(error) => {
                    // Whoever comes back is told why, with a status.
                    tracing::debug!(%error, "a live query ends");
                    return None;
                }
            },
            () = sleep(self.heartbeat) => Bytes::from_static(HEARTBEAT),
        };
        self.is_greeted = true;
        Some((self, bytes))
    }
}

/// An answer as an event: one line of data, as JSON documents are written here.
fn event(LiveAnswer { document, moment }: &LiveAnswer, is_first: bool) -> Bytes {
    let mut text = Vec::with_capacity(document.len() + 64);
    if is_first {
        text.extend_from_slice(format!("retry: {RETRY_MS}\n").as_bytes());
    }
    let id = moment.to_string();
    // An id that cannot be come back to is none.
    if id.len() <= Moment::TEXT_BYTES_MAX {
        text.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    text.extend_from_slice(b"data: ");
    text.extend_from_slice(document);
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// The body of the answer: events as they come.
struct Events {
    next: Option<Next>,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let told = ready!(next.as_mut().poll(cx));
        self.next = None;
        Poll::Ready(told.map(|(subscriber, bytes)| {
            self.next = Some(Box::pin(subscriber.next()));
            Ok(Frame::data(bytes))
        }))
    }
}
