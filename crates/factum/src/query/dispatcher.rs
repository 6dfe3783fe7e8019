//! Asks queries on snapshots of the read store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use factum_engine::Position;

use super::{
    AskError, Moment, QueryInfo,
    before::Before,
    live::LIVE_INTERVAL_DEFAULT,
    moment::{Heard, Reached},
    pace::Pace,
    registry::{self, AnyQuery},
};
use crate::{
    dispatch::BuildError,
    model::{Answers, ProjectionKey, Query, StoreId},
    principal::{Access, AllowAll, Authorize, Denied, Principal},
    projections::{Awaited, Feed, Unseen, Watermarks},
    read::{Lane, ReadError, ReadSnapshot, ReadStore},
    runtime::{Runtime, contained},
    store::{BoxFuture, History, Identity},
    token::{Token, TopicMark},
};

/// How long a query waits for a token, unless told otherwise.
pub const TOKEN_WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// Answers queries from read models. It cannot reach an event store. Cheap to clone.
#[derive(Clone)]
pub struct QueryDispatcher {
    core: Arc<Core>,
    queries: Arc<BTreeMap<&'static str, Box<dyn AnyQuery>>>,
    before: Arc<BTreeMap<&'static str, Before>>,
}

pub(super) struct Core {
    read_store: Arc<dyn ReadStore>,
    watermarks: Arc<Watermarks>,
    own: Option<(StoreId, History)>,
    policy: Arc<dyn Authorize>,
    runtime: Runtime,
    token_wait: Duration,
    live_interval: Duration,
}

/// What a projection must have reached for a token.
enum Mark {
    OwnStore(Position),
    Message(Awaited),
}

/// Everything a caller may say about a query besides the query.
#[derive(Clone, Debug)]
pub struct AskOptions {
    /// What must be visible.
    pub at_least: Option<Token>,
    /// Nothing older than this moment is to be answered: this, too, is waited for.
    pub not_before: Option<Moment>,
    /// Who asks.
    pub principal: Principal,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self { at_least: None, not_before: None, principal: Principal::anonymous() }
    }
}

/// Puts a [`QueryDispatcher`] together.
#[must_use = "a builder does nothing until `build`"]
pub struct QueryDispatcherBuilder {
    core: Core,
    queries: Vec<Box<dyn AnyQuery>>,
    before: Vec<Box<dyn AnyQuery>>,
}

impl QueryDispatcherBuilder {
    /// Registers a query.
    pub fn answers<Q: Query>(mut self) -> Self {
        self.queries.push(registry::erase::<Q>());
        self
    }

    /// Registers an older form of a query of the same name: asked by name, it answers until what the newer one reads is
    /// whole, have nothing parked, and are nowhere behind what this one reads.
    pub fn answers_until_whole<Q: Query>(mut self) -> Self {
        self.before.push(registry::erase::<Q>());
        self
    }

    /// Decides who may ask what; without it everybody may ask all.
    pub fn authorize(mut self, policy: impl Authorize) -> Self {
        self.core.policy = Arc::new(policy);
        self
    }

    /// Names the service's own store, whose tokens its projections on it can wait for.
    pub fn own_store(mut self, store: &Identity) -> Self {
        self.core.own = Some((store.store, store.history()));
        self
    }

    /// Where time and threads come from.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.core.runtime = runtime;
        self
    }

    /// How long a query waits for a token. 5 seconds by default.
    pub const fn token_wait(mut self, limit: Duration) -> Self {
        self.core.token_wait = limit;
        self
    }

    /// How often a live query is asked at most. [`LIVE_INTERVAL_DEFAULT`] by default.
    pub const fn live_interval(mut self, interval: Duration) -> Self {
        self.core.live_interval = interval;
        self
    }

    /// Builds the dispatcher.
    ///
    /// # Errors
    /// Two queries share a name, or an older form has no newer one.
    pub fn build(self) -> Result<QueryDispatcher, BuildError> {
        let mut queries = BTreeMap::new();
        for query in self.queries {
            let name = query.info().name;
            if queries.insert(name, query).is_some() {
                return Err(BuildError::DuplicateName { what: "queries", name: name.to_owned() });
            }
        }
        let mut before = BTreeMap::new();
        for query in self.before {
            let name = query.info().name;
            if !queries.contains_key(name) {
                return Err(BuildError::NothingNewer { query: name });
            }
            if before.insert(name, Before::new(query)).is_some() {
                return Err(BuildError::DuplicateName { what: "older queries", name: name.to_owned() });
            }
        }
        Ok(QueryDispatcher { core: Arc::new(self.core), queries: Arc::new(queries), before: Arc::new(before) })
    }
}

impl QueryDispatcher {
    /// Starts a dispatcher on a read store and on what is known of its projections' progress.
    pub fn builder(read_store: Arc<dyn ReadStore>, watermarks: Arc<Watermarks>) -> QueryDispatcherBuilder {
        let core = Core {
            read_store,
            watermarks,
            own: None,
            policy: Arc::new(AllowAll),
            runtime: Runtime::tokio(),
            token_wait: TOKEN_WAIT_DEFAULT,
            live_interval: LIVE_INTERVAL_DEFAULT,
        };
        QueryDispatcherBuilder { core, queries: Vec::new(), before: Vec::new() }
    }

    /// Asks a query whose type is known. The returned [`Ask`] takes options; awaiting it asks.
    pub fn ask<Q: Query>(&self, query: Q) -> Ask<'_, Q> {
        Ask { dispatcher: self, query, options: AskOptions::default() }
    }

    /// Asks by name, with parameters as in a URL after `?`; answers a JSON document.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_named(&self, name: &str, query_string: &str, options: AskOptions) -> Result<Vec<u8>, AskError> {
        self.query(name)?.ask(&self.core, query_string, &options).await
    }

    pub(super) fn query(&self, name: &str) -> Result<&dyn AnyQuery, AskError> {
        let newest = self.queries.get(name).ok_or_else(|| AskError::UnknownQuery(name.to_owned()))?;
        let answers = |before: &&Before| before.answers(newest.reads(), &self.core.watermarks);
        let before = self.before.get(name).filter(answers);
        Ok(before.map_or(newest.as_ref(), |before| before.query.as_ref()))
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    /// The registered queries, by name.
    pub fn queries(&self) -> Vec<QueryInfo> {
        self.queries.values().map(|query| query.info()).collect()
    }
}

impl Core {
    pub(super) const fn read_store(&self) -> &Arc<dyn ReadStore> {
        &self.read_store
    }

    pub(super) const fn watermarks(&self) -> &Arc<Watermarks> {
        &self.watermarks
    }

    pub(super) const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(super) const fn live_interval(&self) -> Duration {
        self.live_interval
    }

    /// Permission comes before everything else.
    pub(super) fn permit<Q: Query>(&self, options: &AskOptions) -> Result<(), AskError> {
        let access = Access { principal: &options.principal, name: Q::NAME, stream: None };
        let permitted = contained(|| self.policy.authorize(access)).map_err(AskError::Panicked)?;
        permitted.map_err(|Denied| AskError::Denied)
    }

    /// Whether there is anything whole to answer from. A token says that the caller would rather wait, bounded, for
    /// that and for what it stands for than be told to ask again.
    pub(super) async fn visible<Q: Query>(&self, options: &AskOptions) -> Result<(), AskError> {
        let mut marks = Vec::new();
        if let Some(token) = &options.at_least {
            for projection in Q::READS {
                marks.extend(self.marks(*projection, token)?);
            }
            if marks.is_empty() {
                return Err(AskError::TokenNotApplicable);
            }
        } else if options.not_before.is_none() {
            return self.whole(Q::READS);
        }
        let all = async {
            // First, because what can never come needs no whole read model to be told.
            for (projection, mark) in &marks {
                match mark {
                    Mark::OwnStore(position) => {
                        let lane = Lane::own_store();
                        self.watermarks.reached(*projection, &lane, *position).await;
                        if self.watermarks.is_parked(*projection, &lane, *position) {
                            return Err(Unseen::Parked);
                        }
                    }
                    Mark::Message(message) => self.watermarks.applied(*projection, message).await?,
                }
            }
            if let Some(moment) = &options.not_before {
                self.come_to(moment, Q::READS).await;
            }
            for projection in Q::READS {
                self.watermarks.whole(*projection).await;
            }
            Ok(())
        };
        match self.runtime.within(self.token_wait, all).await {
            Some(seen) => seen.map_err(|unseen| match unseen {
                Unseen::Lost { fork } => AskError::TokenLost { fork },
                Unseen::Parked => AskError::Quarantined,
            }),
            None => self.whole(Q::READS).and(Err(AskError::NotYet)),
        }
    }

    /// Waits until the projections have come to a moment. What was lost in a restore since, or belongs to a store that
    /// is not there any more, is not waited for: whoever saw it sees what there is now.
    async fn come_to(&self, moment: &Moment, reads: &[ProjectionKey]) {
        for projection in reads {
            for Reached { own, topics, .. } in moment.projections.iter().filter(|at| at.name == projection.name) {
                if let (Some((incarnation, position)), Some((_, known))) = (own, &self.own) {
                    let history = History { incarnation: *incarnation, lineage: Vec::new() };
                    let position = Position::new(*position);
                    if known.common_with(&history).is_some_and(|common| position <= common) {
                        self.watermarks.reached(*projection, &Lane::own_store(), position).await;
                    }
                }
                for heard in topics {
                    self.hear(*projection, heard).await;
                }
            }
        }
    }

    async fn hear(&self, projection: ProjectionKey, heard: &Heard) {
        let Some(Feed::Topics(topics)) = self.watermarks.feed(projection) else { return };
        let Heard { topic, store, incarnation, .. } = heard;
        if !topics.contains(topic) || self.watermarks.hears_others(projection, topic, *store) {
            return;
        }
        for (partition, position) in heard.marks() {
            let history = History { incarnation: *incarnation, lineage: Vec::new() };
            let message = Awaited { store: *store, history, topic: topic.clone(), partition, position };
            // Lost: see above. Parked: whoever saw it before it was, or what came after it, sees what there is.
            let _ = self.watermarks.applied(projection, &message).await;
        }
    }

    fn whole(&self, reads: &[ProjectionKey]) -> Result<(), AskError> {
        for projection in reads {
            if let Some(progress) = self.watermarks.progress(*projection) {
                return Err(AskError::Rebuilding(progress));
            }
        }
        Ok(())
    }

    /// What one projection must have reached; empty when it sees nothing of the token's source.
    fn marks(&self, projection: ProjectionKey, token: &Token) -> Result<Vec<(ProjectionKey, Mark)>, AskError> {
        let history = token.history();
        let marks: Vec<Mark> = match (self.watermarks.feed(projection), &self.own) {
            (Some(Feed::OwnStore), Some((store, own))) if *store == token.source.store => {
                match own.common_with(&history) {
                    Some(fork) if token.position > fork => return Err(AskError::TokenLost { fork }),
                    Some(_) => vec![Mark::OwnStore(token.position)],
                    None => Vec::new(),
                }
            }
            (Some(Feed::Topics(topics)), _) => {
                let fed = token.topics.iter().filter(|mark| topics.contains(&mark.topic));
                let message = |TopicMark { topic, partition, position }: &TopicMark| Awaited {
                    store: token.source.store,
                    history: history.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    position: Position::new(*position),
                };
                fed.map(|mark| Mark::Message(message(mark))).collect()
            }
            _ => Vec::new(),
        };
        Ok(marks.into_iter().map(|mark| (projection, mark)).collect())
    }

    /// Runs a query on one snapshot, and finishes its answer.
    pub(super) async fn answer<Q: Query, T: Send + 'static>(
        &self,
        query: Q,
        pace: &Arc<Pace>,
        finish: impl FnOnce(<Q as Answers>::Answer) -> Result<T, AskError> + Send + 'static,
    ) -> Result<T, AskError> {
        let life = self.read_store.life();
        let answered = self.answered(query, pace, finish).await;
        if let Err(AskError::Corrupt(damage @ ReadError::Damaged { .. })) = &answered
            && self.read_store.can_start_over()
        {
            // Whoever feeds the read models begins the store anew.
            self.watermarks.damaged(life, damage);
        }
        answered
    }

    /// Here and now when it is quick, else off the async threads.
    async fn answered<Q: Query, T: Send + 'static>(
        &self,
        query: Q,
        pace: &Arc<Pace>,
        finish: impl FnOnce(<Q as Answers>::Answer) -> Result<T, AskError> + Send + 'static,
    ) -> Result<T, AskError> {
        let mut finish = Some(finish);
        if pace.is_quick() {
            let read = |work: &mut SnapshotWork<'_>| self.read_store.try_read(work);
            let answered = contained(|| answer(&query, &mut finish, &self.runtime, pace, read));
            if let Some(answer) = answered.unwrap_or_else(|panic| Err(AskError::Panicked(panic)))? {
                return Ok(answer);
            }
        }
        let (read_store, runtime, pace) = (Arc::clone(&self.read_store), self.runtime.clone(), Arc::clone(pace));
        let work = move || {
            let read = |work: &mut SnapshotWork<'_>| read_store.read(work).map(|()| true);
            answer(&query, &mut finish, &runtime, &pace, read)
        };
        let answered = self.runtime.blocking(work).await;
        let answered = answered.unwrap_or_else(|failure| Err(AskError::Panicked(failure.to_string())))?;
        answered.ok_or_else(|| AskError::Panicked("the read store did not ask the query".to_owned()))
    }
}

/// What is done on a snapshot.
type SnapshotWork<'a> = dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError> + 'a;

/// Asks the query where `read` leads to a snapshot; `None` where it does not. What fails is noted like what is answered:
/// a query that always runs out of time would hold up the task that asks again and again.
fn answer<Q: Query, T>(
    query: &Q,
    finish: &mut Option<impl FnOnce(<Q as Answers>::Answer) -> Result<T, AskError>>,
    runtime: &Runtime,
    pace: &Pace,
    read: impl FnOnce(&mut SnapshotWork<'_>) -> Result<bool, ReadError>,
) -> Result<Option<T>, AskError> {
    let begun = runtime.now();
    let mut answer = None;
    let asked = read(&mut |snapshot| {
        answer = Some(query.answer(snapshot));
        Ok(())
    });
    let answered = match (asked, answer) {
        (Err(error), _) => Err(error.into()),
        (Ok(true), Some(answer)) => match finish.take() {
            Some(finish) => answer.map_err(AskError::from).and_then(finish).map(Some),
            None => return Ok(None),
        },
        (Ok(_), _) => return Ok(None),
    };
    pace.note(runtime.now().since(begun));
    answered
}

/// A query on its way; awaiting it asks.
#[must_use = "a query is asked when this is awaited"]
pub struct Ask<'a, Q> {
    dispatcher: &'a QueryDispatcher,
    query: Q,
    options: AskOptions,
}

impl<Q: Query> Ask<'_, Q> {
    /// Waits, bounded, until what the token stands for is visible.
    pub fn at_least(mut self, token: &Token) -> Self {
        self.options.at_least = Some(token.clone());
        self
    }

    /// Says who asks.
    pub fn principal(mut self, principal: Principal) -> Self {
        self.options.principal = principal;
        self
    }
}

impl<'a, Q: Query> IntoFuture for Ask<'a, Q> {
    type Output = Result<<Q as Answers>::Answer, AskError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { dispatcher, query, options } = self;
            let Some(registered) = dispatcher.queries.get(Q::NAME) else {
                return Err(AskError::UnknownQuery(Q::NAME.to_owned()));
            };
            dispatcher.core.permit::<Q>(&options)?;
            dispatcher.core.visible::<Q>(&options).await?;
            dispatcher.core.answer(query, registered.pace(), Ok).await
        })
    }
}
