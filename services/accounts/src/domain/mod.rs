//! What an account is, and what may happen to it. Pure: no I/O, no clock, no chance.

mod account;
mod money;

pub use account::{
    Account, AccountClosed, AccountCredited, AccountEvent, AccountId, AccountOpened, AccountRejection, CaptureHold,
    CloseAccount, CreditAccount, DepositFunds, FundsDeposited, FundsHeld, FundsWithdrawn, HoldCaptured, HoldFunds,
    HoldReleased, OpenAccount, ReleaseHold, TransferId, WithdrawFunds,
};
pub(crate) use money::decimal;
pub use money::{Amount, AmountError, Currency, CurrencyError, Money};
