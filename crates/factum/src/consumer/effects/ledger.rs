//! Progress on one topic, kept with the event store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    consumer::{
        book::Book,
        end::{ConsumerEnd, Trouble},
    },
    model::{EventId, Incarnation, Source, StoreId},
    quarantine::EventShelf,
    read::{Checkpoint, Epoch, Lane},
    runtime::Runtime,
    store::{EventStore, Fork, Position, ProgressError, own_progress},
};

/// How long one attempt to write progress down waits for the effects to be synced.
const SYNC_WAIT_MAX: Duration = Duration::from_secs(1);

/// The compare-and-set of one topic's progress.
#[derive(Debug)]
pub(super) struct Ledger {
    name: String,
    epoch: Epoch,
    stored: Option<Vec<u8>>,
    /// Its effects are recorded in the event store.
    recorded: bool,
}

/// What is stored, as JSON. Sources are listed once: ids are long, and there may be many partitions.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    /// The history of the own store in which the effects are recorded, and its head when this was written.
    incarnation: Incarnation,
    head: u64,
    sources: Vec<(StoreId, Incarnation)>,
    partitions: BTreeMap<u32, WrittenPartition>,
    /// What is parked: recorded in the own store, and so taken away by a restore of it, though progress has passed it. Kept
    /// of effects that are not recorded themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parked: Option<WrittenParked>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenParked {
    /// The oldest on each lane.
    oldest: Vec<WrittenOldest>,
    /// The position in the own store at which the last was recorded as parked.
    recorded_to: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenOldest {
    partition: u32,
    /// The lane's source, as its place in the list.
    source: usize,
    position: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct WrittenPartition {
    /// The next offset to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lanes: Vec<WrittenLane>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenLane {
    /// The lane's source, as its place in the list.
    source: usize,
    /// The source in whose history the position means something; as a rule the same.
    now: usize,
    position: u64,
    event_id: Option<EventId>,
}

impl Ledger {
    /// Claims a topic's progress, or, with an epoch claimed before, reads it again. Adds the checkpoints it holds.
    ///
    /// They hold only as long as the effects do: of effects that are `recorded` in the own store, everything is read from
    /// the beginning after a restore of it, or when it went back, and what is recorded is recognised.
    pub(super) async fn open(
        store: &dyn EventStore,
        (prefix, topic): (&str, &str),
        recorded: bool,
        claimed: Option<Epoch>,
        checkpoints: &mut Vec<(Lane, Checkpoint)>,
    ) -> Result<Self, Trouble> {
        let name = format!("{prefix}/{topic}");
        let progress = own_progress(store, &name, claimed).await?;
        if let Some(json) = &progress.value {
            let written: Written = serde_json::from_slice(json).map_err(|error| {
                ConsumerEnd::Progress(ProgressError::Refused(format!("`{name}` cannot be read: {error}")))
            })?;
            let (head, identity) = (store.heads().await?.synced, store.identity());
            let shared = match written.incarnation == identity.incarnation {
                true => Some(head),
                false => Fork::shared_up_to(&identity.forks, written.incarnation),
            };
            if !recorded {
                written.without_lost(shared).read(topic, checkpoints);
            } else if written.incarnation == identity.incarnation && written.head <= head.get() {
                written.read(topic, checkpoints);
            } else {
                tracing::warn!(name, "the event store went back since this progress was written: reading all again");
            }
        }
        Ok(Self { name, epoch: progress.epoch, stored: progress.value, recorded })
    }

    /// Nothing was ever written here.
    pub(super) const fn is_new(&self) -> bool {
        self.stored.is_none()
    }

    pub(super) const fn is_recorded(&self) -> bool {
        self.recorded
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Stores what the book has of the topic, unless somebody else did meanwhile. False when nothing was stored, because
    /// the effects are not durable yet: where an operator chose that appends need not wait for that, a power cut would
    /// take them and leave the progress.
    pub(super) async fn save(
        mut self,
        store: Arc<dyn EventStore>,
        next: Draft,
        runtime: &Runtime,
    ) -> Result<(Self, bool), Trouble> {
        let heads = store.heads().await?;
        if self.recorded && heads.synced < heads.written {
            let before = Position::new(heads.written.get() - 1);
            match runtime.within(SYNC_WAIT_MAX, store.synced_beyond(before)).await {
                Some(synced) => drop(synced?),
                None => return Ok((self, false)),
            }
        }
        let head = heads.written.get();
        let written = next.at(store.identity().incarnation, head);
        let json = serde_json::to_vec(&written).map_err(|error| {
            ConsumerEnd::Progress(ProgressError::Refused(format!("`{}` cannot be written: {error}", self.name)))
        })?;
        store.advance_progress(&self.name, self.epoch, self.stored.as_deref(), &json).await?;
        self.stored = Some(json);
        Ok((self, true))
    }
}

/// What a book has of a topic, to be stored.
#[derive(Default)]
pub(super) struct Draft {
    sources: Vec<Source>,
    partitions: BTreeMap<u32, WrittenPartition>,
    parked: Option<WrittenParked>,
}

impl Draft {
    pub(super) fn of(book: &Book, topic: &str) -> Self {
        let mut draft = Self::default();
        let mut stored: Vec<_> = book.of_topic(topic).collect();
        stored.sort_by_key(|(lane, _)| *lane);
        for (lane, at) in stored {
            let Some((_, partition)) = lane.of_topic() else { continue };
            let own = lane.source().map(|source| {
                let now = draft.place(Source { incarnation: at.incarnation, ..source });
                let position = at.position.get();
                WrittenLane { source: draft.place(source), now, position, event_id: at.event_id }
            });
            let written = draft.partitions.entry(partition).or_default();
            match own {
                Some(lane) => written.lanes.push(lane),
                None => written.offset = Some(at.position.get()),
            }
        }
        draft
    }

    /// The same with what is parked of a topic.
    pub(super) fn parking(mut self, shelf: &EventShelf, topic: &str) -> Self {
        let (oldest, recorded_to) = shelf.outstanding();
        let mut of_topic = Vec::new();
        for (lane, position) in oldest {
            let (Some(source), Some((own, partition))) = (lane.source(), lane.of_topic()) else { continue };
            if own == topic {
                of_topic.push(WrittenOldest { partition, source: self.place(source), position: position.get() });
            }
        }
        let recorded_to = recorded_to.get();
        self.parked = (!of_topic.is_empty()).then_some(WrittenParked { oldest: of_topic, recorded_to });
        self
    }

    fn place(&mut self, source: Source) -> usize {
        self.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        })
    }

    fn at(self, incarnation: Incarnation, head: u64) -> Written {
        let Self { sources, partitions, parked } = self;
        let sources = sources.into_iter().map(|source| (source.store, source.incarnation)).collect();
        Written { incarnation, head, sources, partitions, parked }
    }
}

impl WrittenPartition {
    /// Goes back to a position on the lane of a source, and leaves the lanes of the histories with which it went on since:
    /// from there they are come to again.
    fn go_back(&mut self, source: usize, position: u64) {
        self.offset = None;
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.source == source) else { return };
        (lane.position, lane.event_id) = (lane.position.min(position), None);
        let (mut left, mut next) = (source, std::mem::replace(&mut lane.now, source));
        while next != left
            && let Some(later) = self.lanes.iter().position(|lane| lane.source == next)
        {
            let later = self.lanes.swap_remove(later);
            (left, next) = (next, later.now);
        }
    }
}

impl Written {
    /// Goes back to before what is parked no longer, because a restore took away that it was: it is told again, with what
    /// came after it on its lane. `shared`: how far the own store is what it was.
    fn without_lost(mut self, shared: Option<Position>) -> Self {
        let Some(WrittenParked { oldest, recorded_to }) = self.parked.take() else { return self };
        if shared.is_some_and(|shared| Position::new(recorded_to) <= shared) {
            return self;
        }
        for WrittenOldest { partition, source, position } in oldest {
            let Some(written) = self.partitions.get_mut(&partition) else { continue };
            tracing::warn!(partition, position, "that messages were parked is lost: they are told again");
            written.go_back(source, position.saturating_sub(1));
        }
        self
    }

    fn read(self, topic: &str, checkpoints: &mut Vec<(Lane, Checkpoint)>) {
        let source = |place: usize| {
            let (store, incarnation) = *self.sources.get(place)?;
            Some(Source { store, incarnation })
        };
        for (partition, written) in self.partitions {
            if let Some(offset) = written.offset {
                let at = Checkpoint::of_no_history(Position::new(offset));
                checkpoints.push((Lane::offset(topic, partition), at));
            }
            for lane in written.lanes {
                let (Some(of), Some(now)) = (source(lane.source), source(lane.now)) else { continue };
                let position = Position::new(lane.position);
                let at = Checkpoint { position, incarnation: now.incarnation, event_id: lane.event_id };
                checkpoints.push((Lane::topic(&of, topic, partition), at));
            }
        }
    }
}
