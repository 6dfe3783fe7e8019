//! A file is a page.

use crate::{Finding, Tree};

/// Lines from which a Rust file is warned about.
const FILE_LINES_WARN: usize = 400;
/// Lines beyond which a Rust file fails.
const FILE_LINES_MAX: usize = 600;

/// Rust files have at most 600 lines, and should have at most 400.
pub fn lengths(tree: &Tree) -> Vec<Finding> {
    let long = tree.with_extension("rs").filter_map(|(path, text)| {
        let lines = text.lines().count();
        let said = format!("{lines} lines; about {FILE_LINES_WARN} are a page, {FILE_LINES_MAX} the limit: split it");
        if lines > FILE_LINES_MAX {
            Some(Finding::error("file-length", path, 0, said))
        } else {
            (lines > FILE_LINES_WARN).then(|| Finding::warning("file-length", path, 0, said))
        }
    });
    long.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[test]
    fn a_long_file_is_warned_about_and_a_longer_one_fails() {
        let (page, long, longer) = ("\n".repeat(400), "\n".repeat(401), "\n".repeat(601));
        let tree = Tree::of([("a.rs", &page), ("b.rs", &long), ("c.rs", &longer), ("d.md", &longer)]);
        let found: Vec<_> = lengths(&tree).into_iter().map(|finding| (finding.path, finding.level)).collect();
        assert_eq!(found, [("b.rs".to_owned(), Level::Warning), ("c.rs".to_owned(), Level::Error)]);
    }
}
