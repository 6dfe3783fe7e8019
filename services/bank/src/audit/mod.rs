//! `bank audit`: folds every event with code of its own and compares what the services answer.
//!
//! Every transfer has to end, with what accounts did for it as it says. Then every account's summary and statement are compared,
//! and what is asked of the bank as a whole: the lists of accounts, which show what no event made as well, and the totals of days.
//!
//! It may run while others write: an account that moved on between the fold and the answer is folded on and compared
//! anew; one whose answers lag is asked again, for a bounded time. A difference at the same version is final at once.

#[cfg(test)]
mod altered_tests;
#[cfg(test)]
mod books;
mod compare;
pub mod fold;
mod journeys;
#[cfg(test)]
mod journeys_tests;
mod money;
mod report;
#[cfg(test)]
mod tests;
mod trail;
mod transfer;
mod views;

pub use report::Report;

use std::collections::HashSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::{BankAddress, BankClient, ClientError, EVENTS_PAGE_MAX, Log};
use compare::{Comparison, compare};
use fold::Ledger;
use journeys::compare_transfers;
use report::Totals;
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
    compare_transfers(client, &mut ledger, started + catch_up, &mut report).await?;
    let settled = Log::ALL.map(|log| ledger.position(log));
    report.accounts = ledger.accounts().len() as u64;
    let mut ids: Vec<Uuid> = ledger.accounts().keys().copied().collect();
    ids.sort_unstable();
    let mut pending: Vec<Pending> =
        ids.into_iter().map(|id| Pending { id, shown: 0, because: String::new() }).collect();
    let mut flawed = HashSet::new();
    let deadline = Instant::now() + catch_up;
    loop {
        pending = compare_all(client, &ledger, pending, &mut flawed, &mut report).await?;
        if pending.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            for left in pending {
                flawed.insert(left.id);
                report.differs(format!("account {}: not settled after {catch_up:?}: {}", left.id, left.because));
            }
            break;
        }
        tokio::time::sleep(CATCH_UP_PAUSE).await;
        fold_to_head(client, &mut ledger, &mut report).await?;
    }
    let ledger = compare_views(client, ledger, flawed, deadline, &mut report).await?;
    report.position = ledger.position(Log::Accounts);
    // Equal today, and never again: with a loop that failed, what happens next would not be shown.
    let unready = client.unready().await.context("asking whether the services are ready")?;
    unready.into_iter().for_each(|reason| report.differs(format!("not ready: {reason}")));
    let at_rest = settled == Log::ALL.map(|log| ledger.position(log));
    conclude(at_rest && ledger.transfers().values().all(|transfer| transfer.state.is_end()), &mut report);
    Ok(report)
}

/// Folds what is new. The transfers' log first: what they heard of accounts is in the accounts' log then.
async fn fold_to_head(client: &BankClient, ledger: &mut Ledger, report: &mut Report) -> anyhow::Result<()> {
    for log in [Log::Transfers, Log::Accounts] {
        loop {
            let before = ledger.position(log);
            let page = client.events(log, before, EVENTS_PAGE_MAX).await;
            let page = page.with_context(|| format!("reading the events of {log} after position {before}"))?;
            if page.is_empty() {
                break;
            }
            for event in &page {
                ledger.apply(log, event).into_iter().for_each(|broken| report.differs(broken));
            }
            // Without this, a log that repeats a page would be read for ever.
            anyhow::ensure!(ledger.position(log) > before, "the events of {log} after position {before} do not go on");
        }
    }
    Ok(())
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

/// Money is neither made nor lost: what came in less what went out is what the statements show. `at_rest`: nothing
/// happened while the accounts were compared, and no transfer is under way.
fn conclude(at_rest: bool, report: &mut Report) {
    let mut missing = Vec::new();
    for (currency, totals) in &report.totals {
        let Totals { deposited, withdrawn, credited, captured, held, balances } = *totals;
        let kept = deposited - withdrawn + credited - captured;
        if kept != balances {
            missing.push(format!("{currency}: the events leave {kept} minor units, the statements show {balances}"));
        }
        if at_rest && (credited != captured || held != 0) {
            missing.push(format!(
                "{currency}: transfers brought {credited} minor units and took {captured}, {held} are still held"
            ));
        }
    }
    missing.into_iter().for_each(|difference| report.differs(difference));
}
