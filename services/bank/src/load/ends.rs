//! Transfers go on after they were accepted: waits until each has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::{BankClient, ClientError, TransferStatus};

/// How long the last one may take after all were sent: twice what a transfer takes whose every step is late.
pub const ENDS_WAIT_MAX: Duration = Duration::from_secs(180);
/// How many are asked for at once.
const ASKED_AT_ONCE_MAX: usize = 16;
/// The pause before one that is pending is asked for again.
const ASK_PAUSE: Duration = Duration::from_millis(20);

/// How the transfers of a run ended.
#[derive(Debug, Default)]
pub struct Ends {
    /// The money has moved.
    pub completed: u64,
    /// The money is where it was, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Still pending when nobody waited any more.
    pub open: u64,
}

impl Ends {
    /// As JSON, `elapsed` after the first was sent.
    pub fn to_json(&self, elapsed: Duration) -> Value {
        json!({
            "completed": self.completed,
            "rejected": self.rejected,
            "open": self.open,
            "elapsed_us": u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            "rate_per_s": self.rate(elapsed),
        })
    }

    /// As a line for people.
    pub fn to_text(&self, elapsed: Duration) -> String {
        let Self { completed, rejected, open } = self;
        let mut text = format!(
            "  ended    {:.0}/s from the first request to the last end: {completed} completed, {} rejected, {open} open\n",
            self.rate(elapsed),
            rejected.values().sum::<u64>(),
        );
        for (reason, times) in rejected {
            text += &format!("    {times} × {reason}\n");
        }
        text
    }

    fn rate(&self, elapsed: Duration) -> f64 {
        let ended = self.completed + self.rejected.values().sum::<u64>();
        ended as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// Waits until each of `transfers` has ended, `stop` is set, or it takes too long.
///
/// # Errors
/// When the bank is gone for longer than a question is repeated, or answers nonsense.
pub async fn wait_for_ends(
    client: &BankClient,
    transfers: Vec<Uuid>,
    stop: &Arc<AtomicBool>,
    progress: &ProgressBar,
) -> anyhow::Result<Ends> {
    let deadline = Instant::now() + ENDS_WAIT_MAX;
    let mut waiting = transfers.into_iter();
    let mut asked: JoinSet<Result<TransferStatus, ClientError>> = JoinSet::new();
    let mut ends = Ends::default();
    loop {
        while asked.len() < ASKED_AT_ONCE_MAX
            && let Some(id) = waiting.next()
        {
            let (client, stop) = (client.clone(), Arc::clone(stop));
            asked.spawn(async move { wait_for_end(&client, id, &stop, deadline).await });
        }
        let Some(answered) = asked.join_next().await else { return Ok(ends) };
        let shown = answered.context("waiting for a transfer")?.context("waiting for the transfers to end")?;
        match shown.status.as_str() {
            "completed" => ends.completed += 1,
            "rejected" => *ends.rejected.entry(shown.reason.unwrap_or_default()).or_default() += 1,
            _ => ends.open += 1,
        }
        progress.inc(1);
    }
}

/// The transfer once it has ended, or as it is when nobody waits any more.
async fn wait_for_end(
    client: &BankClient,
    id: Uuid,
    stop: &AtomicBool,
    deadline: Instant,
) -> Result<TransferStatus, ClientError> {
    loop {
        let shown = client.query::<TransferStatus>(format!("/queries/transfer?transfer_id={id}"), None).await;
        let late = stop.load(Ordering::Relaxed) || Instant::now() >= deadline;
        match shown {
            Ok(shown) if shown.status != "pending" || late => return Ok(shown),
            // Accepted, and not shown yet.
            Err(error) if late || error.code() != Some("transfer-not-found") => return Err(error),
            Ok(_) | Err(_) => tokio::time::sleep(ASK_PAUSE).await,
        }
    }
}
