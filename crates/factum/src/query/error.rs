//! Why a query has no answer.

use factum_engine::Position;

use crate::{input::InvalidInput, model::QueryError, projections::Progress, read::ReadError};

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers a query of this name.
    #[error("no query is called `{0}` here")]
    UnknownQuery(String),
    /// A parameter is missing, unknown, repeated or not allowed.
    #[error("invalid: {0}")]
    Invalid(InvalidInput),
    /// The principal may not ask this.
    #[error("not permitted")]
    Denied,
    /// What was asked about does not exist.
    #[error("{message}")]
    NotFound {
        /// A stable code in kebab-case.
        code: &'static str,
        /// The same in words.
        message: String,
    },
    /// The projections behind the query know nothing of what the token stands for: leave it out here.
    #[error("the read models behind this query do not see what this token stands for: ask without it")]
    TokenNotApplicable,
    /// What the token stands for is gone: its store was restored to a position before it. Find out what is there now,
    /// and send the command again if it is still wanted.
    #[error(
        "what this token stands for was lost when its store was restored to position {fork}: \
         ask without it, and send the command again if it is still wanted"
    )]
    TokenLost {
        /// Up to where its history is the same as the one the store goes on with.
        fork: Position,
    },
    /// What the token stands for is parked in a projection behind the query, until an operator has decided about it.
    #[error(
        "what the token stands for is quarantined in a read model behind this query: ask without it for what there is, \
         or again once an operator has dealt with it"
    )]
    Quarantined,
    /// What the token stands for is not visible yet: ask again.
    #[error("what the token stands for is not visible yet: ask again")]
    NotYet,
    /// The read models behind the query are being filled from their sources: ask again.
    #[error("the read models behind this query are being restored ({} of {} done): ask again", .0.done, .0.total)]
    Rebuilding(Progress),
    /// The query's own code or the policy's panicked. The service goes on.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// The read store cannot answer now.
    #[error(transparent)]
    Unavailable(ReadError),
    /// A stored document cannot be read.
    #[error(transparent)]
    Corrupt(ReadError),
}

impl From<QueryError> for AskError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NotFound { code, message } => Self::NotFound { code, message },
            QueryError::Invalid(field) => Self::Invalid(field.into()),
            QueryError::Read(error) => error.into(),
        }
    }
}

impl From<ReadError> for AskError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => Self::Unavailable(error),
            _ => Self::Corrupt(error),
        }
    }
}
