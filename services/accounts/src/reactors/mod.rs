//! What this service does outside.

mod large_withdrawals;
mod webhook;

pub use large_withdrawals::{LargeWithdrawal, LargeWithdrawals};
pub use webhook::{ANSWER_TIME_MAX, Webhook, WebhookError};
