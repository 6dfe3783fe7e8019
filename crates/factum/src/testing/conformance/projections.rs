//! Any projection.

use std::{ops::Range, sync::Arc};

use super::{
    SEEDS,
    diary::{fails, short_name},
    documents::{Documents, documents, first_difference},
    house::{Assemble, House, Parts},
    sample::Sample,
    trial::Trial,
};
use crate::{Projection, ProjectionKey, service::Service, store::BoxFuture};

/// Proves that a projection comes to the same read model whatever happens to its messages and its process, with
/// [`SEEDS`] seeds. See [`projection_over`].
///
/// # Panics
/// It does not: names the seed, what was done, and the first document that differs.
#[track_caller]
pub fn projection<P: Projection>(sample: Sample<P::Event>) {
    projection_over::<P>(sample, 0..SEEDS);
}

/// As [`projection`], with seeds of your own: more of them, or the one of a failure.
///
/// In each run, the keys of the sample are divided among partitions by chance; partitions overtake each other, while
/// each keeps its order. Messages are sent again, left out and filled in later, and lost by the broker; the process dies
/// at any call, before, within or after it, and by itself; a twin takes over; the read model is built anew beside the
/// one that answers; the read database is deleted. Times, positions and ids of messages are those of the sample in every run.
///
/// What it finds: effects outside the transaction; documents that depend on chance, on a clock or on how often an event
/// was folded in; documents that depend on which of two keys' messages came first.
///
/// # Panics
/// See [`projection`].
#[track_caller]
pub fn projection_over<P: Projection>(sample: Sample<P::Event>, seeds: Range<u64>) {
    let trial = Trial::of_messages::<P::Event>(sample.into_told());
    let topics = trial.topics();
    let assemble: Assemble = Arc::new(move |Parts { store, read_store, .. }: Parts| {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        Service::builder("conformance", "handler").consumes::<P>(&topics).store(store).read_store(read_store)
    });
    let again = format!("projection_over::<{}>(sample", short_name::<P>());
    compare(ProjectionKey::of::<P>(), (&trial, &assemble), seeds, &again);
}

/// As [`projection`], for a projection of the service's own events: the sample's events are recorded in the service's
/// store, in this order.
///
/// # Panics
/// See [`projection`].
#[track_caller]
pub fn own_projection<P: Projection>(sample: Sample<P::Event>) {
    own_projection_over::<P>(sample, 0..SEEDS);
}

/// As [`own_projection`], with seeds of your own: more of them, or the one of a failure.
///
/// # Panics
/// See [`projection`].
#[track_caller]
pub fn own_projection_over<P: Projection>(sample: Sample<P::Event>, seeds: Range<u64>) {
    let trial = Trial::of_own_events::<P::Event>(sample.into_told());
    let assemble: Assemble = Arc::new(|Parts { store, read_store, .. }: Parts| {
        Service::builder("conformance", "handler").projects::<P>().store(store).read_store(read_store)
    });
    let again = format!("own_projection_over::<{}>(sample", short_name::<P>());
    compare(ProjectionKey::of::<P>(), (&trial, &assemble), seeds, &again);
}

#[track_caller]
fn compare(key: ProjectionKey, (trial, assemble): (&Trial, &Assemble), seeds: Range<u64>, again: &str) {
    let written = move |house: House| -> BoxFuture<'static, Result<Documents, String>> {
        Box::pin(async move { documents(house.read_store().as_ref(), key) })
    };
    let expected = match trial.run(assemble, None, written) {
        (_, Ok(Ok(expected))) => expected,
        (_, Ok(Err(trouble)) | Err(trouble)) => {
            panic!("projection {key} does not get through the sample undisturbed: {trouble}")
        }
    };
    assert!(!expected.is_empty(), "projection {key} writes nothing for this sample: it shows nothing");
    for seed in seeds {
        let (diary, found) = trial.run(assemble, Some(seed), written);
        let trouble = match found {
            Ok(Ok(found)) => first_difference(&expected, &found),
            Ok(Err(trouble)) | Err(trouble) => Some(trouble),
        };
        if let Some(trouble) = trouble {
            fails(&format!("projection {key}"), seed, &trouble, &diary, again);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Delivery,
        model::{DecodeError, Decoded, Event, RawEvent},
        read::{Key, ReadError, ReadTransaction, Table},
        testing::conformance::TOPIC,
    };

    #[derive(Clone)]
    struct Turned;

    impl Event for Turned {
        fn names() -> &'static [&'static str] {
            &["turned"]
        }

        fn name(&self) -> &'static str {
            "turned"
        }

        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(b"{}");
        }

        fn decode(_: RawEvent<'_>) -> Result<Decoded<Self>, DecodeError> {
            Ok(Decoded::Known(Self))
        }
    }

    #[derive(Default)]
    struct Versions;

    const VERSIONS: Table<u64> = Table::of::<Versions>("versions");

    impl Projection for Versions {
        const NAME: &'static str = "versions";
        const VERSION: u32 = 1;
        type Event = Turned;

        fn project(&self, _: &Turned, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
            VERSIONS.put(tx, &Key::from(from.stream.as_str()), &from.version.get())
        }
    }

    #[test]
    fn every_disturbance_comes_about_within_the_default_seeds_and_the_same_ones_for_the_same_seed() {
        let turns = |sample: Sample<Turned>, stream| sample.after(stream, vec![Turned; 5]);
        let sample = ["a-1", "a-2", "a-3"].into_iter().fold(Sample::new(), turns);
        let trial = Trial::of_messages::<Turned>(sample.into_told());
        let key = ProjectionKey::of::<Versions>();
        let assemble: Assemble = Arc::new(|Parts { read_store, .. }: Parts| {
            Service::builder("conformance", "handler").consumes::<Versions>(&[TOPIC]).read_store(read_store)
        });
        let run = |seed| {
            let (diary, found) = trial.run(&assemble, Some(seed), move |house| {
                Box::pin(async move { documents(house.read_store().as_ref(), key) })
            });
            assert!(found.flatten().is_ok_and(|documents| documents.len() == 3), "seed {seed}:{}", diary.told());
            diary.told()
        };
        let diaries: Vec<String> = (0..SEEDS).map(run).collect();
        let kinds = ["sent again", "left out", "loses everything", "died", "killed", "twin", "rebuild", "deleted"];
        for kind in kinds {
            let count = diaries.iter().filter(|diary| diary.contains(kind)).count();
            assert!(count > 3, "{kind}: in {count} of {SEEDS} runs");
        }
        assert_eq!(run(7), diaries[7]);
    }
}
