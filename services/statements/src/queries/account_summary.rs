//! Where does an account stand?

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::read_models::{ACCOUNT_SUMMARIES, AccountSummaries, AccountSummary};

/// Where does an account stand?
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "account-summary", reads(AccountSummaries))]
pub struct GetAccountSummary {
    /// Which account.
    #[serde(deserialize_with = "factum::input::hyphenated")]
    #[schemars(extend("examples" = ["6f1a7c1e-0000-4000-8000-000000000001"]))]
    pub account_id: Uuid,
}

impl Answers for GetAccountSummary {
    type Answer = AccountSummary;
    const NOT_FOUND: &'static [&'static str] = &["account-not-found"];

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<AccountSummary, QueryError> {
        let account_id = self.account_id.to_string();
        ACCOUNT_SUMMARIES.get(read, &Key::from(account_id.as_str()))?.ok_or_else(|| QueryError::NotFound {
            code: "account-not-found",
            message: "there is no such account".to_owned(),
        })
    }
}
