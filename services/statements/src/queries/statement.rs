//! What happened to an account?

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::read_models::{STATEMENT_LINES, StatementLine, StatementLines, lines_of};

/// The lines of a page, unless told otherwise.
const LINES_DEFAULT: usize = 50;
/// The most lines of a page.
const LINES_MAX: usize = 500;

/// What happened to an account? Oldest first, page by page.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "statement", reads(StatementLines))]
pub struct GetStatement {
    /// Which account.
    #[serde(deserialize_with = "factum::input::hyphenated")]
    pub account_id: Uuid,
    /// How many lines at most: 1 to 500, 50 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A page of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Statement {
    /// Its lines, oldest first.
    pub lines: Vec<StatementLine>,
    /// The cursor of the next page; `null` at the end.
    pub next: Option<String>,
}

impl Answers for GetStatement {
    type Answer = Statement;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Statement, QueryError> {
        let limit = self.limit.unwrap_or(LINES_DEFAULT);
        if !(1..=LINES_MAX).contains(&limit) {
            return Err(InvalidField::new("limit", format!("must be 1 to {LINES_MAX}")).into());
        }
        let mut range = lines_of(&self.account_id.to_string());
        if let Some(cursor) = &self.cursor {
            let after = cursor.parse::<Cursor>().map_err(|error| InvalidField::new("cursor", error))?.into_key();
            if !range.contains(&after) {
                return Err(InvalidField::new("cursor", "belongs to another account's statement").into());
            }
            range = range.after(after);
        }
        let page = STATEMENT_LINES.page(read, &range, limit)?;
        if page.documents.is_empty() && self.cursor.is_none() {
            let message = "there is no such account".to_owned();
            return Err(QueryError::NotFound { code: "account-not-found", message });
        }
        Ok(Statement { lines: page.documents, next: page.next.map(|cursor| cursor.to_string()) })
    }
}
