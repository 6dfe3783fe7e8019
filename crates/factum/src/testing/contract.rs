//! A service's published contract, held against its code.

use std::path::Path;

use crate::contract::{Contract, breaks, compare, release, rewrite};

/// The environment variable that makes [`assert_contract`] write the contract instead of comparing it: `1`.
pub const UPDATE_CONTRACT: &str = "UPDATE_CONTRACT";

/// The environment variable that makes [`assert_contract`] release the contract: `1`.
pub const RELEASE_CONTRACT: &str = "RELEASE_CONTRACT";

/// The environment variable with the reason for which a release may break who relies on an earlier one.
pub const BREAK_CONTRACT: &str = "BREAK_CONTRACT";

/// Proves that the contract kept in `folder` is the one the code has; with `UPDATE_CONTRACT=1` in the environment it is
/// written there first. And proves that it breaks nobody who relies on what was released, which is kept in `released/` below the
/// folder, and rewritten with `RELEASE_CONTRACT=1` only; with `BREAK_CONTRACT=<why>` even when somebody is broken.
///
/// # Panics
/// They differ, a message has no sample, somebody who relies on what was released is broken, or the folder cannot be read or written.
#[track_caller]
pub fn assert_contract(contract: &Contract, folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    let update = std::env::var_os(UPDATE_CONTRACT).is_some_and(|value| value == "1");
    if let Err(error) = if update { rewrite(contract, folder) } else { Ok(()) } {
        panic!("the contract cannot be written to {}: {error}", folder.display());
    }
    match compare(contract, folder) {
        Ok(differences) if differences.is_empty() => {}
        Ok(differences) => {
            let list: Vec<String> = differences.iter().map(|difference| format!("\n  {difference}")).collect();
            panic!(
                "what is published is not what {} says:{}\nwhat others rely on changes by a new version of the message; \
                 when the change is meant, run the test again with {UPDATE_CONTRACT}=1 and review the difference",
                folder.display(),
                list.concat(),
            );
        }
        Err(error) => panic!("the contract cannot be read from {}: {error}", folder.display()),
    }
    if std::env::var_os(RELEASE_CONTRACT).is_some_and(|value| value == "1") {
        let why = std::env::var(BREAK_CONTRACT).ok().filter(|why| !why.trim().is_empty());
        if let Err(error) = release(contract, folder, why.as_deref()) {
            panic!("nothing is released in {}: {error}", folder.display());
        }
    }
    match breaks(contract, folder) {
        Ok(broken) if broken.is_empty() => {}
        Ok(broken) => {
            let list: Vec<String> = broken.iter().map(|one| format!("\n  {one}")).collect();
            panic!("who relies on the contract that was released in {} is broken:{}", folder.display(), list.concat());
        }
        Err(error) => panic!("what was released cannot be read: {error}"),
    }
}
