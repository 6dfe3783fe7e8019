//! The money in an open account: what is there, and what of it is held for transfers.

use std::collections::BTreeMap;

use super::{AccountRejection, TransferId};
use crate::domain::money::Currency;

/// The money in an open account. Its rules: what is held is never more than what is there, what is there never more than
/// [`AccountRejection::BALANCE_MINOR_MAX`], and only what is available goes out or is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funds {
    currency: Currency,
    totals: Totals,
    /// In minor units, by transfer. Their sum is what is held.
    holds: BTreeMap<TransferId, u64>,
}

/// What is there after a movement, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    /// All that is there.
    pub balance: u64,
    /// What of it is held.
    pub held: u64,
}

/// What happens to a transfer's hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum HoldChange {
    /// None does.
    None,
    /// It comes into being, over so many minor units.
    Placed(TransferId, u64),
    /// It is gone.
    Gone(TransferId),
}

impl Totals {
    /// What a decision leads to.
    fn decided(balance: u64, held: u64) -> Self {
        assert!(held <= balance, "{held} would be held of {balance}");
        assert!(balance <= AccountRejection::BALANCE_MINOR_MAX, "the balance would be {balance}");
        Self { balance, held }
    }
}

impl Funds {
    /// A new account's.
    pub(super) const fn none(currency: Currency) -> Self {
        Self { currency, totals: Totals { balance: 0, held: 0 }, holds: BTreeMap::new() }
    }

    /// The account's currency.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// All that is there, in minor units.
    pub const fn balance(&self) -> u64 {
        self.totals.balance
    }

    /// What of it is not held, in minor units.
    pub const fn available(&self) -> u64 {
        self.totals.balance.saturating_sub(self.totals.held)
    }

    /// Whether something is held for any transfer.
    pub fn has_holds(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Folds what an event says: the totals are the event's own, so that no rule is applied to what has happened.
    pub(super) fn moved(&mut self, totals: Totals, change: HoldChange) {
        self.totals = totals;
        match change {
            HoldChange::None => {}
            HoldChange::Placed(transfer_id, amount) => drop(self.holds.insert(transfer_id, amount)),
            HoldChange::Gone(transfer_id) => drop(self.holds.remove(&transfer_id)),
        }
    }

    /// More comes in.
    pub(super) fn grown_by(&self, amount: u64) -> Result<Totals, AccountRejection> {
        let balance = self.totals.balance.checked_add(amount).ok_or(AccountRejection::BalanceTooHigh)?;
        if balance > AccountRejection::BALANCE_MINOR_MAX {
            return Err(AccountRejection::BalanceTooHigh);
        }
        Ok(Totals::decided(balance, self.totals.held))
    }

    /// Something available goes out.
    pub(super) fn less(&self, amount: u64) -> Result<Totals, AccountRejection> {
        self.check_available(amount)?;
        Ok(Totals::decided(self.totals.balance - amount, self.totals.held))
    }

    /// Something available is set aside for a transfer.
    pub(super) fn holding(&self, transfer_id: TransferId, amount: u64) -> Result<Totals, AccountRejection> {
        if self.holds.contains_key(&transfer_id) {
            return Err(AccountRejection::HoldAlreadyExists);
        }
        if self.holds.len() >= AccountRejection::HOLDS_MAX {
            return Err(AccountRejection::TooManyHolds);
        }
        self.check_available(amount)?;
        Ok(Totals::decided(self.totals.balance, self.totals.held + amount))
    }

    /// What is held for a transfer goes out; with how much that is.
    pub(super) fn captured(&self, transfer_id: TransferId) -> Result<(u64, Totals), AccountRejection> {
        let amount = self.hold(transfer_id)?;
        Ok((amount, Totals::decided(self.totals.balance - amount, self.totals.held - amount)))
    }

    /// What is held for a transfer is available again; with how much that is.
    pub(super) fn released(&self, transfer_id: TransferId) -> Result<(u64, Totals), AccountRejection> {
        let amount = self.hold(transfer_id)?;
        Ok((amount, Totals::decided(self.totals.balance, self.totals.held - amount)))
    }

    /// What is held for a transfer, in minor units.
    ///
    /// A hold that is gone is as unknown as one that never was. The same command sent again does not come here: its id is
    /// looked up before anything is decided, and what was recorded under it then is its outcome for ever. Whoever else
    /// asks about a hold that is gone has lost count, and must hear so: "nothing to do" would tell the sender of a
    /// capture that the money was taken, although it may have been given back.
    fn hold(&self, transfer_id: TransferId) -> Result<u64, AccountRejection> {
        self.holds.get(&transfer_id).copied().ok_or(AccountRejection::HoldNotFound)
    }

    fn check_available(&self, amount: u64) -> Result<(), AccountRejection> {
        let (available, currency) = (self.available(), self.currency);
        if amount > available {
            return Err(AccountRejection::InsufficientFunds { available, currency });
        }
        Ok(())
    }
}
