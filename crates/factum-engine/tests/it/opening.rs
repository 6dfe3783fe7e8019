//! Opening and closing: locks, formats, clean ends.

use std::fs;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake};
use std::time::{Duration, Instant};

use factum_engine::{AppendError, Closed, Engine, OpenError, Options, Position, ReadError, Selection};

use crate::support::{all_texts, note, open, wait};

#[test]
fn a_store_is_found_again_as_it_was_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    assert!(engine.recovery().created);
    let identity = engine.identity().clone();
    engine.append(note("a-1", "one")).expect("accepted");
    engine.close().expect("closes");
    engine.close().expect("closes again");

    let engine = open(directory.path());
    assert!(!engine.recovery().created && engine.recovery().clean);
    assert_eq!(engine.recovery().rewritten_groups, 0);
    assert_eq!(engine.identity(), &identity);
    assert_eq!(all_texts(&engine), [("a-1".to_owned(), "one".to_owned())]);
    assert_eq!(engine.append(note("a-1", "two")).expect("accepted").last, Position::new(2));
}

#[test]
fn the_key_is_never_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let printed = format!("{:?}", engine.identity());
    assert!(printed.contains("secret"), "{printed}");
}

#[test]
fn two_stores_have_nothing_of_their_identity_in_common() {
    let (one, two) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (one, two) = (open(one.path()), open(two.path()));
    assert_ne!(one.identity().store, two.identity().store);
    assert_ne!(one.identity().incarnation, two.identity().incarnation);
    assert_ne!(one.identity().key, two.identity().key);
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let second = Engine::open(directory.path(), Options::default());
    assert!(matches!(second, Err(OpenError::Locked)));
    drop(engine);
    open(directory.path());
}

#[test]
fn a_closed_store_answers_so_to_everybody() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    engine.close().expect("closes");
    assert!(matches!(engine.append(note("a", "b")), Err(AppendError::Closed)));
    let read = engine.read(&Selection::everything(), Position::ZERO, factum_engine::Direction::Forward, 1);
    assert!(matches!(read, Err(ReadError::Closed)));
    let mut beyond = std::pin::pin!(engine.beyond(Position::ZERO));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(beyond.as_mut().poll(&mut context), std::task::Poll::Ready(Err(Closed)));
}

/// A waker that holds the last handle of a store and drops it when it is woken, once the test has dropped its own.
struct LastHandle {
    engine: Mutex<Option<Engine>>,
    others_are_gone: Mutex<mpsc::Receiver<()>>,
}

impl Wake for LastHandle {
    fn wake(self: Arc<Self>) {
        self.others_are_gone.lock().expect("sound").recv().expect("the test goes on");
        drop(self.engine.lock().expect("sound").take());
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_waker_on_the_writers_own_thread() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let (gone, others_are_gone) = mpsc::channel();
    let last = LastHandle { engine: Mutex::new(Some(engine.clone())), others_are_gone: Mutex::new(others_are_gone) };
    let waker = Arc::new(last).into();
    let mut beyond = Box::pin(engine.beyond(Position::ZERO));
    assert!(beyond.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let ticket = engine.submit(note("a-1", "one"));
    drop(engine);
    gone.send(()).expect("the writer waits");
    wait(ticket).expect("accepted");
    // It is closed on a thread of its own, soon.
    let deadline = Instant::now() + Duration::from_secs(10);
    let engine = loop {
        match Engine::open(directory.path(), Options::default()) {
            Ok(engine) => break engine,
            Err(OpenError::Locked) if Instant::now() < deadline => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(engine.recovery().clean);
    assert_eq!(all_texts(&engine).len(), 1);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(directory.path()));
    for file in ["identity", "segment-00000001.log", "closed"] {
        let path = directory.path().join(file);
        let before = fs::read(&path).expect("readable");
        let mut newer = before.clone();
        newer[8] = 2;
        fs::write(&path, &newer).expect("writable");
        match Engine::open(directory.path(), Options::default()) {
            Err(OpenError::NewerFormat { found: 2, supported: 1 }) => {}
            other => panic!("{file}: {other:?}"),
        }
        assert_eq!(fs::read(&path).expect("readable"), newer);
        fs::write(&path, before).expect("writable");
    }
    open(directory.path());
}
