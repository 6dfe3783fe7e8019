//! A read model: the projection, what feeds it, and who waits for whom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::{
    Done, GenerationReport, ModelReport, Operation, RequestError, Step,
    feeder::Feeder,
    shadow::{Shadow, Shown},
};
use crate::{
    bus::{Bus, ConsumerOptions},
    consumer::ProjectionConsumer,
    model::ProjectionKey,
    projections::{DynProjection, Feed, Leash, Phase, ProjectionRunner, Turns, Watermarks},
    quarantine::{Home, Quarantine, StoredGeneration},
    read::{Generation, Generations, ReadError, ReadStore, Role, StoredModel},
    runtime::{Runtime, Status},
    store::{BoxFuture, EventStore},
};

/// How many requests wait at most; one that is under way is not taken again.
const REQUESTS_MAX: usize = 8;

/// Where a projection's events come from.
#[derive(Clone)]
pub(crate) enum Sources {
    /// The service's own event store.
    OwnStore(Arc<dyn EventStore>),
    /// Topics of the bus.
    Topics(Arc<dyn Bus>, ConsumerOptions),
}

/// A projection's read model in all its generations.
pub(crate) struct ReadModel {
    key: ProjectionKey,
    projection: Arc<DynProjection>,
    pub(super) sources: Sources,
    pub(super) read_store: Arc<dyn ReadStore>,
    /// Of the live generation.
    pub(super) watermarks: Arc<Watermarks>,
    /// What every generation parks, and what was discarded.
    quarantine: Arc<Quarantine>,
    /// Of whatever is filled beside what answers.
    pub(super) turns: Turns,
    pub(super) runtime: Runtime,
    /// Of the loop that feeds the live generation.
    status: Status,
    /// Versions of this projection that this build has code for, this one included.
    pub(super) versions: Vec<u32>,
    /// How many ask the live generation to rest.
    pub(super) rests: watch::Sender<u32>,
    /// Nothing is written to the live generation, nor will be as long as somebody asks it to rest.
    pub(super) resting: watch::Sender<bool>,
    /// How often another generation has become live.
    pub(super) switches: watch::Sender<u64>,
    pub(super) requests: mpsc::Sender<Operation>,
    pub(super) requested: tokio::sync::Mutex<mpsc::Receiver<Operation>>,
    /// Whatever is under way is to be given up.
    pub(super) given_up: watch::Sender<bool>,
    shown: watch::Sender<Shows>,
    filling: Mutex<Option<(Generation, Shown)>>,
    kept: Mutex<Vec<(Generation, Shown)>>,
}

/// What a read model shows of itself, as far as it is not asked for at that moment.
#[derive(Clone, Debug, Default)]
struct Shows {
    generations: Vec<(Generation, Role)>,
    operation: Option<Operation>,
    step: Step,
    last: Option<Done>,
}

impl ReadModel {
    pub(crate) fn new(
        projection: DynProjection,
        sources: Sources,
        read_store: Arc<dyn ReadStore>,
        (watermarks, quarantine, turns): (Arc<Watermarks>, Arc<Quarantine>, Turns),
        runtime: Runtime,
        versions: Vec<u32>,
    ) -> Self {
        let key = projection.key();
        let (feed, kind) = match &sources {
            Sources::OwnStore(_) => (Feed::OwnStore, "projection"),
            Sources::Topics(_, options) => {
                (Feed::Topics(options.topics.iter().map(ToString::to_string).collect()), "consumer")
            }
        };
        // Until a loop has looked at the checkpoints, it counts as being refilled.
        watermarks.track(key, feed, Vec::new());
        watermarks.set_phase(key, Phase::Refilling { done: 0, total: 0 });
        let (requests, requested) = mpsc::channel(REQUESTS_MAX);
        Self {
            key,
            projection: Arc::new(projection),
            sources,
            read_store,
            watermarks,
            quarantine,
            turns,
            runtime,
            status: Status::new(&format!("{kind} {key}")),
            versions,
            rests: watch::Sender::new(0),
            resting: watch::Sender::new(false),
            switches: watch::Sender::new(0),
            requests,
            requested: tokio::sync::Mutex::new(requested),
            given_up: watch::Sender::new(false),
            shown: watch::Sender::default(),
            filling: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    pub(crate) const fn key(&self) -> ProjectionKey {
        self.key
    }

    pub(crate) const fn is_of_topics(&self) -> bool {
        matches!(self.sources, Sources::Topics(..))
    }

    /// What the loop that feeds the live generation shows.
    pub(crate) const fn status(&self) -> &Status {
        &self.status
    }

    /// The loop that feeds a generation.
    pub(super) fn feeder(
        &self,
        read_store: Arc<dyn ReadStore>,
        watermarks: Arc<Watermarks>,
        status: Status,
        leash: Option<Leash>,
    ) -> Feeder {
        let (projection, runtime) = (Arc::clone(&self.projection), self.runtime.clone());
        match &self.sources {
            Sources::OwnStore(store) => Feeder::OwnStore(
                ProjectionRunner::of(projection, Arc::clone(store), read_store, watermarks, runtime)
                    .showing(status)
                    .behind(leash)
                    .quarantine(&self.quarantine),
            ),
            Sources::Topics(bus, options) => Feeder::Topics(
                ProjectionConsumer::of(projection, options.clone(), Arc::clone(bus), read_store, watermarks, runtime)
                    .showing(status)
                    .behind(leash)
                    .quarantine(&self.quarantine),
            ),
        }
    }

    /// The read store of one generation.
    pub(super) fn view(&self, generation: Generation) -> Arc<dyn ReadStore> {
        match self.read_store.generations() {
            Some(generations) => generations.view(self.key, generation),
            None => Arc::clone(&self.read_store),
        }
    }

    /// What the loop that feeds a generation calls itself, as long as it does not answer.
    pub(super) fn loop_of(&self, generation: Generation) -> String {
        format!("{} generation {generation}", self.status.name())
    }

    /// Does something with the generations, where that stops nobody else.
    pub(super) async fn generations<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Generations) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let read_store = Arc::clone(&self.read_store);
        let done = self.runtime.blocking(move || match read_store.generations() {
            Some(generations) => work(generations),
            None => Err(ReadError::Broken("this read store holds one generation only".to_owned())),
        });
        done.await.unwrap_or_else(|failure| Err(ReadError::Unavailable(failure.into())))
    }

    /// The generations of this version that are there.
    pub(super) async fn stored(&self) -> Result<Vec<StoredModel>, ReadError> {
        if self.read_store.generations().is_none() {
            return Ok(Vec::new());
        }
        let key = self.key;
        let models = self.generations(move |generations| {
            let mut models = generations.models()?;
            models.retain(|model| model.is_of(key));
            Ok(models)
        });
        let models = models.await?;
        let there: Vec<_> = models.iter().map(|model| (model.generation, model.role)).collect();
        self.shown.send_modify(|shown| shown.generations = there);
        Ok(models)
    }

    /// The generation that answers.
    pub(super) async fn live(&self) -> Result<Generation, ReadError> {
        let models = self.stored().await?;
        let live = models.iter().find(|model| model.role == Role::Live).map(|model| model.generation);
        if live.is_none() && self.read_store.generations().is_some() {
            // It is begun by whoever feeds it, with this one.
            self.shown.send_modify(|shown| shown.generations.insert(0, (Generation::FIRST, Role::Live)));
        }
        Ok(live.unwrap_or(Generation::FIRST))
    }

    /// Whether an operation can be begun.
    pub(super) fn accepts(&self, operation: Operation) -> Result<(), RequestError> {
        if self.read_store.generations().is_none() {
            return Err(RequestError::Unsupported(self.key));
        }
        match self.shown.borrow().operation {
            Some(current) if current != operation && operation != Operation::Discard => {
                Err(RequestError::Busy { projection: self.key, operation: current })
            }
            _ => Ok(()),
        }
    }

    /// Begins an operation that was accepted.
    pub(super) fn request(&self, operation: Operation) {
        let mut begins = false;
        self.shown.send_modify(|shown| {
            begins = shown.operation != Some(operation);
            if begins {
                (shown.operation, shown.step) = (Some(operation), Step::Beginning);
            }
        });
        if begins {
            self.given_up.send_replace(operation == Operation::Discard);
            if self.requests.try_send(operation).is_err() {
                self.ended(operation, Err("too many requests wait".to_owned()), None);
            }
        }
    }

    /// Shows what an operation is doing.
    pub(super) fn show(&self, operation: Operation, step: Step) {
        self.shown.send_modify(|shown| (shown.operation, shown.step) = (Some(operation), step));
    }

    /// Shows how an operation ended.
    pub(super) fn ended(
        &self,
        operation: Operation,
        result: Result<String, String>,
        checksum: Option<super::Checksum>,
    ) {
        match &result {
            Ok(text) => tracing::info!(projection = %self.key, operation = operation.as_str(), "{text}"),
            Err(text) => tracing::warn!(projection = %self.key, operation = operation.as_str(), "{text}"),
        }
        self.shown.send_modify(|shown| {
            shown.last = Some(Done { operation, result, checksum });
            // What gave it up is under way by now.
            if shown.operation == Some(operation) {
                (shown.operation, shown.step) = (None, Step::Idle);
            }
        });
    }

    /// Shows what is being filled, from now on.
    pub(super) fn show_filling(&self, shown: Option<(Generation, Shown)>) {
        *self.filling() = shown;
    }

    /// Shows what is kept, from now on.
    pub(super) fn show_kept(&self, kept: &[Shadow]) {
        let kept = kept.iter().map(|shadow| (shadow.generation, shadow.shown.clone())).collect();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// What a generation that is kept shows.
    fn kept(&self, generation: Generation) -> Option<Shown> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let life = self.read_store.life();
        kept.iter().find(|(known, shown)| *known == generation && shown.life == life).map(|(_, shown)| shown.clone())
    }

    fn filling(&self) -> MutexGuard<'_, Option<(Generation, Shown)>> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self) -> ModelReport {
        let Shows { generations, operation, step, last } = self.shown.borrow().clone();
        let filling = self.filling().clone();
        let progress = match &filling {
            Some((_, shown)) => shown.progress(self.key),
            None => self.watermarks.progress(self.key),
        };
        let trouble = match &filling {
            Some((_, shown)) => shown.trouble(),
            None => self.status.report().alarms.into_values().next(),
        };
        let generations = generations.into_iter().map(|(generation, role)| {
            let kept = if role == Role::Kept { self.kept(generation) } else { None };
            let trouble = kept.as_ref().and_then(Shown::trouble);
            let filled = filling.as_ref().filter(|(filled, _)| *filled == generation).map(|(_, shown)| shown);
            let beside = kept.as_ref().or(filled.filter(|_| role != Role::Live));
            let share_percent = beside.filter(|shown| shown.end().is_none()).map(Shown::share_percent);
            GenerationReport { generation, role, trouble, share_percent }
        });
        let generations = generations.collect();
        ModelReport { projection: self.key, generations, operation, step, progress, trouble, last }
    }

    /// Waits until no operation is under way.
    pub(super) async fn idle(&self) {
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.shown.subscribe().wait_for(|shown| shown.operation.is_none()).await;
    }
}

impl Home for ReadModel {
    fn projection(&self) -> ProjectionKey {
        self.key
    }

    fn loop_name(&self) -> &str {
        self.status.name()
    }

    fn generations(&self) -> BoxFuture<'_, Result<Vec<StoredGeneration>, ReadError>> {
        Box::pin(async move {
            let stored = |loop_name: &str, is_live, read_store| StoredGeneration {
                loop_name: loop_name.into(),
                is_live,
                read_store,
            };
            if self.read_store.generations().is_none() {
                return Ok(vec![stored(self.status.name(), true, Arc::clone(&self.read_store))]);
            }
            let mut models = self.stored().await?;
            models.retain(|model| model.role != Role::Retired);
            let of = |StoredModel { generation, role, .. }| match role {
                Role::Live => stored(self.status.name(), true, self.view(generation)),
                _ => stored(&self.loop_of(generation), false, self.view(generation)),
            };
            Ok(models.into_iter().map(of).collect())
        })
    }
}
