//! Which accounts are there, and whose?

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    holder::Holder,
    paging::{LIMIT_DEFAULT, LIMIT_MAX, page_size, rest},
};
use crate::read_models::{ACCOUNT_SUMMARIES, ACCOUNTS_BY_HOLDER, AccountSummaries, AccountSummary, accounts_of};

/// Which accounts are there? Those of one holder, or all of them, in the order of their ids, page by page.
///
/// An account that is there while a walk over the pages lasts is on exactly one of them, whatever is written meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "accounts", reads(AccountSummaries))]
pub struct GetAccounts {
    /// Whose: the exact name as the account was opened. Everybody's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// How many accounts at most: 1 to 500, 50 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = LIMIT_MAX), extend("default" = LIMIT_DEFAULT))]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cursor: Option<String>,
}

/// A page of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Accounts {
    /// Where each of them stands.
    pub accounts: Vec<AccountSummary>,
    /// The cursor of the next page; `null` at the end.
    #[schemars(example = None::<String>)]
    pub next: Option<String>,
}

impl Answers for GetAccounts {
    type Answer = Accounts;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Accounts, QueryError> {
        let limit = page_size(self.limit)?;
        let cursor = self.cursor.as_deref();
        let Some(holder) = &self.holder else {
            let page = ACCOUNT_SUMMARIES.page(read, &rest(ACCOUNT_SUMMARIES, KeyRange::all(), cursor)?, limit)?;
            return Ok(Accounts { accounts: page.documents, next: page.next.map(|cursor| cursor.to_string()) });
        };
        let range = rest(ACCOUNTS_BY_HOLDER, accounts_of(holder.as_str()), cursor)?;
        let page = ACCOUNTS_BY_HOLDER.page(read, &range, limit)?;
        let mut accounts = Vec::with_capacity(page.documents.len());
        for account_id in page.documents {
            let summary = ACCOUNT_SUMMARIES.get(read, &Key::from(account_id.as_str()))?;
            accounts.push(summary.ok_or_else(|| ReadError::Broken(format!("account {account_id} has no summary")))?);
        }
        Ok(Accounts { accounts, next: page.next.map(|cursor| cursor.to_string()) })
    }
}
