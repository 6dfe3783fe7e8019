//! The code of the pages in `docs/guide/`: what a page shows stands in the file of the same name here, to the letter.

mod aggregates;
mod commands_between_services;
mod processes;
mod projections;
mod reactors;
mod shows;
mod testing;

/// Fails unless every Rust block of a page is a part of these sources, but for its indentation.
fn page_shows(page: &str, sources: &[&str]) {
    let sources: Vec<String> = sources.iter().map(|source| flattened(source)).collect();
    let blocks: Vec<&str> =
        page.split("\n```rust\n").skip(1).map(|rest| rest.split("\n```").next().unwrap_or_default()).collect();
    assert!(!blocks.is_empty(), "a page without code");
    for block in blocks {
        assert!(
            sources.iter().any(|source| source.contains(&flattened(block))),
            "no test compiles what the page shows:\n{block}"
        );
    }
}

/// The lines without their indentation, which depends on where they stand; empty ones left out.
fn flattened(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.fold(String::from("\n"), |text, line| text + line + "\n")
}

#[test]
#[should_panic(expected = "no test compiles what the page shows")]
fn code_that_no_test_compiles_is_found() {
    page_shows("\n```rust\nlet nobody = compiles(this);\n```\n", &["fn main() {}"]);
}
