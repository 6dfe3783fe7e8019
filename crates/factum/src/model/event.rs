//! Facts, and how they become bytes and come back.

use factum_engine::Tag;

use super::document::{self, Unreadable};

/// A fact that happened to an aggregate, or a message about one that happened elsewhere: an enum with a variant per
/// kind. Derived by `#[derive(Event)]`; private to its service.
///
/// A consumer describes foreign messages with an event enum of its own: only the variants it wants, with only the
/// fields it reads. Names it does not know come back as [`Decoded::Unknown`] and change nothing.
pub trait Event: Clone + Send + Sync + 'static {
    /// The wire names of all variants, in order of declaration.
    fn names() -> &'static [&'static str];

    /// The wire name of this fact, written by hand: `account.funds-deposited`.
    fn name(&self) -> &'static str;

    /// The version of this variant's schema, from 1. A change that old readers cannot read is a new version.
    fn schema(&self) -> u32 {
        1
    }

    /// Keys by which a boundary will select this event. At most 32, none of them personal data.
    fn tags(&self) -> Vec<Tag> {
        Vec::new()
    }

    /// Appends the JSON document of this fact to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a fact back.
    ///
    /// # Errors
    /// The name is known, but its document cannot be read, or was written by a newer schema.
    fn decode(raw: RawEvent<'_>) -> Result<Decoded<Self>, DecodeError>
    where
        Self: Sized;
}

/// An event as stored or received, before it is understood.
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    /// The wire name.
    pub name: &'a str,
    /// The schema version it was written with.
    pub schema: u32,
    /// The JSON document.
    pub data: &'a [u8],
}

/// What decoding found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<E> {
    /// A fact this type knows.
    Known(E),
    /// A name this type does not know: not for this reader.
    Unknown,
}

/// A document under a known name that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The document is not what this type expects.
    #[error("event `{name}` (schema {schema}) cannot be read: {source}")]
    Malformed {
        /// The wire name.
        name: String,
        /// The schema version it was written with.
        schema: u32,
        /// Where and why.
        source: Unreadable,
    },
    /// The document was written by a newer version of the service.
    #[error("event `{name}` has schema {found}, this build reads up to {known}: deploy the newer build")]
    NewerSchema {
        /// The wire name.
        name: String,
        /// The schema version it was written with.
        found: u32,
        /// The newest one this type reads.
        known: u32,
    },
}

impl RawEvent<'_> {
    /// Reads the document as `T`: what a derived [`Event::decode`] calls for each variant.
    ///
    /// # Errors
    /// The schema is newer than `known`, or the document does not fit `T`.
    pub fn read<T: serde::de::DeserializeOwned>(&self, known: u32) -> Result<T, DecodeError> {
        if self.schema > known {
            return Err(DecodeError::NewerSchema { name: self.name.to_owned(), found: self.schema, known });
        }
        document::read(self.data).map_err(|source| DecodeError::Malformed {
            name: self.name.to_owned(),
            schema: self.schema,
            source,
        })
    }
}
