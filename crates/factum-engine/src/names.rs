//! Names that are checked once, when they are made.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest stream name, in bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 255;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 255;
/// Longest event name, in bytes.
pub const EVENT_NAME_BYTES_MAX: usize = 255;

/// Name of a stream: 1 to 255 bytes of UTF-8 without control characters, such as `account-7f3`.
///
/// Cloning one costs no allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, longer than [`STREAM_NAME_BYTES_MAX`] or holds a control character.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check(name, "a stream name", 1, STREAM_NAME_BYTES_MAX)?;
        Ok(StreamName(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `-`; the whole name when there is none.
    #[must_use]
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or(&*self.0, |(category, _)| category)
    }

    /// The part after the first `-`; empty when there is none.
    pub fn id(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, id)| id)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for StreamName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// `key:value` on an event, by which a boundary selects: 3 to 255 bytes, neither part empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Checks a tag.
    ///
    /// # Errors
    /// [`InvalidName`] when there is no `:`, a part is empty, it is longer than [`TAG_BYTES_MAX`] or holds a
    /// control character.
    pub fn new(tag: impl AsRef<str>) -> Result<Self, InvalidName> {
        let tag = tag.as_ref();
        check(tag, "a tag", 3, TAG_BYTES_MAX)?;
        match tag.split_once(':') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(Tag(Arc::from(tag))),
            _ => Err(InvalidName { what: "a tag", reason: "must read key:value" }),
        }
    }

    /// The part before the first `:`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.split_once(':').map_or("", |(key, _)| key)
    }

    /// The part after the first `:`.
    #[must_use]
    pub fn value(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, value)| value)
    }

    /// Both, with the colon.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A name that breaks the rules for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName {
    what: &'static str,
    reason: &'static str,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.reason)
    }
}

impl std::error::Error for InvalidName {}

/// The rules for event names.
pub(crate) fn check_event_name(name: &str) -> Result<(), InvalidName> {
    check(name, "an event name", 1, EVENT_NAME_BYTES_MAX)
}

/// The rules every name shares.
pub(crate) fn check(name: &str, what: &'static str, min: usize, max: usize) -> Result<(), InvalidName> {
    let reason = if name.len() < min {
        "is too short"
    } else if name.len() > max {
        "is too long"
    } else if name.chars().any(char::is_control) {
        "must not hold control characters"
    } else {
        return Ok(());
    };
    Err(InvalidName { what, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_has_one_to_255_bytes_and_no_control_characters() {
        assert!(StreamName::new("").is_err());
        assert!(StreamName::new("a".repeat(255)).is_ok());
        assert!(StreamName::new("a".repeat(256)).is_err());
        assert!(StreamName::new("a\nb").is_err());
        assert_eq!(StreamName::new("account-7-3").expect("valid").category(), "account");
        assert_eq!(StreamName::new("audit").expect("valid").category(), "audit");
        assert_eq!(StreamName::new("account-7-3").expect("valid").id(), "7-3");
        assert_eq!(StreamName::new("audit").expect("valid").id(), "");
    }

    #[test]
    fn a_tag_reads_key_colon_value() {
        let tag = Tag::new("holder:ada:1").expect("valid");
        assert_eq!((tag.key(), tag.value()), ("holder", "ada:1"));
        for wrong in ["ab", "abc", ":abc", "abc:", "a:\u{7}"] {
            assert!(Tag::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
