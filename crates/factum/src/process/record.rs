//! What a process decided, and how it is appended.

use factum_engine::{ExpectedVersion, StreamName};
use uuid::Uuid;

use super::HearError;
use crate::{
    dispatch::{Loaded, Streams, fingerprint, new_events},
    model::{CommandId, Context, ContextParts, Events, Input, ProcessManager, Timestamp},
    runtime::contained,
    store::{Append, AppendError, CommandRecord, Metadata, StreamAppend},
};

/// Under this namespace (UUID v5, RFC 9562) the command ids of what processes decide are derived.
const NAMESPACE: Uuid = Uuid::from_u128(0x0f5e_7a61_2c44_4e0b_9b1d_83a6_d0c9_57e2);

/// What a process decides about: fixed once, over all attempts.
pub(super) struct Cause {
    pub(super) stream: StreamName,
    pub(super) record: CommandRecord,
    pub(super) now: Timestamp,
    pub(super) metadata: Metadata,
}

/// What came of an append.
pub(super) enum Appended {
    /// It is recorded; or was before, by an earlier attempt.
    Recorded {
        /// It was before.
        repeated: bool,
    },
    /// Somebody else was faster: to be decided again.
    Conflict,
}

impl Cause {
    /// Something that a process takes in, as a word and what tells it from others of that word. The same gets the same
    /// command id, whenever it is told.
    pub(super) fn new(streams: &Streams, stream: StreamName, (word, which): (&str, &str), metadata: Metadata) -> Self {
        // The stream with its length, so that no name can pose as a part of another's cause.
        let name =
            [&stream.as_str().len().to_le_bytes(), stream.as_str().as_bytes(), word.as_bytes(), b" ", which.as_bytes()]
                .concat();
        let id = CommandId::from_uuid(Uuid::new_v5(&NAMESPACE, &name));
        let fingerprint = fingerprint(&streams.store.identity().key, word, which.as_bytes());
        Self { stream, record: CommandRecord { id, fingerprint }, now: streams.runtime.now(), metadata }
    }

    /// What follows from it for a state; a panic's message.
    pub(super) fn decide<P: ProcessManager>(
        &self,
        loaded: &Loaded<P>,
        input: Input<'_, P::Message>,
    ) -> Result<Events<P::Event>, String> {
        let context = Context::new(ContextParts {
            now: self.now,
            command_id: self.record.id,
            actor: self.metadata.actor.clone(),
            stream: self.stream.clone(),
            version: loaded.version,
        });
        contained(|| loaded.state.decide(input, &context))
    }

    /// Appends what was decided on a state, and with it something to another stream. The state is kept when it is
    /// current after that.
    pub(super) async fn append<P: ProcessManager>(
        &self,
        streams: &Streams,
        loaded: Loaded<P>,
        facts: &[P::Event],
        beside: Option<StreamAppend>,
    ) -> Result<Appended, HearError> {
        let events = new_events(facts, self.record.id).map_err(HearError::Panicked)?;
        let mut append = Append::new(self.metadata.clone(), self.now)
            .stream(self.stream.clone(), ExpectedVersion::Exact(loaded.version), events)
            .command(self.record);
        let after = loaded.after(&append.streams[0].events)?;
        append.streams.extend(beside);
        match streams.store.append(append).await {
            Ok(receipt) => {
                if !receipt.repeated {
                    streams.keep_after(&self.stream, after, facts.len(), receipt.first, self.now);
                }
                Ok(Appended::Recorded { repeated: receipt.repeated })
            }
            Err(AppendError::Conflict { .. } | AppendError::BoundaryCrossed { .. }) => Ok(Appended::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}
