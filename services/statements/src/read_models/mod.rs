//! What queries read: folded from messages, disposable.

mod account_summaries;
mod daily_totals;
mod statement_lines;
mod transfers;

pub use account_summaries::{
    ACCOUNT_SUMMARIES, ACCOUNTS_BY_HOLDER, AccountStatus, AccountSummaries, AccountSummary, accounts_of,
};
pub use daily_totals::{DAILY_TOTALS, DailyTotals, DayTotals, totals_key};
pub use statement_lines::{LineKind, STATEMENT_LINES, StatementLine, StatementLines, lines_of};
pub use transfers::{TRANSFERS, Transfer, TransferStatus, Transfers};
