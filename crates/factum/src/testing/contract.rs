//! A service's published contract, held against its code.

use std::path::Path;

use crate::contract::{Contract, compare, rewrite};

/// The environment variable that makes [`assert_contract`] write the contract instead of comparing it: `1`.
pub const UPDATE_CONTRACT: &str = "UPDATE_CONTRACT";

/// Proves that the contract kept in `folder` is the one the code has; with `UPDATE_CONTRACT=1` in the environment it is
/// written there first.
///
/// # Panics
/// They differ, a message has no sample, or the folder cannot be read or written.
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
}
