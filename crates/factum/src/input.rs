//! Documents from outside: parsed once, at the rim.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny},
};
use uuid::Uuid;

use crate::model::InvalidField;

/// What to do with fields the receiver does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownFields {
    /// Refuse the document: a misspelt optional field must not be ignored silently. For HTTP.
    #[default]
    Refuse,
    /// Ignore them, or a sender could never add one. For the bus.
    Ignore,
}

/// Why a document from outside was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct InvalidInput {
    /// Which kind of wrong.
    pub kind: InvalidInputKind,
    /// The path of the field, where one is to blame: `amount`, `lines[2].currency`.
    pub field: Option<String>,
    /// What is wrong, in words for the caller.
    pub reason: String,
}

/// Which kind of wrong a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidInputKind {
    /// Not the format at all: no JSON, not UTF-8, no object.
    Malformed,
    /// A field is missing, of the wrong type, or of a value that is not allowed.
    Invalid,
    /// A field nobody asked for.
    UnknownField,
}

impl InvalidInputKind {
    /// The stable code callers branch on.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::UnknownField => "unknown-field",
        }
    }
}

impl InvalidInput {
    /// A value that is not allowed, of a field that is not known by name.
    pub(crate) const fn invalid(reason: String) -> Self {
        Self { kind: InvalidInputKind::Invalid, field: None, reason }
    }

    /// The same without what the document says: to be kept or shown to others than its sender, as it may be about a
    /// person.
    pub(crate) fn without_values(self) -> Self {
        let quotes_nothing = |reason: &str| NAMING_A_FIELD.iter().any(|words| reason.starts_with(words));
        let reason = match self.kind {
            InvalidInputKind::Invalid if !quotes_nothing(&self.reason) => "does not fit".to_owned(),
            _ => self.reason,
        };
        Self { reason, ..self }
    }

    /// No document of the expected format.
    pub(crate) const fn malformed(reason: String) -> Self {
        Self { kind: InvalidInputKind::Malformed, field: None, reason }
    }
}

impl From<InvalidField> for InvalidInput {
    fn from(field: InvalidField) -> Self {
        Self { kind: InvalidInputKind::Invalid, field: Some(field.field), reason: field.reason }
    }
}

/// How serde begins to tell of a field that is missing or comes twice: with its name, and with nothing of the document.
const NAMING_A_FIELD: [&str; 2] = ["missing field `", "duplicate field `"];

/// Reads a JSON object, such as the body of a request.
///
/// # Errors
/// It is none, or a field does not fit, is missing, comes twice or, where that is refused, is unknown.
pub fn from_json<T: DeserializeOwned>(body: &[u8], unknown: UnknownFields) -> Result<T, InvalidInput> {
    // serde would also take an array for a struct.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(InvalidInput::malformed("the body must be a JSON object".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = read(&mut json, unknown);
    // A wrong field is worth telling only in a document that is one: what follows was not looked at.
    let whole = match &read {
        Ok(_) => json.end(),
        Err(error) if error.kind == InvalidInputKind::Malformed => Ok(()),
        Err(_) => serde_json::from_slice::<IgnoredAny>(body).map(drop),
    };
    whole.map_err(|error| InvalidInput::malformed(error.to_string()))?;
    read
}

/// Reads a UUID in the one form that other systems write it in, for `#[serde(deserialize_with)]`: hyphenated, as in
/// `6f1a7c1e-0000-4000-8000-000000000001`. The type itself would also take braces, a URN, or digits alone, and an id
/// that has several texts is several ids to whoever compares them.
///
/// # Errors
/// Any other text.
pub fn hyphenated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    hyphenated_uuid(&text).map_err(D::Error::custom)
}

/// Reads a UUID in its hyphenated form.
///
/// # Errors
/// Any other text.
pub fn hyphenated_uuid(text: &str) -> Result<Uuid, InvalidUuid> {
    let id = text.parse::<uuid::fmt::Hyphenated>().map_err(|_| InvalidUuid)?;
    Ok(id.into_uuid())
}

/// The text is no hyphenated UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a UUID with its hyphens, such as 6f1a7c1e-0000-4000-8000-000000000001")]
pub struct InvalidUuid;

/// What serde_json said, without the ` at line 1 column 14` that it ends in.
fn without_place(said: &str) -> &str {
    let is_number = |text: &str| text.parse::<usize>().is_ok();
    match said.rsplit_once(" at line ").map(|(reason, place)| (reason, place.split_once(" column "))) {
        Some((reason, Some((line, column)))) if is_number(line) && is_number(column) => reason,
        _ => said,
    }
}

/// Reads the part of a URL after `?`.
///
/// # Errors
/// A parameter does not fit, is missing, comes twice, or is unknown.
pub fn from_query_string<T: DeserializeOwned>(query: &str) -> Result<T, InvalidInput> {
    // A repeated parameter is refused by the fields themselves, as a repeated JSON field is.
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    read(pairs, UnknownFields::Refuse)
}

fn read<'de, T, D>(deserializer: D, unknown: UnknownFields) -> Result<T, InvalidInput>
where
    T: DeserializeOwned,
    D: serde::Deserializer<'de>,
    D::Error: Classify,
{
    let mut track = serde_path_to_error::Track::new();
    let mut surplus = None;
    let read = serde_ignored::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track), |path| {
        surplus.get_or_insert_with(|| path_text(&path));
    });
    let value = read.map_err(|error: D::Error| {
        let (kind, said) = (error.kind(), error.to_string());
        // The field is named: where it stands in the document is of no use to who wrote it by a program.
        let reason = if kind == InvalidInputKind::Malformed { said } else { without_place(&said).to_owned() };
        let field = if kind == InvalidInputKind::Malformed { None } else { blamed(&track.path().to_string(), &reason) };
        InvalidInput { kind, field, reason }
    })?;
    match surplus {
        Some(field) if unknown == UnknownFields::Refuse => {
            let reason = "is not known here".to_owned();
            Err(InvalidInput { kind: InvalidInputKind::UnknownField, field: Some(field), reason })
        }
        _ => Ok(value),
    }
}

/// The path of the field to blame. Where one is missing or comes twice, serde's path ends at what should hold it once,
/// and only its words name the field.
fn blamed(path: &str, reason: &str) -> Option<String> {
    let named = NAMING_A_FIELD.iter().find_map(|words| reason.strip_prefix(words));
    let name = named.and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
    match (path, name) {
        (".", name) => name.map(str::to_owned),
        (path, None) => Some(path.to_owned()),
        (path, Some(name)) => Some(format!("{path}.{name}")),
    }
}

/// The path of a surplus field, written as that of a wrong one is: `lines[2].currency`.
fn path_text(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", path_text(parent)),
        Path::Map { parent, key } => match path_text(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => path_text(parent),
    }
}

/// Tells a document that is no document from one with a wrong field.
trait Classify: serde::de::Error {
    fn kind(&self) -> InvalidInputKind;
}

impl Classify for serde_json::Error {
    fn kind(&self) -> InvalidInputKind {
        match self.classify() {
            serde_json::error::Category::Data => InvalidInputKind::Invalid,
            // serde_json counts it as syntax, though only the field's type makes the number too large or too small.
            _ if self.to_string().starts_with("number out of range") => InvalidInputKind::Invalid,
            _ => InvalidInputKind::Malformed,
        }
    }
}

impl Classify for serde::de::value::Error {
    fn kind(&self) -> InvalidInputKind {
        InvalidInputKind::Invalid
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line {
        amount: u32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        lines: Vec<Line>,
        #[serde(default)]
        note: Option<String>,
    }

    fn refused(body: &[u8]) -> (InvalidInputKind, Option<String>) {
        let error = from_json::<Order>(body, UnknownFields::Refuse).expect_err("must be refused");
        (error.kind, error.field)
    }

    #[test]
    fn a_wrong_field_is_named_by_its_path() {
        let found = refused(br#"{"lines":[{"amount":1},{"amount":"x"}]}"#);
        assert_eq!(found, (InvalidInputKind::Invalid, Some("lines[1].amount".into())));
        assert_eq!(refused(br#"{"lines":[],"nota":"x"}"#), (InvalidInputKind::UnknownField, Some("nota".into())));
    }

    #[test]
    fn a_reason_does_not_say_where_in_the_document_the_named_field_stands() {
        let error = from_json::<Order>(br#"{"lines":[{"amount":"x"}]}"#, UnknownFields::Refuse).expect_err("a number");
        assert_eq!(error.reason, r#"invalid type: string "x", expected u32"#);
        assert_eq!(without_place("no train at line 7 at line 1 column 20"), "no train at line 7");
        assert_eq!(without_place("no train at line 7"), "no train at line 7");
    }

    #[test]
    fn a_field_that_is_missing_or_comes_twice_is_named_too() {
        for (body, field) in [
            (&b"{}"[..], "lines"),
            (br#"{"lines":[],"lines":[]}"#, "lines"),
            (br#"{"lines":[{"amount":1},{}]}"#, "lines[1].amount"),
            (br#"{"lines":[{"amount":1,"amount":2}]}"#, "lines[0].amount"),
        ] {
            assert_eq!(refused(body), (InvalidInputKind::Invalid, Some(field.into())), "{}", field);
        }
    }

    #[test]
    fn the_bus_may_add_fields() {
        let order: Order = from_json(br#"{"lines":[],"added":{"later":1}}"#, UnknownFields::Ignore).expect("is read");
        assert_eq!(order, Order { lines: Vec::new(), note: None });
    }

    #[test]
    fn a_wrong_field_of_what_is_no_document_does_not_matter() {
        let deep = format!(r#"{{"lines":{}"#, "[".repeat(100_000));
        for body in [&b"{} {}"[..], br#"{"surplus":1} {}"#, br#"{"lines":1,"note"}"#, b"{}\0", deep.as_bytes()] {
            assert_eq!(refused(body), (InvalidInputKind::Malformed, None), "{:?}", body.get(..20));
        }
        let deep = format!(r#"{{"lines":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(refused(deep.as_bytes()).0, InvalidInputKind::Invalid);
    }

    #[test]
    fn an_id_has_one_text() {
        let id = "6f1a7c1e-0000-4000-8000-00000000000a";
        assert_eq!(hyphenated_uuid(id), hyphenated_uuid(&id.to_uppercase()));
        assert_eq!(hyphenated_uuid(id).expect("is one").to_string(), id);
        let digits = id.replace('-', "");
        for text in ["", "7", "' OR '1'='1", &digits, &format!("{{{id}}}"), &format!("urn:uuid:{id}"), &id[1..]] {
            assert_eq!(hyphenated_uuid(text), Err(InvalidUuid), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        let deep = format!("{{\"surplus\":{}", "[".repeat(100_000));
        for body in [&b""[..], b"[[]]", b"{", b"\xff\xfe", b"{\"lines\":[]} x", b"null", deep.as_bytes()] {
            assert_eq!(refused(body).0, InvalidInputKind::Malformed, "{:?}", body.get(..20));
        }
        assert_eq!(refused(br#"{"lines":[],"lines":[]}"#).0, InvalidInputKind::Invalid);
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Search {
        name: String,
        #[serde(default)]
        limit: Option<u32>,
    }

    #[test]
    fn query_strings_are_as_strict() {
        let search: Search = from_query_string("name=a%20b&limit=7").expect("is read");
        assert_eq!(search, Search { name: "a b".into(), limit: Some(7) });
        for (query, kind) in [
            ("name=a&name=b", InvalidInputKind::Invalid),
            ("name=a&nome=b", InvalidInputKind::UnknownField),
            ("name=a&limit=x", InvalidInputKind::Invalid),
            ("", InvalidInputKind::Invalid),
        ] {
            assert_eq!(from_query_string::<Search>(query).expect_err("must be refused").kind, kind, "{query}");
        }
    }
}
