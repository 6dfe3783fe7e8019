//! What an account is, and what may happen to it. Pure: no I/O, no clock, no chance.

mod account;
mod money;

pub use account::{
    Account, AccountClosed, AccountEvent, AccountId, AccountOpened, AccountRejection, CloseAccount, DepositFunds,
    FundsDeposited, FundsWithdrawn, OpenAccount, WithdrawFunds,
};
pub use money::{Amount, AmountError, Currency, CurrencyError, Money};
