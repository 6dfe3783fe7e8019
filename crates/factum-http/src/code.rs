//! Every code a surface answers with by itself, and its status. What it means and what to do about it is a page of the
//! guide: `docs/guide/errors.md`, which a test holds against this list.

use http::StatusCode;

/// Why a surface does not answer a request as asked. Rejections of aggregates and queries about what does not exist
/// have codes of their own besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// No document, or no HTTP.
    Malformed,
    /// A field, parameter or header has a value that is not allowed, is missing, or comes twice.
    Invalid,
    /// A field or parameter that nobody asked for.
    UnknownField,
    /// The query does not see what the token stands for, however long it waits.
    TokenNotApplicable,
    /// What the token stands for was lost in a restore.
    TokenLost,
    /// The request does not say who asks.
    Unauthenticated,
    /// Who asks may not.
    Denied,
    /// Shown to callers on the same machine only.
    LoopbackOnly,
    /// There is nothing at this path.
    NotFound,
    /// No such command.
    UnknownCommand,
    /// No such query.
    UnknownQuery,
    /// Another method.
    MethodNotAllowed,
    /// Head or body did not arrive in time.
    RequestTimeout,
    /// Others changed the same aggregate, again and again.
    Contended,
    /// Something else is under way, which goes first.
    Busy,
    /// `If-Match` names another version.
    NotExpected,
    /// The body, or an event it would become, is too large.
    TooLarge,
    /// The path is too long.
    UriTooLong,
    /// The body does not call itself JSON.
    UnsupportedMediaType,
    /// The `Idempotency-Key` was used for another request.
    CommandIdReused,
    /// More than is worked on at one time.
    TooManyRequests,
    /// The head of the request is too large.
    HeadersTooLarge,
    /// A bug; it was logged.
    Internal,
    /// What is stored cannot be read; it was logged.
    Damaged,
    /// A store cannot answer now, or not in time.
    Unavailable,
    /// Read models are being restored.
    Rebuilding,
    /// What the token stands for is parked in a read model behind the query.
    Quarantined,
    /// What the token stands for is not visible yet.
    NotYet,
}

impl Code {
    /// All of them, by status.
    pub const ALL: [Self; 28] = [
        Self::Malformed,
        Self::Invalid,
        Self::UnknownField,
        Self::TokenNotApplicable,
        Self::TokenLost,
        Self::Unauthenticated,
        Self::Denied,
        Self::LoopbackOnly,
        Self::NotFound,
        Self::UnknownCommand,
        Self::UnknownQuery,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Contended,
        Self::Busy,
        Self::NotExpected,
        Self::TooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::CommandIdReused,
        Self::TooManyRequests,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Damaged,
        Self::Unavailable,
        Self::Rebuilding,
        Self::Quarantined,
        Self::NotYet,
    ];

    /// The code as it is sent: kebab-case, stable.
    pub const fn as_str(self) -> &'static str {
        self.entry().1
    }

    /// The status it comes with, always.
    pub const fn status(self) -> StatusCode {
        self.entry().0
    }

    const fn entry(self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            Self::UnknownField => (StatusCode::BAD_REQUEST, "unknown-field"),
            Self::TokenNotApplicable => (StatusCode::BAD_REQUEST, "token-not-applicable"),
            Self::TokenLost => (StatusCode::BAD_REQUEST, "token-lost"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::Denied => (StatusCode::FORBIDDEN, "denied"),
            Self::LoopbackOnly => (StatusCode::FORBIDDEN, "loopback-only"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::UnknownCommand => (StatusCode::NOT_FOUND, "unknown-command"),
            Self::UnknownQuery => (StatusCode::NOT_FOUND, "unknown-query"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request-timeout"),
            Self::Contended => (StatusCode::CONFLICT, "contended"),
            Self::Busy => (StatusCode::CONFLICT, "busy"),
            Self::NotExpected => (StatusCode::PRECONDITION_FAILED, "not-expected"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
            Self::CommandIdReused => (StatusCode::UNPROCESSABLE_ENTITY, "command-id-reused"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
            Self::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Rebuilding => (StatusCode::SERVICE_UNAVAILABLE, "rebuilding"),
            Self::Quarantined => (StatusCode::SERVICE_UNAVAILABLE, "quarantined"),
            Self::NotYet => (StatusCode::SERVICE_UNAVAILABLE, "not-yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use factum::input::InvalidInputKind;

    use super::*;

    #[test]
    fn none_is_left_out() {
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index, "{code:?}");
        }
        assert_eq!(Code::NotYet as usize + 1, Code::ALL.len(), "a code behind the last is not in the list");
        assert!(Code::ALL.is_sorted_by_key(|code| code.status()));
    }

    #[test]
    fn wrong_documents_are_called_the_same_by_the_dispatchers() {
        for (kind, code) in [
            (InvalidInputKind::Malformed, Code::Malformed),
            (InvalidInputKind::Invalid, Code::Invalid),
            (InvalidInputKind::UnknownField, Code::UnknownField),
        ] {
            assert_eq!(kind.code(), code.as_str());
        }
    }
}
