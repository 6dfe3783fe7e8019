//! The code map in ARCHITECTURE.md says what the tree says.
//!
//! Convention: below `## Code map`, a list; the first code span of each item is a path from the root of the workspace
//! (a folder with or without its last slash). Another code span there counts as a path when it begins with a folder of
//! the root. Every named path exists; every crate folder and every folder of the root is named.

use std::collections::BTreeSet;

use crate::{Finding, Tree, markdown};

const PAGE: &str = "ARCHITECTURE.md";
const SECTION: &str = "Code map";
/// Folders whose every subfolder is a crate and must be named.
const CRATE_FOLDERS: [&str; 2] = ["crates", "services"];

/// README.md and ARCHITECTURE.md exist, and the code map agrees with the tree in both directions.
pub fn code_map(tree: &Tree) -> Vec<Finding> {
    let absent = ["README.md", PAGE].into_iter().filter(|page| !tree.has_file(page));
    let mut found: Vec<_> = absent.map(|page| Finding::error("code-map", page, 0, "is missing")).collect();
    let Some(text) = tree.text(PAGE) else {
        return found;
    };

    let page = markdown::read(text);
    let items = page.items.iter().filter(|item| item.section == SECTION).map(|item| &item.spot);
    let paths = page.spans.iter().filter(|item| item.section == SECTION).map(|item| &item.spot);
    let top = tree.folders_in("");
    let paths = paths.filter(|spot| spot.text.split_once('/').is_some_and(|(first, _)| top.contains(first)));
    let mut named = BTreeSet::new();
    let mut absent = BTreeSet::new();
    for spot in items.chain(paths) {
        let path = spot.text.trim_end_matches('/');
        named.insert(path);
        if !tree.has_folder(path) && !tree.has_file(path) {
            absent.insert((spot.line, path));
        }
    }
    if named.is_empty() {
        found.push(Finding::error("code-map", PAGE, 0, format!("has no list of paths under `## {SECTION}`")));
    }
    let absent =
        absent.iter().map(|(line, path)| Finding::error("code-map", PAGE, *line, format!("`{path}` does not exist")));
    found.extend(absent);
    let unnamed = must_be_named(tree).into_iter().filter(|folder| !is_named(folder, &named));
    found.extend(
        unnamed.map(|folder| Finding::error("code-map", PAGE, 0, format!("`{folder}/` is not in the code map"))),
    );
    found
}

/// A folder of crates counts as named when something inside it is; any other folder is named itself.
fn is_named(folder: &str, named: &BTreeSet<&str>) -> bool {
    let inside = format!("{folder}/");
    named.contains(folder) || (CRATE_FOLDERS.contains(&folder) && named.iter().any(|path| path.starts_with(&inside)))
}

fn must_be_named(tree: &Tree) -> BTreeSet<String> {
    let crates = CRATE_FOLDERS.iter().flat_map(|folder| tree.folders_in(folder));
    let top = tree.folders_in("").into_iter().filter(|folder| !folder.starts_with('.'));
    top.chain(crates).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 4] =
        [("README.md", ""), ("crates/a/src/lib.rs", ""), ("xtask/src/main.rs", ""), (".ci/run", "")];

    fn found(map: &str) -> Vec<String> {
        let mut tree = Tree::of(FILES);
        tree.insert(PAGE, map);
        code_map(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_map_that_names_what_exists_passes() {
        assert_eq!(found("## Code map\n- `crates/a/`: `A`, see `crates/a/src`\n- `xtask`: automation\n"), [""; 0]);
    }

    #[test]
    fn what_is_missing_on_either_side_is_found() {
        assert_eq!(
            found("## Code map\n- `crates/b/`: and `crates/c`\n- `gone.md`\n\n## Other\n- `crates/d`\n"),
            [
                "error: ARCHITECTURE.md:2: `crates/b` does not exist [code-map]",
                "error: ARCHITECTURE.md:2: `crates/c` does not exist [code-map]",
                "error: ARCHITECTURE.md:3: `gone.md` does not exist [code-map]",
                "error: ARCHITECTURE.md: `crates/a/` is not in the code map [code-map]",
                "error: ARCHITECTURE.md: `xtask/` is not in the code map [code-map]",
            ]
        );
    }

    #[test]
    fn a_page_without_a_map_and_missing_pages_are_found() {
        assert_eq!(
            found("# Architecture\n")[0],
            "error: ARCHITECTURE.md: has no list of paths under `## Code map` [code-map]"
        );
        let found = code_map(&Tree::of([("src/lib.rs", "")]));
        let found: Vec<_> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(found, ["README.md", "ARCHITECTURE.md"]);
    }
}
