//! The program in the README is the example that runs.

#[test]
fn the_readme_shows_the_counter_as_it_is() {
    let readme = include_str!("../../../../README.md");
    let counter = include_str!("../../examples/counter.rs");
    assert!(readme.contains(&format!("```rust\n{counter}```\n")), "copy examples/counter.rs into README.md");
    assert!(counter.lines().count() < 80, "the program is a page");
}
