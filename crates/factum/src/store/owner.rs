//! Whose a loop's progress is.

use super::{EventStore, Progress, ProgressError};
use crate::read::Epoch;

/// Claims a progress or, with an epoch claimed before, reads it again. Claiming again would take it back from whoever took
/// over meanwhile: the two would take turns for ever.
///
/// # Errors
/// [`ProgressError::Fenced`]: somebody took over. Or the store failed.
pub(crate) async fn own_progress(
    store: &dyn EventStore,
    name: &str,
    claimed: Option<Epoch>,
) -> Result<Progress, ProgressError> {
    let Some(Epoch(epoch)) = claimed else { return store.claim_progress(name).await };
    let progress = store.progress(name).await?;
    let Epoch(current) = progress.epoch;
    if current == epoch { Ok(progress) } else { Err(ProgressError::Fenced { name: name.to_owned(), epoch, current }) }
}
