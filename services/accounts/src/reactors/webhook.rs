//! Where and of what somebody is told, and how: one POST, with limits on its time, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use factum::{Outside, reactor::EffectError};
use http::{
    Method, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::domain::Currency;

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long one request may take until its answer begins, and its body then.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);
// Both fit into what an effect may take, and are told with their cause.
const _: () = assert!(2 * ANSWER_TIME_MAX.as_secs() < factum::reactor::EFFECT_TIME_MAX.as_secs());
/// How long an unused connection is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(20);
/// The largest body of an answer that is read to its end, so that the connection can be used again.
const BODY_BYTES_MAX: usize = 16 << 10;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Who is told of large withdrawals, and which those are.
#[derive(Clone, Debug)]
pub struct Webhook {
    url: Uri,
    limit: u64,
}

/// The text is no URL that can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhook `{0}` is no URL such as http://localhost:9000/withdrawals; for https put a proxy in between")]
pub struct WebhookError(String);

impl Webhook {
    /// The limit unless it is told otherwise, in whole units.
    pub const LIMIT_DEFAULT: u64 = 10_000;

    /// A URL, and a limit in whole units of whichever currency: what is above it is large.
    ///
    /// # Errors
    /// It is no absolute `http://` URL.
    pub fn new(url: &str, limit: u64) -> Result<Self, WebhookError> {
        let refused = || WebhookError(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let callable = uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
        if callable { Ok(Self { url: uri, limit }) } else { Err(refused()) }
    }

    pub(super) const fn url(&self) -> &Uri {
        &self.url
    }

    pub(super) fn is_large(&self, minor: u64, currency: Currency) -> bool {
        let scale = 10_u64.pow(currency.decimals().unwrap_or(0));
        minor > self.limit.saturating_mul(scale)
    }
}

/// Tells somebody at a URL.
pub(super) struct Caller {
    http: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
}

impl Caller {
    pub(super) fn new(url: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIME_MAX));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(connector);
        Self { http, url }
    }

    /// Posts a JSON document under the effect's id. Any 2xx means that it was taken.
    // The one home of requests to others.
    #[allow(clippy::disallowed_methods)]
    pub(super) async fn post(&self, document: Vec<u8>, outside: &Outside) -> Result<(), EffectError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(IDEMPOTENCY_KEY, outside.id().to_string())
            .body(Full::new(Bytes::from(document)))
            .map_err(|error| EffectError::Never(error.to_string()))?;
        let answer = outside.within(ANSWER_TIME_MAX, self.http.request(request)).await;
        let late = || EffectError::Later(format!("{} did not answer within {ANSWER_TIME_MAX:?}", self.url));
        let answer = answer.ok_or_else(late)?;
        let answer = answer.map_err(|error| EffectError::Later(format!("{}: {}", self.url, causes(&error))))?;
        let status = answer.status();
        // What it says beside its status is nobody's business here; a connection whose answer was read is used again.
        let read = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect();
        let _ = outside.within(ANSWER_TIME_MAX, read).await;
        meaning(status).map_err(|error| error(format!("{} answered {status}", self.url)))
    }
}

/// What an answer means: it was taken, it may be taken later, or only when somebody has changed something.
fn meaning(status: StatusCode) -> Result<(), fn(String) -> EffectError> {
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Err(EffectError::Later),
        _ if status.is_server_error() => Err(EffectError::Later),
        _ => Err(EffectError::Never),
    }
}

/// An error with what caused it: the client's own text says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_called_is_refused() {
        for url in
            ["", "localhost:9000", "/withdrawals", "https://example.org/", "http:///x", "ftp://a/b", "http://a b"]
        {
            let error = Webhook::new(url, 1).expect_err(url);
            assert!(error.to_string().contains(&format!("`{url}`")), "{error}");
        }
        for url in ["http://localhost:9000/withdrawals", "http://127.0.0.1", "http://[::1]:80/a?b=c"] {
            assert!(Webhook::new(url, 1).is_ok(), "{url}");
        }
    }
}
