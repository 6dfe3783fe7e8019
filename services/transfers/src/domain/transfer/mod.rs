//! The transfer: state, what it is asked for, how it is refused. What it does about what it hears is in
//! [`crate::process_managers`].

mod commands;
mod events;
mod rejection;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use factum::{
    Aggregate, AggregateId, Context, Events, Handle,
    input::{InvalidUuid, hyphenated, hyphenated_uuid},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use commands::RequestTransfer;
pub use events::{
    CreditOverdue, CreditRefused, FundsHeld, HoldOverdue, Settlement, TargetCredited, Terms, TransferCompleted,
    TransferEvent, TransferRejected, TransferRequested, TransferStalled,
};
pub use rejection::TransferRejection;

/// Which transfer: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = ["7a2b8d2f-0000-4000-8000-000000000001"]))]
pub struct TransferId(#[serde(deserialize_with = "hyphenated")] Uuid);

impl AggregateId for TransferId {
    fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TransferId {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        hyphenated_uuid(text).map(Self)
    }
}

/// Which account of `accounts`: a UUID. Whether there is one, only accounts know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = ["6f1a7c1e-0000-4000-8000-000000000001"]))]
pub struct AccountId(#[serde(deserialize_with = "hyphenated")] Uuid);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AccountId {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        hyphenated_uuid(text).map(Self)
    }
}

/// A transfer: what it waits for, or how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// Nobody has asked for it.
    #[default]
    Unrequested,
    /// Waits for the money to be set aside.
    Holding {
        /// How much, from where to where.
        terms: Terms,
        /// Whether the hold was late, and is cancelled unless it is there.
        overdue: bool,
    },
    /// Waits for the money to arrive.
    Crediting {
        /// How much, from where to where.
        terms: Terms,
        /// Whether the credit was late, and is cancelled unless it is there.
        overdue: bool,
    },
    /// The money has arrived; waits for what is held to be taken out.
    Capturing,
    /// The money cannot arrive; waits for what is held to be given back.
    Releasing {
        /// Why it cannot.
        reason: String,
    },
    /// The money has moved.
    Completed,
    /// The money is where it was.
    Rejected,
}

impl Transfer {
    /// Whether nothing will happen to it any more.
    pub const fn has_ended(&self) -> bool {
        matches!(self, Self::Completed | Self::Rejected)
    }
}

impl Aggregate for Transfer {
    const CATEGORY: &'static str = "transfer";
    type Id = TransferId;
    type Event = TransferEvent;
    type Rejection = TransferRejection;

    fn apply(&mut self, event: &TransferEvent) {
        match event {
            TransferEvent::TransferRequested(TransferRequested { terms }) => {
                *self = Self::Holding { terms: terms.clone(), overdue: false };
            }
            TransferEvent::FundsHeld(FundsHeld { terms }) => {
                *self = Self::Crediting { terms: terms.clone(), overdue: false };
            }
            TransferEvent::HoldOverdue(_) | TransferEvent::CreditOverdue(_) => {
                if let Self::Holding { overdue, .. } | Self::Crediting { overdue, .. } = self {
                    *overdue = true;
                }
            }
            TransferEvent::TargetCredited(_) => *self = Self::Capturing,
            TransferEvent::CreditRefused(refused) => *self = Self::Releasing { reason: refused.reason.clone() },
            TransferEvent::TransferStalled(_) => {}
            TransferEvent::TransferCompleted(_) => *self = Self::Completed,
            TransferEvent::TransferRejected(_) => *self = Self::Rejected,
        }
    }
}

impl Handle<RequestTransfer> for Transfer {
    fn handle(&self, command: &RequestTransfer, _: &Context) -> Result<Events<TransferEvent>, TransferRejection> {
        let money = command.money()?;
        if *self != Self::Unrequested {
            return Err(TransferRejection::TransferAlreadyExists);
        }
        if command.from == command.to {
            return Err(TransferRejection::TransferToItself);
        }
        if money.minor() > TransferRejection::AMOUNT_MINOR_MAX {
            return Err(TransferRejection::AmountTooHigh);
        }
        let RequestTransfer { from, to, .. } = *command;
        let terms = Terms { from, to, amount: money.minor(), currency: money.currency() };
        Ok(Events::one(TransferRequested { terms }))
    }
}
