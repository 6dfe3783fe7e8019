//! What an accepted command returns.

use factum_engine::{Position, StreamName, Version};

use crate::{
    bus::partition_of,
    model::{CommandId, DecodeError, Source},
    relay::DynPublication,
    store::RecordedEvent,
    token::{Token, TopicMark},
};

/// What an accepted command returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandReceipt {
    /// The aggregate's stream.
    pub stream: StreamName,
    /// Its version after the command.
    pub version: Version,
    /// The position of the command's last event; of the stream's last event when there was nothing to do.
    pub position: Position,
    /// The effective command id.
    pub command_id: CommandId,
    /// The command had been accepted before, under the same id; this is the original answer.
    pub repeated: bool,
    pub(super) token: Token,
}

impl CommandReceipt {
    /// What a query can wait for.
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The aggregate's id as text: the stream's name after the category.
    pub fn aggregate_id(&self) -> &str {
        self.stream.as_str().split_once('-').map_or("", |(_, id)| id)
    }
}

/// The marks of an append on one stream: for each topic the highest position it publishes there.
pub(super) fn topic_marks(
    publications: &[DynPublication],
    source: Source,
    stream: &StreamName,
    events: &[RecordedEvent],
) -> Result<Vec<TopicMark>, DecodeError> {
    let mut marks = Vec::with_capacity(publications.len());
    for publication in publications {
        let mut position = 0;
        // From the last event back: the highest position is what counts.
        for event in events.iter().rev() {
            if publication.translate(event, source)?.is_some() {
                position = event.position.get();
                break;
            }
        }
        let partition = partition_of(stream.as_str().as_bytes(), publication.partitions());
        marks.push(TopicMark { topic: publication.topic().to_owned(), partition, position });
    }
    Ok(marks)
}
