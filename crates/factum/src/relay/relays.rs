//! The relays of a service, for operators: how far each is, and sending again from a position on.

use std::sync::Arc;

use super::{
    checkpoint::RelayCheckpoint,
    rewind::{REWIND_WAIT_MAX, RewindError, Rewound},
    run::Relay,
};
use crate::{
    bus::Offset,
    runtime::LoopState,
    store::{Position, ProgressError},
};

/// Every relay of a service.
#[derive(Clone, Default)]
pub struct Relays {
    relays: Arc<Vec<Arc<Relay>>>,
}

/// How far a relay is with its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// The topic.
    pub topic: String,
    /// What the loop is doing.
    pub state: LoopState,
    /// Every event up to here is published, or has nothing to publish.
    pub position: Position,
    /// The same as it is stored: where the relay would go on after a crash.
    pub checkpoint: Position,
    /// Where the store ends.
    pub head: Position,
    /// How many messages were acknowledged since the service started.
    pub sent: u64,
    /// How many of these had been sent before.
    pub resent: u64,
    /// The last error, until it works again.
    pub last_error: Option<String>,
    /// Each partition, as the checkpoint has it.
    pub lanes: Vec<LaneState>,
}

/// How far a relay is with one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// The partition.
    pub partition: u32,
    /// The position of the last message: the next one's `previous`. Zero before the first.
    pub sent: Position,
    /// Where it was acknowledged; `None` where nothing was sent, or nothing again yet since a rewind.
    pub offset: Option<Offset>,
}

impl RelayState {
    /// How many positions it is behind its store.
    pub const fn lag(&self) -> u64 {
        self.head.get().saturating_sub(self.position.get())
    }
}

impl Relays {
    pub(crate) fn add(&mut self, relay: Arc<Relay>) {
        Arc::make_mut(&mut self.relays).push(relay);
    }

    /// The topics that are published, in the order in which they were registered.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.relays.iter().map(|relay| relay.topic())
    }

    /// How far each is.
    ///
    /// # Errors
    /// The event store cannot tell.
    pub async fn list(&self) -> Result<Vec<RelayState>, ProgressError> {
        let mut states = Vec::with_capacity(self.relays.len());
        for relay in self.relays.iter() {
            states.push(relay.state().await?);
        }
        Ok(states)
    }

    /// Sends again on a topic whatever was published there of events after position `to`. It is carried out once this
    /// returns, whatever dies: readers drop what they have, and whoever is at a gap that begins at `to` or later gets
    /// over it. Needs no bus: what cannot be sent now waits, as always. May be repeated without harm.
    ///
    /// A position that was not published yet changes nothing: the relay never goes ahead.
    ///
    /// # Errors
    /// See [`RewindError`].
    pub async fn rewind(&self, topic: &str, to: Position) -> Result<Rewound, RewindError> {
        let Some(relay) = self.relays.iter().find(|relay| relay.topic() == topic) else {
            let published = self.topics().map(str::to_owned).collect();
            return Err(RewindError::UnknownTopic { topic: topic.to_owned(), published });
        };
        relay.rewound(to).await
    }
}

impl Relay {
    /// Asks the loop to rewind, and waits until it has written that down.
    ///
    /// # Errors
    /// See [`RewindError`].
    pub async fn rewound(&self, to: Position) -> Result<Rewound, RewindError> {
        let head = self.store.heads().await?.synced;
        if to > head {
            return Err(RewindError::BeyondHead { to, head });
        }
        let state = self.status().report().state;
        if matches!(state, LoopState::StoodDown | LoopState::Failed | LoopState::Stopped) {
            return Err(RewindError::NotRunning(state));
        }
        let answer = self.desk.ask(to)?;
        match self.runtime.within(REWIND_WAIT_MAX, answer).await {
            Some(Ok(answer)) => answer,
            _ => Err(RewindError::Unknown),
        }
    }

    async fn state(&self) -> Result<RelayState, ProgressError> {
        let stored = self.store.progress(&self.progress_name()).await?.value;
        // One that cannot be read halts the loop, which shows why.
        let stored = stored.and_then(|json: Vec<u8>| serde_json::from_slice::<RelayCheckpoint>(&json).ok());
        let checkpoint = stored.as_ref().map_or(Position::ZERO, |stored| Position::new(stored.read_to));
        let (head, report) = (self.store.heads().await?.synced, self.status().report());
        let runs = matches!(report.state, LoopState::CatchingUp | LoopState::Live);
        let lane = |partition| {
            let sent = stored.as_ref().map_or(Position::ZERO, |stored| stored.goes_on_from(partition));
            let is_sent = stored.as_ref().filter(|stored| !stored.rewound.contains_key(&partition));
            LaneState { partition, sent, offset: is_sent.and_then(|stored| stored.offset(partition)) }
        };
        Ok(RelayState {
            topic: self.topic().to_owned(),
            state: report.state,
            position: if runs { report.position } else { checkpoint },
            checkpoint,
            head,
            sent: report.processed,
            resent: self.resent(),
            last_error: report.last_error,
            lanes: (0..self.publisher.publication.partitions()).map(lane).collect(),
        })
    }
}
