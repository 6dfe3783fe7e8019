//! Where two generations stand at the same place: there they are compared, and there one takes the other's place.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Checksum, Operation, ReadModel, Sources, Step, checksum,
    compare::difference,
    live::Rest,
    shadow::{KEPT_ALARM, Shadow},
    tend::Failure,
};
use crate::{
    model::Incarnation,
    quarantine::{QUARANTINE_ALARM, parked_keys},
    read::{Checkpoint, Claimed, Generation, Lane, ReadError},
    runtime::{LoopState, StatusReport},
    store::Position,
};

/// How long the live generation rests at most until another one stands where it stands: as long, nothing new is seen.
const COMMON_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often that is tried in vain: a try that finds it nearer than ever before is none, since it arrives sooner or later.
const COMMON_TRIES_MAX: u32 = 30;
/// After how many tries, at which neither got anywhere, it is over: waiting brings them no nearer.
const COMMON_STILL_MAX: u32 = 4;
/// How long it goes on between two tries.
const COMMON_PAUSE: Duration = Duration::from_millis(500);

/// How two generations compare.
pub(super) struct Compared {
    pub(super) checksum: Checksum,
    pub(super) difference: Option<String>,
}

/// The watermarks in force: all that matters of where a generation stands.
type Proofs = BTreeMap<Lane, (Position, Incarnation)>;

fn proofs(lanes: Vec<(Lane, Checkpoint)>) -> Proofs {
    let proofs = lanes.into_iter().filter(|(lane, at)| lane.is_proof(at));
    proofs.map(|(lane, at)| (lane, (at.position, at.incarnation))).collect()
}

/// These places, none of them beyond the end of the own store.
fn within(mut proofs: Proofs, end: Option<Position>) -> Proofs {
    if let (Some((at, _)), Some(end)) = (proofs.get_mut(&Lane::own_store()), end) {
        *at = (*at).min(end);
    }
    proofs
}

/// The first lane on which the second generation is behind the first one, and where each is. Where it follows a history that
/// the first one does not know, positions cannot be compared, and the first one's can never be reached.
fn behind<'a>(ahead: &'a Proofs, other: &Proofs) -> Option<(&'a Lane, Position, Position)> {
    ahead.iter().find_map(|(lane, (wanted, history))| {
        let at = other.get(lane);
        let goes_on_elsewhere = match (lane.as_topic(), at) {
            (Some((source, topic, partition)), _) => other.keys().any(|another| {
                another.as_topic().is_some_and(|(followed, of, on)| {
                    (followed.store, of, on) == (source.store, topic, partition)
                        && followed.incarnation != source.incarnation
                })
            }),
            (None, at) => at.is_some_and(|(_, followed)| followed != history),
        };
        let at = at.map_or(Position::ZERO, |(position, _)| *position);
        (at < *wanted && !goes_on_elsewhere).then_some((lane, *wanted, at))
    })
}

/// How far the second generation is behind the first one, over all lanes.
fn distance(ahead: &Proofs, other: &Proofs) -> u64 {
    let at = |lane| other.get(lane).map_or(Position::ZERO, |(position, _)| *position);
    ahead.iter().map(|(lane, (wanted, _))| wanted.get().saturating_sub(at(lane).get())).sum()
}

impl ReadModel {
    /// Waits until a generation holds everything that was there when it was begun, with nothing left out.
    pub(super) async fn filled(&self, operation: Operation, shadow: &Shadow) -> Result<(), Failure> {
        self.show(operation, Step::Filling);
        self.show_filling(Some((shadow.generation, shadow.shown.clone())));
        tokio::select! {
            biased;
            whole = self.whole(shadow) => whole,
            failure = self.live_ended(), if shadow.shown.is_held() => Err(failure),
            failure = self.live_stands_still(shadow), if shadow.shown.is_held() => Err(failure),
        }
    }

    /// The same without a word: what has parked something is whole once it is known what.
    pub(super) async fn whole(&self, shadow: &Shadow) -> Result<(), Failure> {
        tokio::select! {
           biased;
            reason = shadow.ended() => Err(Failure::Told(reason)),
            () = shadow.shown.watermarks.whole(self.key()) => Ok(()),
        }
    }

    /// Waits until the live generation is not fed any more for good, and says why.
    async fn live_ended(&self) -> Failure {
        let has_ended = |report: &StatusReport| matches!(report.state, LoopState::Failed | LoopState::StoodDown);
        self.status().shows(has_ended).await;
        let reason = self.status().report().last_error.unwrap_or_else(|| "another owner took over".to_owned());
        Failure::Told(format!("the live generation is no longer fed, and nothing can be compared with it: {reason}"))
    }

    /// Waits until the live generation has stood still for so long that one on its leash never becomes whole.
    async fn live_stands_still(&self, shadow: &Shadow) -> Failure {
        let stands = || proofs(shadow.shown.lanes(self.key()));
        let (mut stood, mut looks) = (stands(), 0);
        loop {
            self.runtime.sleep(COMMON_WAIT_MAX).await;
            let report = self.status().report();
            // What is parked, and what is kept, holds nothing up.
            let alarm =
                report.alarms.iter().find(|(about, _)| ![QUARANTINE_ALARM, KEPT_ALARM].contains(&about.as_str()));
            let still = stands() == stood;
            (stood, looks) = (stands(), if still && alarm.is_some() { looks + 1 } else { 0 });
            if let Some((_, alarm)) = alarm.filter(|_| looks >= COMMON_STILL_MAX) {
                return Failure::Told(format!("nothing can be compared with the live generation: {alarm}"));
            }
        }
    }

    /// Where the own store ends: a place beyond it is none.
    async fn store_end(&self) -> Option<Position> {
        let Sources::OwnStore(store) = &self.sources else { return None };
        store.heads().await.ok().map(|heads| heads.synced)
    }

    /// Lets the live generation rest where another one stands too; on a leash that is the same place on every lane, else
    /// at least as far on each.
    async fn aligned<'a>(&'a self, shadow: &Shadow, same: bool) -> Result<Rest<'a>, Failure> {
        let key = self.key();
        let stand = || (proofs(self.watermarks.lanes(key)), proofs(shadow.shown.lanes(key)));
        let (mut stood, mut still) = (stand(), 0);
        let (mut nearest, mut tries) = (distance(&stood.0, &stood.1), 0);
        while tries < COMMON_TRIES_MAX {
            // What is parked stays so until somebody decides about it.
            if let Some(parked) = shadow.shown.parked() {
                return Err(Failure::Told(format!("generation {} cannot answer: {parked}", shadow.generation)));
            }
            // As long as it stands still, or cannot follow, nothing has to rest for it.
            if shadow.shown.alarm().is_none() {
                if self.follows(shadow).await? {
                    let rest = self.rest().await;
                    let arrived = self.follows(shadow).await?;
                    let (wanted, at) = stand();
                    if arrived && shadow.shown.alarm().is_none() && (!same || at == wanted) {
                        return Ok(rest);
                    }
                }
                let stands = stand();
                still = if stands == stood { still + 1 } else { 0 };
                if still >= COMMON_STILL_MAX {
                    break;
                }
                stood = stands;
            }
            tokio::select! {
                biased;
                reason = shadow.ended() => return Err(Failure::Told(reason)),
                () = self.runtime.sleep(COMMON_PAUSE) => {}
            }
            let (live, at) = stand();
            let left = distance(&live, &at);
            tries += u32::from(left >= nearest);
            nearest = nearest.min(left);
        }
        let (generation, (live, at)) = (shadow.generation, stand());
        let live = within(live, self.store_end().await);
        Err(Failure::Told(match (shadow.shown.alarm(), behind(&live, &at), behind(&at, &live)) {
            (Some(alarm), ..) => format!("generation {generation} cannot answer: {alarm}"),
            (None, Some((lane, live, at)), _) => {
                format!(
                    "generation {generation} is behind the live one: it is at {at} on lane {lane:?}, the live one at {live}"
                )
            }
            (None, None, Some((lane, at, live))) => {
                format!(
                    "the live generation is behind {generation}: it is at {live} on lane {lane:?}, the other one at {at}"
                )
            }
            (None, None, None) => format!("generation {generation} and the live one came to no common position"),
        }))
    }

    /// Waits until a generation is nowhere behind where the live one is now; whether it came to that in time.
    async fn follows(&self, shadow: &Shadow) -> Result<bool, Failure> {
        let key = self.key();
        let wanted = within(proofs(self.watermarks.lanes(key)), self.store_end().await);
        let all = async {
            for (lane, (position, _)) in &wanted {
                shadow.shown.watermarks.reached(key, lane, *position).await;
            }
        };
        let is_behind = || behind(&wanted, &proofs(shadow.shown.lanes(key))).is_some();
        tokio::select! {
            biased;
            reason = shadow.ended() => Err(Failure::Told(reason)),
            arrived = self.runtime.within(COMMON_WAIT_MAX, all) => Ok(arrived.is_some() || !is_behind()),
        }
    }

    /// Compares a generation with the live one as of a moment at which both stood at the same place; meanwhile both go
    /// on.
    pub(super) async fn compare(&self, operation: Operation, shadow: &Shadow) -> Result<Compared, Failure> {
        self.show(operation, Step::Aligning);
        let (key, live, fresh) = (self.key(), self.live().await?, shadow.generation);
        // Taken before anything rests for it.
        let _turn = self.turns.to_compare().await;
        let rest = tokio::select! {
            biased;
            rest = self.aligned(shadow, true) => rest?,
            failure = self.live_ended() => return Err(failure),
        };
        self.show(operation, Step::Comparing);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let comparing = self.generations(move |generations| {
            let (mut begun, mut compared) = (Some(begun), None);
            generations.inspect(&mut |inspection| {
                let at = |lanes| proofs(lanes);
                let same = at(inspection.checkpoints(key, live)?) == at(inspection.checkpoints(key, fresh)?);
                // The snapshot stands: nothing that happens from now on is in it.
                begun.take().map(|begun| begun.send(()));
                if !same {
                    return Err(ReadError::Broken("the generations do not stand at the same place".to_owned()));
                }
                let (left, right) = (checksum(inspection, key, live)?, checksum(inspection, key, fresh)?);
                let difference = if left == right { None } else { difference(inspection, key, live, fresh)? };
                compared = Some(Compared { checksum: right, difference });
                Ok(())
            })?;
            compared.ok_or_else(|| ReadError::Broken("nothing was compared".to_owned()))
        });
        let release = async {
            // Nobody tells when it failed before: then it is over as well.
            let _ = has_begun.await;
            drop(rest);
        };
        let (compared, ()) = tokio::join!(comparing, release);
        Ok(compared?)
    }

    /// Makes a generation live, where it stands where the live one stands; which one was live before.
    pub(super) async fn switch(&self, operation: Operation, shadow: Shadow, same: bool) -> Result<Generation, Failure> {
        self.show(operation, Step::Aligning);
        let rest = self.aligned(&shadow, same).await?;
        self.show(operation, Step::Switching);
        let (key, from, to) = (self.key(), self.live().await?, shadow.generation);
        shadow.end().await;
        let (left, next, end) = (self.view(from), self.view(to), self.store_end().await);
        let switched = self.generations(move |generations| {
            // From here on nobody but us can write to either.
            let from = Claimed { generation: from, epoch: left.claim(key)? };
            let to = Claimed { generation: to, epoch: next.claim(key)? };
            let (left, at) = (proofs(left.checkpoints(key)?), proofs(next.checkpoints(key)?));
            if same && left != at {
                return Err(ReadError::Broken("the generations do not stand at the same place".to_owned()));
            }
            if let Some((lane, ..)) = behind(&within(left, end), &at) {
                let text = format!("generation {} is behind the live one on lane {lane:?}", to.generation);
                return Err(ReadError::Broken(text));
            }
            // It may have parked something on its last step.
            next.read(&mut |snapshot| match parked_keys(snapshot, key, None, 1)?.first() {
                Some(parked) => Err(ReadError::Broken(format!("{} is parked: {}", parked.key, parked.reason))),
                None => Ok(()),
            })?;
            generations.switch(key, from, to)
        });
        switched.await?;
        self.has_switched();
        // Told by its own loop from now on, which goes on with the new one.
        drop(rest);
        Ok(from)
    }
}
