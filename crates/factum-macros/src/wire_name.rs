//! Names on the wire: written by hand, so that renaming a type changes nothing for anybody else.

use syn::{Error, Ident, LitStr, Result};

/// The longest wire name, in bytes.
pub const WIRE_NAME_BYTES_MAX: usize = 128;

/// The name, if it is lower-case kebab words joined by dots, with a version such as `.v2` at most at its end.
pub fn checked(name: LitStr) -> Result<LitStr> {
    let text = name.value();
    if text.len() > WIRE_NAME_BYTES_MAX {
        let complaint = format!("a wire name has at most {WIRE_NAME_BYTES_MAX} bytes, this one has {}", text.len());
        return Err(Error::new_spanned(name, complaint));
    }
    if is_wire_name(&text) {
        return Ok(name);
    }
    let close = kebab(&text);
    let instead = if is_wire_name(&close) {
        format!("write \"{close}\"")
    } else {
        "write lower-case words in kebab-case joined by dots, with a version at most at the end, such as \
         \"account.funds-deposited\" or \"bank.accounts.funds-deposited.v1\""
            .to_owned()
    };
    Err(Error::new_spanned(name, format!("`{text}` is no wire name: {instead}")))
}

/// What a type's name would be on the wire: `FundsDeposited` → `funds-deposited`.
pub fn suggested(ident: &Ident) -> String {
    kebab(&ident.to_string())
}

/// Two things of the same name, told at the second.
pub fn duplicate(name: &LitStr) -> Error {
    let text = name.value();
    Error::new_spanned(name, format!("`{text}` names another variant already: a reader could not tell the two apart"))
}

/// The complaint about a name that is missing, told at its owner.
pub fn missing(owner: &Ident, suggestion: &str) -> Error {
    let complaint = format!("no name on the wire: write `#[factum(name = \"{suggestion}\")]`");
    Error::new(owner.span(), complaint)
}

fn is_wire_name(text: &str) -> bool {
    let segments: Vec<_> = text.split('.').collect();
    let (last, leading) = segments.split_last().map_or(("", &[][..]), |(last, leading)| (*last, leading));
    let named = leading.iter().all(|segment| is_word(segment) && !looks_like_version(segment));
    named && if looks_like_version(last) { !leading.is_empty() && is_version(last) } else { is_word(last) }
}

fn is_word(segment: &str) -> bool {
    segment.starts_with(|first: char| first.is_ascii_lowercase())
        && segment
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

fn looks_like_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_version(segment: &str) -> bool {
    looks_like_version(segment) && !segment.starts_with("v0")
}

fn kebab(text: &str) -> String {
    let mut kebab = String::with_capacity(text.len() + 8);
    let mut word_ended = false;
    for character in text.chars() {
        match character {
            'A'..='Z' if word_ended => kebab.extend(['-', character.to_ascii_lowercase()]),
            'A'..='Z' => kebab.push(character.to_ascii_lowercase()),
            '_' | ' ' => kebab.push('-'),
            other => kebab.push(other),
        }
        word_ended = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_joined_by_dots_with_a_version_at_the_end_are_wire_names() {
        for name in ["account.opened", "deposit-funds", "bank.accounts.funds-deposited.v1", "a", "iso-4217.read"] {
            assert!(is_wire_name(name), "{name}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        let refused = [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "Account.opened",
            "funds_deposited",
            "funds--deposited",
            "-funds",
            "funds-",
            "4217",
            "v1",
            "a.v1.b",
            "a.v0",
            "a.v01",
            "a b",
            "kontoeröffnet",
        ];
        for name in refused {
            assert!(!is_wire_name(name), "{name}");
        }
    }

    #[test]
    fn a_type_name_suggests_its_wire_name() {
        assert_eq!(kebab("FundsDeposited"), "funds-deposited");
        assert_eq!(kebab("HTTPCall2Made"), "httpcall2-made");
        assert_eq!(kebab("funds_deposited"), "funds-deposited");
    }
}
