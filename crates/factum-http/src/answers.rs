//! What dispatchers answer, as HTTP says it: one table for commands, one for queries.

use factum::{
    RejectionKind,
    dispatch::DispatchError,
    input::InvalidInput,
    query::AskError,
    store::{ExpectedVersion, StoreError},
};
use http::StatusCode;
use serde_json::Value;

use crate::{code::Code, problem::Problem};

impl From<DispatchError> for Problem {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Rejected(rejection) => {
                let status = match rejection.kind {
                    RejectionKind::Rule => StatusCode::UNPROCESSABLE_ENTITY,
                    RejectionKind::NotFound => StatusCode::NOT_FOUND,
                };
                Self::new(status, rejection.code, rejection.message)
            }
            DispatchError::Invalid(input) => input.into(),
            DispatchError::UnknownCommand(_) => Self::of(Code::UnknownCommand, error.to_string()),
            DispatchError::Denied => denied(),
            DispatchError::NotExpected { expected, actual } => {
                Self::not_expected(&error.to_string(), expected_as_json(expected), actual.get())
            }
            DispatchError::Contended { .. } => Self::of(Code::Contended, error.to_string()).retryable(),
            DispatchError::CommandIdReused => {
                let detail = "this Idempotency-Key was used before for another request: take a new one";
                Self::of(Code::CommandIdReused, detail).field("Idempotency-Key")
            }
            DispatchError::Panicked(panic) => {
                tracing::error!(panic, "a command's handler panicked");
                Self::internal()
            }
            DispatchError::Refused(reason) => Self::of(Code::TooLarge, reason),
            DispatchError::Unavailable(error) => store_unavailable(&error),
            DispatchError::Corrupt(reason) => {
                tracing::error!(reason, "what is stored cannot be read");
                Self::damaged()
            }
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::UnknownQuery(_) => Self::of(Code::UnknownQuery, error.to_string()),
            AskError::Invalid(input) => input.into(),
            AskError::Denied => denied(),
            AskError::NotFound { code, message } => Self::new(StatusCode::NOT_FOUND, code, message),
            AskError::TokenNotApplicable => {
                Self::of(Code::TokenNotApplicable, error.to_string()).field("Factum-At-Least")
            }
            AskError::TokenLost { .. } => Self::of(Code::TokenLost, error.to_string()).field("Factum-At-Least"),
            AskError::Quarantined => {
                Self::of(Code::Quarantined, error.to_string()).field("Factum-At-Least").retryable()
            }
            AskError::NotYet => Self::of(Code::NotYet, error.to_string()).retryable(),
            AskError::Rebuilding(progress) => Self::rebuilding(&error.to_string(), progress),
            AskError::Panicked(panic) => {
                tracing::error!(panic, "a query panicked");
                Self::internal()
            }
            AskError::Unavailable(error) => {
                tracing::warn!(%error, "the read store is unavailable");
                Self::unavailable("the read store cannot answer now: ask again")
            }
            AskError::Corrupt(error) => {
                tracing::error!(%error, "a read model cannot be read");
                Self::damaged()
            }
        }
    }
}

impl From<InvalidInput> for Problem {
    fn from(input: InvalidInput) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, input.kind.code(), input.reason);
        match input.field {
            Some(field) => problem.field(field),
            None => problem,
        }
    }
}

/// 503, or 500 for a store that is damaged. The particulars are for the log: see `surface::trouble`.
pub(crate) fn store_unavailable(error: &StoreError) -> Problem {
    if matches!(error, StoreError::Damaged(_)) {
        tracing::error!(%error, "the event store is damaged");
        return Problem::damaged();
    }
    if matches!(error, StoreError::ReadOnly(_)) {
        return Problem::restart_needed("the event store is read-only since a write failed: restart the service");
    }
    if matches!(error, StoreError::Full) {
        return Problem::unavailable(&error.to_string());
    }
    Problem::unavailable("the event store cannot answer now: ask again, with the same Idempotency-Key that is safe")
}

fn denied() -> Problem {
    Problem::of(Code::Denied, "not permitted")
}

fn expected_as_json(expected: ExpectedVersion) -> Value {
    match expected {
        ExpectedVersion::Exact(version) => version.get().into(),
        ExpectedVersion::NoStream => 0.into(),
        ExpectedVersion::Any | ExpectedVersion::StreamExists => "*".into(),
    }
}
