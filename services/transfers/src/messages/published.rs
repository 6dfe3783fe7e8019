//! The messages on `bank.transfers.transfer.events`, and which event becomes which.

use factum::{Delivery, Message, MessageType, OutgoingMessage, Publication};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{Currency, TransferEvent, TransferRejection};

/// No transfer moves more minor units.
const MINOR_MAX: u64 = TransferRejection::AMOUNT_MINOR_MAX;

/// A transfer was asked for: it is pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.transfers.transfer-requested.v1")]
pub struct TransferRequested {
    /// Which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
    /// The account that gives.
    #[schemars(extend("format" = "uuid"))]
    pub from: String,
    /// The account that takes.
    #[schemars(extend("format" = "uuid"))]
    pub to: String,
    /// How much, in minor units.
    #[schemars(range(min = 1, max = MINOR_MAX))]
    pub amount_minor: u64,
    /// In which currency.
    pub currency: Currency,
}

/// The money has moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.transfers.transfer-completed.v1")]
pub struct TransferCompleted {
    /// Which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
}

/// The money is where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "bank.transfers.transfer-rejected.v1")]
pub struct TransferRejected {
    /// Which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
    /// Why, as a stable code: that of the account that refused its part, or `cancelled` when it did not answer in time.
    pub reason: String,
}

/// How a transfer begins and ends is public; what lies between is its own business.
pub struct TransferPublication;

impl Publication for TransferPublication {
    const TOPIC: &'static str = "bank.transfers.transfer.events";
    const MESSAGES: &'static [MessageType] = &[
        MessageType::of::<TransferRequested>(),
        MessageType::of::<TransferCompleted>(),
        MessageType::of::<TransferRejected>(),
    ];
    type Event = TransferEvent;

    fn translate(event: &TransferEvent, delivery: &Delivery) -> Option<OutgoingMessage> {
        let transfer_id = delivery.aggregate_id().to_owned();
        match event {
            TransferEvent::TransferRequested(requested) => Some(Self::outgoing(&TransferRequested {
                transfer_id,
                from: requested.terms.from.to_string(),
                to: requested.terms.to.to_string(),
                amount_minor: requested.terms.amount,
                currency: requested.terms.currency,
            })),
            TransferEvent::TransferCompleted(_) => Some(Self::outgoing(&TransferCompleted { transfer_id })),
            TransferEvent::TransferRejected(rejected) => {
                Some(Self::outgoing(&TransferRejected { transfer_id, reason: rejected.reason.clone() }))
            }
            TransferEvent::HoldOverdue(_)
            | TransferEvent::FundsHeld(_)
            | TransferEvent::CreditOverdue(_)
            | TransferEvent::TargetCredited(_)
            | TransferEvent::CreditRefused(_)
            | TransferEvent::TransferStalled(_) => None,
        }
    }
}
