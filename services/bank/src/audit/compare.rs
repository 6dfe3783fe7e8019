//! One account: is what `statements` answers equal to the fold?

use serde_json::Value;
use uuid::Uuid;

use super::fold::AccountFold;
use super::money;
use super::trail::{Movement, Step, Trail};
use crate::client::{BankClient, ClientError, STATEMENT_PAGE_MAX, Statement, StatementLine, Summary};

/// Where an account's answers stand beside the fold.
#[derive(Debug, PartialEq)]
pub enum Comparison {
    /// Equal, at the fold's version; the balance as the summary shows it, in minor units.
    Equal(i128),
    /// The answers show an older version, or none yet: ask again later. The text says how far they are.
    Behind(String),
    /// The answers show this newer version: fold on, and compare anew.
    Ahead(u64),
    /// At the same version something differs: waiting would not help.
    Different {
        /// What differs.
        what: String,
        /// The balance as the summary shows it, in minor units, where it shows one.
        balance: Option<i128>,
    },
}

/// Asks for the account's summary and every page of its statement, and compares both with the fold.
///
/// # Errors
/// When the service gives no answer that can be compared; "not now" is [`Comparison::Behind`].
pub async fn compare(client: &BankClient, id: Uuid, fold: &AccountFold) -> Result<Comparison, ClientError> {
    let path = format!("/queries/account-summary?account_id={id}");
    let summary: Summary = match client.query(path, None).await {
        Ok(summary) => summary,
        Err(error) => return not_yet(error),
    };
    if summary.version < fold.version {
        return Ok(Comparison::Behind(format!("its summary shows version {}", summary.version)));
    }
    if summary.version > fold.version {
        return Ok(Comparison::Ahead(summary.version));
    }
    let balance = money::to_minor(&summary.balance, fold.decimals);
    if let Some(what) = summary_difference(id, &summary, fold) {
        return Ok(Comparison::Different { what, balance });
    }
    match compare_statement(client, id, fold).await {
        Ok(Comparison::Different { what, .. }) => Ok(Comparison::Different { what, balance }),
        Ok(comparison) => Ok(comparison),
        Err(error) => not_yet(error),
    }
}

fn different(what: String) -> Comparison {
    Comparison::Different { what, balance: None }
}

fn not_yet(error: ClientError) -> Result<Comparison, ClientError> {
    not_comparable(error).map(|answer| match answer {
        NotComparable::NotYet(because) => Comparison::Behind(because),
        NotComparable::Different(what) => different(what),
    })
}

/// An answer with nothing in it to compare.
pub(super) enum NotComparable {
    /// There may be something later.
    NotYet(String),
    /// There should have been.
    Different(String),
}

/// What a problem says about the answer.
///
/// # Errors
/// When there was no answer.
pub(super) fn not_comparable(error: ClientError) -> Result<NotComparable, ClientError> {
    match error {
        ClientError::Problem(problem) if matches!(problem.status, 404 | 409 | 429 | 503) => {
            Ok(NotComparable::NotYet(format!("statements answers {problem}")))
        }
        ClientError::Problem(problem) => Ok(NotComparable::Different(format!("statements answers {problem}"))),
        error => Err(error),
    }
}

/// What a summary at the fold's version says that the fold does not.
pub(super) fn summary_difference(id: Uuid, summary: &Summary, fold: &AccountFold) -> Option<String> {
    let balance = money::to_decimal(fold.balance(), fold.decimals);
    let available = money::to_decimal(fold.available(), fold.decimals);
    let status = if fold.closed { "closed" } else { "open" };
    let texts = [
        ("account_id", summary.account_id.clone(), id.to_string()),
        ("holder", shown(&summary.holder), shown(&fold.holder)),
        ("status", summary.status.clone(), status.to_owned()),
        ("balance", summary.balance.clone(), balance),
        ("available", summary.available.clone(), available),
        ("currency", summary.currency.clone(), fold.currency.clone()),
        ("updated_at", summary.updated_at.clone().unwrap_or_default(), fold.updated_at.clone()),
    ];
    let (field, shows, must) = texts.into_iter().find(|(_, shows, must)| shows != must)?;
    Some(format!("its summary at version {} shows {field} {shows}, the events make it {must}", summary.version))
}

fn shown(holder: &Value) -> String {
    holder.as_str().map_or_else(|| holder.to_string(), str::to_owned)
}

async fn compare_statement(client: &BankClient, id: Uuid, fold: &AccountFold) -> Result<Comparison, ClientError> {
    let mut walk = Walk { fold, version: 0, balance: 0, trail: Trail::default() };
    let mut cursor = None;
    loop {
        let page: Statement = client.query(statement_path(id, cursor.as_deref()), None).await?;
        for line in &page.lines {
            // A newer summary may be one event away; a line beyond the fold says the same.
            if walk.version == fold.version {
                return Ok(Comparison::Ahead(line.version));
            }
            if let Err(what) = walk.take(line) {
                return Ok(different(what));
            }
        }
        match page.next {
            Some(_) if page.lines.is_empty() => {
                return Ok(different("a page of its statement is empty and not the last".to_owned()));
            }
            Some(next) => cursor = Some(next),
            None => return Ok(walk.end()),
        }
    }
}

fn statement_path(id: Uuid, cursor: Option<&str>) -> String {
    let first = format!("/queries/statement?account_id={id}&limit={STATEMENT_PAGE_MAX}");
    match cursor {
        None => first,
        Some(cursor) => format!("{first}&cursor={}", percent_encoded(cursor)),
    }
}

/// A cursor is the service's own text: everything but letters, digits and `-._~` is escaped (RFC 3986).
pub(super) fn percent_encoded(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// A walk over a statement's lines, from the first.
struct Walk<'a> {
    fold: &'a AccountFold,
    version: u64,
    balance: i128,
    trail: Trail,
}

impl Walk<'_> {
    /// Takes the next line; says what is wrong with it in itself.
    fn take(&mut self, line: &StatementLine) -> Result<(), String> {
        let wrong = |what: &str| format!("its statement at version {}: {what}", line.version);
        if line.version != self.version + 1 {
            return Err(wrong(&format!("follows version {}", self.version)));
        }
        let minor = |text: &str| money::to_minor(text, self.fold.decimals);
        let movement = Movement::from_kind(&line.kind).ok_or_else(|| wrong("is of an unknown kind"))?;
        let amount = match &line.amount {
            None => 0,
            Some(text) => minor(text).ok_or_else(|| wrong(&format!("shows the amount {text:?}")))?,
        };
        let balance = minor(&line.balance).ok_or_else(|| wrong(&format!("shows the balance {:?}", line.balance)))?;
        let moves_as_it_says = match movement.sign() {
            0 => line.amount.is_none(),
            sign => amount.signum() == sign,
        };
        if !moves_as_it_says {
            return Err(wrong(&format!("is {}, but shows the amount {:?}", line.kind, line.amount)));
        }
        if balance != self.balance + amount {
            let before = money::to_decimal(self.balance, self.fold.decimals);
            let amount = line.amount.as_deref().unwrap_or("nothing");
            return Err(wrong(&format!("the balance is {}, but {before} and {amount} came before", line.balance)));
        }
        (self.version, self.balance) = (line.version, balance);
        let at = line.at.as_deref().unwrap_or_default();
        let transfer = line.transfer_id.as_deref().map(|id| Uuid::parse_str(id).unwrap_or_default());
        self.trail = self.trail.then(Step { version: line.version, at, movement, balance, transfer });
        Ok(())
    }

    fn end(self) -> Comparison {
        if self.version < self.fold.version {
            return Comparison::Behind(format!("its statement ends at version {}", self.version));
        }
        if self.trail != self.fold.trail {
            return different(format!(
                "the lines of its statement up to version {} are not what the events say",
                self.version
            ));
        }
        Comparison::Equal(self.balance)
    }
}
