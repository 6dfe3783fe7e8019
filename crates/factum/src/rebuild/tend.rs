//! The loop that carries out what is asked for, and feeds the generation that is kept.

use std::{sync::Arc, time::Duration};

use super::{Checksum, ModelEnd, Operation, ReadModel, Step, common::Compared, shadow::Shadow};
use crate::{
    read::{GENERATIONS_KEPT_MAX, Generation, ReadError, Role, StoredModel},
    runtime::{Backoff, Stop},
};

/// The first wait after the read store could not be asked what is there.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after that.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why an operation came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
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

impl ReadModel {
    /// Carries out what is asked for, one after the other, until told to stop. What an end of the process interrupted is
    /// taken up again.
    pub(crate) async fn tend(self: Arc<Self>, mut stop: Stop) -> Result<(), ModelEnd> {
        if self.read_store.generations().is_none() {
            stop.stopped().await;
            return Ok(());
        }
        let mut kept = Vec::new();
        self.carry_out_all(&mut kept, &mut stop).await;
        // Nobody reads the bus or writes any more when this has ended.
        self.end(kept).await;
        Ok(())
    }

    async fn carry_out_all(&self, kept: &mut Vec<Shadow>, stop: &mut Stop) {
        let mut requested = self.requested.lock().await;
        let Some(interrupted) = stop.unless(self.take_stock(kept)).await else { return };
        if let Some(operation) = interrupted {
            self.request(operation);
        }
        while let Some(Some(operation)) = stop.unless(requested.recv()).await {
            self.forget_lost(kept).await;
            let outcome = tokio::select! {
                biased;
                () = stop.stopped() => return,
                () = self.is_given_up(operation) => Err(Failure::Told("it was given up".to_owned())),
                outcome = self.carry_out(operation, kept) => outcome,
            };
            self.show_filling(None);
            // What is there now is shown with the end; who asks is told later where the store cannot be asked now.
            let _ = self.stored().await;
            match outcome {
                Ok(Outcome { text, checksum }) => self.ended(operation, Ok(text), checksum),
                Err(failure) => self.ended(operation, Err(failure.to_string()), None),
            }
        }
    }

    /// What an earlier process left: the kept generation is fed, those that are there for nothing any more go. What was
    /// under way, where anything was.
    async fn take_stock(&self, kept: &mut Vec<Shadow>) -> Option<Operation> {
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

    async fn look_around(&self, kept: &mut Vec<Shadow>) -> Result<Option<Operation>, ReadError> {
        self.sweep().await?;
        let models = self.stored().await?;
        for model in models.iter().filter(|model| model.role == Role::Kept) {
            self.keep(kept, model.generation);
        }
        Ok(models.iter().find_map(|model| match model.role {
            Role::Filling => Some(Operation::Rebuild),
            Role::Replacing => Some(Operation::Replace),
            Role::Live | Role::Kept | Role::Checking | Role::Retired => None,
        }))
    }

    /// Drops the generations that are there for nothing any more; which ones, in words.
    async fn sweep(&self) -> Result<Vec<String>, ReadError> {
        let mut dropped = Vec::new();
        for model in self.stored().await? {
            if matches!(model.role, Role::Checking | Role::Retired) {
                self.discard(model.clone()).await?;
                dropped.push(format!("generation {} is dropped", model.generation));
            }
        }
        Ok(dropped)
    }

    /// Feeds a generation that answered before.
    fn keep(&self, kept: &mut Vec<Shadow>, generation: Generation) {
        kept.push(self.shadow(generation, Role::Kept));
        self.show_kept(kept);
    }

    /// Forgets what was kept in a read store that was begun anew since: it is not there any more.
    async fn forget_lost(&self, kept: &mut Vec<Shadow>) {
        let life = self.read_store.life();
        let (lost, left) = kept.drain(..).partition(|shadow| shadow.shown.life != life);
        *kept = left;
        self.show_kept(kept);
        self.end(lost).await;
    }

    async fn end(&self, shadows: Vec<Shadow>) {
        for shadow in shadows {
            shadow.end().await;
        }
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
        self.sweep().await?;
        let compares = operation == Operation::Rebuild;
        let role = if compares { Role::Filling } else { Role::Replacing };
        let generation = self.to_fill(role).await?;
        let shadow = self.shadow(generation, role);
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
        let dropped = self.keep_only(before, kept).await;
        let text = format!("generation {generation} answers instead of {before}, which is kept and fed{dropped}");
        Ok(Outcome { text, checksum })
    }

    /// The generation that is to be filled: a new one, or the one that an earlier operation left.
    async fn to_fill(&self, role: Role) -> Result<Generation, ReadError> {
        let is_one = |model: &StoredModel| matches!(model.role, Role::Filling | Role::Replacing);
        let Some(left) = self.stored().await?.into_iter().find(is_one) else { return self.begin(role).await };
        let (key, generation) = (self.key(), left.generation);
        if left.role != role {
            // An end of the process takes it up again as what it is now.
            self.generations(move |generations| generations.set_role(key, generation, role)).await?;
            self.stored().await?;
        }
        Ok(generation)
    }

    /// Keeps the generation that answered until now instead of what was kept before; what becomes of that, in words.
    async fn keep_only(&self, before: Generation, kept: &mut Vec<Shadow>) -> String {
        let retired = std::mem::take(kept);
        self.keep(kept, before);
        assert!(kept.len() <= GENERATIONS_KEPT_MAX, "{} generations are kept", kept.len());
        self.end(retired).await;
        match self.sweep().await {
            Ok(dropped) => dropped.into_iter().map(|text| format!("; {text}")).collect(),
            // It is swept away with the next operation, or after the next start.
            Err(error) => format!("; what was kept before could not be dropped yet: {error}"),
        }
    }

    async fn verify(&self) -> Result<Outcome, Failure> {
        self.sweep().await?;
        let generation = self.begin(Role::Checking).await?;
        let shadow = self.shadow(generation, Role::Checking);
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
        if let Some(reason) = shadow.shown.end() {
            kept.push(shadow);
            return Err(Failure::Told(format!(
                "generation {generation} is kept, but no longer fed, and cannot answer again: {reason}; discard it"
            )));
        }
        let switched = match self.whole(&shadow).await {
            Ok(()) => self.switch(Operation::RollBack, shadow, true).await,
            Err(failure) => Err(failure),
        };
        let before = match switched {
            Ok(before) => before,
            Err(failure) => {
                self.keep(kept, generation);
                return Err(failure);
            }
        };
        let dropped = self.keep_only(before, kept).await;
        let text = format!("generation {generation} answers again instead of {before}, which is kept and fed{dropped}");
        Ok(Outcome { text, checksum: None })
    }

    async fn discard_all(&self, kept: &mut Vec<Shadow>) -> Result<Outcome, Failure> {
        self.show(Operation::Discard, Step::Discarding);
        self.end(std::mem::take(kept)).await;
        self.show_kept(kept);
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
        let text = match discarded.is_empty() {
            true => "nothing to discard".to_owned(),
            false => format!("dropped {}", discarded.join(", ")),
        };
        Ok(Outcome { text, checksum: None })
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
