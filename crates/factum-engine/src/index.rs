//! From streams, positions and command ids to places in the log. Derived: made from the log when a store is opened.

use std::collections::HashMap;

use crate::format::batch::BatchHead;
use crate::names::StreamName;
use crate::numbers::{Position, Version};

/// Batches in one piece of the table: pieces never move, so that growing it never copies it.
const CHUNK_BATCHES: usize = 4096;

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchPlace {
    pub(crate) first: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) events: u16,
}

impl BatchPlace {
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.events) - 1
    }
}

/// The in-memory index.
#[derive(Default)]
pub(crate) struct Index {
    chunks: Vec<Vec<BatchPlace>>,
    /// Positions of each stream's events, by version.
    streams: HashMap<StreamName, Vec<u64>>,
    /// First position of the batch each command wrote.
    commands: HashMap<[u8; 16], u64>,
    head: u64,
}

impl Index {
    /// Adds the batch after the head.
    pub(crate) fn add<'a>(
        &mut self,
        place: BatchPlace,
        streams: impl Iterator<Item = (&'a StreamName, usize)>,
        command: Option<[u8; 16]>,
    ) {
        assert_eq!(place.first, self.head + 1, "positions are dense");
        let mut next = place.first;
        for (stream, events) in streams.filter(|(_, events)| *events > 0) {
            let positions = next..next + events as u64;
            next = positions.end;
            match self.streams.get_mut(stream) {
                Some(known) => known.extend(positions),
                None => {
                    self.streams.insert(stream.clone(), positions.collect());
                }
            }
        }
        assert_eq!(next - 1, place.last(), "every event belongs to a stream");
        if let Some(id) = command {
            self.commands.insert(id, place.first);
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_BATCHES) {
            self.chunks.push(Vec::with_capacity(CHUNK_BATCHES));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(place);
        }
        self.head = place.last();
    }

    /// Adds a batch read from the log; refuses one whose versions do not continue its streams.
    pub(crate) fn add_read(&mut self, place: BatchPlace, head: &BatchHead<'_>) -> Result<(), &'static str> {
        let mut streams = Vec::with_capacity(usize::from(head.streams));
        for stream in head.streams() {
            if self.version(stream.name).get() != stream.base {
                return Err("versions of a stream are not dense");
            }
            let name = match self.streams.get_key_value(stream.name) {
                Some((name, _)) => name.clone(),
                None => StreamName::new(stream.name).map_err(|_| "stream name of a batch")?,
            };
            streams.push((name, usize::from(stream.events)));
        }
        let command = head.command().map(|command| command.id);
        self.add(place, streams.iter().map(|(name, events)| (name, *events)), command);
        Ok(())
    }

    pub(crate) fn head(&self) -> Position {
        Position::new(self.head)
    }

    pub(crate) fn version(&self, stream: &str) -> Version {
        Version::new(self.streams.get(stream).map_or(0, |positions| positions.len() as u64))
    }

    /// Positions of a stream's events: the one of version `v` at `v - 1`.
    pub(crate) fn positions(&self, stream: &str) -> &[u64] {
        self.streams.get(stream).map_or(&[], Vec::as_slice)
    }

    /// The batch a command wrote.
    pub(crate) fn command(&self, id: &[u8; 16]) -> Option<BatchPlace> {
        self.commands.get(id).and_then(|first| self.batch_at(*first))
    }

    /// The batch that holds a position.
    pub(crate) fn batch_at(&self, position: u64) -> Option<BatchPlace> {
        self.ordinal(position).and_then(|ordinal| self.batch(ordinal))
    }

    /// Number of the batch that holds a position, counted from 0.
    pub(crate) fn ordinal(&self, position: u64) -> Option<usize> {
        if position == 0 || position > self.head {
            return None;
        }
        let chunk = self.chunks.partition_point(|chunk| chunk[0].first <= position) - 1;
        let within = self.chunks[chunk].partition_point(|batch| batch.first <= position) - 1;
        Some(chunk * CHUNK_BATCHES + within)
    }

    /// Batches from the one with this number on.
    pub(crate) fn batches_from(&self, ordinal: usize) -> impl Iterator<Item = BatchPlace> {
        (ordinal..).map_while(|ordinal| self.batch(ordinal))
    }

    /// Batches from the one with this number down to the first.
    pub(crate) fn batches_down_from(&self, ordinal: usize) -> impl Iterator<Item = BatchPlace> {
        (0..=ordinal).rev().map_while(|ordinal| self.batch(ordinal))
    }

    /// The batch with this number.
    fn batch(&self, ordinal: usize) -> Option<BatchPlace> {
        self.chunks.get(ordinal / CHUNK_BATCHES)?.get(ordinal % CHUNK_BATCHES).copied()
    }
}
