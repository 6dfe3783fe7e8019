//! Transactions: their own writes are seen, all of them happen, or none.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{BALANCES, Case, LINES, claimed, delete, get, pairs, put, read, rows, scan, write};
use crate::{
    model::ProjectionKey,
    read::{Key, KeyRange, ReadError, ReadStore, TableName},
    testing::case::ok,
};

pub(super) const CASES: &[Case] = &[
    ("a_transaction_reads_its_own_writes", a_transaction_reads_its_own_writes),
    ("a_transaction_scans_its_own_writes", a_transaction_scans_its_own_writes),
    ("failed_work_leaves_nothing", failed_work_leaves_nothing),
    ("work_that_panics_leaves_nothing", work_that_panics_leaves_nothing),
    ("a_failed_read_says_why", a_failed_read_says_why),
    ("two_writers_at_a_time_lose_nothing", two_writers_at_a_time_lose_nothing),
    ("projections_versions_and_tables_are_apart", projections_versions_and_tables_are_apart),
    ("a_projection_writes_to_its_own_tables_only", a_projection_writes_to_its_own_tables_only),
];

fn a_transaction_reads_its_own_writes(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| put(tx, "old", "1"));
    write(store, epoch, |tx| {
        put(tx, "new", "1");
        put(tx, "new", "2");
        assert_eq!(get(tx, "new").as_deref(), Some("2"));
        delete(tx, "new");
        assert_eq!(get(tx, "new"), None);
        put(tx, "new", "3");
        assert_eq!(get(tx, "old").as_deref(), Some("1"));
        delete(tx, "old");
        assert_eq!(get(tx, "old"), None);
    });
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("new", "3")])));
}

fn a_transaction_scans_its_own_writes(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| ["a", "c", "e", "g", "i"].into_iter().for_each(|key| put(tx, key, "1")));
    write(store, epoch, |tx| {
        delete(tx, "a");
        put(tx, "b", "2");
        put(tx, "c", "2");
        delete(tx, "e");
        delete(tx, "f");
        put(tx, "j", "2");
        let all = [("b", "2"), ("c", "2"), ("g", "1"), ("i", "1"), ("j", "2")];
        assert_eq!(rows(tx, LINES), pairs(all));
        // The deleted ones take no place among the limit's.
        assert_eq!(scan(tx, LINES, &KeyRange::all(), 3), pairs([all[0], all[1], all[2]]));
        let after_c = KeyRange::all().after(Key::from("c"));
        assert_eq!(scan(tx, LINES, &after_c, 1), pairs([all[2]]));
        assert_eq!(scan(tx, LINES, &KeyRange::prefix(&Key::from("b")), 9), pairs([all[0]]));
        assert_eq!(scan(tx, LINES, &KeyRange::all(), 0), []);
    });
    let committed = pairs([("b", "2"), ("c", "2"), ("g", "1"), ("i", "1"), ("j", "2")]);
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), committed));
}

fn failed_work_leaves_nothing(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| put(tx, "a", "1"));
    let result = store.write(BALANCES, epoch, &[], &mut |tx| {
        put(tx, "a", "2");
        put(tx, "b", "2");
        ok(tx.put(TableName { table: "fresh", ..LINES }, &"a".into(), b"2".to_vec()));
        Err(ReadError::Broken("no such account".to_owned()))
    });
    assert!(matches!(&result, Err(ReadError::Broken(why)) if why == "no such account"), "{result:?}");
    assert_untouched_and_usable(store);
}

fn work_that_panics_leaves_nothing(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| put(tx, "a", "1"));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        store.write(BALANCES, epoch, &[], &mut |tx| {
            put(tx, "a", "2");
            ok(tx.put(TableName { table: "fresh", ..LINES }, &"a".into(), b"2".to_vec()));
            std::panic::resume_unwind(Box::new("a projection with a bug"));
        })
    }));
    assert!(outcome.is_err(), "the panic must reach the caller");
    assert_untouched_and_usable(store);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        store.read(&mut |_| std::panic::resume_unwind(Box::new("a query with a bug")))
    }));
    assert!(outcome.is_err(), "the panic must reach the caller");
    read(store, |snapshot| assert_eq!(get(snapshot, "c").as_deref(), Some("3")));
}

/// `a` is as it was before the transaction that failed, and the next one works.
fn assert_untouched_and_usable(store: &dyn ReadStore) {
    let untouched = |store: &dyn ReadStore| {
        read(store, |snapshot| {
            assert_eq!(rows(snapshot, LINES), pairs([("a", "1")]));
            assert_eq!(rows(snapshot, TableName { table: "fresh", ..LINES }), []);
        });
    };
    untouched(store);
    let epoch = claimed(store);
    untouched(store);
    write(store, epoch, |tx| put(tx, "c", "3"));
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "1"), ("c", "3")])));
}

fn a_failed_read_says_why(store: &dyn ReadStore) {
    let result = store.read(&mut |_| Err(ReadError::Broken("no".to_owned())));
    assert!(matches!(&result, Err(ReadError::Broken(why)) if why == "no"), "{result:?}");
}

fn two_writers_at_a_time_lose_nothing(store: &dyn ReadStore) {
    const WRITERS: usize = 4;
    const ADDITIONS: usize = 25;
    let epoch = claimed(store);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..ADDITIONS {
                    write(store, epoch, |tx| {
                        let sum: usize = get(tx, "sum").map_or(0, |sum| ok(sum.parse()));
                        put(tx, "sum", &(sum + 1).to_string());
                    });
                }
            });
        }
    });
    let sum = read(store, |snapshot| get(snapshot, "sum"));
    assert_eq!(sum, Some((WRITERS * ADDITIONS).to_string()));
}

fn projections_versions_and_tables_are_apart(store: &dyn ReadStore) {
    let table = |name, version, table| TableName { projection: ProjectionKey { name, version }, table };
    // Some of these would meet in a store that joins names carelessly.
    let tables = [
        table("totals", 1, "lines"),
        table("totals", 1, "lines2"),
        table("totals", 1, "lines_"),
        table("totals", 1, "_lines"),
        table("totals", 11, "lines"),
        table("totals", 2, "lines"),
        table("totals-v1", 2, "lines"),
        table("totals", 1, "v2__lines"),
        table("total", 1, "s_v1__lines"),
        table("totals-by-day", 1, "lines"),
        table("totals-by", 1, "day_v1__lines"),
    ];
    for (at, table) in tables.iter().enumerate() {
        let epoch = ok(store.claim(table.projection));
        ok(store.write(table.projection, epoch, &[], &mut |tx| {
            assert_eq!(rows(tx, *table), [], "{table} must be empty still");
            tx.put(*table, &"a".into(), at.to_string().into_bytes())
        }));
    }
    read(store, |snapshot| {
        for (at, table) in tables.iter().enumerate() {
            assert_eq!(rows(snapshot, *table), pairs([("a", &at.to_string())]), "{table}");
        }
    });
}

fn a_projection_writes_to_its_own_tables_only(store: &dyn ReadStore) {
    let epoch = claimed(store);
    let foreign = TableName { projection: ProjectionKey { version: 2, ..BALANCES }, table: "lines" };
    for write in [0, 1] {
        let result = store.write(BALANCES, epoch, &[], &mut |tx| match write {
            0 => tx.put(foreign, &"a".into(), b"1".to_vec()),
            _ => tx.delete(foreign, &"a".into()),
        });
        assert!(matches!(result, Err(ReadError::Broken(_))), "{result:?}");
    }
    read(store, |snapshot| assert_eq!(rows(snapshot, foreign), []));
}
