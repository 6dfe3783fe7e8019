//! What is asked of a store, at random.

use factum_engine::{
    Append, Boundary, Clause, CommandRecord, ExpectedVersion, NewEvent, Position, Selection, Tag, Version,
};

use crate::deeds::{Life, STREAMS};
use crate::support::{event, stream};

const NAMES: [&str; 4] = ["note.taken", "note.read", "bill.paid", "x"];
const TAGS: [&str; 6] = ["k:1", "k:2", "k:3", "owner:ada", "owner:bob", "ü:ü"];
/// Larger than the smallest segment: such a batch gets one of its own size.
const LARGE_BYTES: u64 = 9_000;

impl Life<'_> {
    pub fn some_append(&mut self) -> Append {
        let mut append = Append::new(self.chance.below(1 << 40));
        let streams = if self.chance.once_in(4) { 1 + self.chance.below(3) } else { 1 };
        let start = self.chance.below(STREAMS.len() as u64);
        for place in 0..streams {
            let name = STREAMS[(start + place) as usize % STREAMS.len()];
            let events = self.chance.below(3) + u64::from(place == 0);
            let events = (0..events).map(|_| self.some_event()).collect();
            append = append.stream(stream(name), self.some_expectation(name), events);
        }
        if let Some(record) = self.some_command() {
            append = append.command(record);
        }
        if self.chance.once_in(4) {
            append = append.unless(self.some_boundary());
        }
        append
    }

    fn some_event(&mut self) -> NewEvent {
        let bytes = match self.chance.below(100) {
            0 => LARGE_BYTES,
            1..=15 => self.chance.below(1_200),
            _ => self.chance.below(20),
        };
        let text = format!("{}{}", self.chance.below(1_000_000), "·".repeat(bytes as usize / 2));
        let tags = self.chance.below(4).min(2);
        let tags = (0..tags).map(|_| Tag::new(self.chance.choice(&TAGS)).expect("valid")).collect();
        NewEvent { name: (*self.chance.choice(&NAMES)).into(), tags, ..event(&text) }
    }

    fn some_expectation(&mut self, name: &str) -> ExpectedVersion {
        let actual = Version::new(self.model.version(name));
        match self.chance.below(12) {
            0 | 1 => ExpectedVersion::Any,
            2 => ExpectedVersion::NoStream,
            3 => ExpectedVersion::StreamExists,
            4 => ExpectedVersion::Exact(actual.next()),
            5 => ExpectedVersion::Exact(Version::new(self.chance.below(actual.get() + 1))),
            _ => ExpectedVersion::Exact(actual),
        }
    }

    /// A new command, a repeat of one, or another request under its id.
    fn some_command(&mut self) -> Option<CommandRecord> {
        let choice = self.chance.below(8);
        if choice < 3 {
            let id =
                (u128::from(self.chance.below(1 << 30)) << 64 | u128::from(self.model.staged_head())).to_le_bytes();
            return Some(CommandRecord { id, fingerprint: [choice as u8; 16] });
        }
        let commands = self.model.commands();
        if choice > 4 || commands.is_empty() {
            return None;
        }
        let (known, _) = self.chance.choice(commands);
        let fingerprint = if choice == 3 { known.fingerprint } else { [9; 16] };
        Some(CommandRecord { id: known.id, fingerprint })
    }

    pub fn some_selection(&mut self) -> Selection {
        let mut selection = Selection::of(self.some_clause());
        while self.chance.once_in(3) {
            selection = selection.or(self.some_clause());
        }
        selection
    }

    fn some_clause(&mut self) -> Clause {
        let mut clause = Clause::everything();
        for _ in 0..self.chance.below(3) {
            clause = clause.name(*self.chance.choice(&NAMES));
        }
        for _ in 0..self.chance.below(3) {
            clause = clause.tag(Tag::new(self.chance.choice(&TAGS)).expect("valid"));
        }
        clause
    }

    fn some_boundary(&mut self) -> Boundary {
        let head = self.model.staged_head();
        let after = match self.chance.below(12) {
            0 => 0,
            1 => head + 1 + self.chance.below(3),
            2..=4 => head.saturating_sub(self.chance.below(6)),
            5 => self.chance.below(head + 1),
            _ => head,
        };
        Boundary::new(self.some_selection(), Position::new(after))
    }
}
