//! No invisible differences.

use crate::{Finding, Tree, tree::extension_of};

/// Files that people edit; recorded outputs may hold whatever they recorded.
const EXTENSIONS: [&str; 12] = ["rs", "md", "toml", "sql", "sh", "yml", "yaml", "json", "html", "css", "js", "run"];

/// No trailing whitespace, no carriage returns, and a newline at the end of a file.
pub fn whitespace(tree: &Tree) -> Vec<Finding> {
    let edited = tree.texts().filter(|(path, _)| {
        path.starts_with(".ci/") || extension_of(path).is_some_and(|extension| EXTENSIONS.contains(&extension))
    });
    edited.flat_map(|(path, text)| in_file(path, text)).collect()
}

fn in_file(path: &str, text: &str) -> Vec<Finding> {
    let trailing = text.split('\n').enumerate().filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
    let mut found: Vec<_> =
        trailing.map(|(index, _)| Finding::error("whitespace", path, index + 1, "trailing whitespace")).collect();
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(Finding::error("whitespace", path, 0, "no newline at the end"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_differences_are_found() {
        let tree = Tree::of([("a.rs", "a \nb\n\t\n"), ("b.md", "b\r\n"), (".ci/run", "c"), ("d.stderr", "d ")]);
        let found = whitespace(&tree);
        let found: Vec<_> = found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
        assert_eq!(found, [(".ci/run", 0), ("a.rs", 1), ("a.rs", 3), ("b.md", 1)]);
    }
}
