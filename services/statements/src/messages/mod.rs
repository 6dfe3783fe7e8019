//! What this service knows of others: their published messages, in its own words.

mod consumed_from_accounts;

pub use consumed_from_accounts::{
    ACCOUNT_TOPIC, AccountClosed, AccountMessage, AccountOpened, FundsDeposited, FundsWithdrawn,
};
