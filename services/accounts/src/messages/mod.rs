//! What this service tells others: its published contract, translated from its private events.

mod published;

pub use published::{
    AccountClosed, AccountCredited, AccountOpened, AccountPublication, FundsDeposited, FundsHeld, FundsWithdrawn,
    HoldCaptured, HoldReleased,
};
