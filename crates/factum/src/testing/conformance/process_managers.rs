//! Any process manager.

use std::{ops::Range, sync::Arc};

use super::{
    PROCESS_SEEDS,
    diary::{fails, short_name},
    house::{Assemble, House, Parts},
    receiver::{Answer, Asked, Others},
    recorded::{Courses, courses},
    sample::{Sample, Told},
    trial::Trial,
};
use crate::{ProcessManager, service::Service, store::BoxFuture};

/// Proves that a process manager comes to the same whatever happens to messages and its process, with [`PROCESS_SEEDS`] seeds.
/// See [`process_manager_over`].
///
/// # Panics
/// It does not: names the seed, what was done, and the first thing that differs.
#[track_caller]
pub fn process_manager<P: ProcessManager>(
    begun: Sample<P::Event>,
    answer: impl Fn(&Asked<'_>) -> Answer<P::Message> + Send + Sync + 'static,
) {
    process_manager_over::<P>(begun, answer, 0..PROCESS_SEEDS);
}

/// As [`process_manager`], with seeds of your own: more of them, or the one of a failure.
///
/// The sample is what begins the processes, events in their streams; `answer` says what becomes of each command they
/// send. The answers are disturbed as messages are for [projections](super::projection_over), and may come late, so
/// that deadlines pass and commands are cancelled.
///
/// In the end, what each message and each timer led to is decided on again, on the state and in the context of then,
/// and must be what was recorded; what each event sends is asked for again, and must be what was sent, each time it
/// was. A process none of whose deadlines has passed must have recorded and sent the same as undisturbed, in the same order.
/// What it finds: decisions and effects that depend on chance, on a clock, or on how often they were asked for.
///
/// # Panics
/// See [`process_manager`]; also when the sample begins no process of this kind.
#[track_caller]
pub fn process_manager_over<P: ProcessManager>(
    begun: Sample<P::Event>,
    answer: impl Fn(&Asked<'_>) -> Answer<P::Message> + Send + Sync + 'static,
    seeds: Range<u64>,
) {
    let answer = Box::new(move |asked: &Asked<'_>| answer(asked).written());
    let others = Others { topics: P::TOPICS, channels: P::CHANNELS, answer };
    let told = begun.into_told();
    for Told { stream, .. } in &told {
        let category = P::CATEGORY;
        let is_of = stream.category() == category;
        assert!(is_of, "{stream} is no stream of process manager {category}: begin it with `{category}-`");
    }
    let trial = Trial::of_processes::<P::Event>(told, others);
    let assemble: Assemble =
        Arc::new(|Parts { store, .. }: Parts| Service::builder("conformance", "handler").manages::<P>().store(store));
    let came_to = |house: House| -> BoxFuture<'static, Result<Courses, String>> {
        Box::pin(async move {
            house.nothing_parked()?;
            courses::<P>(&house).await
        })
    };
    let name = P::CATEGORY;
    let expected = match trial.run(&assemble, None, came_to) {
        (_, Ok(Ok(expected))) => expected,
        (_, Ok(Err(trouble)) | Err(trouble)) => {
            panic!("process manager {name} does not get through the sample undisturbed: {trouble}")
        }
    };
    for seed in seeds {
        let (diary, found) = trial.run(&assemble, Some(seed), came_to);
        let trouble = match found {
            Ok(Ok(found)) => first_difference(&expected, &found),
            Ok(Err(trouble)) | Err(trouble) => Some(trouble),
        };
        if let Some(trouble) = trouble {
            let again = format!("process_manager_over::<{}>(sample, answer", short_name::<P>());
            fails(&format!("process manager {name}"), seed, &trouble, &diary, &again);
        }
    }
}

/// The first process that came to something else, in words.
fn first_difference(expected: &Courses, found: &Courses) -> Option<String> {
    expected.iter().find_map(|(stream, expected)| {
        let found = found.get(stream).cloned().unwrap_or_default();
        let same = found.was_late || (found.events == expected.events && found.sent == expected.sent);
        let shown = |events: &[String], sent: &[String]| format!("{}; sent {}", events.join(", "), sent.join(", "));
        (!same).then(|| {
            let [undisturbed, disturbed] = [shown(&expected.events, &expected.sent), shown(&found.events, &found.sent)];
            format!("{stream}\n  undisturbed: {undisturbed}\n  disturbed:   {disturbed}")
        })
    })
}
