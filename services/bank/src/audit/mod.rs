//! `bank audit`: folds every event with code of its own and compares what the services answer.
//!
//! Every account's summary and statement are compared, then what is asked of the bank as a whole: the lists of accounts,
//! which show what no event made as well, and the totals of days.
//!
//! It may run while others write: an account that moved on between the fold and the answer is folded on and compared
//! anew; one whose answers lag is asked again, for a bounded time. A difference at the same version is final at once.

mod compare;
mod fold;
mod money;
mod report;
#[cfg(test)]
mod tests;
mod trail;
mod views;

pub use report::Report;

use std::collections::HashSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::{BankAddress, BankClient, ClientError, EVENTS_PAGE_MAX};
use compare::{Comparison, compare};
use fold::Ledger;
use views::compare_views;

/// How long answers may lag behind the fold before that counts as a difference.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(30);
/// The pause before accounts that were not settled are asked again.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(100);
/// How many accounts are asked for at once.
const COMPARISONS_AT_ONCE_MAX: usize = 16;

/// The options of `bank audit`.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    #[command(flatten)]
    bank: BankAddress,
    /// Print the report as one JSON document, amounts in minor units.
    #[arg(long)]
    json: bool,
}

/// An account that is not settled yet.
#[derive(Debug, Clone)]
struct Pending {
    id: Uuid,
    /// A version that was shown before the current fold began: the log must have it by now.
    shown: u64,
    /// Why it is not settled.
    because: String,
}

/// Audits the bank and prints what it found. Success only when everything holds.
///
/// # Errors
/// When the bank does not answer, or standard output is gone.
pub async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let client = args.bank.client();
    let report = audit(&client, CATCH_UP_MAX).await?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        report.write_text(&mut out)?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Audits the bank, and waits at most `catch_up` for answers that lag behind the events.
///
/// # Errors
/// When a surface does not answer, or answers nonsense.
pub async fn audit(client: &BankClient, catch_up: Duration) -> anyhow::Result<Report> {
    let started = Instant::now();
    let mut report = Report::default();
    let mut ledger = Ledger::default();
    fold_to_head(client, &mut ledger, &mut report).await?;
    report.accounts = ledger.accounts().len() as u64;
    let mut ids: Vec<Uuid> = ledger.accounts().keys().copied().collect();
    ids.sort_unstable();
    let mut pending: Vec<Pending> =
        ids.into_iter().map(|id| Pending { id, shown: 0, because: String::new() }).collect();
    let mut flawed = HashSet::new();
    loop {
        pending = compare_all(client, &ledger, pending, &mut flawed, &mut report).await?;
        if pending.is_empty() {
            break;
        }
        if started.elapsed() >= catch_up {
            for left in pending {
                flawed.insert(left.id);
                report.differs(format!("account {}: not settled after {catch_up:?}: {}", left.id, left.because));
            }
            break;
        }
        tokio::time::sleep(CATCH_UP_PAUSE).await;
        fold_to_head(client, &mut ledger, &mut report).await?;
    }
    let ledger = compare_views(client, ledger, flawed, started + catch_up, &mut report).await?;
    report.position = ledger.position();
    // Equal today, and never again: with a loop that failed, what happens next would not be shown.
    let unready = client.unready().await.context("asking whether the services are ready")?;
    unready.into_iter().for_each(|reason| report.differs(format!("not ready: {reason}")));
    conclude(&mut report);
    Ok(report)
}

async fn fold_to_head(client: &BankClient, ledger: &mut Ledger, report: &mut Report) -> anyhow::Result<()> {
    loop {
        let page = client.events(ledger.position(), EVENTS_PAGE_MAX).await;
        let page = page.with_context(|| format!("reading the events after position {}", ledger.position()))?;
        if page.is_empty() {
            return Ok(());
        }
        let before = ledger.position();
        for event in &page {
            ledger.apply(event).into_iter().for_each(|broken| report.differs(broken));
        }
        // Without this, a log that repeats a page would be read for ever.
        anyhow::ensure!(ledger.position() > before, "the events after position {before} do not go on");
    }
}

/// Compares the accounts, a bounded number at once; returns those that are not settled.
async fn compare_all(
    client: &BankClient,
    ledger: &Ledger,
    accounts: Vec<Pending>,
    flawed: &mut HashSet<Uuid>,
    report: &mut Report,
) -> anyhow::Result<Vec<Pending>> {
    let mut waiting = accounts.into_iter();
    let mut asked: JoinSet<(Pending, Result<Comparison, ClientError>)> = JoinSet::new();
    let mut unsettled = Vec::new();
    loop {
        while asked.len() < COMPARISONS_AT_ONCE_MAX
            && let Some(account) = waiting.next()
        {
            let fold = ledger.accounts()[&account.id].clone();
            let client = client.clone();
            asked.spawn(async move {
                let comparison = compare(&client, account.id, &fold).await;
                (account, comparison)
            });
        }
        let Some(answered) = asked.join_next().await else {
            return Ok(unsettled);
        };
        let (account, comparison) = answered.context("comparing an account")?;
        let comparison = comparison.with_context(|| format!("comparing account {}", account.id))?;
        let (id, differences) = (account.id, report.differences_total());
        unsettled.extend(settle(ledger, account, comparison, report));
        if report.differences_total() > differences {
            flawed.insert(id);
        }
    }
}

/// Notes what a comparison says; returns the account when it must be compared again.
fn settle(ledger: &Ledger, account: Pending, comparison: Comparison, report: &mut Report) -> Option<Pending> {
    let fold = &ledger.accounts()[&account.id];
    let totals = report.totals.entry(fold.currency.clone()).or_default();
    match comparison {
        Comparison::Equal(balance) => {
            totals.add(fold, balance);
            None
        }
        Comparison::Different { what, balance } => {
            totals.add(fold, balance.unwrap_or_default());
            report.differs(format!("account {}: {what}", account.id));
            None
        }
        Comparison::Behind(because) => {
            Some(Pending { because: format!("{because}, the events are at {}", fold.version), ..account })
        }
        Comparison::Ahead(shown) if shown <= account.shown => {
            // The log was read after this version was shown, and does not have it.
            report.differs(format!(
                "account {}: version {shown} is shown, but its events end at {}",
                account.id, fold.version
            ));
            None
        }
        Comparison::Ahead(shown) => {
            Some(Pending { shown, because: format!("it moved on to version {shown}"), ..account })
        }
    }
}

/// Money is neither made nor lost: what came in less what went out is what the statements show.
fn conclude(report: &mut Report) {
    let missing: Vec<String> = report
        .totals
        .iter()
        .filter(|(_, totals)| totals.deposited - totals.withdrawn != totals.balances)
        .map(|(currency, totals)| {
            let kept = totals.deposited - totals.withdrawn;
            format!("{currency}: the events leave {kept} minor units, the statements show {}", totals.balances)
        })
        .collect();
    missing.into_iter().for_each(|difference| report.differs(difference));
}
