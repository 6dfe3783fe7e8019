//! Asks queries on snapshots of the read store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    AskError, Moment, QueryInfo,
    before::Before,
    live::LIVE_INTERVAL_DEFAULT,
    pace::Pace,
    registry::{self, AnyQuery},
};
use crate::{
    dispatch::BuildError,
    model::{Answers, ProjectionKey, Query, StoreId},
    principal::{Access, AllowAll, Authorize, Denied, Principal},
    projections::Watermarks,
    read::{ReadError, ReadSnapshot, ReadStore},
    runtime::{Runtime, contained},
    store::{BoxFuture, History, Identity},
    token::Token,
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
    pub(super) watermarks: Arc<Watermarks>,
    pub(super) own: Option<(StoreId, History)>,
    policy: Arc<dyn Authorize>,
    pub(super) runtime: Runtime,
    pub(super) token_wait: Duration,
    live_interval: Duration,
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

    /// What a query reads in every form of it.
    pub(super) fn all_reads(&self, name: &str) -> Vec<ProjectionKey> {
        let before = self.before.get(name).map(|before| before.query.as_ref());
        let forms = self.queries.get(name).map(AsRef::as_ref).into_iter().chain(before);
        forms.flat_map(|query| query.reads().iter().copied()).collect()
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
