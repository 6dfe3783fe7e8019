//! Makes the bank's event stores anew from a cold copy of the data folder.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use factum::store::{EngineStore, Restored};

/// The folder of a service's event store, in the service's own.
const EVENTS: &str = "events";

/// Every service with events of its own.
const SERVICES: [&str; 3] = [accounts::NAME, transfers::NAME, statements::NAME];
/// Stands in the folder of all data while services are restored in it.
const UNFINISHED: &str = "restoring";
/// What is written in it, for people who look.
const UNFINISHED_TEXT: &str = "The bank is being restored into this folder. If no process does, restore again.\n";

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
///
/// Killed in between, the bank does not start on what is there: it is restored again first.
pub(crate) fn run(RestoreArgs { from, data }: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let is_same = fs::canonicalize(from).is_ok_and(|from| fs::canonicalize(data).is_ok_and(|data| from == data));
    anyhow::ensure!(!is_same, "{} cannot be restored from itself: name a copy", data.display());
    let due = due(from, data)?;
    let mark = data.join(UNFINISHED);
    let again = mark.exists();
    // Where there is nothing to restore from, nothing is left behind either.
    let begun = due.iter().any(|due| due.copied);
    let made = missing(data);
    if begun {
        begin(data)?;
    }
    for (index, Due { service, .. }) in due.iter().enumerate() {
        match restored(service, from, data) {
            Ok(restored) => print(service, &restored),
            Err(error) => {
                // What it was is what it is.
                if begun && index == 0 && !again {
                    end(&mark)?;
                    unmake(&made)?;
                }
                return Err(error);
            }
        }
    }
    end(&mark)?;
    println!(
        "If statements had read what is lost, they stop and say so: `bank rebuild statements --replace` fills them"
    );
    println!(
        "anew. Transfers that had heard what accounts lost stop as well, and the other way round: restore both from"
    );
    println!("the same copy; or see what they heard by `bank forks list`, and let them go on by `bank forks accept`.");
    Ok(ExitCode::SUCCESS)
}

/// A service to be restored.
struct Due {
    service: &'static str,
    /// There is something in the copy.
    copied: bool,
}

/// What is not there and in the copy; accounts in any case when nothing else is: they say why not.
fn due(from: &Path, data: &Path) -> anyhow::Result<Vec<Due>> {
    let restorable = |folder: PathBuf| {
        EngineStore::is_restorable(&folder).with_context(|| format!("{} cannot be read", folder.display()))
    };
    let mut due = Vec::new();
    for service in SERVICES {
        let lost = restorable(data.join(service).join(EVENTS))?;
        // A copy may be older than a service.
        let copied = !restorable(from.join(service).join(EVENTS))?;
        if lost && (copied || service == accounts::NAME) {
            due.push(Due { service, copied });
        }
    }
    if due.is_empty() {
        due.push(Due { service: accounts::NAME, copied: false });
    }
    Ok(due)
}

fn restored(service: &str, from: &Path, data: &Path) -> anyhow::Result<Restored> {
    let (copy, data) = (from.join(service), data.join(service));
    Ok(match service {
        accounts::NAME => accounts::restore(&copy, &data)?,
        transfers::NAME => transfers::restore(&copy, &data)?,
        _ => statements::restore(&copy, &data)?,
    })
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

/// Refuses a folder in which a restore was not finished: a service that is not restored yet would begin anew.
pub(crate) fn refuse_unfinished(data: &Path) -> anyhow::Result<()> {
    let (folder, mark) = (data.display(), data.join(UNFINISHED));
    let advice = "restore again; or, to go without what is missing, delete";
    anyhow::ensure!(!mark.exists(), "a restore into {folder} was not finished: {advice} {}", mark.display());
    Ok(())
}

/// The folders that are to be made for this one, itself included, the innermost first.
fn missing(folder: &Path) -> Vec<PathBuf> {
    let above = folder.ancestors().filter(|folder| !folder.as_os_str().is_empty());
    above.take_while(|folder| !folder.exists()).map(Path::to_owned).collect()
}

/// Removes folders that were made, the innermost first, as far as nothing is in them.
fn unmake(folders: &[PathBuf]) -> anyhow::Result<()> {
    for folder in folders {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be removed", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a tool of operators, on the folder that it was told")]
fn begin(data: &Path) -> anyhow::Result<()> {
    let write = || {
        fs::create_dir_all(data)?;
        let mark = File::create(data.join(UNFINISHED))?;
        (&mark).write_all(UNFINISHED_TEXT.as_bytes())?;
        mark.sync_all()?;
        File::open(data)?.sync_all()
    };
    write().with_context(|| format!("{} cannot be written", data.display()))
}

fn end(mark: &Path) -> anyhow::Result<()> {
    match fs::remove_file(mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", mark.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of a bank that runs was refused, and an empty folder was left as if there were a bank in it.
    #[test]
    fn a_copy_that_is_open_is_refused_and_leaves_no_folder() {
        let folder = tempfile::tempdir().expect("there is a place for it");
        let (from, into) = (folder.path().join("copy"), folder.path().join("new").join("data"));
        let events = from.join(accounts::NAME).join(EVENTS);
        let open = EngineStore::open(&events, factum::store::EngineOptions::default()).expect("it is made");
        let args = RestoreArgs { from: from.clone(), data: into.clone() };
        let refused = run(&args).expect_err("somebody has it open");
        assert!(format!("{refused:#}").contains("open"), "{refused:#}");
        assert!(!folder.path().join("new").exists(), "nothing half-made remains");
        // What was there before stays.
        fs::create_dir_all(&into).expect("it is made");
        run(&args).expect_err("somebody has it open");
        assert_eq!(fs::read_dir(&into).expect("it is there").count(), 0);
        drop(open);
        run(&args).expect("now it can be copied");
        assert!(into.join(accounts::NAME).join(EVENTS).is_dir());
    }
}
