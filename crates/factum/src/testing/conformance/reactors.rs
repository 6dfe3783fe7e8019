//! Any reactor.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    SEEDS,
    diary::fails,
    house::{Assemble, Luck, Parts, lock},
    sample::Sample,
    trial::Trial,
};
use crate::{
    Delivery,
    model::EffectId,
    reactor::{EffectError, Outside, Reactions, Reactor, Since},
    service::Service,
};

/// Once in how many times an effect fails before it is had, and once after it.
const FAILS_ONCE_IN: u64 = 10;
/// How long an effect takes at most.
const EFFECT_MAX: Duration = Duration::from_millis(5);

/// Proves that a reactor has the same effects under the same ids whatever happens to the events and its process, with
/// [`SEEDS`] seeds. See [`reactor_over`].
///
/// # Panics
/// It does not: names the seed, what was done, and the first effect that differs.
#[track_caller]
pub fn reactor<R: Reactor<Effect: Debug>>(make: impl Fn() -> R + Send + Sync + 'static, sample: Sample<R::Event>) {
    reactor_over(make, sample, 0..SEEDS);
}

/// As [`reactor`], with seeds of your own: more of them, or the one of a failure.
///
/// The sample is what happens in the service's own store, or on [`Reactor::TOPICS`] where there are any. What the reactor
/// wants to have done is written down instead of being done: [`Reactor::perform`] is not called. Effects fail before or
/// after they are had, take time, and are cut off by deaths, restarts and twins, as messages and calls are disturbed for
/// [projections](super::projection_over).
///
/// In the end each effect was had at least once, in the order of its stream, and every time under the same id with the
/// same content. What it finds: reactions that depend on chance, on a clock, or on how often they were asked for.
///
/// # Panics
/// See [`reactor`].
#[track_caller]
pub fn reactor_over<R: Reactor<Effect: Debug>>(
    make: impl Fn() -> R + Send + Sync + 'static,
    sample: Sample<R::Event>,
    seeds: Range<u64>,
) {
    let told = sample.into_told();
    let trial = if R::TOPICS.is_empty() {
        Trial::of_own_events::<R::Event>(told)
    } else {
        Trial::of_messages::<R::Event>(told)
    };
    if !R::TOPICS.is_empty() {
        let topics = trial.topics();
        let foreign = topics.iter().find(|topic| !R::TOPICS.contains(&topic.as_str()));
        assert!(foreign.is_none(), "reactor {} does not hear {foreign:?}: use Sample::on_topic", R::NAME);
    }
    let make = Arc::new(make);
    let run = |seed| {
        let ledger = Ledger::default();
        let (make, log) = (Arc::clone(&make), ledger.clone());
        let assemble: Assemble = Arc::new(move |Parts { store, luck, .. }: Parts| {
            let watched = Watched { reactor: make(), ledger: log.clone(), luck };
            Service::builder("conformance", "handler").reacts(watched).store(store)
        });
        let (diary, ended) = trial.run(&assemble, seed, |house| Box::pin(async move { house.nothing_parked() }));
        (diary, ended.and_then(|parked| parked).and_then(|()| ledger.firsts()))
    };
    let expected = match run(None) {
        (_, Ok(expected)) => expected,
        (_, Err(trouble)) => panic!("reactor {} does not get through the sample undisturbed: {trouble}", R::NAME),
    };
    assert!(!expected.is_empty(), "reactor {} wants nothing done for this sample: it shows nothing", R::NAME);
    for seed in seeds {
        let (diary, found) = run(Some(seed));
        let trouble = match found {
            Ok(found) => first_difference(&expected, &found),
            Err(trouble) => Some(trouble),
        };
        if let Some(trouble) = trouble {
            fails(&format!("reactor {}", R::NAME), seed, &trouble, &diary, "reactor_over(make, sample");
        }
    }
}

/// An effect that was had.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Had {
    id: EffectId,
    content: String,
}

/// Each effect once, in the order in which they were first had, by stream.
type Firsts = BTreeMap<String, Vec<Had>>;

/// Every effect that was had, however often.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Vec<(String, Had)>>>);

impl Ledger {
    /// Fails when an effect was had twice with different content.
    fn firsts(&self) -> Result<Firsts, String> {
        let mut firsts = Firsts::new();
        for (stream, had) in lock(&self.0).iter() {
            let of_stream = firsts.entry(stream.clone()).or_default();
            match of_stream.iter().find(|first| first.id == had.id) {
                None => of_stream.push(had.clone()),
                Some(first) if first == had => {}
                Some(first) => {
                    let (id, before, then) = (had.id, &first.content, &had.content);
                    return Err(format!(
                        "of {stream}, effect {id} is one thing and then another\n  {before}\n  {then}"
                    ));
                }
            }
        }
        Ok(firsts)
    }
}

/// The first effect that is another one than expected, in words.
fn first_difference(expected: &Firsts, found: &Firsts) -> Option<String> {
    let streams: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let none = Vec::new();
    for stream in streams {
        let [expected, found] = [expected, found].map(|firsts| firsts.get(stream).unwrap_or(&none));
        let at = (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at));
        if let Some(at) = at {
            let shown = |had: Option<&Had>| match had {
                Some(Had { id, content }) => format!("{id} {content}"),
                None => "(no effect)".to_owned(),
            };
            let (expected, found, number) = (shown(expected.get(at)), shown(found.get(at)), at + 1);
            return Some(format!("effect {number} of {stream}\n  undisturbed: {expected}\n  disturbed:   {found}"));
        }
    }
    None
}

/// A reactor whose effects are written down instead of being had.
struct Watched<R> {
    reactor: R,
    ledger: Ledger,
    luck: Luck,
}

impl<R: Reactor<Effect: Debug>> Reactor for Watched<R> {
    const NAME: &'static str = R::NAME;
    const SINCE: Since = Since::Beginning;
    const TOPICS: &'static [&'static str] = R::TOPICS;
    type Event = R::Event;
    type Effect = R::Effect;

    fn react(&self, event: &R::Event, delivery: &Delivery) -> Reactions<R::Effect> {
        self.reactor.react(event, delivery)
    }

    async fn perform(&self, effect: &R::Effect, outside: &Outside) -> Result<(), EffectError> {
        let later = || EffectError::Later("nobody answers".to_owned());
        self.luck.pause(EFFECT_MAX).await;
        if self.luck.is_bad(FAILS_ONCE_IN) {
            return Err(later());
        }
        let had = Had { id: outside.id(), content: format!("{effect:?}") };
        lock(&self.ledger.0).push((outside.delivery().stream.to_string(), had));
        self.luck.pause(EFFECT_MAX).await;
        if self.luck.is_bad(FAILS_ONCE_IN) { Err(later()) } else { Ok(()) }
    }
}
