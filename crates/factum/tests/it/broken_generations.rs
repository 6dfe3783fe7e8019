//! The suite of generations finds what is broken.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use factum::{
    ProjectionKey,
    read::{Claimed, Epoch, Generation, Generations, MemoryReadStore, ReadError, ReadStore, Role, StoredModel},
    testing,
};

/// What is wrong with a read store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Whoever asks may switch.
    SwitchesForAnybody,
    /// Every generation has the live one's tables.
    ViewsAreTheLiveOne,
    /// What is discarded is only no longer listed.
    KeepsWhatIsDiscarded,
    /// The generation left is live as well.
    LeavesTwoLive,
    /// Every one that ever answered is kept.
    KeepsThemAll,
}

#[derive(Clone)]
struct Flawed {
    inner: MemoryReadStore,
    flaw: Flaw,
}

impl Flawed {
    fn in_force(&self, projection: ProjectionKey, claimed: Claimed) -> Claimed {
        let view = self.inner.view(projection, claimed.generation);
        match view.write(projection, claimed.epoch, &[], &mut |_| Ok(())) {
            Err(ReadError::Fenced { current, .. }) => Claimed { epoch: Epoch(current), ..claimed },
            _ => claimed,
        }
    }
}

impl ReadStore for Flawed {
    read_store_passes_on!([inner] claim checkpoints write read);

    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }
}

impl Generations for Flawed {
    generations_pass_on!([inner] begin set_role inspect);

    fn models(&self) -> Result<Vec<StoredModel>, ReadError> {
        let mut models = self.inner.models()?;
        if self.flaw == Flaw::LeavesTwoLive {
            let kept = models.iter_mut().filter(|model| model.role == Role::Kept);
            kept.for_each(|model| model.role = Role::Live);
        }
        if self.flaw == Flaw::KeepsThemAll {
            let retired = models.iter_mut().filter(|model| model.role == Role::Retired);
            retired.for_each(|model| model.role = Role::Kept);
        }
        Ok(models)
    }

    fn switch(&self, projection: ProjectionKey, from: Claimed, to: Claimed) -> Result<(), ReadError> {
        if self.flaw == Flaw::SwitchesForAnybody {
            return self.inner.switch(projection, self.in_force(projection, from), self.in_force(projection, to));
        }
        self.inner.switch(projection, from, to)
    }

    fn discard(&self, model: &StoredModel) -> Result<(), ReadError> {
        if self.flaw == Flaw::KeepsWhatIsDiscarded { Ok(()) } else { self.inner.discard(model) }
    }

    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore> {
        if self.flaw == Flaw::ViewsAreTheLiveOne {
            return Arc::new(self.clone());
        }
        self.inner.view(projection, generation)
    }
}

#[test]
fn a_store_whose_generations_break_a_promise_is_found() {
    for (flaw, case) in [
        (Flaw::SwitchesForAnybody, "a_switch_needs_both_epochs_and_a_live_one_to_leave"),
        (Flaw::ViewsAreTheLiveOne, "a_generation_begins_empty_and_unseen"),
        (Flaw::KeepsWhatIsDiscarded, "what_is_discarded_is_gone_and_its_feeder_fenced"),
        (Flaw::LeavesTwoLive, "a_switch_is_seen_whole_or_not_at_all"),
        (Flaw::KeepsThemAll, "a_switch_keeps_one_and_retires_what_was_kept_before"),
    ] {
        let suite = || testing::read_generations_suite(&|| Box::new(Flawed { inner: MemoryReadStore::new(), flaw }));
        let payload = catch_unwind(AssertUnwindSafe(suite)).expect_err("the suite found nothing");
        let complaint = payload.downcast::<String>().expect("a suite complains in words");
        assert!(complaint.contains(&format!("\n  {case}: ")), "{case} did not fail with {flaw:?}: {complaint}");
    }
}
