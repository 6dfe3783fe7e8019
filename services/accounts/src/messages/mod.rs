//! What this service tells others: its published contract, translated from its private events.

mod published;

pub use published::{AccountClosed, AccountOpened, AccountPublication, FundsDeposited, FundsWithdrawn};
