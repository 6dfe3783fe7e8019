//! JSON documents as they were stored or received.

use serde::de::DeserializeOwned;
use serde_json::{Deserializer, error::Category};

/// Why a document cannot be read: where, and what kind of thing is wrong there. Never what stands there: that may be
/// about a person, and errors end up in logs and in what operators are shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at line {line} column {column}")]
pub struct Unreadable {
    what: String,
    line: usize,
    column: usize,
}

/// Reads a document.
pub(crate) fn read<T: DeserializeOwned>(document: &[u8]) -> Result<T, Unreadable> {
    // What serde says of a wrong value quotes it.
    serde_json::from_slice(document).map_err(|error| {
        let what = match error.classify() {
            Category::Data => wrong_field::<T>(document, &error.to_string()),
            Category::Eof => "it ends too early".to_owned(),
            Category::Syntax | Category::Io => "it is no JSON that fits".to_owned(),
        };
        Unreadable { what, line: error.line(), column: error.column() }
    })
}

/// Read once more, to learn where: documents that can be read do not pay for that.
fn wrong_field<T: DeserializeOwned>(document: &[u8], said: &str) -> String {
    let path = serde_path_to_error::deserialize::<_, T>(&mut Deserializer::from_slice(document))
        .err()
        .map_or_else(|| ".".to_owned(), |error| error.path().to_string());
    let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match missing {
        Some((name, _)) => format!("`{name}` is missing in `{path}`"),
        None => format!("the value of `{path}` does not fit"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Opened {
        holder: Holder,
        cents: u8,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Holder {
        name: u64,
    }

    /// serde's own words, such as `invalid type: string "Ada Lovelace"`, came into logs and `/readyz` with an event or
    /// message that did not fit.
    #[test]
    fn what_cannot_be_read_is_told_without_what_it_says() {
        for (document, told) in [
            (r#"{"holder":"Ada","cents":1}"#, "the value of `holder` does not fit"),
            (r#"{"holder":{"name":"Ada"},"cents":1}"#, "the value of `holder.name` does not fit"),
            (r#"{"holder":{"name":1},"cents":256}"#, "the value of `cents` does not fit"),
            (r#"{"holder":{"Ada":1},"cents":1}"#, "`name` is missing in `holder`"),
            (r#"{"holder":{"name":1},"#, "it ends too early"),
            (r#"{"holder":{"name":1},"cents":1} Ada"#, "it is no JSON that fits"),
            (r#""Ada""#, "the value of `.` does not fit"),
        ] {
            let error = read::<Opened>(document.as_bytes()).expect_err(document);
            let text = error.to_string();
            assert!(text.starts_with(&format!("{told}, at line 1 column ")), "{document}: {text}");
            assert!(!text.contains("Ada") && !format!("{error:?}").contains("Ada"), "{document}: {text}");
        }
    }
}
