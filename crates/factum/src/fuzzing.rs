//! Every decoder of text and bytes from outside, described for the fuzzer. `tests/corpus` keeps inputs that end in
//! different ways.

use std::{fmt, path::Path, str::FromStr};

use bytes::Bytes;
use fuzz::{Run, Target};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    bus::{self, Envelope, EnvelopeError, Headers, NewRecord, Origin},
    dispatch::canonical,
    input::{self, UnknownFields},
    model::{ActorId, CorrelationId, EventId, Incarnation, Source, StoreId, Timestamp},
    read::{Checkpoint, Cursor},
    store::{Fork, Metadata, Position, StreamName, Version},
    token::{Token, TopicMark},
};

/// Executions in the ordinary run of the tests.
const EXECUTIONS: u64 = 10_000;
/// How much of an error tells one ending from another, in words.
const ENDING_WORDS: usize = 4;

const JSON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\u0000",
    "\\ud800",
    "\\",
    "null",
    "true",
    "-0",
    "1e999",
    "1E-7",
    "18446744073709551616",
    "0.1",
    " ",
    "\u{feff}",
    "\"amount\":",
    "\"lines\":",
    "\"note\":\"\"",
    "é",
];

/// A document with all that ours have: a list of objects, an optional text, a number.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Order {
    lines: Vec<Line>,
    #[serde(default)]
    note: Option<String>,
    amount: u64,
    rate: Option<f64>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Line {
    amount: u32,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Search {
    name: String,
    #[serde(default)]
    limit: Option<u32>,
}

/// The beginning of what an error says, without what it quotes.
fn ending(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let words = text.split_whitespace().filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()));
    words.take(ENDING_WORDS).collect::<Vec<_>>().join(" ")
}

fn store_id() -> StoreId {
    StoreId::from_uuid(uuid::Uuid::from_u128(1))
}

fn incarnation() -> Incarnation {
    Incarnation::from_uuid(uuid::Uuid::from_u128(2))
}

/// Text that is parsed: what was read must be read again from its own text.
fn parsed<T: FromStr<Err: fmt::Display> + fmt::Display + PartialEq + fmt::Debug>(
    name: &'static str,
    seeds: impl IntoIterator<Item = String>,
) -> Target {
    Target::new(name, seeds.into_iter().map(String::into_bytes), |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
        match text.parse::<T>() {
            Ok(value) => {
                assert_eq!(value.to_string().parse().ok(), Some(value), "read from its own text");
                "read".to_owned()
            }
            Err(_) => "refused".to_owned(),
        }
    })
}

/// A JSON document of a type: what was read must be read again from its own JSON.
fn document<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(name: &'static str, seeds: &[T]) -> Target {
    let seeds = seeds.iter().map(|seed| serde_json::to_vec(seed).expect("is written"));
    Target::new(name, seeds, |bytes| match serde_json::from_slice::<T>(bytes) {
        Ok(value) => {
            let json = serde_json::to_vec(&value).expect("what was read can be written");
            assert_eq!(serde_json::from_slice::<T>(&json).ok(), Some(value), "read from its own JSON");
            "read".to_owned()
        }
        Err(error) => ending(&error),
    })
    .words(JSON_WORDS)
}

fn texts() -> Vec<Target> {
    let source = Source { store: store_id(), incarnation: incarnation() };
    let mark = TopicMark { topic: "bank.accounts.account.events".into(), partition: 3, position: 17 };
    let lineage = vec![Fork { parent: Incarnation::from_uuid(uuid::Uuid::from_u128(3)), position: Position::new(9) }];
    let token = Token { source, lineage, position: Position::new(17), topics: vec![mark] };
    vec![
        parsed::<Token>(
            "token",
            [token.to_string(), Token { topics: Vec::new(), lineage: Vec::new(), ..token }.to_string()],
        ),
        // A table's number and a key.
        Target::new("cursor", [b"AAAAAAAAAABh".to_vec()], |bytes| {
            let Ok(text) = str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
            match Cursor::parse(text) {
                Some(cursor) => {
                    assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor), "read from its own text");
                    "read".to_owned()
                }
                None => "refused".to_owned(),
            }
        }),
        parsed::<Timestamp>("timestamp", [Timestamp::from_micros(1_795_426_200_000_001).to_string()]),
        Target::new("query-string", [b"name=a%20b&limit=7".to_vec(), b"name=%c3%a9".to_vec()], |bytes| {
            let Ok(text) = str::from_utf8(bytes) else { return "not UTF-8".to_owned() };
            match input::from_query_string::<Search>(text) {
                Ok(search) => {
                    let again = serde_urlencoded::to_string(&search).expect("what was read can be written");
                    assert_eq!(input::from_query_string::<Search>(&again).ok(), Some(search), "read from its own text");
                    "read".to_owned()
                }
                Err(error) => format!("{:?} {:?}", error.kind, error.field.is_some()),
            }
        })
        .words(&["&", "=", "%", "%00", "+", "name=", "limit=", "18446744073709551616", "%zz", "&&"]),
    ]
}

fn documents() -> Vec<Target> {
    let order = br#"{"lines":[{"amount":1},{"amount":2}],"note":"a \"b\" \u00e9","amount":18446744073709551615}"#;
    let nested = br#" [ {"b":[],"a":{"x":-1.50e3,"y":null}} , "\ud83d\ude00" , true ] "#;
    let checkpoint = Checkpoint {
        position: Position::new(3),
        incarnation: incarnation(),
        event_id: Some(EventId::from_uuid(uuid::Uuid::from_u128(9))),
    };
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(uuid::Uuid::from_u128(4)),
        causation_id: Some(uuid::Uuid::from_u128(5)),
        actor: ActorId::new("ada").expect("valid"),
        bus_command: None,
    };
    vec![
        Target::new("json-input", [order.to_vec(), br#"{"lines":[],"amount":0,"rate":0.5}"#.to_vec()], |bytes| {
            let strict = input::from_json::<Order>(bytes, UnknownFields::Refuse);
            let lenient = input::from_json::<Order>(bytes, UnknownFields::Ignore);
            assert!(strict.is_err() || strict == lenient, "what is read strictly is read leniently");
            match strict {
                Ok(order) => {
                    let json = serde_json::to_vec(&order).expect("what was read can be written");
                    let again = input::from_json::<Order>(&json, UnknownFields::Refuse);
                    assert_eq!(again.ok(), Some(order), "read from its own JSON");
                    "read".to_owned()
                }
                Err(error) => format!("{:?} {} {}", error.kind, error.field.is_some(), lenient.is_ok()),
            }
        })
        .words(JSON_WORDS),
        Target::new("canonical", [order.to_vec(), nested.to_vec()], |bytes| {
            let value = serde_json::from_slice::<serde_json::Value>(bytes);
            let Ok(once) = canonical(bytes) else {
                assert!(value.is_err(), "a document has a canonical form");
                return "refused".to_owned();
            };
            if let Ok(value) = value {
                assert_eq!(canonical(&once).as_ref(), Ok(&once), "the canonical form of itself");
                assert_eq!(serde_json::from_slice(&once).ok(), Some(value), "the same document");
                return "a document".to_owned();
            }
            "no document".to_owned()
        })
        .words(JSON_WORDS),
        document("checkpoint", &[checkpoint, Checkpoint { event_id: None, ..checkpoint }]),
        document("metadata", &[Metadata { causation_id: None, ..metadata.clone() }, metadata]),
    ]
}

fn envelope() -> Envelope {
    Envelope {
        id: EventId::from_uuid(uuid::Uuid::from_u128(7)),
        origin: Origin {
            system: "bank".into(),
            service: "accounts".into(),
            source: Source { store: store_id(), incarnation: incarnation() },
        },
        name: "bank.accounts.funds-deposited.v1".into(),
        stream: StreamName::new("account-7").expect("valid"),
        key: StreamName::new("account-8").expect("valid"),
        version: Version::new(3),
        recorded_at: Timestamp::from_micros(1_795_426_200_000_001),
        position: Position::new(17),
        previous: Position::new(12),
        lineage: vec![Fork { parent: incarnation(), position: Position::new(2) }],
        command_id: Some("c-1".into()),
        correlation_id: CorrelationId::from_uuid(uuid::Uuid::from_u128(4)),
        causation_id: Some(uuid::Uuid::from_u128(5)),
        actor: ActorId::new("ada").expect("valid"),
        data: Bytes::from_static(br#"{"amount":"1.00"}"#),
    }
}

/// A record as lines `name: value`, an empty one, and its value: a shape that survives mutations.
fn as_lines(record: &NewRecord) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in record.headers.iter() {
        lines.extend_from_slice(name.as_bytes());
        lines.push(b':');
        lines.extend_from_slice(value);
        lines.push(b'\n');
    }
    lines.push(b'\n');
    lines.extend_from_slice(&record.value);
    lines
}

fn of_lines(bytes: &[u8]) -> (Headers, Bytes) {
    let (mut headers, mut rest) = (Headers::new(), bytes);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        headers.push(String::from_utf8_lossy(&line[..colon]).into_owned(), line[colon + 1..].to_vec());
    }
    (headers, Bytes::copy_from_slice(rest))
}

fn messages() -> Vec<Target> {
    let record = envelope().encode();
    let structured = br#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000007","data":{"a":1},"#;
    let structured = [b"content-type:application/cloudevents+json\n\n".as_slice(), structured, b"\"time\":1}"].concat();
    let stored = bus::encode_metadata(&record).expect("is stored");
    vec![
        Target::new("envelope", [as_lines(&record), structured], |bytes| {
            let (headers, value) = of_lines(bytes);
            match Envelope::decode(&headers, &value) {
                Ok(envelope) => {
                    let record = envelope.encode();
                    assert_eq!(
                        Envelope::decode(&record.headers, &record.value),
                        Ok(envelope),
                        "read from its own record"
                    );
                    "read".to_owned()
                }
                Err(EnvelopeError::Missing(what)) => format!("missing {what}"),
                Err(EnvelopeError::Malformed { attribute, .. }) => format!("malformed {attribute}"),
                Err(EnvelopeError::NotStructured(_)) => "not structured".to_owned(),
            }
        })
        .words(&[
            "\n",
            ":",
            "ce_",
            "ce_id:",
            "ce_lineage:",
            "/",
            ",",
            "00000000-0000-0000-0000-000000000001",
            "{",
            "\"",
        ]),
        Target::new("local-record", [stored], |bytes| match bus::decode_metadata(Bytes::copy_from_slice(bytes)) {
            Some((timestamp, key, headers)) => {
                let count = headers.len();
                let record = NewRecord { key, headers, value: Bytes::new(), timestamp };
                let again =
                    bus::decode_metadata(bus::encode_metadata(&record).expect("what was read can be stored").into());
                assert_eq!(again, Some((record.timestamp, record.key, record.headers)), "read from its own bytes");
                format!("read, {} headers", count.min(2))
            }
            None => "refused".to_owned(),
        }),
    ]
}

fn targets() -> Vec<Target> {
    let mut targets = texts();
    targets.extend(documents());
    targets.extend(messages());
    targets
}

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

#[test]
fn the_corpus_and_some_thousands_of_mutations_harm_no_decoder() {
    let calls = fuzz::replay(&targets(), corpus());
    assert!(calls > 40, "{calls} inputs in the corpus");
    for outcome in fuzz::run(&targets(), corpus(), Run { executions: EXECUTIONS, seed: 1, keep: false }) {
        assert!(outcome.endings.len() > 1, "{outcome:?} reaches only one ending");
    }
}

#[test]
#[ignore = "a minute; cargo xtask fuzz"]
fn long() {
    fuzz::run(&targets(), corpus(), Run::from_environment());
}
