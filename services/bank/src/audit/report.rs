//! What an audit found, bounded, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::fold::AccountFold;
use super::money;

/// The most differences that are kept and printed; the rest are counted.
pub const DIFFERENCES_KEPT_MAX: usize = 50;

/// Money in one currency, over all accounts, in minor units.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Totals {
    /// What the events brought in.
    pub deposited: i128,
    /// What the events took out.
    pub withdrawn: i128,
    /// What transfers brought to accounts.
    pub credited: i128,
    /// What transfers took from accounts.
    pub captured: i128,
    /// What is held for transfers.
    pub held: i128,
    /// The sum of the balances that `statements` shows.
    pub balances: i128,
}

/// What an audit found.
#[derive(Debug, Default)]
pub struct Report {
    /// The position of the last event of accounts that was folded, which is their number.
    pub position: u64,
    /// How many accounts were compared.
    pub accounts: u64,
    /// How many transfers were compared.
    pub transfers: u64,
    /// Per ISO 4217 code.
    pub totals: BTreeMap<String, Totals>,
    differences: Vec<String>,
    differences_not_kept: u64,
}

impl Totals {
    /// Adds an account: its fold, and the balance that is shown for it.
    pub fn add(&mut self, fold: &AccountFold, shown: i128) {
        self.deposited += fold.deposited;
        self.withdrawn += fold.withdrawn;
        self.credited += fold.credited;
        self.captured += fold.captured;
        self.held += fold.held();
        self.balances += shown;
    }
}

impl Report {
    /// Notes a difference.
    pub fn differs(&mut self, difference: String) {
        if self.differences.len() < DIFFERENCES_KEPT_MAX {
            self.differences.push(difference);
        } else {
            self.differences_not_kept += 1;
        }
    }

    /// Whether everything holds.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    /// How many differences there are, with those that were only counted.
    pub fn differences_total(&self) -> u64 {
        self.differences.len() as u64 + self.differences_not_kept
    }

    /// The differences that were kept, in the order found.
    #[cfg(test)]
    pub fn differences(&self) -> &[String] {
        &self.differences
    }

    /// The report as JSON; amounts in minor units.
    pub fn to_json(&self) -> Value {
        json!({
            "clean": self.is_clean(),
            "position": self.position,
            "accounts": self.accounts,
            "transfers": self.transfers,
            "totals": self.totals,
            "differences_total": self.differences_total(),
            "differences": self.differences,
        })
    }

    /// The report as lines.
    ///
    /// # Errors
    /// When `out` refuses them.
    pub fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "audit of {} accounts, {} events, {} transfers", self.accounts, self.position, self.transfers)?;
        for (currency, totals) in &self.totals {
            let text = |minor| money::to_decimal(minor, money::decimals(currency).unwrap_or_default());
            writeln!(
                out,
                "  {currency}  deposited {}  withdrawn {}  transferred {}  balances {}",
                text(totals.deposited),
                text(totals.withdrawn),
                text(totals.credited),
                text(totals.balances)
            )?;
        }
        for difference in &self.differences {
            writeln!(out, "  {difference}")?;
        }
        if self.differences_not_kept > 0 {
            writeln!(out, "  … and {} more", self.differences_not_kept)?;
        }
        match self.differences_total() {
            0 => writeln!(out, "clean: the statements say what the events say, and no money is missing"),
            1 => writeln!(out, "not clean: 1 difference"),
            total => writeln!(out, "not clean: {total} differences"),
        }
    }
}
