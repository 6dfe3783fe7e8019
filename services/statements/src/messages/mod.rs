//! What this service knows of others: their published messages, in its own words.

mod consumed_from_accounts;
mod consumed_from_transfers;

pub use consumed_from_accounts::{
    ACCOUNT_TOPIC, AccountClosed, AccountCredited, AccountMessage, AccountOpened, FundsDeposited, FundsHeld,
    FundsWithdrawn, HoldCaptured, HoldReleased,
};
pub use consumed_from_transfers::{
    TRANSFER_TOPIC, TransferCompleted, TransferMessage, TransferRejected, TransferRequested,
};
