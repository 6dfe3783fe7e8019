//! Where everything fetched lies.

use std::{env, path::PathBuf};

use crate::Error;

/// The mark that cargo leaves in the folder it builds into.
const CARGO_MARK: &str = "CACHEDIR.TAG";

/// The folder of everything fetched: `local-services` in the folder that cargo built this program into, however it is
/// configured; in the folder for temporary files for a program that was moved elsewhere.
///
/// # Errors
/// When the system does not tell where this program is.
pub fn home() -> Result<PathBuf, Error> {
    let program = env::current_exe().map_err(Error::file("the path of this program"))?;
    let target = program.ancestors().find(|folder| folder.join(CARGO_MARK).is_file());
    Ok(target.map_or_else(env::temp_dir, PathBuf::from).join("local-services"))
}
