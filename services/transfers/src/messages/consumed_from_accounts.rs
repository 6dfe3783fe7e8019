//! The messages of `accounts`, as far as this service reads them: its own types against the published contract.
//! Fields and messages it does not name are tolerated. Which step of which transfer a message answers is said by the
//! command id it carries; the ids in it are for people.

use factum::Event;
use serde::{Deserialize, Serialize};

/// Where they come from.
pub const ACCOUNT_TOPIC: &str = "bank.accounts.account.events";
/// Where accounts say which commands they refused, or had nothing to do for.
pub const OUTCOME_TOPIC: &str = "bank.accounts.outcome.events";

/// A message about an account.
#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub enum AccountMessage {
    /// Money was set aside for a transfer.
    #[factum(name = "bank.accounts.funds-held.v1")]
    Held(FundsHeld),
    /// A transfer brought money.
    #[factum(name = "bank.accounts.account-credited.v1")]
    Credited(AccountCredited),
    /// What was set aside was taken out.
    #[factum(name = "bank.accounts.hold-captured.v1")]
    Captured(HoldCaptured),
    /// What was set aside was given back.
    #[factum(name = "bank.accounts.hold-released.v1")]
    Released(HoldReleased),
}

/// Money was set aside for a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundsHeld {
    /// Which account.
    pub account_id: String,
    /// For which transfer.
    pub transfer_id: String,
}

/// A transfer brought money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCredited {
    /// Which account.
    pub account_id: String,
    /// Which transfer.
    pub transfer_id: String,
}

/// What was set aside for a transfer was taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldCaptured {
    /// Which account.
    pub account_id: String,
    /// For which transfer.
    pub transfer_id: String,
}

/// What was set aside for a transfer was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReleased {
    /// Which account.
    pub account_id: String,
    /// For which transfer.
    pub transfer_id: String,
}
