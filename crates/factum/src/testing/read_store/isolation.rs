//! Isolation: readers see committed states only, one at a time, and wait for nobody.

use std::sync::mpsc;

use super::{BALANCES, Case, LINES, claimed, delete, get, pairs, put, read, rows, write};
use crate::{
    read::ReadStore,
    testing::case::{ok, receive},
};

pub(super) const CASES: &[Case] = &[
    ("a_reader_neither_sees_nor_awaits_a_writer", a_reader_neither_sees_nor_awaits_a_writer),
    ("a_reader_keeps_its_snapshot", a_reader_keeps_its_snapshot),
    ("several_readers_read_at_once", several_readers_read_at_once),
];

fn a_reader_neither_sees_nor_awaits_a_writer(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| put(tx, "a", "1"));
    std::thread::scope(|scope| {
        let (in_the_middle, middle) = mpsc::channel();
        let (go_on, told_to_go_on) = mpsc::channel();
        scope.spawn(move || {
            ok(store.write(BALANCES, epoch, &[], &mut |tx| {
                put(tx, "a", "2");
                put(tx, "b", "2");
                ok(tx.put(crate::read::TableName { table: "fresh", ..LINES }, &"a".into(), b"2".to_vec()));
                ok(in_the_middle.send(()));
                receive(&told_to_go_on, "the word to go on");
                Ok(())
            }));
        });
        receive(&middle, "the writer in the middle of its transaction");
        let (answer, answered) = mpsc::channel();
        scope.spawn(move || {
            let seen = read(store, |snapshot| rows(snapshot, LINES));
            ok(answer.send((seen, ok(store.checkpoints(BALANCES)))));
        });
        let seen = answered.recv_timeout(std::time::Duration::from_secs(20));
        ok(go_on.send(()));
        match seen {
            Ok((rows, checkpoints)) => {
                assert_eq!(rows, pairs([("a", "1")]));
                assert_eq!(checkpoints, []);
            }
            Err(_) => panic!("a reader waited for the writer"),
        }
    });
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "2"), ("b", "2")])));
}

fn a_reader_keeps_its_snapshot(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| {
        put(tx, "a", "1");
        put(tx, "b", "1");
    });
    std::thread::scope(|scope| {
        let (read_once, has_read_once) = mpsc::channel();
        let (go_on, told_to_go_on) = mpsc::channel();
        let reader = scope.spawn(move || {
            read(store, |snapshot| {
                assert_eq!(get(snapshot, "a").as_deref(), Some("1"));
                ok(read_once.send(()));
                receive(&told_to_go_on, "the word to go on");
                rows(snapshot, LINES)
            })
        });
        receive(&has_read_once, "the first read");
        // A writer does not wait for a reader either.
        write(store, epoch, |tx| {
            put(tx, "a", "2");
            delete(tx, "b");
            put(tx, "c", "2");
        });
        ok(go_on.send(()));
        match reader.join() {
            Ok(seen) => assert_eq!(seen, pairs([("a", "1"), ("b", "1")])),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    });
    read(store, |snapshot| assert_eq!(rows(snapshot, LINES), pairs([("a", "2"), ("c", "2")])));
}

fn several_readers_read_at_once(store: &dyn ReadStore) {
    let epoch = claimed(store);
    write(store, epoch, |tx| put(tx, "a", "1"));
    read(store, |outer| {
        let inner = read(store, |inner| get(inner, "a"));
        assert_eq!(get(outer, "a"), inner);
    });
}
