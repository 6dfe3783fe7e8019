//! What can be asked, on the read surface.

mod account_summary;
mod accounts;
mod daily_totals;
mod holder;
mod paging;
mod statement;
mod transfer;

pub use account_summary::GetAccountSummary;
pub use accounts::{Accounts, GetAccounts};
pub use daily_totals::{DayOfTotals, GetDailyTotals};
pub use holder::Holder;
pub use statement::{GetStatement, Statement};
pub use transfer::GetTransfer;
