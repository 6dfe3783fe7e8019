//! Folders copied, and the ends of what programs said.

use std::{fs, path::Path};

use crate::Error;

/// How many lines of what a program said an error repeats.
const LINES_SAID_MAX: usize = 20;

/// Copies a folder with everything in it. A file that is gone when its turn comes is left out: its owner may be running.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::file(to))?;
    for entry in fs::read_dir(from).map_err(Error::file(from))? {
        let entry = entry.map_err(Error::file(from))?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(Error::file(&source))?.is_dir() {
            match copy_folder(&source, &copy) {
                Err(Error::File { why, .. }) if is_gone(&why, &source) => {}
                copied => copied?,
            }
        } else {
            match fs::copy(&source, &copy) {
                Err(why) if is_gone(&why, &source) => {}
                copied => drop(copied.map_err(Error::file(&source))?),
            }
        }
    }
    Ok(())
}

fn is_gone(why: &std::io::Error, path: &Path) -> bool {
    why.kind() == std::io::ErrorKind::NotFound && !path.exists()
}

/// Removes a folder if it is there.
pub fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(Error::File { path: folder.to_owned(), why }),
        _ => Ok(()),
    }
}

/// The end of what a program said.
pub fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LINES_SAID_MAX)..].join("\n")
}
