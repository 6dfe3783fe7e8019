//! A record's headers and value, read as a message.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Envelope, EnvelopeError, HISTORY_LEFT_NAME, LINEAGE_MAX, Origin, Remains, attributes};
use crate::{
    bus::Headers,
    model::{ActorId, EventId, Source},
    store::{Fork, Position, StreamName, Version},
};

const STRUCTURED: &str = "application/cloudevents+json";
/// How much of a value an error shows, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Every attribute that is read, in the order in which [`attributes::of`] writes them.
const NAMES: [&str; 15] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "partitionkey",
    "sequence",
    "previous",
    "streamversion",
    "correlationid",
    "actor",
    "lineage",
    "causationid",
    "commandid",
];

/// Attributes by name, wherever they stand.
#[expect(clippy::large_enum_variant, reason = "it lives for one decoding, on the stack")]
enum Attributes<'a> {
    /// By their place in [`NAMES`]: looked for once for all of them.
    Binary([Option<&'a [u8]>; NAMES.len()]),
    Structured(Map<String, Value>),
}

/// The first header of each attribute.
fn binary(headers: &Headers) -> Attributes<'_> {
    let mut values = [None; NAMES.len()];
    // As a rule they come in this order.
    let mut next = 0;
    for (name, value) in headers.raw() {
        let Some(name) = name.strip_prefix(attributes::PREFIX.as_bytes()) else { continue };
        let place = (next..NAMES.len()).chain(0..next).find(|place| NAMES[*place].as_bytes() == name);
        if let Some(place) = place {
            values[place].get_or_insert(value);
            next = place + 1;
        }
    }
    Attributes::Binary(values)
}

pub(super) fn decode(headers: &Headers, value: &Bytes) -> Result<Envelope, EnvelopeError> {
    let (attributes, data) = parts(headers, value)?;
    attributes.read(data)
}

/// What can be read although it is no message.
pub(super) fn remains(headers: &Headers, value: &Bytes) -> Remains {
    let Ok((attributes, _)) = parts(headers, value) else { return Remains::default() };
    let command_id: Option<Arc<str>> = attributes.text("commandid").ok().flatten().map(Into::into);
    Remains {
        place: attributes.place().ok(),
        id: attributes.parsed("id").ok(),
        command_id,
        correlation_id: attributes.parsed("correlationid").ok(),
        actor: attributes.actor().ok(),
    }
}

/// The attributes and the document, in either mode.
fn parts<'a>(headers: &'a Headers, value: &Bytes) -> Result<(Attributes<'a>, Bytes), EnvelopeError> {
    let structured =
        headers.get("content-type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with(STRUCTURED.as_bytes()));
    Ok(if structured {
        let mut document: Map<String, Value> =
            serde_json::from_slice(value).map_err(|error| EnvelopeError::NotStructured(error.to_string()))?;
        let data = structured_data(&mut document)?;
        (Attributes::Structured(document), data)
    } else {
        (binary(headers), value.clone())
    })
}

/// The document within a structured message: as JSON, or as bytes in base64, which CloudEvents' JSON format leaves to the
/// sender.
fn structured_data(document: &mut Map<String, Value>) -> Result<Bytes, EnvelopeError> {
    if let Some(data) = document.remove("data") {
        return Ok(Bytes::from(data.to_string()));
    }
    let data = document.remove("data_base64").ok_or(EnvelopeError::Missing("data"))?;
    let text = data.as_str().unwrap_or_default();
    let decoded = STANDARD.decode(text).map_err(|error| malformed("data_base64", &data.to_string(), error))?;
    Ok(Bytes::from(decoded))
}

impl Attributes<'_> {
    fn read(&self, data: Bytes) -> Result<Envelope, EnvelopeError> {
        let spec = self.required("specversion")?;
        if spec != attributes::SPEC_VERSION {
            return Err(malformed("specversion", &spec, "this build reads 1.0"));
        }
        let stream = self.stream()?;
        let key = self.key(&stream)?;
        Ok(Envelope {
            id: self.parsed("id")?,
            origin: origin(&self.required("source")?)?,
            name: self.required("type")?.into_owned(),
            stream,
            key,
            version: Version::new(self.parsed("streamversion")?),
            recorded_at: self.parsed("time")?,
            position: self.position()?,
            previous: Position::new(self.parsed("previous")?),
            lineage: self.lineage()?,
            command_id: self.text("commandid")?.map(Into::into),
            correlation_id: self.parsed("correlationid")?,
            causation_id: self.text("causationid")?.map(|text| parse("causationid", &text)).transpose()?,
            actor: self.actor()?,
            data,
        })
    }

    fn place(&self) -> Result<(EventId, Source, Position, Position, Vec<Fork>), EnvelopeError> {
        let source = origin(&self.required("source")?)?.source;
        let previous = Position::new(self.parsed("previous")?);
        Ok((self.parsed("id")?, source, self.position()?, previous, self.lineage()?))
    }

    fn lineage(&self) -> Result<Vec<Fork>, EnvelopeError> {
        self.text("lineage")?.map_or(Ok(Vec::new()), |text| lineage(&text))
    }

    fn stream(&self) -> Result<StreamName, EnvelopeError> {
        let text = self.required("subject")?;
        StreamName::new(&*text).map_err(|error| malformed("subject", &text, error))
    }

    /// The stream, unless it says otherwise.
    fn key(&self, stream: &StreamName) -> Result<StreamName, EnvelopeError> {
        match self.text("partitionkey")?.filter(|text| text != stream.as_str()) {
            None => Ok(stream.clone()),
            Some(text) => StreamName::new(&*text).map_err(|error| malformed("partitionkey", &text, error)),
        }
    }

    fn position(&self) -> Result<Position, EnvelopeError> {
        let position = self.parsed("sequence")?;
        // A store may be restored to before its first event.
        if position == 0 && self.required("type")? != HISTORY_LEFT_NAME {
            return Err(malformed("sequence", "0", "positions begin at 1"));
        }
        Ok(Position::new(position))
    }

    fn actor(&self) -> Result<ActorId, EnvelopeError> {
        let text = self.required("actor")?;
        ActorId::new(&text).ok_or_else(|| malformed("actor", &text, "an actor is 1 to 128 visible ASCII characters"))
    }

    fn parsed<T: FromStr<Err: ToString>>(&self, attribute: &'static str) -> Result<T, EnvelopeError> {
        parse(attribute, &self.required(attribute)?)
    }

    fn required(&self, attribute: &'static str) -> Result<Cow<'_, str>, EnvelopeError> {
        self.text(attribute)?.ok_or(EnvelopeError::Missing(attribute))
    }

    fn text(&self, attribute: &'static str) -> Result<Option<Cow<'_, str>>, EnvelopeError> {
        match self {
            Self::Binary(values) => {
                let place = NAMES.iter().position(|name| *name == attribute);
                let Some(bytes) = place.and_then(|place| values[place]) else { return Ok(None) };
                let text = std::str::from_utf8(bytes)
                    .map_err(|error| malformed(attribute, &String::from_utf8_lossy(bytes), error))?;
                Ok(Some(text.into()))
            }
            Self::Structured(document) => match document.get(attribute) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.into())),
                Some(Value::Number(number)) => Ok(Some(number.to_string().into())),
                Some(other) => Err(malformed(attribute, &other.to_string(), "an attribute is text or a number")),
            },
        }
    }
}

fn origin(text: &str) -> Result<Origin, EnvelopeError> {
    let wrong = |reason: &str| malformed("source", text, reason);
    let mut parts = text.strip_prefix('/').unwrap_or_default().split('/');
    let (Some(system), Some(service), Some(store), Some(incarnation), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong("a source is /<system>/<service>/<store id>/<incarnation>"));
    };
    let source = Source {
        store: store.parse().map_err(|_| wrong("the store id is no UUID"))?,
        incarnation: incarnation.parse().map_err(|_| wrong("the incarnation is no UUID"))?,
    };
    Ok(Origin { system: system.to_owned(), service: service.to_owned(), source })
}

fn lineage(text: &str) -> Result<Vec<Fork>, EnvelopeError> {
    let fork = |part: &str| {
        let (parent, position) = part.split_once(':')?;
        Some(Fork { parent: parent.parse().ok()?, position: Position::new(position.parse().ok()?) })
    };
    let forks: Option<Vec<Fork>> = text.split(',').take(LINEAGE_MAX).map(fork).collect();
    forks.ok_or_else(|| malformed("lineage", text, "a lineage is <incarnation>:<position>, separated by commas"))
}

fn parse<T: FromStr<Err: ToString>>(attribute: &'static str, text: &str) -> Result<T, EnvelopeError> {
    text.parse().map_err(|error: T::Err| malformed(attribute, text, error))
}

fn malformed(attribute: &'static str, value: &str, reason: impl ToString) -> EnvelopeError {
    let value = value.chars().take(SHOWN_CHARS_MAX).collect();
    EnvelopeError::Malformed { attribute, value, reason: reason.to_string() }
}
