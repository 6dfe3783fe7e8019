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

/// A code by which an aggregate may refuse a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectionCode {
    /// [`Rejection::code`].
    pub code: &'static str,
    /// [`Rejection::kind`].
    pub kind: RejectionKind,
}

impl RejectionCode {
    /// The code of a rule.
    pub const fn rule(code: &'static str) -> Self {
        Self { code, kind: RejectionKind::Rule }
    }

    /// The code for what does not exist.
    pub const fn not_found(code: &'static str) -> Self {
        Self { code, kind: RejectionKind::NotFound }
    }
}

/// Why an aggregate refused a command: an expected answer, not an error of the system.
pub trait Rejection: Error + Send + Sync + 'static {
    /// Every code there is, for those who document the commands. A story of [`given`](crate::testing::given) that ends
    /// in a rejection whose code is missing here fails; an empty list says nothing.
    const CODES: &'static [RejectionCode] = &[];

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
