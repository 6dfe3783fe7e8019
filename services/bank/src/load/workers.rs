//! A bounded number of workers take the plan's commands one after another and send them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::plan::PlannedCommand;
use super::tally::Tally;
use crate::client::{BankClient, ClientError, CommandRequest, Log, Receipt, Summary, TransferStatus};

/// Of this many accepted operations one is also read back.
const VISIBILITY_ONE_IN: u64 = 50;

/// Makes the command with an index.
pub type Planned = dyn Fn(u64) -> PlannedCommand + Send + Sync;

/// Commands to be sent, shared by the workers.
pub struct Work {
    /// Where to.
    pub client: BankClient,
    /// What: called with every index below `count` once.
    pub planned: Box<Planned>,
    /// How many.
    pub count: u64,
    /// Set from outside: no further command is begun.
    pub stop: Arc<AtomicBool>,
    /// Moves on with every command.
    pub progress: ProgressBar,
    /// The index that is taken next; starts at 0.
    pub next: AtomicU64,
}

/// Sends all of `work` with `concurrency` workers.
///
/// # Errors
/// When the bank is gone for longer than a request is repeated: nothing more is sent then.
pub async fn send_all(work: Arc<Work>, concurrency: usize) -> anyhow::Result<Tally> {
    let mut workers: JoinSet<Result<Tally, ClientError>> =
        (0..concurrency).map(|_| worker(Arc::clone(&work))).collect();
    let mut tally = Tally::default();
    let mut gone = None;
    while let Some(ended) = workers.join_next().await {
        match ended.context("a load worker")? {
            Ok(one) => tally.add(one),
            Err(error) => {
                work.stop.store(true, Ordering::Relaxed);
                gone = Some(error);
            }
        }
    }
    gone.map_or(Ok(tally), |error| Err(error).context("the bank does not answer"))
}

async fn worker(work: Arc<Work>) -> Result<Tally, ClientError> {
    let mut tally = Tally::default();
    while !work.stop.load(Ordering::Relaxed) {
        let index = work.next.fetch_add(1, Ordering::Relaxed);
        if index >= work.count {
            break;
        }
        send(&work, &(work.planned)(index), index, &mut tally).await?;
        work.progress.inc(1);
    }
    Ok(tally)
}

async fn send(work: &Work, command: &PlannedCommand, index: u64, tally: &mut Tally) -> Result<(), ClientError> {
    let sent = Instant::now();
    let request = CommandRequest {
        to: command.to,
        name: command.name,
        body: &command.body,
        idempotency_key: Some(&command.idempotency_key),
        if_match: None,
    };
    let answer = work.client.command(request).await;
    tally.answered.note(sent.elapsed());
    match answer {
        Ok(receipt) => {
            tally.accepted += 1;
            if command.to == Log::Transfers {
                tally.transfers.push(command.subject);
            }
            if index.is_multiple_of(VISIBILITY_ONE_IN) {
                read_back(work, command, &receipt, sent, tally).await;
            }
        }
        Err(error) if error.code() == Some("insufficient-funds") => tally.insufficient_funds += 1,
        Err(error @ ClientError::Unreachable { .. }) => return Err(error),
        Err(error) => tally.fail(&error),
    }
    Ok(())
}

/// Who has a token reads his own write: the summary must show at least the receipt's version, and a
/// transfer must be known.
async fn read_back(work: &Work, command: &PlannedCommand, receipt: &Receipt, sent: Instant, tally: &mut Tally) {
    let id = command.subject;
    if command.to == Log::Transfers {
        let path = format!("/queries/transfer?transfer_id={id}");
        return match work.client.query::<TransferStatus>(path, Some(&receipt.token)).await {
            Ok(_) => tally.visible.note(sent.elapsed()),
            Err(error) => tally.fail_to_read(format!("reading back: {error}")),
        };
    }
    let path = format!("/queries/account-summary?account_id={id}");
    let shown: Result<Summary, ClientError> = work.client.query(path, Some(&receipt.token)).await;
    match shown {
        Ok(summary) if summary.version >= receipt.version => tally.visible.note(sent.elapsed()),
        Ok(summary) => tally.fail_to_read(format!(
            "version {} is shown to a token that stands for version {}",
            summary.version, receipt.version
        )),
        Err(error) => tally.fail_to_read(format!("reading back: {error}")),
    }
}

#[cfg(test)]
#[path = "workers_tests.rs"]
mod tests;
