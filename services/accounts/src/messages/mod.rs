//! What this service tells others, and what they may ask of it over the bus: its published contract.

mod published;
mod received;

pub use published::{
    AccountClosed, AccountCredited, AccountOpened, AccountPublication, FundsDeposited, FundsHeld, FundsWithdrawn,
    HoldCaptured, HoldReleased,
};
pub use received::{TRANSFERS, commands_of_transfers};
