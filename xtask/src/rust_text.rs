//! Just enough of Rust's lexical grammar to read code without its comments and literals.
//!
//! A full parser would know more and would have to be compiled before the first check runs; every rule here needs
//! tokens and paths only.

/// A word (identifier, keyword or number), `::`, or one character of punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The line it stands on, from 1.
    pub line: usize,
    /// Its text.
    pub text: &'a str,
}

impl Token<'_> {
    /// Whether this is an identifier, keyword or number.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The text with comments and the insides of literals blanked out; lines keep their numbers.
pub fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let length = if after_word { None } else { raw_string_length(rest) }
            .or_else(|| comment_length(rest))
            .or_else(|| (first == '"').then(|| quoted_length(rest, '"')))
            .or_else(|| char_literal_length(rest));
        match length {
            Some(length) => {
                out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
                after_word = false;
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                after_word = is_word_char(first);
            }
        }
    }
    out
}

fn comment_length(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

/// `r"…"`, `br#"…"#` and their like; a plain `b"…"` is a word and a string, which blanks as well.
fn raw_string_length(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let after = &text[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !after[hashes..].starts_with('"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = prefix.len() + hashes + 1;
    Some(text[inside..].find(&close).map_or(text.len(), |end| inside + end + close.len()))
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// `'x'` and `'\n'`, but not the lifetime `'a`.
fn char_literal_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    if first == '\\' {
        return Some(quoted_length(text, '\''));
    }
    let after = 1 + first.len_utf8();
    text[after..].starts_with('\'').then_some(after + 1)
}

/// The tokens of a text that [`code_only`] returned.
pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let line = index + 1;
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word_char(first) {
                rest.find(|c| !is_word_char(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token { line, text: &rest[..length] });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// A path as written, `use` groups multiplied out: `use std::{fs, io}` is `std::fs` and `std::io`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodePath<'a> {
    /// The line of its last segment, from 1.
    pub line: usize,
    /// Its segments; a lone word is a path of one.
    pub segments: Vec<&'a str>,
}

/// Every path and lone word in the tokens.
pub fn paths<'a>(tokens: &[Token<'a>]) -> Vec<CodePath<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].text == "use" {
            at = use_tree(tokens, at + 1, &[], &mut found);
        } else if tokens[at].is_word() {
            at = plain_path(tokens, at, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn plain_path<'a>(tokens: &[Token<'a>], mut at: usize, found: &mut Vec<CodePath<'a>>) -> usize {
    let mut path = CodePath { line: tokens[at].line, segments: vec![tokens[at].text] };
    at += 1;
    while let [colons, word, ..] = &tokens[at..]
        && colons.text == "::"
        && word.is_word()
    {
        path.segments.push(word.text);
        path.line = word.line;
        at += 2;
    }
    found.push(path);
    at
}

/// Reads one branch of a `use` tree and returns the index after it.
fn use_tree<'a>(tokens: &[Token<'a>], mut at: usize, prefix: &[&'a str], found: &mut Vec<CodePath<'a>>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = use_tree(tokens, at, &segments, found);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                return at + 1;
            }
            "as" => at += 2,
            "*" => at += 1,
            _ if token.is_word() => {
                segments.push(token.text);
                at += 1;
            }
            _ => break,
        }
    }
    if segments.len() > prefix.len() {
        let line = tokens[at.min(tokens.len()) - 1].line;
        found.push(CodePath { line, segments });
        return at;
    }
    // Something that is no `use` tree, such as a bound `use<'a>`: step over it, or the walk would not end.
    at + usize::from(tokens.get(at).is_some_and(|token| !matches!(token.text, "," | "}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let code = code_only(text);
        tokens(&code).iter().filter(|token| token.is_word()).map(|token| token.text.to_owned()).collect()
    }

    fn written(text: &str) -> Vec<String> {
        let code = code_only(text);
        paths(&tokens(&code)).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
        assert_eq!(words(r#"a "b \" c" d"#), ["a", "d"]);
        assert_eq!(words("a r#\"b \" c\"# d br\"e\" f"), ["a", "d", "f"]);
        assert_eq!(words(r"fn f<'a>(x: &'a str) { '{'; '\''; 'é' }"), ["fn", "f", "a", "x", "a", "str"]);
        assert_eq!(words("for r in her { }"), ["for", "r", "in", "her"]);
        assert_eq!(words("an /* unfinished"), ["an"]);
    }

    #[test]
    fn lines_keep_their_numbers() {
        let code = code_only("/* one\n two */ three\n\"four\nfive\" six");
        let at: Vec<_> = tokens(&code).iter().map(|token| (token.line, token.text)).collect();
        assert_eq!(at, [(2, "three"), (4, "six")]);
    }

    #[test]
    fn use_groups_are_multiplied_out() {
        assert_eq!(
            written("use std::{fs, io::{self, Read as _}, net::*};"),
            ["std::fs", "std::io::self", "std::io::Read", "std::net"]
        );
        assert_eq!(written("use {a::b, ::c};"), ["a::b", "c"]);
        assert_eq!(written("x::y(z)"), ["x::y", "z"]);
    }

    #[test]
    fn a_broken_or_unusual_use_ends_too() {
        assert_eq!(written("use"), [""; 0]);
        assert_eq!(written("use {a, {"), ["a"]);
        assert_eq!(written("use {a; + b}"), ["a", "b"]);
        assert_eq!(written("-> impl Iterator + use<'a> { b }"), ["impl", "Iterator", "a", "b"]);
    }
}
