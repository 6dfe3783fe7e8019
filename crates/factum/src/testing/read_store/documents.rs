//! Documents: what is put is what is read, in the order of the keys, within the limits.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::{BALANCES, Case, LINES, claimed, get, put, read, rows, write};
use crate::{
    model::{Delivery, Projection},
    read::{
        Cursor, DOCUMENT_BYTES_MAX, Key, KeyRange, ReadError, ReadStore, ReadTransaction, SCAN_ROWS_MAX, Table,
        TableName,
    },
    testing::{NoEvent, case::ok},
};

pub(super) const CASES: &[Case] = &[
    ("a_table_nobody_wrote_to_is_empty", a_table_nobody_wrote_to_is_empty),
    ("documents_come_back_byte_for_byte", documents_come_back_byte_for_byte),
    ("hostile_keys_are_only_keys", hostile_keys_are_only_keys),
    ("ranges_hold_what_lies_inside_in_order", ranges_hold_what_lies_inside_in_order),
    ("a_scan_has_limits", a_scan_has_limits),
    ("keys_and_documents_over_their_limits_are_refused", keys_and_documents_over_their_limits_are_refused),
    ("pages_go_on_where_they_stopped_while_documents_come_and_go", pages_go_on_where_they_stopped),
];

fn a_table_nobody_wrote_to_is_empty(store: &dyn ReadStore) {
    read(store, |snapshot| {
        assert_eq!(get(snapshot, "a"), None);
        assert_eq!(rows(snapshot, LINES), []);
    });
    let epoch = claimed(store);
    write(store, epoch, |tx| {
        assert_eq!(get(tx, "a"), None);
        assert_eq!(rows(tx, LINES), []);
        ok(tx.delete(LINES, &"a".into()));
    });
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), []));
}

fn documents_come_back_byte_for_byte(store: &dyn ReadStore) {
    let epoch = claimed(store);
    let largest = format!("\"{}\"", "x".repeat(DOCUMENT_BYTES_MAX - 2));
    let documents = [
        "null",
        " { \"b\" : 1,\n \"a\": 2, \"a\": 3 } ",
        r#""'; DROP TABLE balances_v1__lines; --""#,
        r#""\u0000 \ud83d\ude00 😀 ü""#,
        "123456789012345678901234567890.10",
        &largest,
    ];
    write(store, epoch, |tx| {
        for (at, document) in documents.iter().enumerate() {
            put(tx, &at.to_string(), document);
        }
    });
    read(store, |snapshot| {
        for (at, document) in documents.iter().enumerate() {
            assert!(get(snapshot, &at.to_string()).as_deref() == Some(document), "document {at} came back changed");
        }
    });
}

/// Keys in ascending order that have broken stores: quotes, SQL, zero bytes, 0xff, prefixes of each other.
fn hostile_keys() -> Vec<Key> {
    let raw = |bytes: &[u8]| Key::from_bytes(bytes.to_vec());
    let mut keys = vec![
        Key::new(),
        raw(&[0]),
        raw(&[0, 0, 0]),
        raw(&[0, 0xff]),
        raw(&[0xff]),
        raw(&[0xff, 0]),
        raw(&[0xff; 3]),
        raw(&[b'k'; Key::BYTES_MAX]),
        Key::new().number(u64::MAX),
        Key::new().number(255),
        Key::new().number(256),
        Key::new().text("a").number(2),
        Key::new().text("a").number(10),
    ];
    let texts = [
        "",
        "a",
        "a\0",
        "a\0b",
        "ab",
        "A",
        "B",
        "\u{ff}",
        "ü",
        "😀",
        "'; DROP TABLE balances_v1__lines; --",
        "\"",
        "%",
        "1",
        "10",
        "2",
        "null",
        " ",
    ];
    keys.extend(texts.map(Key::from));
    keys.sort();
    keys
}

fn fill_with_hostile_keys(store: &dyn ReadStore) -> Vec<Key> {
    let epoch = claimed(store);
    let keys = hostile_keys();
    write(store, epoch, |tx| {
        for (at, key) in keys.iter().enumerate().rev() {
            ok(tx.put(LINES, key, at.to_string().into_bytes()));
        }
    });
    keys
}

fn hostile_keys_are_only_keys(store: &dyn ReadStore) {
    let keys = fill_with_hostile_keys(store);
    read(store, |snapshot| {
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(ok(snapshot.get(LINES, key)), Some(at.to_string().into_bytes()), "{key:?}");
        }
        let found = ok(snapshot.scan(LINES, &KeyRange::all(), usize::MAX));
        assert_eq!(found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), keys, "a scan is in the order of bytes");
    });
}

fn ranges_hold_what_lies_inside_in_order(store: &dyn ReadStore) {
    let keys = fill_with_hostile_keys(store);
    let mut bounds = vec![Bound::Unbounded];
    for key in keys.iter().step_by(2) {
        bounds.extend([Bound::Included(key.clone()), Bound::Excluded(key.clone())]);
    }
    read(store, |snapshot| {
        let mut expect = |range: &KeyRange| {
            let inside: Vec<&Key> = keys.iter().filter(|key| range.contains(key)).collect();
            let found = ok(snapshot.scan(LINES, range, usize::MAX));
            assert_eq!(found.iter().map(|(key, _)| key).collect::<Vec<_>>(), inside, "{range:?}");
        };
        for start in &bounds {
            for end in &bounds {
                expect(&KeyRange { start: start.clone(), end: end.clone() });
            }
        }
        for key in &keys {
            expect(&KeyRange::prefix(key));
            expect(&KeyRange::prefix(&Key::new().text("a")).after(key.clone()));
        }
    });
}

fn a_scan_has_limits(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| {
        for number in 0..=SCAN_ROWS_MAX as u64 {
            ok(tx.put(LINES, &Key::new().number(number), b"0".to_vec()));
        }
        assert_eq!(ok(tx.scan(LINES, &KeyRange::all(), usize::MAX)).len(), SCAN_ROWS_MAX);
    });
    read(store, |snapshot| {
        for (limit, rows) in [(0, 0), (1, 1), (SCAN_ROWS_MAX, SCAN_ROWS_MAX), (usize::MAX, SCAN_ROWS_MAX)] {
            assert_eq!(ok(snapshot.scan(LINES, &KeyRange::all(), limit)).len(), rows, "limit {limit}");
        }
    });
}

fn keys_and_documents_over_their_limits_are_refused(store: &dyn ReadStore) {
    let epoch = claimed(store);
    let long_key = Key::from_bytes(vec![b'k'; Key::BYTES_MAX + 1]);
    let long_document = vec![b' '; DOCUMENT_BYTES_MAX + 1];
    let refused = |result: Result<(), ReadError>, what: &str, limit: usize| match result {
        Err(ReadError::TooLarge { what: said, actual, limit: named }) => {
            assert_eq!((said, actual, named), (what, limit + 1, limit));
        }
        other => panic!("a {what} over its limit: {other:?}"),
    };
    write(store, epoch, |tx| {
        refused(tx.put(LINES, &long_key, b"0".to_vec()), "key", Key::BYTES_MAX);
        refused(tx.put(LINES, &"a".into(), long_document.clone()), "document", DOCUMENT_BYTES_MAX);
        put(tx, "b", "1");
    });
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), [("b".to_owned(), "1".to_owned())]));
}

/// A projection only for its table.
#[derive(Default)]
struct Balances;

impl Projection for Balances {
    const NAME: &'static str = BALANCES.name;
    const VERSION: u32 = BALANCES.version;
    type Event = NoEvent;

    fn project(&self, event: &NoEvent, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        match *event {}
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    number: u64,
}

const PAGED: Table<Line> = Table::of::<Balances>("paged");

fn pages_go_on_where_they_stopped(store: &dyn ReadStore) {
    let epoch = claimed(store);
    let change = |put: &[u64], delete: &[u64]| {
        write(store, epoch, |tx| {
            for number in put {
                ok(PAGED.put(tx, &Key::new().number(*number), &Line { number: *number }));
            }
            for number in delete {
                ok(PAGED.delete(tx, &Key::new().number(*number)));
            }
        });
    };
    let page = |cursor: Option<Cursor>| {
        read(store, |snapshot| {
            let range = match cursor.clone() {
                // Through its text, as it comes back from a client.
                Some(cursor) => ok(PAGED.resume(KeyRange::all(), &cursor.to_string())),
                None => KeyRange::all(),
            };
            let page = ok(PAGED.page(snapshot, &range, 3));
            (page.documents.iter().map(|line| line.number).collect::<Vec<_>>(), page.next)
        })
    };
    change(&[10, 20, 30, 40, 50, 60, 70], &[]);
    let (first, next) = page(None);
    assert_eq!(first, [10, 20, 30]);
    // The document the cursor points at goes, one comes before it, one after it.
    change(&[5, 45], &[30, 60]);
    let (second, next) = page(next);
    assert_eq!(second, [40, 45, 50]);
    let (third, next) = page(next);
    assert_eq!((third, next), (vec![70], None));
    assert_eq!(PAGED.name(), TableName { table: "paged", ..LINES });
}
