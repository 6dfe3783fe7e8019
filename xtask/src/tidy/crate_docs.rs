//! A crate opens with what it is.

use crate::{Finding, Tree};

/// The root file of every crate opens with `//!` docs.
pub fn crate_docs(tree: &Tree) -> Vec<Finding> {
    let roots = tree.with_extension("rs").filter(|(path, _)| is_root(tree, path));
    let silent = roots.filter(|(_, text)| !text.trim_start().starts_with("//!"));
    silent
        .map(|(path, _)| Finding::error("crate-docs", path, 1, "does not open with `//!`: say what the crate is"))
        .collect()
}

/// `lib.rs` or `main.rs` in the `src` folder beside a manifest.
fn is_root(tree: &Tree, path: &str) -> bool {
    let folder = path.strip_suffix("src/lib.rs").or_else(|| path.strip_suffix("src/main.rs"));
    folder.is_some_and(|folder| tree.has_file(&format!("{folder}Cargo.toml")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_says_nothing_is_found() {
        let tree = Tree::of([
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "mod x;\n"),
            ("crates/a/src/x.rs", ""),
            ("crates/b/Cargo.toml", ""),
            ("crates/b/src/main.rs", "\n//! B.\n"),
            ("fixture/src/lib.rs", ""),
        ]);
        let found = crate_docs(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "crates/a/src/lib.rs");
    }
}
