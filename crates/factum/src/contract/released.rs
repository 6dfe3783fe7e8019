//! What was released of a contract: others rely on it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Contract,
    compare::files_below,
    evolution::{Breaking, INDEX, breaking_changes},
    json::pretty,
};

/// The folder below the contract's of what was released last.
pub const RELEASED: &str = "released";
/// In it: which changes were released although they break somebody, and why.
const BROKEN: &str = "broken.json";

/// Why nothing was released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Somebody relies on what changed.
    #[error("it breaks who relies on what was released:{}", .0.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Breaking(Vec<Breaking>),
    /// A file or folder.
    #[error("{path}: {why}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
}

impl ReleaseError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |why| Self::File { path, why }
    }
}

/// What of a contract breaks who relies on what was released, as the contract's folder has it. Nothing, where nothing was.
///
/// # Errors
/// [`ReleaseError::File`].
pub fn breaks(contract: &Contract, folder: &Path) -> Result<Vec<Breaking>, ReleaseError> {
    Ok(breaking_changes(&released(folder)?, &contract.documents()))
}

/// Releases a contract: what the folder has as released is what is published from now on. What breaks somebody is released only for
/// a reason, which is kept beside it with the changes.
///
/// # Errors
/// [`ReleaseError::Breaking`] without a reason, and nothing is written; [`ReleaseError::File`].
pub fn release(contract: &Contract, folder: &Path, why_broken: Option<&str>) -> Result<(), ReleaseError> {
    let broken = breaks(contract, folder)?;
    let target = folder.join(RELEASED);
    match why_broken {
        _ if broken.is_empty() => {}
        None => return Err(ReleaseError::Breaking(broken)),
        Some(why) => {
            let path = target.join(BROKEN);
            let mut all = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                text => {
                    parsed(&path, &text.map_err(ReleaseError::file(&path))?)?.as_array().cloned().unwrap_or_default()
                }
            };
            let changes: Vec<String> = broken.iter().map(ToString::to_string).collect();
            all.push(json!({ "why": why, "changes": changes }));
            write(&path, &pretty(&all.into()))?;
        }
    }
    let documents = contract.documents();
    for (file, path) in files_below(&target).map_err(ReleaseError::file(&target))? {
        if file != BROKEN && !documents.contains_key(&file) {
            fs::remove_file(&path).map_err(ReleaseError::file(path))?;
        }
    }
    // The index last: a release that was interrupted lists nothing that is not there.
    let (index, schemas): (Vec<_>, Vec<_>) = documents.iter().partition(|(file, _)| *file == INDEX);
    schemas.into_iter().chain(index).try_for_each(|(file, document)| write(&target.join(file), &pretty(document)))
}

fn write(path: &Path, text: &str) -> Result<(), ReleaseError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ReleaseError::file(folder))?;
    }
    fs::write(path, text).map_err(ReleaseError::file(path))
}

fn released(folder: &Path) -> Result<BTreeMap<String, Value>, ReleaseError> {
    let folder = folder.join(RELEASED);
    let files = files_below(&folder).map_err(ReleaseError::file(&folder))?;
    let read = |(file, path): (String, PathBuf)| {
        let text = fs::read(&path).map_err(ReleaseError::file(&path))?;
        Ok((file, parsed(&path, &text)?))
    };
    files.into_iter().filter(|(file, _)| file != BROKEN).map(read).collect()
}

fn parsed(path: &Path, text: &[u8]) -> Result<Value, ReleaseError> {
    serde_json::from_slice(text).map_err(|error| ReleaseError::file(path)(error.into()))
}
