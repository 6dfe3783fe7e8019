//! Each row of the failure table in ARCHITECTURE.md names tests, and they exist.
//!
//! Convention: below `## Failure table`, a table; every code span in it that is a function's name (lower case letters,
//! digits, at least one `_`) is a test somewhere in the workspace, and every row has one.

use std::collections::BTreeSet;

use crate::{Finding, Tree, markdown};

const PAGE: &str = "ARCHITECTURE.md";
const SECTION: &str = "Failure table";

/// Every row of the failure table names tests that exist.
pub fn failure_table(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(PAGE) else { return Vec::new() };
    let page = markdown::read(text);
    let named = page.spans.iter().filter(|item| item.section == SECTION && is_function(&item.spot.text));
    let named: Vec<_> = named.map(|item| (item.spot.line, item.spot.text.as_str())).collect();
    let tests = functions(tree);
    let absent = named.iter().filter(|(_, name)| !tests.contains(*name));
    let absent = absent.map(|(line, name)| finding(*line, format!("there is no test `{name}`")));
    let proven: BTreeSet<usize> = named.iter().map(|(line, _)| *line).collect();
    let bare = rows(text).into_iter().filter(|line| !proven.contains(line));
    absent.chain(bare.map(|line| finding(line, "the row names no test".to_owned()))).collect()
}

fn finding(line: usize, what: String) -> Finding {
    Finding::error("failure-table", PAGE, line, what)
}

fn is_function(span: &str) -> bool {
    span.contains('_') && span.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The lines of the table's rows, without its head and rule.
fn rows(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate().skip_while(|(_, line)| line.trim() != format!("## {SECTION}")).skip(1);
    let section = lines.take_while(|(_, line)| !line.starts_with("## "));
    section.filter(|(_, line)| line.starts_with('|')).skip(2).map(|(index, _)| index + 1).collect()
}

fn functions(tree: &Tree) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (_, text) in tree.with_extension("rs") {
        let declared = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
        names.extend(declared.filter(|name| is_function(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(table: &str) -> Vec<String> {
        let page =
            format!("# A\n\n## {SECTION}\n\n| what | tests |\n| --- | --- |\n{table}\n\n## After\n| `no_row` |\n");
        let mut tree = Tree::of([("a/tests/it/main.rs", "#[test]\nfn power_cut() {}\nasync fn bus_down() {}\n")]);
        tree.insert(PAGE, &page);
        failure_table(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_whose_tests_exist_is_fine() {
        assert_eq!(found("| power cut | `power_cut` |\n| bus down | `bus_down`, for the `Relay` |"), [""; 0]);
    }

    #[test]
    fn a_row_without_a_test_and_a_test_that_is_gone_are_found() {
        assert_eq!(
            found("| power cut | `power_cuts` |\n| bus down | nothing |"),
            [
                "error: ARCHITECTURE.md:7: there is no test `power_cuts` [failure-table]",
                "error: ARCHITECTURE.md:8: the row names no test [failure-table]",
            ]
        );
    }
}
