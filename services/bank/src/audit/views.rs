//! What is asked of the bank as a whole: who has which accounts, and what moved on a day.
//!
//! Such an answer has no version to compare at. It must show at least what the events said before it was asked for, and
//! nothing that they do not say once it has come: where nothing goes on, that is the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::compare::{NotComparable, not_comparable, percent_encoded, summary_difference};
use super::fold::{AccountFold, DayFold, Ledger};
use super::{CATCH_UP_PAUSE, COMPARISONS_AT_ONCE_MAX, Report, fold_to_head, money};
use crate::client::{ACCOUNTS_PAGE_MAX, AccountsPage, BankClient, ClientError, DayOfTotals, Summary};

/// A question.
#[derive(Debug, Clone, PartialEq)]
enum View {
    /// All accounts.
    Everybody,
    /// The accounts of the holder of this name.
    Holder(String),
    /// What moved on a day in a currency.
    Day(String, String),
}

/// What a view must show, or shows: versions by account, or sums.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Accounts(BTreeMap<Uuid, u64>),
    Day(DayFold),
}

/// A view that is not settled yet.
#[derive(Debug)]
struct Pending {
    view: View,
    /// What it must show at least: what the events said when it was first asked for.
    least: Content,
    /// Why it is not settled.
    because: String,
}

/// What came of asking.
#[derive(Debug)]
enum Looked {
    Shown(Content),
    Behind(String),
    Different(String),
}

/// Asks for every view and compares it with the fold, until `deadline`. Accounts in `flawed` were found to differ
/// already: they are not told of again.
///
/// # Errors
/// When a surface does not answer, or answers nonsense.
pub async fn compare_views(
    client: &BankClient,
    ledger: Ledger,
    flawed: HashSet<Uuid>,
    deadline: Instant,
    report: &mut Report,
) -> anyhow::Result<Ledger> {
    let said = Said::by(&ledger);
    let mut pending: Vec<Pending> = said
        .views()
        .into_iter()
        .map(|view| Pending { least: said.content(&view), view, because: String::new() })
        .collect();
    let (mut ledger, flawed) = (ledger, Arc::new(flawed));
    loop {
        let looked;
        (ledger, looked) = look_at_all(client, ledger, &flawed, pending).await?;
        fold_to_head(client, &mut ledger, report).await?;
        pending = Vec::new();
        let said = Said::by(&ledger);
        for (asked, looked) in looked {
            let judged = match looked {
                Looked::Shown(shown) => judge(&asked, &shown, &said.content(&asked.view), &flawed),
                other => other,
            };
            match judged {
                Looked::Shown(_) => {}
                Looked::Different(what) => report.differs(format!("{}: {what}", name(&asked))),
                Looked::Behind(because) => pending.push(Pending { because, ..asked }),
            }
        }
        if pending.is_empty() {
            return Ok(ledger);
        }
        if Instant::now() >= deadline {
            for left in pending {
                report.differs(format!("{}: not settled in time: {}", name(&left), left.because));
            }
            return Ok(ledger);
        }
        tokio::time::sleep(CATCH_UP_PAUSE).await;
    }
}

/// What the events say, by view.
struct Said<'a> {
    ledger: &'a Ledger,
    by_holder: BTreeMap<&'a str, BTreeMap<Uuid, u64>>,
}

impl<'a> Said<'a> {
    fn by(ledger: &'a Ledger) -> Self {
        let mut by_holder: BTreeMap<&str, BTreeMap<Uuid, u64>> = BTreeMap::new();
        for (id, account) in ledger.accounts() {
            if let Some(holder) = account.holder.as_str() {
                by_holder.entry(holder).or_default().insert(*id, account.version);
            }
        }
        Self { ledger, by_holder }
    }

    /// Every question that they say something about; of days also those on which nothing moved in a currency.
    fn views(&self) -> Vec<View> {
        let holders = self.by_holder.keys().map(|holder| View::Holder((*holder).to_owned()));
        let days: BTreeSet<&String> = self.ledger.days().keys().map(|(day, _)| day).collect();
        let currencies: BTreeSet<&String> = self.ledger.accounts().values().map(|account| &account.currency).collect();
        let on_each = |day: &String| -> Vec<View> {
            currencies.iter().map(|currency| View::Day(day.clone(), (*currency).clone())).collect()
        };
        std::iter::once(View::Everybody).chain(holders).chain(days.into_iter().flat_map(on_each)).collect()
    }

    fn content(&self, view: &View) -> Content {
        match view {
            View::Everybody => {
                let accounts = self.ledger.accounts().iter();
                Content::Accounts(accounts.map(|(id, account)| (*id, account.version)).collect())
            }
            View::Holder(name) => Content::Accounts(self.by_holder.get(name.as_str()).cloned().unwrap_or_default()),
            View::Day(day, currency) => {
                let day = (day.clone(), currency.clone());
                Content::Day(self.ledger.days().get(&day).copied().unwrap_or_default())
            }
        }
    }
}

/// A view in words. A holder is personal data: one of the accounts stands for the name.
fn name(pending: &Pending) -> String {
    match (&pending.view, &pending.least) {
        (View::Holder(_), Content::Accounts(versions)) => {
            let account = versions.keys().next().map(Uuid::to_string).unwrap_or_default();
            format!("the accounts of the holder of {account}")
        }
        (View::Day(day, currency), _) => format!("the totals of {day} in {currency}"),
        _ => "the list of all accounts".to_owned(),
    }
}

/// Asks for the views, a bounded number at once.
async fn look_at_all(
    client: &BankClient,
    ledger: Ledger,
    flawed: &Arc<HashSet<Uuid>>,
    pending: Vec<Pending>,
) -> anyhow::Result<(Ledger, Vec<(Pending, Looked)>)> {
    let ledger = Arc::new(ledger);
    let mut waiting = pending.into_iter();
    let mut asked: JoinSet<(Pending, Result<Looked, ClientError>)> = JoinSet::new();
    let mut looked = Vec::new();
    loop {
        while asked.len() < COMPARISONS_AT_ONCE_MAX
            && let Some(pending) = waiting.next()
        {
            let (client, ledger, flawed) = (client.clone(), Arc::clone(&ledger), Arc::clone(flawed));
            asked.spawn(async move {
                let looked = look(&client, &pending.view, &ledger, &flawed).await;
                (pending, looked)
            });
        }
        let Some(answered) = asked.join_next().await else { break };
        let (pending, answer) = answered.context("asking for a view")?;
        let answer = match answer {
            Ok(looked) => looked,
            Err(error) => match not_comparable(error).with_context(|| format!("asking for {}", name(&pending)))? {
                NotComparable::NotYet(because) => Looked::Behind(because),
                NotComparable::Different(what) => Looked::Different(what),
            },
        };
        looked.push((pending, answer));
    }
    let ledger = Arc::try_unwrap(ledger).map_err(|_| anyhow::anyhow!("a comparison has not ended"))?;
    Ok((ledger, looked))
}

async fn look(
    client: &BankClient,
    view: &View,
    ledger: &Ledger,
    flawed: &HashSet<Uuid>,
) -> Result<Looked, ClientError> {
    match view {
        View::Everybody => look_at_accounts(client, "", ledger, flawed).await,
        View::Holder(name) => {
            let whose = format!("&holder={}", percent_encoded(name));
            look_at_accounts(client, &whose, ledger, flawed).await
        }
        View::Day(day, currency) => {
            let path = format!("/queries/daily-totals?date={day}&currency={currency}");
            let shown: DayOfTotals = client.query(path, None).await?;
            Ok(day_shown(&shown, day, currency))
        }
    }
}

/// Walks over all pages. A summary at the fold's version must say what the fold does.
async fn look_at_accounts(
    client: &BankClient,
    whose: &str,
    ledger: &Ledger,
    flawed: &HashSet<Uuid>,
) -> Result<Looked, ClientError> {
    let mut versions = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/queries/accounts?limit={ACCOUNTS_PAGE_MAX}{whose}{cursor}");
        let page: AccountsPage = client.query(path, None).await?;
        for summary in &page.accounts {
            if let Err(what) = take(&mut versions, summary, ledger, flawed) {
                return Ok(Looked::Different(what));
            }
        }
        match page.next {
            Some(_) if page.accounts.is_empty() => {
                return Ok(Looked::Different("a page is empty and not the last".to_owned()));
            }
            Some(next) => cursor = format!("&cursor={}", percent_encoded(&next)),
            None => return Ok(Looked::Shown(Content::Accounts(versions))),
        }
    }
}

fn take(
    versions: &mut BTreeMap<Uuid, u64>,
    summary: &Summary,
    ledger: &Ledger,
    flawed: &HashSet<Uuid>,
) -> Result<(), String> {
    let id = &summary.account_id;
    let id = Uuid::parse_str(id).map_err(|_| format!("shows the account {id:?}, which is no UUID"))?;
    if versions.last_key_value().is_some_and(|(last, _)| *last >= id) {
        return Err(format!("shows account {id} twice, or out of order"));
    }
    versions.insert(id, summary.version);
    let same = |fold: &&AccountFold| fold.version == summary.version && !flawed.contains(&id);
    let fold = ledger.accounts().get(&id).filter(same);
    match fold.and_then(|fold| summary_difference(id, summary, fold)) {
        Some(what) => Err(format!("account {id}: {what}")),
        None => Ok(()),
    }
}

fn day_shown(shown: &DayOfTotals, day: &str, currency: &str) -> Looked {
    if (shown.date.as_str(), shown.currency.as_str()) != (day, currency) {
        return Looked::Different(format!("they are called those of {} in {}", shown.date, shown.currency));
    }
    let decimals = money::decimals(currency).unwrap_or_default();
    let read = |text: &str| money::to_minor(text, decimals);
    match (read(&shown.deposited), read(&shown.withdrawn), read(&shown.transferred)) {
        (Some(deposited), Some(withdrawn), Some(transferred)) => {
            Looked::Shown(Content::Day(DayFold { deposited, withdrawn, transferred }))
        }
        _ => {
            let DayOfTotals { deposited, withdrawn, transferred, .. } = shown;
            Looked::Different(format!(
                "deposited {deposited:?}, withdrawn {withdrawn:?}, transferred {transferred:?} cannot be"
            ))
        }
    }
}

/// Between what the events said before and what they say now.
fn judge(asked: &Pending, shown: &Content, most: &Content, flawed: &HashSet<Uuid>) -> Looked {
    match (&asked.least, shown, most) {
        (Content::Accounts(least), Content::Accounts(shown), Content::Accounts(most)) => {
            let told = |id: &&Uuid| !flawed.contains(*id);
            let surplus = |id: &&Uuid| most.get(*id).is_none_or(|version| shown[*id] > *version);
            let missing = |id: &&Uuid| shown.get(*id).is_none_or(|version| *version < least[*id]);
            if let Some(id) = shown.keys().filter(told).find(surplus) {
                return Looked::Different(format!(
                    "account {id} at version {} is shown, which the events do not have there",
                    shown[id]
                ));
            }
            if let Some(id) = least.keys().filter(told).find(missing) {
                return Looked::Behind(format!("account {id} at version {} is not shown", least[id]));
            }
        }
        (Content::Day(least), Content::Day(shown), Content::Day(most)) => {
            if !shown.is_within(most) {
                return Looked::Different(format!("{shown} is shown, the events make it {most}"));
            }
            if !least.is_within(shown) {
                return Looked::Behind(format!("{shown} is shown, the events make it {least}"));
            }
        }
        _ => return Looked::Different("the answer is to another question".to_owned()),
    }
    Looked::Shown(shown.clone())
}
