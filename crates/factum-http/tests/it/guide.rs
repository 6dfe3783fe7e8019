//! The page `docs/guide/errors.md`: its tables are the code's, and its code compiles.

use axum::{Router, routing::get};
use factum_http::{Code, Problem};
use http::StatusCode;

use crate::toy;

const PAGE: &str = include_str!("../../../../docs/guide/errors.md");

async fn brew() -> Result<&'static str, Problem> {
    Err(Problem::new(StatusCode::IM_A_TEAPOT, "teapot", "this pot holds tea: ask another"))
}

/// Code and status of each row of the table below a heading.
fn rows(heading: &str) -> Vec<(&'static str, u16)> {
    let section = PAGE.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        (cells.next().unwrap().trim_matches('`'), cells.next().unwrap().parse().unwrap())
    })
    .collect()
}

#[test]
fn the_page_lists_every_code_of_a_surface_and_no_other() {
    let codes: Vec<_> = Code::ALL.into_iter().map(|code| (code.as_str(), code.status().as_u16())).collect();
    assert_eq!(rows("Codes of every surface"), codes);
}

#[test]
fn every_row_of_the_page_says_when_and_what_to_do() {
    for row in PAGE.lines().filter(|line| line.starts_with("| `")) {
        assert!(row.split('|').skip(3).take(1).all(|when| when.trim().len() > 10), "{row}");
    }
}

#[test]
fn the_code_of_the_page_compiles() {
    let flattened = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.fold("\n".to_owned(), |text, line| text + line + "\n")
    };
    let sources = [flattened(include_str!("guide.rs")), flattened(include_str!("toy.rs"))];
    let blocks: Vec<_> = PAGE.split("\n```rust\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let block = flattened(block);
        assert!(sources.iter().any(|source| source.contains(&block)), "no test compiles what the page shows:{block}");
    }
}

#[tokio::test]
async fn a_route_of_ones_own_says_no_in_the_same_document() {
    let app = Router::new().route("/brew", get(brew));
    let answer = toy::send(&app, toy::get("/brew")).await;
    assert_eq!(answer.refusal(), (418, "teapot".into()));
    assert_eq!(answer.problem().detail, "this pot holds tea: ask another");
}
