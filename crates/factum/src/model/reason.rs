//! Why an operator decides something.

/// Why an operator decides something, for the record: 1 to [`Reason::CHARS_MAX`] characters, without white space around
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// The longest reason, in characters.
    pub const CHARS_MAX: usize = 500;

    /// What is left of a text without the white space around it; `None` when that is nothing, or longer than
    /// [`Reason::CHARS_MAX`].
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= Self::CHARS_MAX;
        fits.then(|| Self(text.to_owned()))
    }

    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Reason> for String {
    fn from(Reason(text): Reason) -> Self {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_no_more_than_fits() {
        let said = |text: &str| Reason::new(text).map(String::from);
        assert_eq!(said("  the disk was lost\n"), Some("the disk was lost".to_owned()));
        assert_eq!(said(" \n"), None);
        let longest = "ü".repeat(Reason::CHARS_MAX);
        assert_eq!(said(&format!(" {longest} ")), Some(longest.clone()));
        assert_eq!(said(&format!("{longest}!")), None);
    }
}
