//! The contract as it is kept, against the contract as the code has it.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{Contract, released::RELEASED};

/// Where the kept contract and the code differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The code has a file that is not kept.
    Missing(String),
    /// A file is kept that the code does not have.
    Surplus(String),
    /// A file is kept with another text.
    Changed {
        /// Its path below the contract's folder.
        file: String,
        /// The first line that differs, as it is kept.
        kept: String,
        /// The same line, as the code has it.
        code: String,
    },
    /// A message or command has no sample, so that no consumer can be held against it.
    NoSample(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(file) => write!(f, "{file} is not kept"),
            Self::Surplus(file) => write!(f, "{file} is kept, but nothing of the kind is published"),
            Self::Changed { file, kept, code } => write!(f, "{file}: kept `{kept}`, the code has `{code}`"),
            Self::NoSample(message) => write!(f, "{message} has no sample: add one in code"),
        }
    }
}

/// Every difference between a contract and the files in `folder`, by file.
///
/// # Errors
/// The folder cannot be read. A folder that is not there is an empty one.
pub fn compare(contract: &Contract, folder: &Path) -> io::Result<Vec<Difference>> {
    let mut kept = kept(folder)?;
    let mut differences = Vec::new();
    for (file, code) in contract.files() {
        match kept.remove(&file) {
            None => differences.push(Difference::Missing(file)),
            Some(path) => {
                let text = fs::read_to_string(path)?;
                if text != code {
                    let (kept, code) = first_difference(&text, &code);
                    differences.push(Difference::Changed { file, kept, code });
                }
            }
        }
    }
    differences.extend(kept.into_keys().map(Difference::Surplus));
    let names = contract.messages().map(|message| message.name).chain(contract.commands());
    let without = names.filter(|name| contract.samples_of(name).next().is_none());
    differences.extend(without.map(|name| Difference::NoSample(name.to_owned())));
    Ok(differences)
}

/// Writes the contract into `folder`, and removes what it does not have.
///
/// # Errors
/// A file cannot be written or removed.
pub fn rewrite(contract: &Contract, folder: &Path) -> io::Result<()> {
    let mut surplus = kept(folder)?;
    for (file, text) in contract.files() {
        surplus.remove(&file);
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    surplus.into_values().try_for_each(fs::remove_file)
}

/// The files of the contract below a folder, without what was released.
fn kept(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = files_below(folder)?;
    files.retain(|file, _| !file.starts_with(&format!("{RELEASED}/")));
    Ok(files)
}

/// The files below a folder, by their path in it with `/` between its parts.
pub(super) fn files_below(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut left = vec![(String::new(), folder.to_owned())];
    while let Some((prefix, folder)) = left.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                left.push((format!("{name}/"), entry.path()));
            } else {
                files.insert(name, entry.path());
            }
        }
    }
    Ok(files)
}

fn first_difference(kept: &str, code: &str) -> (String, String) {
    let (mut kept, mut code) = (kept.lines(), code.lines());
    loop {
        match (kept.next(), code.next()) {
            (Some(one), Some(other)) if one == other => {}
            (one, other) => {
                let line = |line: Option<&str>| line.map_or("(end)", str::trim).to_owned();
                return (line(one), line(other));
            }
        }
    }
}
