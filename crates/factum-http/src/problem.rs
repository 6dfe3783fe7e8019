//! Every answer that is a no, as problem+json (RFC 9457).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use factum::projections::Progress;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{authenticate::Unauthenticated, code::Code};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The most characters of `detail` and of `field`: both can quote what the caller sent.
pub const QUOTED_CHARS_MAX: usize = 500;

/// How long a caller should wait before asking again, in seconds, where waiting helps.
const RETRY_AFTER_S: u32 = 1;

/// Why a request is not answered as it asked: a [`ProblemBody`] and the headers that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    // Boxed, so that results that are seldom a problem stay small.
    body: Box<ProblemBody>,
    retry_after_s: Option<u32>,
    challenge: Option<HeaderValue>,
}

/// A refusal (RFC 9457): `status` and `code` are for programs, `detail` is for people.
///
/// `type` is always `about:blank`: what is wrong beyond the status is said by `code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ProblemBody {
    /// `about:blank`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The status in words.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what would be right, in a sentence.
    pub detail: String,
    /// A stable code in kebab-case to branch on.
    pub code: Cow<'static, str>,
    /// The path of the field, parameter or header to blame, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// For `not-expected`: the version the caller expected, or `"*"` for any but none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// For `not-expected`: the version the stream is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<u64>,
    /// For `rebuilding`: positions done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// For `rebuilding`: positions to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// For `rebuilding`: positions a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u64>,
    /// For `rebuilding`: how long the rest takes at this rate, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

impl Problem {
    /// A problem with nothing but a status, a code and a sentence.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl AsRef<str>) -> Self {
        let body = ProblemBody {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or_default()),
            status: status.as_u16(),
            detail: shortened(detail.as_ref()),
            code: code.into(),
            field: None,
            expected: None,
            actual: None,
            done: None,
            total: None,
            per_second: None,
            seconds_left: None,
        };
        Self { body: Box::new(body), retry_after_s: None, challenge: None }
    }

    /// A problem of a surface's own.
    pub(crate) fn of(code: Code, detail: impl AsRef<str>) -> Self {
        Self::new(code.status(), code.as_str(), detail)
    }

    /// Names the field, parameter or header to blame.
    #[must_use]
    pub fn field(mut self, field: impl AsRef<str>) -> Self {
        self.body.field = Some(shortened(field.as_ref()));
        self
    }

    /// Tells the caller, by `Retry-After`, that asking again soon may help.
    #[must_use]
    pub const fn retryable(mut self) -> Self {
        self.retry_after_s = Some(RETRY_AFTER_S);
        self
    }

    /// Whether the caller is told to ask again.
    pub(crate) const fn is_retryable(&self) -> bool {
        self.retry_after_s.is_some()
    }

    /// What the caller is sent.
    pub const fn body(&self) -> &ProblemBody {
        &self.body
    }

    /// 412 `not-expected`.
    pub(crate) fn not_expected(detail: &str, expected: Value, actual: u64) -> Self {
        let mut problem = Self::of(Code::NotExpected, detail);
        problem.body.expected = Some(expected);
        problem.body.actual = Some(actual);
        problem
    }

    /// 503 `rebuilding`.
    pub(crate) fn rebuilding(detail: &str, progress: Progress) -> Self {
        let mut problem = Self::of(Code::Rebuilding, detail).retryable();
        problem.body.done = Some(progress.done);
        problem.body.total = Some(progress.total);
        problem.body.per_second = Some(progress.rate);
        problem.body.seconds_left = progress.left.map(|left| left.as_secs());
        problem
    }

    /// 400 `invalid`: a header or parameter is not what it must be.
    pub(crate) fn invalid(field: &str, detail: &str) -> Self {
        Self::of(Code::Invalid, detail).field(field)
    }

    /// 500 `internal`. What happened is for the log, not for the caller.
    pub(crate) fn internal() -> Self {
        let detail = "something went wrong inside the service; it was logged";
        Self::of(Code::Internal, detail)
    }

    /// 500 `damaged`. Where is for the log, not for the caller.
    pub(crate) fn damaged() -> Self {
        let detail = "what is stored about this cannot be read; it was logged, an operator must look";
        Self::of(Code::Damaged, detail)
    }

    /// 503 `unavailable`, and asking again is of no use until somebody has restarted the service.
    pub(crate) fn restart_needed(detail: &str) -> Self {
        Self::of(Code::Unavailable, detail)
    }

    /// 503 `unavailable`.
    pub(crate) fn unavailable(detail: &str) -> Self {
        Self::of(Code::Unavailable, detail).retryable()
    }

    /// 400 `malformed`.
    pub(crate) fn malformed(detail: &str) -> Self {
        Self::of(Code::Malformed, detail)
    }

    /// 408 `request-timeout`.
    pub(crate) fn request_timeout(detail: impl AsRef<str>) -> Self {
        Self::of(Code::RequestTimeout, detail)
    }

    /// 414 `uri-too-long`.
    pub(crate) fn uri_too_long(bytes_max: usize) -> Self {
        let detail = format!("the path and query string are longer than {bytes_max} bytes");
        Self::of(Code::UriTooLong, detail)
    }

    /// The document, as it is sent.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: nothing in it can fail to be written.
        serde_json::to_vec(&self.body).unwrap_or_default()
    }

    /// 429 `too-many-requests`.
    pub(crate) fn too_many_requests() -> Self {
        let detail = "more requests than the service works on at one time: ask again";
        Self::of(Code::TooManyRequests, detail).retryable()
    }

    /// 429 `too-many-requests`.
    pub(crate) fn too_many_live_queries() -> Self {
        let detail = "more live queries than the service keeps open at one time: come back later, or ask without /live";
        Self::of(Code::TooManyRequests, detail).retryable()
    }

    /// 413 `too-large`.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let detail = format!("the body is larger than {bytes_max} bytes");
        Self::of(Code::TooLarge, detail)
    }
}

impl From<Unauthenticated> for Problem {
    fn from(error: Unauthenticated) -> Self {
        let mut problem = Self::of(Code::Unauthenticated, error.reason);
        problem.challenge = Some(error.challenge);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json();
        let status = StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
