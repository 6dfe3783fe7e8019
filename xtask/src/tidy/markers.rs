//! Nothing is left for later inside the code.

use crate::{
    Finding, Tree,
    rust_text::{code_only, tokens},
    tree::extension_of,
};

/// Words that mean "unfinished", wherever they stand; split, so that this file passes its own check.
const WORDS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// Macros that mean "unfinished".
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Files that are read for the words; prose may speak of them.
const EXTENSIONS: [&str; 4] = ["rs", "sql", "toml", "sh"];

/// No marker of unfinished work in code or its comments, and no macro that stands for it.
pub fn markers(tree: &Tree) -> Vec<Finding> {
    let code = tree.texts().filter(|(path, _)| extension_of(path).is_some_and(|it| EXTENSIONS.contains(&it)));
    code.flat_map(|(path, text)| words_in(path, text).chain(macros_in(path, text))).collect()
}

fn words_in(path: &str, text: &str) -> impl Iterator<Item = Finding> {
    text.lines().enumerate().filter_map(move |(index, line)| {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        let word = words.find(|word| WORDS.contains(word))?;
        Some(Finding::error("marker", path, index + 1, format!("`{word}`: finish it, or leave it out")))
    })
}

fn macros_in(path: &str, text: &str) -> impl Iterator<Item = Finding> {
    let code = if extension_of(path) == Some("rs") { code_only(text) } else { String::new() };
    let tokens = tokens(&code);
    let calls = tokens.windows(2).filter(|pair| MACROS.contains(&pair[0].text) && pair[1].text == "!");
    let found: Vec<_> = calls
        .map(|pair| Finding::error("marker", path, pair[0].line, format!("`{}!`: finish it", pair[0].text)))
        .collect();
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_found_in_code_and_comments() {
        let text = format!("// {}: later\nfn f() {{ todo!() }}\nfn g() {{ dbg!(1); }}\n", WORDS[0]);
        let found = markers(&Tree::of([("a.rs", &text), ("b.sql", &format!("-- {}\n", WORDS[1]))]));
        let found: Vec<_> = found.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
        assert_eq!(found, [("a.rs", 1), ("a.rs", 2), ("a.rs", 3), ("b.sql", 1)]);
    }

    #[test]
    fn talking_about_the_macros_is_allowed() {
        let tree = Tree::of([("a.rs", "// No todo!() here.\nlet s = \"dbg!\"; let todo = !flag;\n")]);
        assert_eq!(markers(&tree), []);
    }
}
