//! What a transfer is, and what may happen to it. Pure: no I/O, no clock, no chance.

mod money;
mod transfer;

pub use money::{Amount, AmountError, Currency, CurrencyError, Money};
pub use transfer::{
    AccountId, CreditOverdue, CreditRefused, FundsHeld, HoldOverdue, RequestTransfer, Settlement, TargetCredited,
    Terms, Transfer, TransferCompleted, TransferEvent, TransferId, TransferRejected, TransferRejection,
    TransferRequested, TransferStalled,
};
