//! Why there is no answer, or which problem the answer is.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// The most characters of a foreign body that are shown.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// A request that did not end with the answer it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service answered with a problem; look at its `code`.
    #[error("{0}")]
    Problem(Problem),
    /// Nobody listens there, or the connection broke before the answer was whole. A command may have been accepted:
    /// repeat it under its key.
    #[error("no answer from {at}: {}", innermost(cause.as_ref()))]
    Unreachable {
        /// The surface that was asked.
        at: SocketAddr,
        /// What the transport says.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// No whole answer within the limit. A command may have been accepted: repeat it under its key.
    #[error("{at} did not answer within {after:?}")]
    TimedOut {
        /// The surface that was asked.
        at: SocketAddr,
        /// The limit.
        after: Duration,
    },
    /// The answer is not what the service promises: one side is of another release.
    #[error("an answer that cannot be understood: {0}")]
    Malformed(serde_json::Error),
    /// The request cannot be written as HTTP, for instance a key with a line break.
    #[error("a request that cannot be sent: {0}")]
    Unsendable(http::Error),
}

/// An RFC 9457 problem: why the service says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, as `insufficient-funds`; empty when the body is no problem+json.
    pub code: String,
    /// What a person reads.
    pub detail: String,
    /// The path of the input that it is about.
    pub field: Option<String>,
}

#[derive(Deserialize)]
struct ProblemBody {
    code: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    field: Option<String>,
}

impl ClientError {
    /// The code of the service's problem, when that is what this is.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }
}

impl Problem {
    /// Reads a body that came with an error status; a foreign body becomes the detail, shortened.
    pub fn read(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<ProblemBody>(body) {
            Ok(read) => {
                let detail = read.detail.or(read.title).unwrap_or_default();
                Self { status, code: read.code, detail, field: read.field }
            }
            Err(_foreign) => {
                let text = String::from_utf8_lossy(body);
                let detail = text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARACTERS_MAX).collect();
                Self { status, code: String::new(), detail, field: None }
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}

/// The transport wraps "connection refused" three times; only the innermost text tells a person anything.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
