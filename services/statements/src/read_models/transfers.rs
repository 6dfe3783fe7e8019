//! One document a transfer: between whom, how much, and how far it is.

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{messages::TransferMessage, money::DECIMAL};

/// A transfer, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// Which transfer.
    #[schemars(extend("format" = "uuid"))]
    pub transfer_id: String,
    /// The account the money comes from.
    #[schemars(extend("format" = "uuid"))]
    pub from: String,
    /// The account it goes to.
    #[schemars(extend("format" = "uuid"))]
    pub to: String,
    /// How much, as a decimal.
    #[schemars(regex(pattern = DECIMAL), example = "25.50")]
    pub amount: String,
    /// Its currency's code.
    #[schemars(regex(pattern = "^[A-Z]{3}$"), example = &"EUR")]
    pub currency: String,
    /// How far it is.
    pub status: TransferStatus,
    /// Why it was rejected: a stable code; absent unless it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "insufficient-funds")]
    pub reason: Option<String>,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransferStatus {
    /// On its way.
    Pending,
    /// The money has arrived.
    Completed,
    /// The money stays where it was, for good.
    Rejected,
}

/// Transfers by their ids.
pub const TRANSFERS: Table<Transfer> = Table::of::<Transfers>("transfers");

/// Folds messages into transfers. What `accounts` tells of the same transfers is not in it: a document that messages of
/// two topics changed would depend on which of them came first.
#[derive(Default)]
pub struct Transfers;

impl Projection for Transfers {
    const NAME: &'static str = "transfers";
    const VERSION: u32 = 1;
    type Event = TransferMessage;

    fn project(
        &self,
        message: &TransferMessage,
        delivery: &Delivery,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        match message {
            TransferMessage::Requested(requested) => {
                let transfer = Transfer {
                    transfer_id: requested.transfer_id.clone(),
                    from: requested.from.clone(),
                    to: requested.to.clone(),
                    amount: requested.currency.decimal(requested.amount_minor.into()),
                    currency: requested.currency.code().to_owned(),
                    status: TransferStatus::Pending,
                    reason: None,
                };
                TRANSFERS.put(tx, &Key::from(requested.transfer_id.as_str()), &transfer)
            }
            TransferMessage::Completed(completed) => {
                ended(tx, &completed.transfer_id, delivery, TransferStatus::Completed, None)
            }
            TransferMessage::Rejected(rejected) => {
                ended(tx, &rejected.transfer_id, delivery, TransferStatus::Rejected, Some(&rejected.reason))
            }
        }
    }
}

fn ended(
    tx: &mut dyn ReadTransaction,
    transfer_id: &str,
    delivery: &Delivery,
    status: TransferStatus,
    reason: Option<&String>,
) -> Result<(), ReadError> {
    let key = Key::from(transfer_id);
    let transfer = TRANSFERS.get(tx, &key)?;
    let transfer = transfer.ok_or_else(|| ReadError::Broken(format!("{} ends before it began", delivery.stream)))?;
    TRANSFERS.put(tx, &key, &Transfer { status, reason: reason.cloned(), ..transfer })
}
