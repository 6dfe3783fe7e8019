//! A function fits a screen.

use crate::{
    Finding, Tree,
    rust_text::{Token, code_only, tokens},
};

/// Lines of a body from which a function is warned about.
const FUNCTION_LINES_WARN: usize = 70;
/// Lines of a body beyond which a function fails.
const FUNCTION_LINES_MAX: usize = 90;

/// Function bodies have at most 90 lines between their braces, and should have at most 70.
pub fn functions(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs").flat_map(|(path, text)| in_file(path, text)).collect()
}

fn in_file(path: &str, text: &str) -> Vec<Finding> {
    let code = code_only(text);
    let tokens = tokens(&code);
    let named = tokens.windows(2).enumerate().filter(|(_, pair)| pair[0].text == "fn" && pair[1].is_word());
    let long = named.filter_map(|(at, pair)| {
        let lines = body_lines(&tokens[at..])?;
        let said = format!("`{}` has {lines} lines; {FUNCTION_LINES_MAX} are the limit", pair[1].text);
        if lines > FUNCTION_LINES_MAX {
            Some(Finding::error("function-length", path, pair[0].line, said))
        } else {
            (lines > FUNCTION_LINES_WARN).then(|| Finding::warning("function-length", path, pair[0].line, said))
        }
    });
    long.collect()
}

/// The lines between the braces of the function that starts here; `None` for a declaration without a body.
fn body_lines(tokens: &[Token<'_>]) -> Option<usize> {
    let (mut brackets, mut braces, mut first) = (0, 0, 0);
    for token in tokens {
        match token.text {
            // A brace inside brackets belongs to an array length or a default, not to the body.
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            ";" if brackets == 0 && braces == 0 => return None,
            "{" if brackets == 0 || braces > 0 => {
                if braces == 0 {
                    first = token.line;
                }
                braces += 1;
            }
            "}" if braces > 0 => {
                braces -= 1;
                if braces == 0 {
                    return Some(token.line.saturating_sub(first + 1));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}(array: [u8; {{ 1 + 1 }}]) -> u8 {{\n{}}}\n", "    { call(\"}\") };\n".repeat(lines))
    }

    #[test]
    fn a_long_body_is_warned_about_and_a_longer_one_fails() {
        let text = [function("page", 70), function("long", 71), function("longer", 91)].concat();
        let found = functions(&Tree::of([("src/lib.rs", &text)]));
        let found: Vec<_> = found.iter().map(|finding| (finding.line, finding.level)).collect();
        assert_eq!(found, [(73, Level::Warning), (146, Level::Error)]);
    }

    #[test]
    fn a_function_without_a_body_has_no_length() {
        let text = format!("trait T {{\n fn a(&self);\n fn b(f: fn(u8)) -> u8;\n{}}}\n", "//\n".repeat(100));
        assert_eq!(functions(&Tree::of([("src/lib.rs", &text)])), []);
    }

    #[test]
    fn a_function_of_one_line_has_no_lines_between_its_braces() {
        let code = "fn a() {} fn b() { c() }";
        assert_eq!(body_lines(&tokens(code)), Some(0));
    }
}
