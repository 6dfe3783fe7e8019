//! What a projection has applied, per lane, and what it does with the next message: the watermark and gap rules.

use std::collections::HashMap;

use uuid::Uuid;

use super::end::PartitionStop;
use crate::{
    bus::{Mark, Offset, TopicPartition},
    forks::Accepted,
    model::{Incarnation, Source, StoreId},
    read::{Checkpoint, CheckpointMove, Lane},
    store::{Fork, History, Position},
};

/// The checkpoints of a projection as stored, and the gaps seen.
#[derive(Debug, Default)]
pub(super) struct Book {
    stored: HashMap<Lane, Checkpoint>,
    /// Lanes whose partition was read again from its beginning because of a gap above this watermark.
    reread: HashMap<Lane, Position>,
    /// Gaps that stayed all the same: the last one seen on each lane, until it is filled.
    holes: HashMap<Lane, Gap>,
    /// The newest history known of a store on a partition, before its messages come.
    histories: HashMap<(TopicPartition, StoreId), History>,
    /// Where an operator lets it go on with another history than the one whose messages it has dealt with.
    accepted: Accepted,
}

/// Moves on top of the stored checkpoints of one partition, not yet written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    next: HashMap<Lane, Checkpoint>,
    /// The lane of the message before: as a rule the next one's too. Its move is not in `next` yet.
    last: Option<Followed>,
}

/// A lane that is being followed, with everything that the next message on it is judged by.
#[derive(Debug)]
struct Followed {
    source: Source,
    lane: Lane,
    at: Checkpoint,
}

/// What is to be done with a message.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is the next one of its lane.
    Apply,
    /// It was applied before, or belongs to a history that was left: dropped.
    Repeat,
    /// Messages before it are missing.
    Gap(Gap),
    /// Going on would apply another history on top of this one.
    Stop(PartitionStop),
}

/// A hole on a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) lane: Lane,
    pub(super) source: Source,
    pub(super) watermark: Position,
    pub(super) previous: Position,
}

impl Book {
    pub(super) fn new(stored: Vec<(Lane, Checkpoint)>) -> Self {
        Self { stored: stored.into_iter().collect(), ..Self::default() }
    }

    /// Replaces what is stored; the gaps seen stay seen.
    pub(super) fn reload(&mut self, stored: Vec<(Lane, Checkpoint)>) {
        self.stored = stored.into_iter().collect();
    }

    /// Goes on from these forks, too, whatever was dealt with beyond them.
    pub(super) fn accept(&mut self, accepted: Accepted) {
        self.accepted = accepted;
    }

    /// Whether the read models are only a part of what was there when they were begun, or not even begun.
    pub(super) fn is_part(&self) -> bool {
        let refilled = self.stored.get(&Lane::refilled());
        self.stored.is_empty() || refilled.is_some_and(|at| at.position == Position::ZERO)
    }

    /// What is to be written beside the first effects of a refill, and beside the first ones after it: so that a
    /// restart in the middle of it does not take a part for the whole.
    pub(super) fn refill_move(&self, refilling: bool) -> Option<CheckpointMove> {
        let lane = Lane::refilled();
        let previous = self.stored.get(&lane).copied();
        let next = Checkpoint::of_no_history(Position::new(u64::from(!refilling)));
        let told = previous.map_or(!refilling, |at| at == next);
        (!told).then_some(CheckpointMove { lane, previous, next })
    }

    /// Everything stored about one topic.
    pub(super) fn of_topic(&self, topic: &str) -> impl Iterator<Item = (&Lane, &Checkpoint)> {
        self.stored.iter().filter(move |(lane, _)| lane.of_topic().is_some_and(|(own, _)| own == topic))
    }

    /// Where reading of a partition resumes.
    pub(super) fn offset(&self, partition: &TopicPartition) -> Option<Offset> {
        let lane = Lane::offset(&partition.topic, partition.partition);
        self.stored.get(&lane).map(|at| Offset::new(at.position.get()))
    }

    /// Learns from a message on a partition, the last one above all, in which history its source goes on: a read model
    /// that is filled anew leaves out what was published and then lost in a restore. An ancestor of what is known tells
    /// nothing.
    pub(super) fn learn(&mut self, partition: &TopicPartition, store: StoreId, history: History) {
        let place = (partition.clone(), store);
        if self.histories.get(&place).is_none_or(|known| !known.descends_from(&history)) {
            self.histories.insert(place, history);
        }
    }

    /// Whether a history is known to have gone on, by restores, in this one.
    pub(super) fn goes_on_in(&self, partition: &TopicPartition, earlier: Source, later: Incarnation) -> bool {
        let Some(known) = self.histories.get(&(partition.clone(), earlier.store)) else { return false };
        known
            .line()
            .find(|history| history.incarnation == later)
            .is_some_and(|later| Fork::shared_up_to(&later.lineage, earlier.incarnation).is_some())
    }

    /// Whether a message lies beyond the fork at which its history was left.
    fn was_left(&self, partition: &TopicPartition, message: Mark<'_>) -> bool {
        let Source { store, incarnation } = message.source;
        let Some(history) = self.histories.get(&(partition.clone(), store)) else { return false };
        let shared = Fork::shared_up_to(&history.lineage, incarnation);
        history.incarnation != incarnation && shared.is_some_and(|fork| message.position > fork)
    }

    /// Whether a message is still to be applied, or tells that its source goes on in another history: perhaps in one that
    /// left what was applied.
    pub(super) fn lacks(&self, partition: &TopicPartition, message: Mark<'_>) -> bool {
        let mut draft = Draft::default();
        let verdict = self.judge(&mut draft, partition, message);
        !matches!(verdict, Verdict::Repeat) || !draft.next.is_empty()
    }

    /// Judges a message; what is applied is noted in the draft.
    ///
    /// Applied only if previous ≤ watermark < position; position ≤ watermark is a re-send; previous > watermark is a
    /// gap.
    pub(super) fn judge(&self, draft: &mut Draft, partition: &TopicPartition, message: Mark<'_>) -> Verdict {
        if let Some(last) = &mut draft.last
            && last.continues_with(message)
        {
            return Verdict::Apply;
        }
        draft.settle();
        if self.was_left(partition, message) {
            return Verdict::Repeat;
        }
        let source = message.source;
        let lane = Lane::topic(&source, &partition.topic, partition.partition);
        let (watermark, carried_from) = match draft.get(self, &lane) {
            // A later incarnation has replaced this one: shared history was applied, the rest was left behind.
            Some(at) if at.incarnation != source.incarnation => return Verdict::Repeat,
            Some(at) => (Some(at), None),
            None => match self.live_lane(draft, partition, source) {
                None => (None, None),
                Some(later) if self.goes_on_in(partition, source, later.1.incarnation) => {
                    return judge_earlier(draft, later, message);
                }
                Some((from, at)) => match self.carried_over(partition, message, at) {
                    Ok(at) => (Some(at), Some(from)),
                    Err(stop) => return Verdict::Stop(stop),
                },
            },
        };
        let applied = watermark.map_or(Position::ZERO, |at| at.position);
        if message.position <= applied {
            if let (Some(from), Some(at)) = (carried_from, watermark) {
                let next = Checkpoint { incarnation: source.incarnation, ..at };
                draft.next.extend([(lane, next), (from, next)]);
                return Verdict::Repeat;
            }
            return repeat(message, watermark);
        }
        if message.previous > applied {
            return Verdict::Gap(Gap { lane, source, watermark: applied, previous: message.previous });
        }
        let next = Checkpoint { position: message.position, incarnation: source.incarnation, event_id: message.id };
        draft.next.insert(lane.clone(), next);
        let left = self.histories.get(&(partition.clone(), source.store)).is_some_and(|history| {
            // Somewhere on this lane its history was left: each message is looked at.
            history.incarnation != source.incarnation
        });
        draft.last = (!left).then_some(Followed { source, lane, at: next });
        if let (Some(from), Some(at)) = (carried_from, watermark) {
            // The old lane says from now on in which history it went on: what still comes on it is dropped.
            draft.next.insert(from, Checkpoint { incarnation: source.incarnation, ..at });
        }
        Verdict::Apply
    }

    /// The watermark of an ancestor's lane as it holds on, when the first message of a new incarnation comes.
    fn carried_over(
        &self,
        partition: &TopicPartition,
        message: Mark<'_>,
        at: Checkpoint,
    ) -> Result<Checkpoint, PartitionStop> {
        let source = message.source;
        match Fork::shared_up_to(message.lineage, at.incarnation) {
            Some(fork) if at.position <= fork => Ok(at),
            Some(fork) => {
                let left = Source { incarnation: at.incarnation, ..source };
                if self.accepted.covers(partition, left, fork) {
                    return Ok(Checkpoint { position: fork, event_id: None, ..at });
                }
                let history = History { incarnation: source.incarnation, lineage: message.lineage.to_vec() };
                Err(PartitionStop::ForkedBelow { fork, watermark: at.position, left, history })
            }
            None => Err(PartitionStop::ForeignHistory { found: source, applied: at.incarnation }),
        }
    }

    /// The lane of another incarnation of the same store that no later one has replaced.
    fn live_lane(&self, draft: &Draft, partition: &TopicPartition, source: Source) -> Option<(Lane, Checkpoint)> {
        let any = Source { incarnation: Incarnation::from_uuid(Uuid::nil()), ..source };
        let pattern = Lane::topic(&any, &partition.topic, partition.partition);
        let prefix = pattern.as_str().strip_suffix(&any.incarnation.to_string())?;
        let mut lanes = draft.next.keys().chain(self.stored.keys());
        lanes.find_map(|lane| {
            let own: Incarnation = lane.as_str().strip_prefix(prefix)?.parse().ok()?;
            let at = draft.get(self, lane)?;
            (at.incarnation == own).then(|| (lane.clone(), at))
        })
    }

    /// Whether the partition was read again because of this gap already, which did not help.
    pub(super) fn was_reread(&self, gap: &Gap) -> bool {
        self.reread.get(&gap.lane) == Some(&gap.watermark)
    }

    /// Notes that the partition is read again because of a gap.
    pub(super) fn note_reread(&mut self, gap: &Gap) {
        self.reread.insert(gap.lane.clone(), gap.watermark);
    }

    /// Lanes with a hole that these moves fill, on the lane itself or in a later history that their source goes on in. What
    /// stood there in the history before may be sent again in the later one, and never again in its own.
    pub(super) fn filled(&self, moves: &[CheckpointMove], histories: &[(StoreId, History)]) -> Vec<Lane> {
        let fills = |step: &CheckpointMove, lane: &Lane, hole: &Gap| {
            let Some(source) = step.lane.source().filter(|_| step.lane.of_topic() == lane.of_topic()) else {
                return false;
            };
            let Source { store, incarnation } = source;
            let history = histories.iter().find(|(of, seen)| *of == store && seen.incarnation == incarnation);
            let shared = history.and_then(|(_, history)| Fork::shared_up_to(&history.lineage, hole.source.incarnation));
            let descends = store == hole.source.store && incarnation != hole.source.incarnation;
            descends && shared.is_some_and(|fork| step.next.position >= hole.previous.min(fork))
        };
        let is_filled =
            |(lane, hole): &(&Lane, &Gap)| moves.iter().any(|step| step.lane == **lane || fills(step, lane, hole));
        self.holes.iter().filter(is_filled).map(|(lane, _)| lane.clone()).collect()
    }

    /// These gaps stayed, and these are filled.
    pub(super) fn note_holes(&mut self, seen: &[Gap], filled: &[Lane]) {
        filled.iter().for_each(|lane| drop(self.holes.remove(lane)));
        self.holes.extend(seen.iter().map(|gap| (gap.lane.clone(), gap.clone())));
    }

    /// The moves of a draft, and of the place to resume reading.
    pub(super) fn moves(&self, mut draft: Draft, partition: &TopicPartition, resume: Offset) -> Vec<CheckpointMove> {
        draft.settle();
        let lane = Lane::offset(&partition.topic, partition.partition);
        let at = Checkpoint::of_no_history(Position::new(resume.get()));
        let moves = draft.next.into_iter().chain([(lane, at)]);
        moves
            .map(|(lane, next)| CheckpointMove { previous: self.stored.get(&lane).copied(), lane, next })
            .filter(|step| step.previous != Some(step.next))
            .collect()
    }

    /// The moves were written.
    pub(super) fn written(&mut self, moves: &[CheckpointMove]) {
        for step in moves {
            self.stored.insert(step.lane.clone(), step.next);
        }
    }
}

impl Followed {
    /// Goes on with the next message, when it is the next one of this lane beyond any doubt.
    fn continues_with(&mut self, message: Mark<'_>) -> bool {
        let applied = self.at.position;
        let next = message.source == self.source && message.previous <= applied && message.position > applied;
        if next {
            (self.at.position, self.at.event_id) = (message.position, message.id);
        }
        next
    }
}

impl Draft {
    /// Puts the lane followed last among the moves.
    fn settle(&mut self) {
        if let Some(Followed { lane, at, .. }) = self.last.take() {
            self.next.insert(lane, at);
        }
    }

    fn get(&self, book: &Book, lane: &Lane) -> Option<Checkpoint> {
        self.next.get(lane).or_else(|| book.stored.get(lane)).copied()
    }
}

/// A message of a history that the one followed on a lane came out of, from before the fork: what that history has at
/// this position, too. So it is judged, and counted, as if it had come in that one.
fn judge_earlier(draft: &mut Draft, (lane, at): (Lane, Checkpoint), message: Mark<'_>) -> Verdict {
    let Mark { source, position, previous, id: event_id, .. } = message;
    if position <= at.position {
        return repeat(message, Some(at));
    }
    if previous > at.position {
        return Verdict::Gap(Gap { lane, source, watermark: at.position, previous });
    }
    draft.next.insert(lane, Checkpoint { position, event_id, ..at });
    Verdict::Apply
}

/// A re-send says what was applied; another event at the same position is another history.
fn repeat(message: Mark<'_>, watermark: Option<Checkpoint>) -> Verdict {
    let applied = watermark.filter(|at| at.position == message.position).and_then(|at| at.event_id);
    match applied.zip(message.id) {
        Some((applied, found)) if applied != found => {
            Verdict::Stop(PartitionStop::OtherEvent { position: message.position, found, applied })
        }
        _ => Verdict::Repeat,
    }
}
