//! Makes the bank's event stores anew from a cold copy of the data folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use factum::store::Restored;

/// The folder of a service's event store, in the service's own.
const EVENTS: &str = "events";

/// From where, and into what.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The copy of the folder of all data
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The folder of all data; the events of the services to be restored must not be in it any more
    #[arg(long, value_name = "DIR", env = "BANK_DATA", default_value = "data")]
    data: PathBuf,
}

/// Restores the stores that are not there, and says what an operator has to know next.
pub(crate) fn run(RestoreArgs { from, data }: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let lost = |service: &str| is_empty(&data.join(service).join(EVENTS));
    // A copy may be older than a service.
    let copied = |service: &str| !is_empty(&from.join(service).join(EVENTS));
    let [transfers_lost, statements_lost] = [transfers::NAME, statements::NAME].map(|name| lost(name) && copied(name));
    // With nothing to restore, accounts say why not.
    if lost(accounts::NAME) || !(transfers_lost || statements_lost) {
        print(accounts::NAME, &accounts::restore(&from.join(accounts::NAME), &data.join(accounts::NAME))?);
    }
    if transfers_lost {
        print(transfers::NAME, &transfers::restore(&from.join(transfers::NAME), &data.join(transfers::NAME))?);
    }
    if statements_lost {
        print(statements::NAME, &statements::restore(&from.join(statements::NAME), &data.join(statements::NAME))?);
    }
    let (read_db, bus) = (data.join(statements::NAME).join("read.db"), data.join("bus"));
    println!("If statements had read what is lost, they stop at the next event and say so. Then stop the bank, delete");
    println!("{} and {}, and start it again: both are filled from the events.", read_db.display(), bus.display());
    println!("Transfers that had heard what accounts lost stop as well: restore both from the same copy.");
    Ok(ExitCode::SUCCESS)
}

fn print(service: &str, restored: &Restored) {
    let Restored { store, incarnation, fork, progress_records, torn_bytes, .. } = restored;
    println!("restored    {} events of {service}, store {store}", fork.position);
    println!("incarnation {incarnation}, forked from {} at {}", fork.parent, fork.position);
    println!("progress    {progress_records} records taken over");
    if *torn_bytes > 0 {
        println!("left        {torn_bytes} bytes of an interrupted append in the copy");
    }
}

/// Whether a folder is absent or has nothing in it.
fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
