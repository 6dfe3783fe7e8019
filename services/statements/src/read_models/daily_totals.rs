//! One document a day and currency: what came in, went out, and went from one account to another.

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{day::Day, messages::AccountMessage, money::Currency};

/// What moved on one day in one currency, in minor units.
///
/// Every account changes the same document, and its messages come on partitions of which none waits for another: so
/// only sums are kept, which are the same in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTotals {
    /// What came in.
    pub deposited_minor: i128,
    /// What went out.
    pub withdrawn_minor: i128,
    /// What went from one account to another.
    pub transferred_minor: i128,
}

/// Totals by day and currency.
pub const DAILY_TOTALS: Table<DayTotals> = Table::of::<DailyTotals>("totals");

/// The key of a day's totals in a currency.
pub fn totals_key(day: &Day, currency: Currency) -> Key {
    Key::new().text(day.as_str()).text(currency.code())
}

/// Folds messages into totals.
#[derive(Default)]
pub struct DailyTotals;

impl Projection for DailyTotals {
    const NAME: &'static str = "daily-totals";
    const VERSION: u32 = 2;
    type Event = AccountMessage;

    fn project(
        &self,
        message: &AccountMessage,
        delivery: &Delivery,
        tx: &mut dyn ReadTransaction,
    ) -> Result<(), ReadError> {
        let nothing = DayTotals::default();
        let (currency, moved) = match message {
            AccountMessage::Deposited(funds) => {
                (funds.currency, DayTotals { deposited_minor: funds.amount_minor.into(), ..nothing })
            }
            AccountMessage::Withdrawn(funds) => {
                (funds.currency, DayTotals { withdrawn_minor: funds.amount_minor.into(), ..nothing })
            }
            // Once for each transfer: what is captured at its source was credited to its target before.
            AccountMessage::Credited(funds) => {
                (funds.currency, DayTotals { transferred_minor: funds.amount_minor.into(), ..nothing })
            }
            AccountMessage::Opened(_)
            | AccountMessage::Held(_)
            | AccountMessage::Captured(_)
            | AccountMessage::Released(_)
            | AccountMessage::Closed(_) => return Ok(()),
        };
        let key = totals_key(&Day::of(delivery.recorded_at), currency);
        let before = DAILY_TOTALS.get(tx, &key)?.unwrap_or_default();
        let after = DayTotals {
            deposited_minor: before.deposited_minor + moved.deposited_minor,
            withdrawn_minor: before.withdrawn_minor + moved.withdrawn_minor,
            transferred_minor: before.transferred_minor + moved.transferred_minor,
        };
        DAILY_TOTALS.put(tx, &key, &after)
    }
}
