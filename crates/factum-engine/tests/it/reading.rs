//! Reads: both directions, by stream and by position, in bounded pages.

use factum_engine::{Append, Direction, Engine, ExpectedVersion, NewEvent, Options, Position, Selection, Tag, Version};

use crate::support::{command, event, expecting, note, open, stream, text};

fn three_streams(engine: &Engine) {
    for number in 0..12 {
        let name = format!("s-{}", number % 3);
        engine.append(note(&name, &number.to_string())).expect("accepted");
    }
}

#[test]
fn every_field_comes_back_as_it_was_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    let tags = ["holder:ada", "kind:savings"].map(|tag| Tag::new(tag).expect("valid"));
    let full = NewEvent {
        id: [3; 16],
        name: "account.opened".into(),
        schema: 4,
        tags: tags.to_vec(),
        metadata: b"{\"actor\":1}".to_vec(),
        data: vec![0, 255, 1],
    };
    let append = Append::new(1_700_000_000_000_001)
        .stream(stream("other-1"), ExpectedVersion::Any, vec![event("first")])
        .stream(stream("account-1"), ExpectedVersion::Any, vec![full])
        .command(command(5, 6));
    engine.append(append).expect("accepted");
    let page = engine.read_stream(&stream("account-1"), Version::ZERO, Direction::Forward, 10).expect("readable");
    let [read] = page.events.as_slice() else { panic!("{page:?}") };
    assert_eq!((read.position(), read.version()), (Position::new(2), Version::new(1)));
    assert_eq!((read.stream(), read.name(), read.schema()), ("account-1", "account.opened", 4));
    assert_eq!((read.id(), read.recorded_at()), ([3; 16], 1_700_000_000_000_001));
    assert_eq!(read.tags().collect::<Vec<_>>(), ["holder:ada", "kind:savings"]);
    assert_eq!((read.metadata(), read.data()), (&b"{\"actor\":1}"[..], &[0, 255, 1][..]));
    assert_eq!(read.command(), Some(command(5, 6)));
    let (block, range) = read.data_block();
    assert_eq!(&block[range], &[0, 255, 1]);
}

#[test]
fn everything_is_read_forward_and_backward_in_pages() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    three_streams(&engine);
    let positions = |after: u64, direction, limit| {
        let page = engine.read(&Selection::everything(), Position::new(after), direction, limit).expect("readable");
        let positions: Vec<u64> = page.events.iter().map(|event| event.position().get()).collect();
        (positions, page.read_to.get(), page.end)
    };
    assert_eq!(positions(0, Direction::Forward, 5), (vec![1, 2, 3, 4, 5], 5, false));
    assert_eq!(positions(9, Direction::Forward, 5), (vec![10, 11, 12], 12, true));
    assert_eq!(positions(12, Direction::Forward, 5), (vec![], 12, true));
    assert_eq!(positions(u64::MAX, Direction::Backward, 3), (vec![12, 11, 10], 10, false));
    assert_eq!(positions(4, Direction::Backward, 3), (vec![3, 2, 1], 0, true));
    assert_eq!(positions(1, Direction::Backward, 3), (vec![], 0, true));
}

#[test]
fn a_stream_is_read_forward_and_backward_in_pages() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = open(directory.path());
    three_streams(&engine);
    let texts = |from: u64, direction, limit| {
        let page = engine.read_stream(&stream("s-1"), Version::new(from), direction, limit).expect("readable");
        (page.events.iter().map(text).collect::<Vec<_>>(), page.end)
    };
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(0, Direction::Forward, 2), (owned(&["1", "4"]), false));
    assert_eq!(texts(3, Direction::Forward, 2), (owned(&["7", "10"]), true));
    assert_eq!(texts(5, Direction::Forward, 2), (owned(&[]), true));
    assert_eq!(texts(u64::MAX, Direction::Backward, 3), (owned(&["10", "7", "4"]), false));
    assert_eq!(texts(2, Direction::Backward, 3), (owned(&["4", "1"]), true));
    let nobody = engine.read_stream(&stream("x"), Version::ZERO, Direction::Forward, 9);
    let nobody = nobody.expect("readable");
    assert!(nobody.events.is_empty() && nobody.end);
    assert_eq!(nobody.read_to, Position::new(12));
}

#[test]
fn a_page_is_bounded_in_bytes_and_never_empty_before_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().page_bytes_max(3_000);
    let engine = Engine::open(directory.path(), options).expect("opens");
    let large = "x".repeat(2_000);
    let larger = "y".repeat(70_000);
    // A batch over the size that is read whole, with a small event behind the large ones.
    let texts: Vec<&str> = vec![&large, &larger, &large, "small", "small"];
    engine.append(note("a-1", &large)).expect("accepted");
    engine.append(expecting("a-1", ExpectedVersion::Any, &texts)).expect("accepted");
    engine.append(note("a-1", &large)).expect("accepted");
    for direction in [Direction::Forward, Direction::Backward] {
        let mut after = if direction == Direction::Forward { Position::ZERO } else { Position::MAX };
        let mut sizes = Vec::new();
        loop {
            let page = engine.read(&Selection::everything(), after, direction, 100).expect("readable");
            assert!(!page.events.is_empty());
            sizes.extend(page.events.iter().map(|event| event.data().len()));
            assert!(page.events.len() < 4, "{} events in a page", page.events.len());
            after = page.read_to;
            if page.end {
                break;
            }
        }
        if direction == Direction::Backward {
            sizes.reverse();
        }
        assert_eq!(sizes, [2_000, 2_000, 70_000, 2_000, 5, 5, 2_000], "{direction:?}");
    }
}

#[test]
fn reads_go_on_over_the_ends_of_segments() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::default().segment_bytes(8_192);
    let engine = Engine::open(directory.path(), options.clone()).expect("opens");
    for number in 0..100 {
        engine.append(note("a-1", &number.to_string().repeat(40))).expect("accepted");
    }
    let report = engine.verify(&mut |_| {}).expect("sound");
    assert!(report.segments > 3, "{report:?}");
    let page = engine.read(&Selection::everything(), Position::ZERO, Direction::Forward, 1_000).expect("readable");
    assert_eq!((page.events.len(), page.end), (100, true));
    engine.close().expect("closes");
    let engine = Engine::open(directory.path(), options).expect("opens");
    assert_eq!(engine.verify(&mut |_| {}).expect("sound").hash, report.hash);
    let page = engine.read_stream(&stream("a-1"), Version::MAX, Direction::Backward, 1_000).expect("readable");
    assert_eq!((page.events.len(), page.end), (100, true));
}
