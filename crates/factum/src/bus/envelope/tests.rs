use std::borrow::Cow;

use super::*;
use crate::model::{Incarnation, StoreId};

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// One with everything that a message can have.
pub(crate) fn envelope() -> Envelope {
    Envelope {
        id: EventId::from_uuid(uuid(1)),
        origin: Origin {
            system: "bank".to_owned(),
            service: "accounts".to_owned(),
            source: Source { store: StoreId::from_uuid(uuid(2)), incarnation: Incarnation::from_uuid(uuid(3)) },
        },
        name: "bank.accounts.funds-deposited.v1".to_owned(),
        stream: StreamName::new("transfer-6f1").unwrap(),
        key: StreamName::new("account-7f3").unwrap(),
        version: Version::new(4),
        recorded_at: Timestamp::from_micros(1_795_426_200_000_001),
        position: Position::new(17),
        previous: Position::new(12),
        lineage: vec![Fork { parent: Incarnation::from_uuid(uuid(9)), position: Position::new(8) }],
        command_id: Some("order 66".into()),
        correlation_id: CorrelationId::from_uuid(uuid(5)),
        causation_id: Some(uuid(6)),
        actor: ActorId::system(),
        data: Bytes::from_static(br#"{"amount":"1.00"}"#),
    }
}

fn without(record: &NewRecord, name: &str) -> Headers {
    let mut headers = Headers::new();
    for (own, value) in record.headers.iter().filter(|(own, _)| *own != name) {
        headers.push(own.to_owned(), value.to_owned());
    }
    headers
}

fn with(record: &NewRecord, name: &'static str, value: &str) -> Headers {
    let mut headers = without(record, name);
    headers.push(Cow::Borrowed(name), value.to_owned());
    headers
}

#[test]
fn a_message_survives_the_wire() {
    let sent = envelope();
    let record = sent.encode();
    assert_eq!(record.key, "account-7f3");
    assert_eq!(record.headers.get("ce_partitionkey"), Some(&b"account-7f3"[..]));
    assert_eq!(record.headers.get("ce_subject"), Some(&b"transfer-6f1"[..]));
    assert_eq!(record.headers.get("ce_sequence"), Some(&b"00000000000000000017"[..]));
    assert_eq!(
        record.headers.get("ce_source"),
        Some(&b"/bank/accounts/00000000-0000-0000-0000-000000000002/00000000-0000-0000-0000-000000000003"[..])
    );
    assert_eq!(record.headers.get("ce_dataschema"), Some(&b"urn:factum:message:bank.accounts.funds-deposited.v1"[..]));
    let trace = &b"00-00000000000000000000000000000005-0000000000000001-01"[..];
    assert_eq!(record.headers.get("traceparent"), Some(trace), "the trace is the correlation, the span the event");
    assert_eq!(Envelope::decode(&record.headers, &record.value), Ok(sent));
}

#[test]
fn the_page_on_formats_names_every_header() {
    const PAGE: &str = include_str!("../../../../../docs/data-format.md");
    for (name, _) in envelope().encode().headers.iter() {
        let row = [format!("| `{name}` |"), format!("| [`{name}`] |")];
        assert!(row.iter().any(|row| PAGE.contains(row)), "{name} is not on the page");
    }
}

#[test]
fn what_may_be_absent_may_be_absent() {
    let sent = Envelope { lineage: Vec::new(), command_id: None, causation_id: None, ..envelope() };
    let record = sent.encode();
    for absent in ["ce_lineage", "ce_commandid", "ce_causationid"] {
        assert_eq!(record.headers.get(absent), None);
    }
    assert_eq!(Envelope::decode(&record.headers, &record.value), Ok(sent));
}

#[test]
fn without_a_partition_key_the_stream_is_the_key() {
    let sent = Envelope { key: envelope().stream, ..envelope() };
    let record = sent.encode();
    assert_eq!(Envelope::decode(&without(&record, "ce_partitionkey"), &record.value), Ok(sent));
}

#[test]
fn headers_of_a_newer_publisher_are_passed_over() {
    let mut record = envelope().encode();
    record.headers.push("ce_moonphase", "full");
    record.headers.push("traceparent", vec![0xff]);
    assert_eq!(Envelope::decode(&record.headers, &record.value), Ok(envelope()));
}

#[test]
fn the_structured_mode_says_the_same() {
    let sent = envelope();
    let mut document = serde_json::Map::new();
    for (name, value) in sent.encode().headers.iter().filter(|(name, _)| name.starts_with("ce_")) {
        let text = String::from_utf8(value.to_vec()).unwrap();
        document.insert(name["ce_".len()..].to_owned(), text.into());
    }
    document.insert("streamversion".to_owned(), 4.into());
    document.insert("data".to_owned(), serde_json::from_slice(&sent.data).unwrap());
    let mut headers = Headers::new();
    headers.push("content-type", "application/cloudevents+json; charset=UTF-8");
    let value = Bytes::from(serde_json::to_vec(&document).unwrap());
    assert_eq!(Envelope::decode(&headers, &value), Ok(sent.clone()));

    // The same document as bytes: which of the two is the sender's choice.
    document.remove("data");
    document.insert("data_base64".to_owned(), "eyJhbW91bnQiOiIxLjAwIn0=".into());
    let value = Bytes::from(serde_json::to_vec(&document).unwrap());
    assert_eq!(Envelope::decode(&headers, &value), Ok(sent));
    document.insert("data_base64".to_owned(), "?".into());
    let broken = Envelope::decode(&headers, &Bytes::from(serde_json::to_vec(&document).unwrap()));
    assert!(matches!(broken, Err(EnvelopeError::Malformed { attribute: "data_base64", .. })), "{broken:?}");

    let broken = Envelope::decode(&headers, &Bytes::from_static(b"[]"));
    assert!(matches!(broken, Err(EnvelopeError::NotStructured(_))), "{broken:?}");
}

/// As CloudEvents' own package for Python writes it.
#[test]
fn a_structured_message_of_another_language_is_read() {
    let mut headers = Headers::new();
    headers.push("content-type", "application/cloudevents+json");
    let value = Bytes::from_static(include_bytes!("structured.json"));
    let read = Envelope::decode(&headers, &value).unwrap();
    assert_eq!(
        (&*read.name, read.key.as_str()),
        ("bank.accounts.funds-held.v1", "account-6f1a7c1e-0000-4000-8000-000000000001")
    );
    assert_eq!((read.position, read.previous, read.version), (Position::new(4), Position::new(3), Version::new(3)));
    assert_eq!(read.recorded_at.to_string(), "2026-11-24T14:27:24.031423Z");
    assert_eq!(read.data, r#"{"amount_minor":2550,"currency":"EUR"}"#);
}

#[test]
fn what_is_no_message_is_refused_by_the_name_of_what_is_wrong() {
    let record = envelope().encode();
    for (header, attribute) in [("ce_id", "id"), ("ce_source", "source"), ("ce_previous", "previous")] {
        let found = Envelope::decode(&without(&record, header), &record.value);
        assert_eq!(found, Err(EnvelopeError::Missing(attribute)));
    }
    let wrong = [
        ("ce_specversion", "2.0"),
        ("ce_id", "seven"),
        ("ce_source", "/bank/accounts"),
        ("ce_source", "/bank/accounts/x/y"),
        ("ce_sequence", "0"),
        ("ce_previous", "-1"),
        ("ce_time", "yesterday"),
        ("ce_actor", ""),
        ("ce_lineage", "somewhere"),
        ("ce_partitionkey", ""),
    ];
    for (header, value) in wrong {
        let found = Envelope::decode(&with(&record, header, value), &record.value);
        let Err(EnvelopeError::Malformed { attribute, .. }) = found else { panic!("{header}: {value}: {found:?}") };
        assert_eq!(attribute, &header[3..]);
    }
}

#[test]
fn only_the_newest_ancestors_are_named() {
    let fork = |n: u64| Fork { parent: Incarnation::from_uuid(uuid(u128::from(n))), position: Position::new(n) };
    let sent = Envelope { lineage: (1..=40).map(fork).collect(), ..envelope() };
    let record = sent.encode();
    let read = Envelope::decode(&record.headers, &record.value).unwrap();
    assert_eq!(read.lineage, (25..=40).map(fork).collect::<Vec<_>>());
}
