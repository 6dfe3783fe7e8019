//! What can be asked, on the read surface.

mod account_summary;
mod statement;

pub use account_summary::GetAccountSummary;
pub use statement::{GetStatement, Statement};
