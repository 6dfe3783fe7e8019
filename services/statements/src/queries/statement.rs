//! What happened to an account?

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::paging::{LIMIT_DEFAULT, LIMIT_MAX, page_size, rest};
use crate::read_models::{STATEMENT_LINES, StatementLine, StatementLines, lines_of};

/// What happened to an account? Oldest first, page by page.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "statement", reads(StatementLines))]
pub struct GetStatement {
    /// Which account.
    #[serde(deserialize_with = "factum::input::hyphenated")]
    #[schemars(extend("examples" = ["6f1a7c1e-0000-4000-8000-000000000001"]))]
    pub account_id: Uuid,
    /// How many lines at most: 1 to 500, 50 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = LIMIT_MAX), extend("default" = LIMIT_DEFAULT))]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cursor: Option<String>,
}

/// A page of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Statement {
    /// Its lines, oldest first.
    pub lines: Vec<StatementLine>,
    /// The cursor of the next page; `null` at the end.
    #[schemars(example = None::<String>)]
    pub next: Option<String>,
}

impl Answers for GetStatement {
    type Answer = Statement;
    const NOT_FOUND: &'static [&'static str] = &["account-not-found"];

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Statement, QueryError> {
        let limit = page_size(self.limit)?;
        let range = rest(STATEMENT_LINES, lines_of(&self.account_id.to_string()), self.cursor.as_deref())?;
        let page = STATEMENT_LINES.page(read, &range, limit)?;
        if page.documents.is_empty() && self.cursor.is_none() {
            let message = "there is no such account".to_owned();
            return Err(QueryError::NotFound { code: "account-not-found", message });
        }
        Ok(Statement { lines: page.documents, next: page.next.map(|cursor| cursor.to_string()) })
    }
}
