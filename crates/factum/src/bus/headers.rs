//! What a record says about its value.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

/// A record's headers, in order.
#[derive(Clone)]
pub struct Headers(Inner);

#[derive(Clone)]
enum Inner {
    Listed(Vec<(Cow<'static, str>, Bytes)>),
    /// As a bus of ours keeps them: read where they stand. Checked when it was made.
    Packed(Bytes),
}

/// What the headers of a message usually take, so that gathering them grows nothing.
const GATHERED_BYTES_USUAL: usize = 768;

const CHECKED: &str = "checked when the headers were made";

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Inner::Listed(Vec::new()))
    }

    /// Headers as [`Headers::pack`] wrote them; `None` when it did not.
    pub(super) fn packed(bytes: Bytes) -> Option<Self> {
        let mut rest = &*bytes;
        while !rest.is_empty() {
            let (name, _) = unpack(&mut rest)?;
            // As a rule names are ASCII, which is told sooner.
            if !name.is_ascii() {
                std::str::from_utf8(name).ok()?;
            }
        }
        Some(Self(Inner::Packed(bytes)))
    }

    /// Headers copied into one allocation: for buses that receive them from elsewhere.
    pub fn gathered<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut out = Vec::with_capacity(GATHERED_BYTES_USUAL);
        let mut listed: Option<Self> = None;
        for (name, value) in headers {
            match (&mut listed, u16::try_from(name.len()), u32::try_from(value.len())) {
                (None, Ok(name_bytes), Ok(value_bytes)) => {
                    out.extend_from_slice(&name_bytes.to_le_bytes());
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(&value_bytes.to_le_bytes());
                    out.extend_from_slice(value);
                }
                // Too long to be packed, or behind one that is.
                _ => listed
                    .get_or_insert_with(|| Self(Inner::Packed(std::mem::take(&mut out).into())))
                    .push(name.to_owned(), Bytes::copy_from_slice(value)),
            }
        }
        listed.unwrap_or_else(|| Self(Inner::Packed(out.into())))
    }

    /// Appends them to `out`, one after the other: u16 bytes of the name, then the name (UTF-8); u32 bytes of the
    /// value, then the value; integers little-endian. `None` when a name or value is too long for that.
    pub(super) fn pack(&self, out: &mut Vec<u8>) -> Option<()> {
        for (name, value) in self.iter() {
            out.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
            out.extend_from_slice(value);
        }
        Some(())
    }

    /// Adds a header.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        if let Inner::Packed(_) = self.0 {
            let own = |(name, value): (&str, &[u8])| (Cow::Owned(name.to_owned()), Bytes::copy_from_slice(value));
            self.0 = Inner::Listed(self.iter().map(own).collect());
        }
        if let Inner::Listed(all) = &mut self.0 {
            all.push((name.into(), value.into()));
        }
    }

    /// The value of the first header of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.raw().find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().map(|(name, value)| (std::str::from_utf8(name).expect(CHECKED), value))
    }

    /// All of them, names as bytes: for those who only compare names.
    pub(super) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (listed, mut packed): (&[_], &[u8]) = match &self.0 {
            Inner::Listed(all) => (all, &[]),
            Inner::Packed(bytes) => (&[], bytes),
        };
        let packed = std::iter::from_fn(move || if packed.is_empty() { None } else { unpack(&mut packed) });
        listed.iter().map(|(name, value)| (name.as_bytes(), value.as_ref())).chain(packed)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.raw().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.raw().next().is_none()
    }

    /// Their size in bytes, names and values.
    pub fn bytes(&self) -> usize {
        self.raw().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Takes the next header off packed ones; `None` when they are cut short.
fn unpack<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let length = u16::from_le_bytes(*rest.split_off(..2)?.first_chunk()?);
    let name = rest.split_off(..usize::from(length))?;
    let length = u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
    Some((name, rest.split_off(..usize::try_from(length).ok()?)?))
}

impl Default for Headers {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): (&str, &[u8])| (name.to_owned(), value.escape_ascii().to_string());
        f.debug_map().entries(self.iter().map(shown)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Headers {
        let mut headers = Headers::new();
        headers.push("ce_id", "1");
        headers.push("empty", "");
        headers.push("ce_id", vec![0xff]);
        headers
    }

    #[test]
    fn packed_headers_are_the_same_headers() {
        let mut packed = Vec::new();
        listed().pack(&mut packed).expect("they are short");
        let mut headers = Headers::packed(packed.clone().into()).expect("just packed");
        assert_eq!(headers, listed());
        assert_eq!((headers.len(), headers.bytes()), (3, 17));
        assert_eq!(headers.get("ce_id"), Some(&b"1"[..]));
        assert_eq!(headers.get("ce_di"), None);
        headers.push("more", "x");
        assert_eq!(headers.iter().last(), Some(("more", &b"x"[..])));
        for cut in 1..packed.len() {
            let whole_headers = [12, 23].contains(&cut);
            let cut = Headers::packed(packed[..cut].to_vec().into());
            assert!(cut.is_none_or(|headers| whole_headers && headers.len() < 3));
        }
        let no_text = [1, 0, 0xff, 0, 0, 0, 0];
        assert!(Headers::packed(no_text.to_vec().into()).is_none());
    }

    #[test]
    fn gathered_headers_are_the_same_headers() {
        let all = listed();
        assert_eq!(Headers::gathered(all.iter()), all);
        assert!(Headers::gathered([]).is_empty());
        let long = "n".repeat(usize::from(u16::MAX) + 1);
        let headers = Headers::gathered([("a", &b"1"[..]), (&long, b"2"), ("c", b"3")]);
        assert!(headers.iter().eq([("a", &b"1"[..]), (&long, b"2"), ("c", b"3")]));
    }

    #[test]
    fn what_is_too_long_cannot_be_packed() {
        let mut headers = Headers::new();
        headers.push("n".repeat(usize::from(u16::MAX) + 1), "");
        assert!(headers.pack(&mut Vec::new()).is_none());
    }
}
