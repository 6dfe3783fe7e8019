//! The suite of event stores finds what is broken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use factum::{
    CommandId, EventStore, ExpectedVersion, Position, StreamName, Version,
    read::Epoch,
    store::{
        Append, AppendError, Batch, Boundary, BoxFuture, Direction, Heads, Identity, KnownCommand, MemoryStore,
        Progress, ProgressError, Receipt, Selection, StoreError,
    },
    testing,
};

use crate::verdict::complaint;

type Answer<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

/// What is wrong with a store: what it does otherwise than the one it is made of.
trait Flaw: Send + Sync + Sized + 'static {
    fn append<'a>(&'a self, inner: &'a MemoryStore, append: Append) -> Answer<'a, Receipt, AppendError> {
        inner.append(append)
    }

    fn read<'a>(
        &'a self,
        inner: &'a MemoryStore,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> Answer<'a, Batch> {
        inner.read(selection, after, direction, limit)
    }

    fn claim_progress<'a>(&'a self, inner: &'a MemoryStore, name: &'a str) -> Answer<'a, Progress, ProgressError> {
        inner.claim_progress(name)
    }

    fn advance_progress<'a>(
        &'a self,
        inner: &'a MemoryStore,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> Answer<'a, (), ProgressError> {
        inner.advance_progress(name, epoch, previous, next)
    }
}

struct Flawed<F> {
    inner: MemoryStore,
    flaw: F,
}

impl<F: Flaw> EventStore for Flawed<F> {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn append(&self, append: Append) -> Answer<'_, Receipt, AppendError> {
        self.flaw.append(&self.inner, append)
    }

    fn read_stream<'a>(
        &'a self,
        stream: &'a StreamName,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Answer<'a, Batch> {
        self.inner.read_stream(stream, from, direction, limit)
    }

    fn read<'a>(
        &'a self,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> Answer<'a, Batch> {
        self.flaw.read(&self.inner, selection, after, direction, limit)
    }

    fn command(&self, id: CommandId) -> Answer<'_, Option<KnownCommand>> {
        self.inner.command(id)
    }

    fn heads(&self) -> Answer<'_, Heads> {
        self.inner.heads()
    }

    fn synced_beyond(&self, after: Position) -> Answer<'_, Position> {
        self.inner.synced_beyond(after)
    }

    fn progress<'a>(&'a self, name: &'a str) -> Answer<'a, Progress, ProgressError> {
        self.inner.progress(name)
    }

    fn claim_progress<'a>(&'a self, name: &'a str) -> Answer<'a, Progress, ProgressError> {
        self.flaw.claim_progress(&self.inner, name)
    }

    fn advance_progress<'a>(
        &'a self,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> Answer<'a, (), ProgressError> {
        self.flaw.advance_progress(&self.inner, name, epoch, previous, next)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}

/// The suite complains about a store with this flaw, and says which cases failed.
async fn found<F: Flaw>(flaw: fn() -> F, cases: &[&str]) {
    let suite = async move {
        testing::event_store_suite(&|| Arc::new(Flawed { inner: MemoryStore::new(), flaw: flaw() })).await;
    };
    let complaint = complaint(suite).await;
    for case in cases {
        assert!(complaint.contains(&format!("\n  {case}: ")), "{case} did not fail: {complaint}");
    }
}

/// Appends something else than what it is asked for.
struct Appends(fn(Append) -> Append);

impl Flaw for Appends {
    fn append<'a>(&'a self, inner: &'a MemoryStore, append: Append) -> Answer<'a, Receipt, AppendError> {
        inner.append((self.0)(append))
    }
}

fn with_boundary(mut append: Append, change: impl FnOnce(Boundary) -> Option<Boundary>) -> Append {
    append.boundary = append.boundary.and_then(change);
    append
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_boundaries_is_found() {
    let ignores = || Appends(|append| with_boundary(append, |_| None));
    let cases = [
        "nothing_like_it_may_exist",
        "only_what_matches_behind_it_crosses_a_boundary",
        "a_boundary_beyond_the_head_is_refused",
        "what_a_boundary_refused_left_nothing",
        "of_racing_appends_with_one_boundary_one_wins",
        "a_boundary_over_a_limit_is_refused",
    ];
    found(ignores, &cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_judges_boundaries_wrongly_is_found() {
    let from_zero =
        || Appends(|append| with_boundary(append, |boundary| Some(Boundary::nothing_like(boundary.selection))));
    found(from_zero, &["only_what_matches_behind_it_crosses_a_boundary", "a_boundary_beyond_the_head_is_refused"])
        .await;
    let by_the_first_clause = || {
        Appends(|append| {
            with_boundary(append, |boundary| {
                Some(Boundary::new(boundary.selection.clauses()[0].clone(), boundary.after))
            })
        })
    };
    found(by_the_first_clause, &["only_what_matches_behind_it_crosses_a_boundary"]).await;
}

/// Looks at the boundary first, and appends some time later.
#[derive(Default)]
struct LooksThenAppends;

impl Flaw for LooksThenAppends {
    fn append<'a>(&'a self, inner: &'a MemoryStore, append: Append) -> Answer<'a, Receipt, AppendError> {
        Box::pin(async move {
            if let Some(boundary) = &append.boundary {
                let head = inner.heads().await?.written;
                if boundary.after > head {
                    return Err(AppendError::BoundaryBeyondHead { after: boundary.after, head });
                }
                let selected = inner.read(&boundary.selection, boundary.after, Direction::Forward, 1).await?;
                if let Some(event) = selected.events.first() {
                    let (after, found) = (boundary.after, event.position);
                    return Err(AppendError::BoundaryCrossed { clause: 0, after, found });
                }
                tokio::task::yield_now().await;
            }
            inner.append(with_boundary(append, |_| None)).await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_judges_outside_its_lock_is_found() {
    let cases = [
        "of_racing_appends_with_one_boundary_one_wins",
        // It judges before the command id and the versions as well.
        "a_repeat_gets_its_answer_whatever_its_boundary_says_now",
        "versions_are_judged_before_the_boundary",
    ];
    found(|| LooksThenAppends, &cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_checks_no_version_or_remembers_no_command_is_found() {
    let any_version = || {
        Appends(|mut append| {
            append.streams.iter_mut().for_each(|part| part.expected = ExpectedVersion::Any);
            append
        })
    };
    let cases = [
        "an_expected_version_is_met_or_it_conflicts",
        "of_racing_appends_that_expect_the_same_version_one_wins",
        "several_streams_are_appended_to_or_none",
    ];
    found(any_version, &cases).await;
    let no_command = || {
        Appends(|mut append| {
            append.command = None;
            append
        })
    };
    let cases = ["a_repeated_command_gets_the_first_receipt", "one_of_racing_repeats_is_appended"];
    found(no_command, &cases).await;
    let torn = || {
        Appends(|mut append| {
            append.streams.truncate(1);
            append
        })
    };
    found(torn, &["several_streams_are_appended_to_or_none"]).await;
}

/// Answers something else than what it read; told the direction.
struct Reads(fn(&Selection, Batch, Direction) -> Batch);

impl Flaw for Reads {
    fn read<'a>(
        &'a self,
        inner: &'a MemoryStore,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> Answer<'a, Batch> {
        Box::pin(async move {
            let batch = inner.read(selection, after, direction, limit).await?;
            Ok((self.0)(selection, batch, direction))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_says_wrongly_how_far_it_read_is_found() {
    let only_to_the_last_match = || {
        Reads(|selection, batch, _| match batch.events.last() {
            Some(last) if !selection.is_everything() => Batch { read_to: last.position, ..batch },
            _ => batch,
        })
    };
    found(only_to_the_last_match, &["a_selection_is_read_from_anywhere", "what_does_not_match_is_passed_over"]).await;
    let beyond_what_it_gave = || {
        Reads(|selection, mut batch, _| {
            if !selection.is_everything() && batch.events.len() > 1 {
                batch.events.pop();
            }
            batch
        })
    };
    let cases = ["a_selection_is_any_of_its_clauses", "pages_miss_nothing_while_others_append"];
    found(beyond_what_it_gave, &cases).await;
    let the_end_is_near = || Reads(|_, batch, _| Batch { end: true, ..batch });
    found(the_end_is_near, &["the_store_is_read_from_anywhere", "a_selection_is_read_from_anywhere"]).await;
}

/// Takes every selection for everything, or its first clause for all of it.
struct Selects(fn(&Selection) -> Selection);

impl Flaw for Selects {
    fn read<'a>(
        &'a self,
        inner: &'a MemoryStore,
        selection: &'a Selection,
        after: Position,
        direction: Direction,
        limit: usize,
    ) -> Answer<'a, Batch> {
        Box::pin(async move { inner.read(&(self.0)(selection), after, direction, limit).await })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_selects_wrongly_is_found() {
    let cases = [
        "a_selection_is_any_of_its_clauses",
        "a_subscription_gets_on_over_what_is_filtered",
        "hostile_names_and_tags_select_only_themselves",
        "a_selection_over_a_limit_is_refused",
    ];
    found(|| Selects(|_| Selection::everything()), &cases).await;
    let first_clause = || Selects(|selection| selection.clauses()[0].clone().into());
    found(first_clause, &["a_selection_is_any_of_its_clauses"]).await;
}

/// Lets every owner write, whoever has claimed the name since.
#[derive(Default)]
struct NeverFences(Mutex<HashMap<String, Epoch>>);

impl Flaw for NeverFences {
    fn claim_progress<'a>(&'a self, inner: &'a MemoryStore, name: &'a str) -> Answer<'a, Progress, ProgressError> {
        Box::pin(async move {
            let claimed = inner.claim_progress(name).await?;
            self.0.lock().unwrap().insert(name.to_owned(), claimed.epoch);
            Ok(claimed)
        })
    }

    fn advance_progress<'a>(
        &'a self,
        inner: &'a MemoryStore,
        name: &'a str,
        epoch: Epoch,
        previous: Option<&'a [u8]>,
        next: &'a [u8],
    ) -> Answer<'a, (), ProgressError> {
        let owner = self.0.lock().unwrap().get(name).copied().unwrap_or(epoch);
        inner.advance_progress(name, owner, previous, next)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fences_nobody_is_found() {
    found(NeverFences::default, &["a_claim_of_progress_fences_the_owner_before"]).await;
}
