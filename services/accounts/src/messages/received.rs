//! What this service lets others ask of it over the bus. Which service asks is what the topic says, never the message.

use factum::receiver::Takes;

use crate::domain::{CaptureHold, CreditAccount, HoldFunds, ReleaseHold};

/// The service that moves money between accounts.
pub const TRANSFERS: &str = "transfers";

/// What [`TRANSFERS`] may ask, on `bank.accounts.commands.transfers`. Nobody may ask it over HTTP: a hold without a
/// transfer would never end.
pub fn commands_of_transfers(commands: Takes) -> Takes {
    commands.takes::<HoldFunds>().takes::<CreditAccount>().takes::<CaptureHold>().takes::<ReleaseHold>()
}
