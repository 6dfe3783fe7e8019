//! Every transfer has to end, as its accounts and `statements` say it did.
//!
//! Those that were there when the audit began are waited for, for a bounded time. What goes on meanwhile is no difference:
//! of two logs the transfers' is always read first, so that the accounts' has what they had made of it.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Context as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::compare::{NotComparable, not_comparable};
use super::fold::Ledger;
use super::transfer::{State, TransferFold};
use super::{CATCH_UP_PAUSE, COMPARISONS_AT_ONCE_MAX, Report, fold_to_head, money};
use crate::client::{BankClient, ClientError, TransferStatus};

/// A transfer that is not settled yet.
#[derive(Debug)]
struct Pending {
    id: Uuid,
    /// Accounts did something on its behalf before the transfers' log was read once more.
    known_to_accounts: bool,
    /// Why it is not settled.
    because: String,
}

/// What came of looking at one.
enum Looked {
    Equal,
    Behind(String),
    Different(String),
}

/// Compares every transfer with what accounts did for it and with what `statements` answers, until `deadline`.
///
/// # Errors
/// When a surface does not answer, or answers nonsense.
pub async fn compare_transfers(
    client: &BankClient,
    ledger: &mut Ledger,
    deadline: Instant,
    report: &mut Report,
) -> anyhow::Result<()> {
    let ids: BTreeSet<Uuid> = ledger.transfers().keys().chain(ledger.legs().keys()).copied().collect();
    let mut pending: Vec<Pending> =
        ids.into_iter().map(|id| Pending { id, known_to_accounts: false, because: String::new() }).collect();
    report.transfers = pending.len() as u64;
    loop {
        pending = look_at_all(client, ledger, pending, report).await?;
        if pending.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            for Pending { id, because, .. } in pending {
                report.differs(format!("transfer {id}: left open: {because}"));
            }
            return Ok(());
        }
        tokio::time::sleep(CATCH_UP_PAUSE).await;
        fold_to_head(client, ledger, report).await?;
    }
}

/// Looks at the transfers, a bounded number at once; returns those that are not settled.
async fn look_at_all(
    client: &BankClient,
    ledger: &Ledger,
    transfers: Vec<Pending>,
    report: &mut Report,
) -> anyhow::Result<Vec<Pending>> {
    let mut waiting = transfers.into_iter();
    let mut asked: JoinSet<(Uuid, Result<Looked, ClientError>)> = JoinSet::new();
    let mut unsettled = Vec::new();
    loop {
        while asked.len() < COMPARISONS_AT_ONCE_MAX
            && let Some(pending) = waiting.next()
        {
            let id = pending.id;
            match ledger.transfers().get(&id) {
                None if pending.known_to_accounts => {
                    report.differs(format!("transfer {id}: accounts moved money for it, and nobody asked for it"));
                }
                None => unsettled.push(Pending { known_to_accounts: true, ..pending }),
                Some(fold) if !fold.state.is_end() => {
                    unsettled.push(Pending { because: fold.state.to_string(), ..pending });
                }
                Some(fold) => match fold.differs_from(&ledger.legs().get(&id).cloned().unwrap_or_default()) {
                    Some(what) => report.differs(format!("transfer {id}: {what}")),
                    None => {
                        let (client, fold) = (client.clone(), fold.clone());
                        asked.spawn(async move { (id, look(&client, id, &fold).await) });
                    }
                },
            }
        }
        let Some(answered) = asked.join_next().await else {
            return Ok(unsettled);
        };
        let (id, looked) = answered.context("comparing a transfer")?;
        let looked = match looked {
            Ok(looked) => looked,
            Err(error) => match not_comparable(error).with_context(|| format!("comparing transfer {id}"))? {
                NotComparable::NotYet(because) => Looked::Behind(because),
                NotComparable::Different(what) => Looked::Different(what),
            },
        };
        match looked {
            Looked::Equal => {}
            Looked::Behind(because) => unsettled.push(Pending { id, known_to_accounts: false, because }),
            Looked::Different(what) => report.differs(format!("transfer {id}: {what}")),
        }
    }
}

/// One that has ended.
async fn look(client: &BankClient, id: Uuid, fold: &TransferFold) -> Result<Looked, ClientError> {
    let shown: TransferStatus = client.query(format!("/queries/transfer?transfer_id={id}"), None).await?;
    let (status, reason) = match &fold.state {
        State::Rejected(reason) => ("rejected", Some(reason.clone())),
        _ => ("completed", None),
    };
    let must = TransferStatus {
        transfer_id: id.to_string(),
        from: fold.from.to_string(),
        to: fold.to.to_string(),
        amount: money::to_decimal(fold.amount, fold.decimals),
        currency: fold.currency.clone(),
        status: status.to_owned(),
        reason,
    };
    Ok(if shown == must {
        Looked::Equal
    } else if shown.status == "pending" {
        Looked::Behind("statements shows it as pending".to_owned())
    } else {
        Looked::Different(format!("statements shows {shown:?}, the events make it {must:?}"))
    })
}
