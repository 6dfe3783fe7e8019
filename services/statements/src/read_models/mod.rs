//! What queries read: folded from messages, disposable.

mod account_summaries;
mod statement_lines;

pub use account_summaries::{ACCOUNT_SUMMARIES, AccountStatus, AccountSummaries, AccountSummary};
pub use statement_lines::{LineKind, STATEMENT_LINES, StatementLine, StatementLines, lines_of};
