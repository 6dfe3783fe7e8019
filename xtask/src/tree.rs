//! The files of the workspace that people write.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Context as _;

/// A larger file is data, not text that anybody reads.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Every file that is not ignored by the root's `.gitignore`, with its text where it has one.
///
/// Paths are relative to the root and use forward slashes. The folder is walked rather than asked from git, so that an
/// unpacked archive can be checked too.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads the tree under `root`.
    ///
    /// # Errors
    /// When a folder or file cannot be read.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let ignored = Ignored::read(root);
        let mut tree = Self::default();
        tree.walk(root, "", &ignored)?;
        Ok(tree)
    }

    /// A tree of the given paths and texts, for tests.
    pub fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let files = files.map(|(path, text)| (path.to_owned(), Some(text.to_owned())));
        Self { files: files.into() }
    }

    /// Adds a file or replaces its text.
    pub fn insert(&mut self, path: &str, text: &str) {
        self.files.insert(path.to_owned(), Some(text.to_owned()));
    }

    /// The text of a file; `None` where the file is absent or is no text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Paths and texts of all text files, in order of their paths.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Paths and texts of the files with this extension, written without its dot.
    pub fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| extension_of(path) == Some(extension))
    }

    /// Whether a file of this path exists, text or not.
    pub fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether some file lies under this folder; the root is the empty path.
    pub fn has_folder(&self, path: &str) -> bool {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        path.is_empty() || self.files.range(prefix.clone()..).next().is_some_and(|(file, _)| file.starts_with(&prefix))
    }

    /// The folders directly under `parent` (the root is the empty path), as paths from the root.
    pub fn folders_in(&self, parent: &str) -> BTreeSet<String> {
        let prefix = if parent.is_empty() { String::new() } else { format!("{parent}/") };
        let inside = self.files.keys().filter_map(|path| path.strip_prefix(&prefix));
        inside.filter_map(|rest| rest.split_once('/')).map(|(folder, _)| format!("{prefix}{folder}")).collect()
    }

    fn walk(&mut self, root: &Path, folder: &str, ignored: &Ignored) -> anyhow::Result<()> {
        let at = root.join(folder);
        for entry in fs::read_dir(&at).with_context(|| format!("reading {}", at.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if ignored.covers(&path, &name) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.walk(root, &path, ignored)?;
            } else if kind.is_file() {
                let text = if entry.metadata()?.len() <= TEXT_BYTES_MAX {
                    let bytes = fs::read(entry.path()).with_context(|| format!("reading {path}"))?;
                    String::from_utf8(bytes).ok()
                } else {
                    None
                };
                self.files.insert(path, text);
            }
        }
        Ok(())
    }
}

/// The extension of the last path component, without its dot.
pub fn extension_of(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// The three forms of `.gitignore` lines this workspace uses: `/anchored`, `name` and `*.extension`.
struct Ignored {
    anchored: BTreeSet<String>,
    names: BTreeSet<String>,
    suffixes: Vec<String>,
}

impl Ignored {
    fn read(root: &Path) -> Self {
        let text = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut ignored = Self { anchored: BTreeSet::new(), names: [".git".to_owned()].into(), suffixes: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let line = line.trim_end_matches('/');
            if let Some(suffix) = line.strip_prefix('*') {
                ignored.suffixes.push(suffix.to_owned());
            } else if line.contains('/') {
                ignored.anchored.insert(line.trim_start_matches('/').to_owned());
            } else {
                ignored.names.insert(line.to_owned());
            }
        }
        ignored
    }

    fn covers(&self, path: &str, name: &str) -> bool {
        self.names.contains(name)
            || self.anchored.contains(path)
            || self.suffixes.iter().any(|suffix| name.ends_with(suffix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_ignores_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        for file in ["src/lib.rs", "target/debug/x.rs", "fuzz/target/y.rs", "fuzz/f.rs", "a.log", ".git/HEAD"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        fs::write(root.path().join(".gitignore"), "/target\nfuzz/target/\n*.log\n").unwrap();
        let tree = Tree::read(root.path()).unwrap();
        let files: Vec<_> = tree.texts().map(|(path, _)| path).collect();
        assert_eq!(files, [".gitignore", "fuzz/f.rs", "src/lib.rs"]);
    }

    #[test]
    fn a_folder_is_what_lies_before_a_slash() {
        let tree = Tree::of([("crates/a/x", ""), ("crates/ab/y", ""), ("z", "")]);
        assert!(tree.has_folder("crates/a") && tree.has_folder("crates/"));
        assert!(!tree.has_folder("crates/abc") && !tree.has_folder("z"));
        assert_eq!(tree.folders_in("crates"), ["crates/a".to_owned(), "crates/ab".to_owned()].into());
        assert_eq!(tree.folders_in(""), ["crates".to_owned()].into());
    }
}
