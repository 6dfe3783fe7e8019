//! Keys whose bytes sort as their parts do.

use std::{
    fmt,
    ops::{Bound, RangeBounds},
};

/// A document's primary key: parts encoded so that comparing bytes compares the parts in order. At most
/// [`Key::BYTES_MAX`] bytes.
///
/// ```
/// use factum::read::Key;
/// let second = Key::new().text("a").number(2);
/// assert!(second < Key::new().text("a").number(10));
/// assert!(second < Key::new().text("ab").number(1));
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 1_024;

    /// A key without parts; parts are added with [`Key::text`] and [`Key::number`].
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A key by its stored bytes.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Adds text. A zero byte inside it is escaped, so that no text can pose as two parts.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(0xff);
            }
        }
        self.0.extend_from_slice(&[0, 0]);
        self
    }

    /// Adds a number; numbers sort by value.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

/// A range of keys, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Where it starts.
    pub start: Bound<Key>,
    /// Where it ends.
    pub end: Bound<Key>,
}

impl KeyRange {
    /// Every key.
    pub const fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// Every key that begins with these parts.
    ///
    /// ```
    /// use factum::read::{Key, KeyRange};
    /// let range = KeyRange::prefix(&Key::new().text("a"));
    /// assert!(range.contains(&Key::new().text("a").number(u64::MAX)));
    /// assert!(!range.contains(&Key::new().text("b")));
    /// ```
    pub fn prefix(prefix: &Key) -> Self {
        let mut end = prefix.0.clone();
        // The first key after all that begin with the prefix: its last byte below 0xff raised, what follows dropped.
        while end.last() == Some(&0xff) {
            end.pop();
        }
        let end = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(Key(end))
            }
            None => Bound::Unbounded,
        };
        Self { start: Bound::Included(prefix.clone()), end }
    }

    /// The same range, from after `key` on.
    #[must_use]
    pub fn after(self, key: Key) -> Self {
        let later = match &self.start {
            Bound::Unbounded => true,
            Bound::Included(start) | Bound::Excluded(start) => *start <= key,
        };
        if later { Self { start: Bound::Excluded(key), end: self.end } } else { self }
    }

    /// Whether the key lies inside.
    pub fn contains(&self, key: &Key) -> bool {
        self.bounds().contains(key)
    }

    /// Whether no key can lie inside: it ends before it starts.
    pub fn is_empty(&self) -> bool {
        match self.bounds() {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
                start >= end
            }
        }
    }

    /// Start and end as a map's `range` takes them. Not for an empty range: `BTreeMap::range` panics there.
    pub fn bounds(&self) -> (Bound<&Key>, Bound<&Key>) {
        (self.start.as_ref(), self.end.as_ref())
    }
}
