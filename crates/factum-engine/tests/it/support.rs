//! Words the stories are told with.

use std::path::Path;

use factum_engine::{
    Append, CommandRecord, Direction, Engine, ExpectedVersion, NewEvent, Options, Position, Selection, StoredEvent,
    StreamName, Version,
};

pub fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a valid name")
}

pub fn event(text: &str) -> NewEvent {
    NewEvent {
        id: *uuid_of(text),
        name: "note.taken".into(),
        schema: 1,
        tags: Vec::new(),
        metadata: b"meta".to_vec(),
        data: text.as_bytes().to_vec(),
    }
}

fn uuid_of(text: &str) -> Box<[u8; 16]> {
    let mut id = [0; 16];
    for (place, byte) in text.bytes().enumerate() {
        id[place % 16] ^= byte.wrapping_mul(31).wrapping_add(place as u8);
    }
    Box::new(id)
}

/// One event for one stream, whatever is there.
pub fn note(name: &str, text: &str) -> Append {
    expecting(name, ExpectedVersion::Any, &[text])
}

pub fn expecting(name: &str, expected: ExpectedVersion, texts: &[&str]) -> Append {
    Append::new(7).stream(stream(name), expected, texts.iter().map(|text| event(text)).collect())
}

pub fn command(id: u8, fingerprint: u8) -> CommandRecord {
    CommandRecord { id: [id; 16], fingerprint: [fingerprint; 16] }
}

pub fn open(directory: &Path) -> Engine {
    Engine::open(directory, Options::default()).expect("the store opens")
}

/// The texts of a stream, read forward in pages of three.
pub fn texts_of(engine: &Engine, name: &str) -> Vec<String> {
    let (mut texts, mut from) = (Vec::new(), Version::new(1));
    loop {
        let page = engine.read_stream(&stream(name), from, Direction::Forward, 3).expect("a readable stream");
        for event in &page.events {
            assert_eq!(event.version(), from, "versions are dense");
            assert_eq!(event.stream(), name);
            from = from.next();
            texts.push(text(event));
        }
        if page.end {
            return texts;
        }
    }
}

/// Everything, read forward in pages of five: stream and text.
pub fn all_texts(engine: &Engine) -> Vec<(String, String)> {
    let (mut texts, mut after) = (Vec::new(), Position::ZERO);
    loop {
        let page = engine.read(&Selection::everything(), after, Direction::Forward, 5).expect("a readable store");
        for event in &page.events {
            after = after.next();
            assert_eq!(event.position(), after, "positions are dense");
            texts.push((event.stream().to_owned(), text(event)));
        }
        if page.end {
            return texts;
        }
    }
}

pub fn text(event: &StoredEvent) -> String {
    String::from_utf8(event.data().to_vec()).expect("text")
}

/// The output of a future that is ready.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("not answered yet"),
    }
}

/// Blocks until a future is ready.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Chance by seed (xorshift64*, Vigna 2014).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    /// One time in so many.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn choice<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// A number that a long run is given from outside.
pub fn number_from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name} is {text}: {error}")),
        Err(_) => otherwise,
    }
}
