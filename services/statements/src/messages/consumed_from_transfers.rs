//! The messages of `transfers`, as far as this service reads them: its own types against the published contract.
//! Fields and messages it does not name are tolerated.

use factum::Event;
use serde::{Deserialize, Serialize};

use crate::money::Currency;

/// Where they come from.
pub const TRANSFER_TOPIC: &str = "bank.transfers.transfer.events";

/// A message about a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub enum TransferMessage {
    /// Somebody asked for a transfer.
    #[factum(name = "bank.transfers.transfer-requested.v1")]
    Requested(TransferRequested),
    /// The money has arrived.
    #[factum(name = "bank.transfers.transfer-completed.v1")]
    Completed(TransferCompleted),
    /// The money stays where it was.
    #[factum(name = "bank.transfers.transfer-rejected.v1")]
    Rejected(TransferRejected),
}

/// Somebody asked for a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequested {
    /// Which transfer.
    pub transfer_id: String,
    /// The account the money comes from.
    pub from: String,
    /// The account it goes to.
    pub to: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// In which currency.
    pub currency: Currency,
}

/// The money has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferCompleted {
    /// Which transfer.
    pub transfer_id: String,
}

/// The money stays where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRejected {
    /// Which transfer.
    pub transfer_id: String,
    /// Why: a stable code.
    pub reason: String,
}
