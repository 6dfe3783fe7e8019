//! What moved on a day?

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    day::Day,
    money::{Currency, DECIMAL},
    read_models::{DAILY_TOTALS, DailyTotals, totals_key},
};

/// What moved on a day in a currency? A day on which nothing did has zeros.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "daily-totals", reads(DailyTotals))]
pub struct GetDailyTotals {
    /// Which day, in UTC.
    pub date: Day,
    /// In which currency.
    pub currency: Currency,
}

/// What moved on a day, as decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DayOfTotals {
    /// Which day, in UTC.
    pub date: Day,
    /// The currency's code.
    pub currency: Currency,
    /// What was deposited.
    #[schemars(regex(pattern = DECIMAL), example = "125.00")]
    pub deposited: String,
    /// What was withdrawn.
    #[schemars(regex(pattern = DECIMAL), example = "25.50")]
    pub withdrawn: String,
    /// What transfers brought from one account to another: each counts once, on the day on which it arrived.
    #[schemars(regex(pattern = DECIMAL), example = "10.00")]
    pub transferred: String,
}

impl Answers for GetDailyTotals {
    type Answer = DayOfTotals;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<DayOfTotals, QueryError> {
        let currency = self.currency;
        let totals = DAILY_TOTALS.get(read, &totals_key(&self.date, currency))?.unwrap_or_default();
        Ok(DayOfTotals {
            date: self.date.clone(),
            currency,
            deposited: currency.decimal(totals.deposited_minor),
            withdrawn: currency.decimal(totals.withdrawn_minor),
            transferred: currency.decimal(totals.transferred_minor),
        })
    }
}
