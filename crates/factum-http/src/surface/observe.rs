//! What happens around every request: its place in logs and metrics, and the checks no route is free of.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use factum::{CorrelationId, runtime::panic_text};
use http::{HeaderValue, Method, header};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Shared;
use crate::{
    headers::{self, FACTUM_CORRELATION_ID},
    problem::Problem,
};

/// What is counted when the caller hung up before the answer was ready: nginx's status for it; no caller sees it.
const CALLER_GONE: u16 = 499;

/// The correlation id a caller sent, for the routes below.
#[derive(Clone, Copy)]
pub(super) struct Correlation(pub(super) Option<CorrelationId>);

/// Counts and logs a request, and refuses what no route takes.
pub(super) async fn observe(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let name = shared.name_of(request.uri().path());
    let checked = check(&shared, &request);
    let correlation = checked.as_ref().ok().copied().flatten();
    let span = tracing::debug_span!(
        "request",
        surface = shared.surface,
        method = word_of(request.method()),
        name,
        correlation_id = correlation.map(tracing::field::display),
    );
    let mut underway = Underway::begin(Arc::clone(&shared), name);
    let answer = async {
        let mut response = match checked {
            Ok(_) => {
                request.extensions_mut().insert(Correlation(correlation));
                next.run(request).await
            }
            Err(problem) => problem.into_response(),
        };
        dress(&mut response, correlation);
        underway.status = response.status().as_u16();
        let ms = underway.elapsed().as_secs_f64() * 1_000.0;
        tracing::debug!(status = underway.status, ms, "answered");
        response
    };
    answer.instrument(span).await
}

/// What a panic in a route is answered with.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    tracing::error!(panic = panic_text(panic.as_ref()), "a request panicked");
    Problem::internal().into_response()
}

fn check(shared: &Shared, request: &Request) -> Result<Option<CorrelationId>, Problem> {
    let bytes = request.uri().path_and_query().map_or(0, |part| part.as_str().len());
    let bytes_max = shared.options.uri_bytes_max;
    if bytes > bytes_max {
        return Err(Problem::uri_too_long(bytes_max));
    }
    headers::correlation_id(request.headers())
}

fn dress(response: &mut Response, correlation: Option<CorrelationId>) {
    let headers = response.headers_mut();
    // Answers hold personal data and are true for a moment: nobody between here and the caller keeps them.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(id) = correlation.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
        headers.insert(FACTUM_CORRELATION_ID, id);
    }
}

/// A method of the standard, or `other`: callers may invent methods, logs must not repeat them.
fn word_of(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 6] = [
        (Method::GET, "GET"),
        (Method::HEAD, "HEAD"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    KNOWN.iter().find(|(known, _)| known == method).map_or("other", |(_, word)| word)
}

/// A request being worked on; counted when it ends, in whichever way.
struct Underway {
    shared: Arc<Shared>,
    name: &'static str,
    since: Instant,
    status: u16,
}

impl Underway {
    fn begin(shared: Arc<Shared>, name: &'static str) -> Self {
        shared.meter.begin();
        Self { shared, name, since: Instant::now(), status: CALLER_GONE }
    }

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.shared.meter.end(self.name, self.status, self.elapsed());
    }
}
