//! What this service tells others, what it asks of them, and what it knows of them: their messages, in its own words.

mod consumed_from_accounts;
mod published;
mod sent_to_accounts;

pub use consumed_from_accounts::{
    ACCOUNT_TOPIC, AccountCredited, AccountMessage, FundsHeld, HoldCaptured, HoldReleased, OUTCOME_TOPIC,
};
pub use published::{TransferCompleted, TransferPublication, TransferRejected, TransferRequested};
pub use sent_to_accounts::{AccountCommands, CaptureHold, CreditAccount, HoldFunds, ReleaseHold, stream_of};
