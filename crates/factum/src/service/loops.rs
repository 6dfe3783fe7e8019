//! Which loop a publication or projection becomes.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::{LoopEnd, StartLoop};
use crate::{
    bus::{Assignment, Bus, ConsumerOptions},
    consumer::{Effect, EffectConsumer, Seen},
    dispatch::{CommandDispatcher, Streams},
    forks::Forks,
    model::ProjectionKey,
    process::{Deadlines, Hears, Managed, TimerKeeper},
    projections::{DynProjection, Feed, Turns, Watermarks},
    quarantine::{EventShelf, Parks, Quarantine},
    reactor::{DynReactor, PROGRESS_PREFIX as REACTOR_PROGRESS, ReactorRunner, Reacts},
    read::ReadStore,
    rebuild::{ReadModel, Sources},
    receiver::{DeadLetters, Receiver},
    relay::{DynPublication, Relay},
    runtime::{Ending, Runtime, Status, Stop},
    store::EventStore,
};

/// What the progress of receivers is named with, before the topic.
const COMMANDS_PROGRESS: &str = "commands";

/// What loops are made on. [`ServiceBuilder`](super::ServiceBuilder) has checked that each loop finds what it needs.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) system: String,
    pub(super) service: String,
    pub(super) runtime: Runtime,
    pub(super) store: Option<Arc<dyn EventStore>>,
    pub(super) read_store: Option<Arc<dyn ReadStore>>,
    pub(super) bus: Option<Arc<dyn Bus>>,
    pub(super) watermarks: Arc<Watermarks>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) forks: Arc<Forks>,
    pub(super) dead_letters: Arc<DeadLetters>,
    /// Of whatever is filled beside what answers.
    pub(super) turns: Turns,
}

impl Parts {
    fn store(&self) -> Arc<dyn EventStore> {
        Arc::clone(self.store.as_ref().expect("checked by the builder"))
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(self.bus.as_ref().expect("checked by the builder"))
    }

    fn read_store(&self) -> Arc<dyn ReadStore> {
        Arc::clone(self.read_store.as_ref().expect("checked by the builder"))
    }
}

/// The loop that publishes on one topic.
pub(super) fn relay(parts: &Parts, publication: DynPublication) -> (Arc<Relay>, StartLoop) {
    let (system, service) = (&parts.system, &parts.service);
    let relay = Relay::new(system, service, publication, parts.store(), parts.bus(), parts.runtime.clone());
    let relay = Arc::new(relay);
    (Arc::clone(&relay), start_shared(relay, |relay, stop| async move { relay.run(stop).await }))
}

/// A loop that has effects of messages.
pub(super) struct Effects {
    pub(super) topics: Vec<Arc<str>>,
    pub(super) status: Status,
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) start: StartLoop,
}

/// Where what a handler cannot take in is parked, for operators to decide about.
fn event_shelf(parts: &Parts, handler: &str, parks: Arc<dyn Parks>, status: &Status) -> Arc<EventShelf> {
    let shelf = EventShelf::new(handler, parks, parts.store(), parts.runtime.clone(), status.clone());
    parts.quarantine.watch(&shelf);
    shelf
}

/// The loop that has effects of what is on topics; `name` is what its progress is named with.
fn effects(
    parts: &Parts,
    (name, status): (&str, Option<Status>),
    effect: Arc<dyn Effect>,
    topics: Vec<Arc<str>>,
) -> Effects {
    let mut consumer = effect_consumer(parts, name, effect, topics.clone());
    if let Some(status) = status {
        consumer = consumer.with_status(status);
    }
    effects_of(consumer, topics)
}

fn effects_of(consumer: EffectConsumer, topics: Vec<Arc<str>>) -> Effects {
    let (status, seen) = (consumer.status().clone(), consumer.seen());
    Effects { topics, status, seen, start: start(consumer, |consumer, stop| async move { consumer.run(stop).await }) }
}

fn effect_consumer(parts: &Parts, name: &str, effect: Arc<dyn Effect>, topics: Vec<Arc<str>>) -> EffectConsumer {
    let options = ConsumerOptions {
        group: format!("{}.{}.{}", parts.system, parts.service, name.replace('/', ".")),
        topics,
        // The progress' epoch lets only one instance have effects.
        assignment: Assignment::Everything,
    };
    let consumer = EffectConsumer::new(name, effect, options, parts.bus(), parts.store(), parts.runtime.clone());
    consumer.forks(&parts.forks)
}

/// The loop of a reactor to the events of the own store.
pub(super) async fn reactor(parts: &Parts, reactor: DynReactor) -> (Status, StartLoop) {
    // Looked up before any command is taken: what the service does from now on is reacted to.
    let now = parts.store().heads().await.ok().map(|heads| heads.synced);
    let runner = ReactorRunner::of(reactor, parts.store(), parts.runtime.clone()).put_to_work_at(now);
    let runner = runner.quarantine(&parts.quarantine);
    (runner.status().clone(), start(runner, |runner, stop| async move { runner.run(stop).await }))
}

/// The loop of a reactor to what is on topics.
pub(super) fn reactor_to_topics(parts: &Parts, reactor: DynReactor) -> Effects {
    let topics: Vec<Arc<str>> = reactor.topics().iter().map(|topic| Arc::from(*topic)).collect();
    let (name, since) = (format!("{REACTOR_PROGRESS}{}", reactor.name()), reactor.since());
    let effect = Arc::new(Reacts { reactor, runtime: parts.runtime.clone() });
    let consumer = effect_consumer(parts, &name, Arc::clone(&effect) as Arc<dyn Effect>, topics.clone()).outside(since);
    let shelf = event_shelf(parts, &name, effect, consumer.status());
    effects_of(consumer.parking(&shelf), topics)
}

/// The loop that takes the commands of one sender.
pub(super) fn receiver(parts: &Parts, sender: &str, commands: CommandDispatcher) -> Effects {
    let (dead_letters, runtime) = (Arc::clone(&parts.dead_letters), parts.runtime.clone());
    let receiver = Receiver::new(&parts.system, &parts.service, sender, commands, dead_letters, runtime);
    let (status, topics) = (receiver.status().clone(), vec![receiver.topic()]);
    effects(parts, (COMMANDS_PROGRESS, Some(status)), Arc::new(receiver), topics)
}

/// The loop of a process manager's timers.
pub(super) struct Timers {
    pub(super) status: Status,
    pub(super) deadlines: Deadlines,
    pub(super) start: StartLoop,
}

/// The loops of a process manager: the one that hears, where there is something to be heard, and that of its timers.
pub(super) fn process(parts: &Parts, managed: &Managed, streams: &Arc<Streams>) -> (Option<Effects>, Timers) {
    let process = (managed.on)(Arc::clone(streams));
    let topics: Vec<Arc<str>> = managed.topics.iter().map(|topic| Arc::from(*topic)).collect();
    let (name, timers) =
        (format!("process/{}", managed.category), Status::new(&format!("timers {}", managed.category)));
    // What is parked is shown by one loop.
    let shows = if topics.is_empty() { timers.clone() } else { Status::new(&name.replace('/', " ")) };
    let hears = Arc::new(Hears { process: Arc::clone(&process), status: shows.clone() });
    let shelf = event_shelf(parts, &name, Arc::clone(&hears) as Arc<dyn Parks>, &shows);
    let hearing = (!topics.is_empty()).then(|| {
        let consumer = effect_consumer(parts, &name, hears, topics.clone()).with_status(shows).parking(&shelf);
        effects_of(consumer, topics)
    });
    let seen = hearing.as_ref().map(|hearing| hearing.seen.clone());
    let keeper =
        TimerKeeper::new(process, managed.category, parts.store(), (parts.runtime.clone(), timers), seen, shelf);
    let (status, deadlines) = (keeper.status().clone(), keeper.deadlines().clone());
    (hearing, Timers { status, deadlines, start: start(keeper, |keeper, stop| async move { keeper.run(stop).await }) })
}

/// A projection's read model; `versions` of it are registered.
pub(super) fn read_model(parts: &Parts, projection: DynProjection, feed: Feed, versions: Vec<u32>) -> Arc<ReadModel> {
    let sources = match feed {
        Feed::OwnStore => Sources::OwnStore(parts.store()),
        Feed::Topics(topics) => Sources::Topics(parts.bus(), consumer_options(parts, projection.key(), &topics)),
    };
    let (watermarks, runtime) = (Arc::clone(&parts.watermarks), parts.runtime.clone());
    let shared = (watermarks, Arc::clone(&parts.quarantine), parts.turns.clone());
    let model = Arc::new(ReadModel::new(projection, sources, parts.read_store(), shared, runtime, versions));
    let home: Weak<ReadModel> = Arc::downgrade(&model);
    parts.quarantine.house(home, model.key().name);
    model
}

/// The loop that feeds a projection's live read model.
pub(super) fn projection(model: &Arc<ReadModel>) -> (Status, StartLoop) {
    (model.status().clone(), start_shared(Arc::clone(model), |model, stop| async move { model.run(stop).await }))
}

/// The loop that rebuilds a projection's read model when asked to.
pub(super) fn rebuilds(model: &Arc<ReadModel>) -> (Status, StartLoop) {
    let status = Status::new(&format!("rebuilds of {}", model.key()));
    (status, start_shared(Arc::clone(model), |model, stop| async move { model.tend(stop).await }))
}

fn consumer_options(parts: &Parts, projection: ProjectionKey, topics: &[String]) -> ConsumerOptions {
    ConsumerOptions {
        group: format!("{}.{}.{projection}", parts.system, parts.service),
        topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
        // Two instances of a service either have a read database each, and each must have everything in it; or they
        // share one, and the projection's epoch lets only one of them write.
        assignment: Assignment::Everything,
    }
}

/// What the supervisor calls to start a loop, and again after a panic.
fn start<L, E, F>(looping: L, run: impl Fn(Arc<L>, Stop) -> F + Send + Sync + 'static) -> StartLoop
where
    L: Send + Sync + 'static,
    E: Into<LoopEnd>,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    start_shared(Arc::new(looping), run)
}

fn start_shared<L, E, F>(looping: Arc<L>, run: impl Fn(Arc<L>, Stop) -> F + Send + Sync + 'static) -> StartLoop
where
    L: Send + Sync + 'static,
    E: Into<LoopEnd>,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    Arc::new(move |stop| {
        let ended = run(Arc::clone(&looping), stop);
        Box::pin(async move { ended.await.map_or_else(Into::into, |()| LoopEnd::Stopped) })
    })
}

impl<E: Ending> From<E> for LoopEnd {
    fn from(end: E) -> Self {
        if end.is_stood_down() { Self::StoodDown } else { Self::Halted(end.to_string()) }
    }
}
