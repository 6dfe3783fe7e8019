//! Makes the bank's only event store anew from a cold copy of the data folder.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use factum::store::Restored;

/// From where, and into what.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The copy of the folder of all data
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The folder of all data; it must not hold accounts' events any more
    #[arg(long, value_name = "DIR", env = "BANK_DATA", default_value = "data")]
    data: PathBuf,
}

/// Restores, and says what an operator has to know next.
pub(crate) fn run(RestoreArgs { from, data }: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let restored = accounts::restore(&from.join(accounts::NAME), &data.join(accounts::NAME))?;
    let Restored { store, incarnation, fork, progress_records, torn_bytes, .. } = restored;
    println!("restored    {} events of store {store}", fork.position);
    println!("incarnation {incarnation}, forked from {} at {}", fork.parent, fork.position);
    println!("progress    {progress_records} records taken over");
    if torn_bytes > 0 {
        println!("left        {torn_bytes} bytes of an interrupted append in the copy");
    }
    let (read_db, bus) = (data.join(statements::NAME).join("read.db"), data.join("bus"));
    println!("If statements had read what is lost, they stop at the next event and say so. Then stop the bank, delete");
    println!("{} and {}, and start it again: both are filled from the events.", read_db.display(), bus.display());
    Ok(ExitCode::SUCCESS)
}
