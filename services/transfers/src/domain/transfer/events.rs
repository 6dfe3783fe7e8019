//! What has happened to a transfer. Each event says all that what follows from it needs to know.

use factum::Event;
use serde::{Deserialize, Serialize};

use super::AccountId;
use crate::domain::money::Currency;

/// A fact about a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub enum TransferEvent {
    /// It was asked for.
    #[factum(name = "transfer.requested")]
    TransferRequested(TransferRequested),
    /// The hold was not there in time.
    #[factum(name = "transfer.hold-overdue")]
    HoldOverdue(HoldOverdue),
    /// The money was set aside.
    #[factum(name = "transfer.funds-held")]
    FundsHeld(FundsHeld),
    /// The credit was not there in time.
    #[factum(name = "transfer.credit-overdue")]
    CreditOverdue(CreditOverdue),
    /// The money arrived.
    #[factum(name = "transfer.target-credited")]
    TargetCredited(TargetCredited),
    /// The money cannot arrive, and never will.
    #[factum(name = "transfer.credit-refused")]
    CreditRefused(CreditRefused),
    /// It cannot be brought to its end: an alarm.
    #[factum(name = "transfer.stalled")]
    TransferStalled(TransferStalled),
    /// The money has moved.
    #[factum(name = "transfer.completed")]
    TransferCompleted(TransferCompleted),
    /// The money is where it was.
    #[factum(name = "transfer.rejected")]
    TransferRejected(TransferRejected),
}

/// How much goes from where to where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The account that gives.
    pub from: AccountId,
    /// The account that takes.
    pub to: AccountId,
    /// How much, in minor units.
    pub amount: u64,
    /// In which currency.
    pub currency: Currency,
}

/// A transfer was asked for: the money is to be set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequested {
    /// How much, from where to where.
    #[serde(flatten)]
    pub terms: Terms,
}

/// Nothing was heard of the hold by its deadline: it is cancelled, unless it is there by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldOverdue {
    /// The account that should hold it.
    pub from: AccountId,
}

/// The money was set aside: it is to be credited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsHeld {
    /// How much, from where to where.
    #[serde(flatten)]
    pub terms: Terms,
}

/// Nothing was heard of the credit by its deadline: it is cancelled, unless it is there by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditOverdue {
    /// The account that should take it.
    pub to: AccountId,
}

/// The money arrived: what is held is to be captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCredited {
    /// The account that holds it.
    pub from: AccountId,
}

/// The credit was refused or cancelled: what is held is to be released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditRefused {
    /// The account that holds it.
    pub from: AccountId,
    /// Why, as a stable code: the account's, or `cancelled`.
    pub reason: String,
}

/// The last step, which is never cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// What is held is taken out.
    Capture,
    /// What is held is given back.
    Release,
}

/// The last step is late, or was refused, which accounts never do. The process keeps waiting; people look into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferStalled {
    /// Which step.
    pub step: Settlement,
    /// The code it was refused with; none when it is late.
    pub refused: Option<String>,
}

/// The money has moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferCompleted {}

/// The money is where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRejected {
    /// Why, as a stable code: an account's, or `cancelled`.
    pub reason: String,
}
