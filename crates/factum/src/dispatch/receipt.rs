//! What an accepted command returns.

use factum_engine::{Direction, Position, StreamName, Version};

use super::{DispatchError, dispatcher::Core, record::Recorded, run::Request};
use crate::{
    bus::partition_of,
    model::CommandId,
    relay::DynPublication,
    runtime::contained,
    store::{Receipt, RecordedEvent},
    token::{Token, TopicMark},
};

/// How many events one read asks for that looks back for what was last published.
const LOOK_BACK_EVENTS: usize = 64;

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
    /// It was accepted now, and led to no event.
    pub(crate) nothing_to_do: bool,
    pub(super) token: Token,
}

impl CommandReceipt {
    /// What a query can wait for.
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The aggregate's id as text: the stream's name after the category.
    pub fn aggregate_id(&self) -> &str {
        self.stream.id()
    }

    /// For a command whose events were appended.
    pub(super) async fn of_append<R>(
        core: &Core,
        receipt: Receipt,
        recorded: Recorded,
        request: &Request,
    ) -> Result<Self, DispatchError<R>> {
        if receipt.repeated {
            // The store knew the command id: a twin was faster, and its answer is the answer.
            return Self::of_repeat(core, receipt, request).await;
        }
        let events = recorded.events(&receipt);
        Self::of_events(core, receipt, &events, request)
    }

    /// For a command that was accepted before.
    pub(super) async fn of_repeat<R>(
        core: &Core,
        receipt: Receipt,
        request: &Request,
    ) -> Result<Self, DispatchError<R>> {
        // Only publications look at what was recorded.
        let events = if core.publications.is_empty() { Vec::new() } else { read_back(core, &receipt).await? };
        Self::of_events(core, receipt, &events, request)
    }

    /// For a command that changed nothing: it stands for what the aggregate already is.
    pub(super) async fn of_nothing<R>(
        core: &Core,
        stream: StreamName,
        version: Version,
        position: Position,
        request: &Request,
    ) -> Result<Self, DispatchError<R>> {
        let mut topics = marks(core, &stream);
        let mut from = version;
        // Back through the stream until each topic has its mark, or the beginning is reached.
        while from > Version::ZERO && topics.iter().any(|mark| mark.position == 0) {
            let batch = core.streams.store.read_stream(&stream, from, Direction::Backward, LOOK_BACK_EVENTS).await?;
            let Some(oldest) = batch.events.last() else { break };
            from = Version::new(oldest.version.get() - 1);
            fill(core, &mut topics, batch.events.iter());
        }
        let token = Token::of(core.streams.store.identity(), position, topics);
        Ok(Self {
            stream,
            version,
            position,
            command_id: request.record.id,
            repeated: false,
            nothing_to_do: true,
            token,
        })
    }

    fn of_events<R>(
        core: &Core,
        receipt: Receipt,
        events: &[RecordedEvent],
        request: &Request,
    ) -> Result<Self, DispatchError<R>> {
        let Receipt { streams, last: position, repeated, .. } = receipt;
        let command_id = request.record.id;
        let Some((stream, version)) = streams.into_iter().next() else {
            return Err(DispatchError::Corrupt(format!("command {command_id} is recorded without a stream")));
        };
        let mut topics = marks(core, &stream);
        fill(core, &mut topics, events.iter().rev());
        let token = Token::of(core.streams.store.identity(), position, topics);
        Ok(Self { stream, version, position, command_id, repeated, nothing_to_do: false, token })
    }
}

/// The events of an earlier append, in the order of their positions. Read by stream, as a decision is loaded: they may
/// not be synced yet where an operator chose so.
async fn read_back<R>(core: &Core, receipt: &Receipt) -> Result<Vec<RecordedEvent>, DispatchError<R>> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    for (stream, version) in &receipt.streams {
        let mut from = *version;
        while from > Version::ZERO {
            let batch = core.streams.store.read_stream(stream, from, Direction::Backward, LOOK_BACK_EVENTS).await?;
            let Some(oldest) = batch.events.last() else { break };
            from = if oldest.position < receipt.first { Version::ZERO } else { Version::new(oldest.version.get() - 1) };
            events.extend(batch.events.into_iter().filter(|event| event.position >= receipt.first));
        }
    }
    events.sort_unstable_by_key(|event| event.position);
    let expected = receipt.first.get()..=receipt.last.get();
    if !events.iter().map(|event| event.position.get()).eq(expected) {
        return Err(DispatchError::Corrupt(format!("events {} to {} are missing", receipt.first, receipt.last)));
    }
    Ok(events)
}

/// A mark per topic, with nothing to wait for yet.
fn marks(core: &Core, stream: &StreamName) -> Vec<TopicMark> {
    let mark = |publication: &DynPublication| TopicMark {
        topic: publication.topic().to_owned(),
        partition: partition_of(stream.as_str().as_bytes(), publication.partitions()),
        position: 0,
    };
    core.publications.iter().map(mark).collect()
}

/// Gives each topic that has no mark yet the highest position these events publish there. They come newest first:
/// the highest position is what counts.
fn fill<'a>(core: &Core, marks: &mut [TopicMark], events: impl Iterator<Item = &'a RecordedEvent> + Clone) {
    for (publication, mark) in core.publications.iter().zip(marks).filter(|(_, mark)| mark.position == 0) {
        let published = events.clone().find(|event| publishes(core, publication, event));
        mark.position = published.map_or(0, |event| event.position.get());
    }
}

fn publishes(core: &Core, publication: &DynPublication, event: &RecordedEvent) -> bool {
    let reason = match contained(|| publication.translate(event, core.source)) {
        Ok(Ok(message)) => return message.is_some(),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic,
    };
    // The command is accepted all the same. The relay will stop at this event and say why; until that is mended, who
    // waits for the message is told that it is not visible yet.
    tracing::error!(topic = publication.topic(), position = %event.position, reason, "an event cannot be published");
    true
}
