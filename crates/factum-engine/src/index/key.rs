//! Keys of the index: 16 bytes made of what is looked for, by a secret of the store, so that nobody outside can choose
//! names whose keys are equal or near.

use crate::append::Append;
use crate::format::array_at;
use crate::format::batch::{self, BatchHead};
use crate::selection::Selection;

/// A key. Keys of what is written are as evenly spread as chance would spread them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u128);

/// What a key stands for. Part of the format: the numbers never change.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Stream = 1,
    Name = 2,
    Tag = 3,
    Command = 4,
}

/// Makes keys.
#[derive(Clone)]
pub(crate) struct Keyer {
    secret: [u8; 32],
}

impl Keyer {
    /// Of a store with this key.
    pub(crate) fn new(store_key: &[u8; 32]) -> Self {
        Keyer { secret: blake3::derive_key("factum-engine index keys, format 1", store_key) }
    }

    fn key(&self, kind: Kind, text: &[u8]) -> Key {
        let mut input = [0; 1 + u8::MAX as usize];
        input[0] = kind as u8;
        input[1..=text.len()].copy_from_slice(text);
        let hash = blake3::keyed_hash(&self.secret, &input[..=text.len()]);
        Key(u128::from_be_bytes(array_at(hash.as_bytes(), 0)))
    }

    pub(crate) fn stream(&self, name: &str) -> Key {
        self.key(Kind::Stream, name.as_bytes())
    }

    pub(crate) fn command(&self, id: &[u8; 16]) -> Key {
        self.key(Kind::Command, id)
    }

    fn name(&self, name: &str) -> Key {
        self.key(Kind::Name, name.as_bytes())
    }

    fn tag(&self, tag: &str) -> Key {
        self.key(Kind::Tag, tag.as_bytes())
    }
}

/// A stream of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamKey {
    pub(crate) key: Key,
    pub(crate) events: u16,
}

/// What a batch is found by.
pub(crate) struct BatchKeys {
    /// In the order of the append.
    pub(crate) streams: Vec<StreamKey>,
    /// Names and tags, each with the number of its event in the batch; in the order of the events.
    pub(crate) events: Vec<(u16, Key)>,
    pub(crate) command: Option<Key>,
}

impl BatchKeys {
    pub(crate) fn of_append(keyer: &Keyer, append: &Append) -> Self {
        let streams = append
            .streams
            .iter()
            .map(|stream| StreamKey { key: keyer.stream(stream.stream.as_str()), events: stream.events.len() as u16 });
        let streams = streams.collect();
        let events = append.streams.iter().flat_map(|stream| &stream.events);
        let mut keys = EventKeys::new(keyer);
        for event in events {
            keys.push(&event.name, event.tags.iter().map(|tag| tag.as_str()));
        }
        let command = append.command.map(|command| keyer.command(&command.id));
        BatchKeys { streams, events: keys.keys, command }
    }

    /// Of a batch of the log, all of which was checked.
    pub(crate) fn of_log(keyer: &Keyer, head: &BatchHead<'_>, bytes: &[u8]) -> Self {
        let streams = head.streams().map(|stream| StreamKey { key: keyer.stream(stream.name), events: stream.events });
        let streams = streams.collect();
        let mut keys = EventKeys::new(keyer);
        for ordinal in 0..head.events {
            let record = &bytes[head.record(ordinal)];
            keys.push(batch::name(record), batch::tags(record));
        }
        let command = head.command().map(|command| keyer.command(&command.id));
        BatchKeys { streams, events: keys.keys, command }
    }
}

struct EventKeys<'a> {
    keyer: &'a Keyer,
    keys: Vec<(u16, Key)>,
    ordinal: u16,
    /// Most events have the name of the one before.
    last: Option<(&'a str, Key)>,
}

impl<'a> EventKeys<'a> {
    fn new(keyer: &'a Keyer) -> Self {
        EventKeys { keyer, keys: Vec::new(), ordinal: 0, last: None }
    }

    fn push<'b>(&mut self, name: &'b str, tags: impl Iterator<Item = &'b str>)
    where
        'b: 'a,
    {
        let key = match self.last {
            Some((last, key)) if last == name => key,
            _ => self.keyer.name(name),
        };
        self.last = Some((name, key));
        self.keys.push((self.ordinal, key));
        self.keys.extend(tags.map(|tag| (self.ordinal, self.keyer.tag(tag))));
        self.ordinal = self.ordinal.wrapping_add(1);
    }
}

/// A clause's keys: any of `names`, when there are any, and all of `tags`.
#[derive(Debug)]
pub(crate) struct ClauseKeys {
    pub(crate) names: Vec<Key>,
    pub(crate) tags: Vec<Key>,
}

/// The keys of a selection that does not ask for everything.
pub(crate) fn selection_keys(keyer: &Keyer, selection: &Selection) -> Vec<ClauseKeys> {
    let distinct = |mut keys: Vec<Key>| {
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let clauses = selection.clauses().iter().map(|clause| ClauseKeys {
        names: distinct(clause.event_names().iter().map(|name| keyer.name(name)).collect()),
        tags: distinct(clause.event_tags().iter().map(|tag| keyer.tag(tag.as_str())).collect()),
    });
    clauses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_kind_text_and_store() {
        let (one, two) = (Keyer::new(&[1; 32]), Keyer::new(&[2; 32]));
        assert_eq!(one.stream("a:b"), one.stream("a:b"));
        let keys = [one.stream("a:b"), one.name("a:b"), one.tag("a:b"), one.stream("a:c"), two.stream("a:b")];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[place + 1..].contains(key));
        }
        let longest = "x".repeat(255);
        assert_ne!(one.tag(&longest), one.tag(&longest[1..]));
    }
}
