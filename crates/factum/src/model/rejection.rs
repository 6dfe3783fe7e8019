//! The aggregate's typed, expected "no".

use std::error::Error;

/// Which kind of no: it decides the HTTP status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RejectionKind {
    /// A rule of the domain refuses it (HTTP 422).
    #[default]
    Rule,
    /// What the command is about does not exist (HTTP 404).
    NotFound,
}

/// Why an aggregate refused a command: an expected answer, not an error of the system.
pub trait Rejection: Error + Send + Sync + 'static {
    /// A stable code in kebab-case that callers branch on: `insufficient-funds`.
    fn code(&self) -> &'static str;

    /// Which kind of no.
    fn kind(&self) -> RejectionKind {
        RejectionKind::Rule
    }
}

/// A rejection of any aggregate: what the door for named commands answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AnyRejection {
    /// [`Rejection::code`].
    pub code: &'static str,
    /// [`Rejection::kind`].
    pub kind: RejectionKind,
    /// The rejection's own words.
    pub message: String,
}

impl AnyRejection {
    /// Keeps what a caller needs of a typed rejection.
    pub fn of(rejection: &impl Rejection) -> Self {
        Self { code: rejection.code(), kind: rejection.kind(), message: rejection.to_string() }
    }
}

/// For aggregates that refuse nothing.
impl Rejection for std::convert::Infallible {
    fn code(&self) -> &'static str {
        match *self {}
    }
}
