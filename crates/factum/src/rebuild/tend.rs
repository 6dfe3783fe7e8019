//! The loop that carries out what is asked for, and feeds the generations that are kept.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Checksum, ModelEnd, Operation, ReadModel, Step, checksum, compare::difference, live::Rest, shadow::Shadow,
};
use crate::{
    model::Incarnation,
    quarantine::parked_keys,
    read::{Checkpoint, Claimed, Generation, Lane, ReadError, Role, StoredModel},
    runtime::{Backoff, Stop},
    store::Position,
};

/// How long the live generation rests at most until another one stands where it stands: as long, nothing new is seen.
const COMMON_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often that is tried.
const COMMON_TRIES_MAX: u32 = 30;
/// How long it goes on between two tries.
const COMMON_PAUSE: Duration = Duration::from_millis(500);
/// The first wait after the read store could not be asked what is there.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after that.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why an operation came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Told(String),
}

/// What an operation came to.
struct Outcome {
    text: String,
    checksum: Option<Checksum>,
}

/// How two generations compare.
struct Compared {
    checksum: Checksum,
    difference: Option<String>,
}

/// The watermarks in force: all that matters of where a generation stands.
fn proofs(lanes: Vec<(Lane, Checkpoint)>) -> BTreeMap<Lane, (Position, Incarnation)> {
    let proofs = lanes.into_iter().filter(|(lane, at)| lane.is_proof(at));
    proofs.map(|(lane, at)| (lane, (at.position, at.incarnation))).collect()
}

impl ReadModel {
    /// Carries out what is asked for, one after the other, until told to stop. What an end of the process interrupted is
    /// taken up again.
    pub(crate) async fn tend(self: Arc<Self>, mut stop: Stop) -> Result<(), ModelEnd> {
        if self.read_store.generations().is_none() {
            stop.stopped().await;
            return Ok(());
        }
        let mut requested = self.requested.lock().await;
        let mut kept = Vec::new();
        let Some(interrupted) = stop.unless(self.take_stock(&mut kept)).await else { return Ok(()) };
        if interrupted {
            self.request(Operation::Rebuild);
        }
        while let Some(Some(operation)) = stop.unless(requested.recv()).await {
            let outcome = tokio::select! {
               biased;
                () = stop.stopped() => return Ok(()),
                () = self.is_given_up(operation) => Err(Failure::Told("it was given up".to_owned())),
                outcome = self.carry_out(operation, &mut kept) => outcome,
            };
            self.show_filling(None);
            // What is there now is shown with the end; who asks is told later where the store cannot be asked now.
            let _ = self.stored().await;
            match outcome {
                Ok(Outcome { text, checksum }) => self.ended(operation, Ok(text), checksum),
                Err(failure) => self.ended(operation, Err(failure.to_string()), None),
            }
        }
        Ok(())
    }

    /// What an earlier process left: kept generations are fed, one that was only filled to be compared goes. True when
    /// a rebuild was under way.
    async fn take_stock(&self, kept: &mut Vec<Shadow>) -> bool {
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        loop {
            match self.look_around(kept).await {
                Ok(interrupted) => return interrupted,
                Err(error) => {
                    tracing::warn!(projection = %self.key(), %error, "the generations of a read model cannot be listed");
                    self.runtime.sleep(backoff.next(&self.runtime)).await;
                }
            }
        }
    }

    async fn look_around(&self, kept: &mut Vec<Shadow>) -> Result<bool, ReadError> {
        let models = self.stored().await?;
        for model in models.iter().filter(|model| model.role == Role::Checking) {
            self.discard(model.clone()).await?;
        }
        *kept = models
            .iter()
            .filter(|model| model.role == Role::Kept)
            .map(|model| self.shadow(model.generation, true))
            .collect();
        Ok(models.iter().any(|model| model.role == Role::Filling))
    }

    async fn is_given_up(&self, operation: Operation) {
        if operation == Operation::Discard {
            return std::future::pending().await;
        }
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.given_up.subscribe().wait_for(|given_up| *given_up).await;
    }

    async fn carry_out(&self, operation: Operation, kept: &mut Vec<Shadow>) -> Result<Outcome, Failure> {
        match operation {
            Operation::Rebuild | Operation::Replace => self.rebuild(operation, kept).await,
            Operation::Verify => self.verify().await,
            Operation::RollBack => self.roll_back(kept).await,
            Operation::Discard => self.discard_all(kept).await,
        }
    }

    async fn rebuild(&self, operation: Operation, kept: &mut Vec<Shadow>) -> Result<Outcome, Failure> {
        let compares = operation == Operation::Rebuild;
        let filling = self.stored().await?.into_iter().find(|model| model.role == Role::Filling);
        let generation = match filling {
            Some(model) => model.generation,
            None => self.begin(Role::Filling).await?,
        };
        // One that is to replace a live one that cannot go on must be able to get ahead of it.
        let shadow = self.shadow(generation, compares);
        self.filled(operation, &shadow).await?;
        let mut checksum = None;
        if compares {
            let Compared { checksum: found, difference } = self.compare(operation, &shadow).await?;
            if let Some(difference) = difference {
                return Err(Failure::Told(format!(
                    "generation {generation} differs from the live one, which stays: {difference}; replace it, or \
                     discard what was filled"
                )));
            }
            checksum = Some(found);
        }
        let before = self.switch(operation, shadow, compares).await?;
        kept.push(self.shadow(before, true));
        let text = format!("generation {generation} answers instead of {before}, which is kept and fed");
        Ok(Outcome { text, checksum })
    }

    async fn verify(&self) -> Result<Outcome, Failure> {
        let generation = self.begin(Role::Checking).await?;
        let shadow = self.shadow(generation, true);
        let compared = match self.filled(Operation::Verify, &shadow).await {
            Ok(()) => self.compare(Operation::Verify, &shadow).await,
            Err(failure) => Err(failure),
        };
        shadow.end().await;
        self.show(Operation::Verify, Step::Discarding);
        self.discard(self.model(generation, Role::Checking)).await?;
        let Compared { checksum, difference } = compared?;
        match difference {
            None => {
                let text = format!("equal to a fresh fold: {} documents, checksum {checksum}", checksum.documents);
                Ok(Outcome { text, checksum: Some(checksum) })
            }
            Some(difference) => Err(Failure::Told(format!("differs from a fresh fold: {difference}"))),
        }
    }

    async fn roll_back(&self, kept: &mut Vec<Shadow>) -> Result<Outcome, Failure> {
        let Some(shadow) = kept.pop() else {
            return Err(Failure::Told("no generation is kept that could answer again".to_owned()));
        };
        let generation = shadow.generation;
        let before = match self.switch(Operation::RollBack, shadow, true).await {
            Ok(before) => before,
            Err(failure) => {
                kept.push(self.shadow(generation, true));
                return Err(failure);
            }
        };
        kept.push(self.shadow(before, true));
        let text = format!("generation {generation} answers again instead of {before}, which is kept and fed");
        Ok(Outcome { text, checksum: None })
    }

    async fn discard_all(&self, kept: &mut Vec<Shadow>) -> Result<Outcome, Failure> {
        self.show(Operation::Discard, Step::Discarding);
        for shadow in kept.drain(..) {
            shadow.end().await;
        }
        let (key, versions) = (self.key(), self.versions.clone());
        let discarded = self.generations(move |generations| {
            let mut discarded = Vec::new();
            for model in generations.models()? {
                let is_beside = model.is_of(key) && model.role != Role::Live;
                let is_old = model.name == key.name && !versions.contains(&model.version);
                if is_beside || is_old {
                    generations.discard(&model)?;
                    discarded.push(model.to_string());
                }
            }
            Ok(discarded)
        });
        let discarded = discarded.await?;
        let text = if discarded.is_empty() { "nothing to discard".to_owned() } else { discarded.join(", ") };
        Ok(Outcome { text, checksum: None })
    }

    /// Waits until a generation holds everything that was there when it was begun, with nothing left out.
    async fn filled(&self, operation: Operation, shadow: &Shadow) -> Result<(), Failure> {
        self.show(operation, Step::Filling);
        self.show_filling(Some(shadow.shown.clone()));
        tokio::select! {
           biased;
            reason = shadow.ended() => Err(Failure::Told(reason)),
            () = shadow.shown.watermarks.whole(self.key()) => Ok(()),
        }
    }

    /// Lets the live generation rest where another one stands too; on a leash that is the same place on every lane, else
    /// at least as far on each.
    async fn aligned<'a>(&'a self, shadow: &Shadow, same: bool) -> Result<Rest<'a>, Failure> {
        let key = self.key();
        for _ in 0..COMMON_TRIES_MAX {
            // What is parked stays so until somebody decides about it.
            if let Some(parked) = shadow.shown.parked() {
                return Err(Failure::Told(format!("generation {} cannot answer: {parked}", shadow.generation)));
            }
            // As long as it stands still, nothing has to rest for it.
            if shadow.shown.alarm().is_some() {
                tokio::select! {
                    biased;
                    reason = shadow.ended() => return Err(Failure::Told(reason)),
                    () = self.runtime.sleep(COMMON_PAUSE) => continue,
                }
            }
            let rest = self.rest().await;
            let wanted = proofs(self.watermarks.lanes(key));
            let all = async {
                for (lane, (position, _)) in &wanted {
                    shadow.shown.watermarks.reached(key, lane, *position).await;
                }
            };
            let arrived = tokio::select! {
                biased;
                arrived = self.runtime.within(COMMON_WAIT_MAX, all) => arrived.is_some(),
                reason = shadow.ended() => return Err(Failure::Told(reason)),
            };
            let fit = match (same, shadow.shown.alarm()) {
                // Whatever the live one waits for, it is to be replaced.
                (false, None) => true,
                (true, None) => arrived && proofs(shadow.shown.lanes(key)) == wanted,
                (_, Some(_)) => false,
            };
            if fit {
                return Ok(rest);
            }
            drop(rest);
            self.runtime.sleep(COMMON_PAUSE).await;
        }
        let generation = shadow.generation;
        Err(Failure::Told(match shadow.shown.alarm() {
            Some(alarm) => format!("generation {generation} cannot answer: {alarm}"),
            None => format!("generation {generation} and the live one came to no common position"),
        }))
    }

    /// Compares a generation with the live one as of a moment at which both stood at the same place; meanwhile both go
    /// on.
    async fn compare(&self, operation: Operation, shadow: &Shadow) -> Result<Compared, Failure> {
        self.show(operation, Step::Aligning);
        let (key, live, fresh) = (self.key(), self.live().await?, shadow.generation);
        let rest = self.aligned(shadow, true).await?;
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
    async fn switch(&self, operation: Operation, shadow: Shadow, same: bool) -> Result<Generation, Failure> {
        self.show(operation, Step::Aligning);
        let rest = self.aligned(&shadow, same).await?;
        self.show(operation, Step::Switching);
        let (key, from, to) = (self.key(), self.live().await?, shadow.generation);
        shadow.end().await;
        let (left, next) = (self.view(from), self.view(to));
        let switched = self.generations(move |generations| {
            // From here on nobody but us can write to either.
            let from = Claimed { generation: from, epoch: left.claim(key)? };
            let to = Claimed { generation: to, epoch: next.claim(key)? };
            if same && proofs(left.checkpoints(key)?) != proofs(next.checkpoints(key)?) {
                return Err(ReadError::Broken("the generations do not stand at the same place".to_owned()));
            }
            // It may have parked something on its last step.
            next.read(&mut |snapshot| match parked_keys(snapshot, key, None, 1)?.first() {
                Some(parked) => Err(ReadError::Broken(format!("{} is parked: {}", parked.key, parked.reason))),
                None => Ok(()),
            })?;
            generations.switch(key, from, to)
        });
        switched.await?;
        // Told by its own loop from now on, which goes on with the new one.
        drop(rest);
        Ok(from)
    }

    async fn begin(&self, role: Role) -> Result<Generation, ReadError> {
        let key = self.key();
        let generation = self.generations(move |generations| generations.begin(key, role)).await?;
        self.stored().await?;
        Ok(generation)
    }

    async fn discard(&self, model: StoredModel) -> Result<(), ReadError> {
        self.generations(move |generations| generations.discard(&model)).await
    }

    fn model(&self, generation: Generation, role: Role) -> StoredModel {
        let key = self.key();
        StoredModel { name: key.name.to_owned(), version: key.version, generation, role }
    }
}
