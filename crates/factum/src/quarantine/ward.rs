//! Whoever parks messages, as operators see it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use factum_engine::Position;
use tokio::sync::{
    OwnedMutexGuard,
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    Action, EventShelf, Handled, ParkedKey, ParkedMessage, QuarantineError, Shelf, Shown, desk::Request, parked_keys,
    shelf::keys, shown::messages_shown,
};
use crate::{
    model::{EventId, ProjectionKey},
    read::{Epoch, ReadError, ReadSnapshot, ReadStore},
    runtime::Runtime,
    store::BoxFuture,
};

/// How long an operator waits until what was decided is done.
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

type Answer<'a, T> = BoxFuture<'a, Result<T, QuarantineError>>;

/// A loop that may park, or several of one handler.
pub(super) trait Ward: Send + Sync {
    /// The handler's name.
    fn handler(&self) -> &str;
    /// Its version, where it has one.
    fn version(&self) -> Option<u32>;
    /// The loop that parks, as it calls itself.
    fn loop_name(&self) -> &str;
    /// The keys that are parked, in order, at most `limit`, those after `after`.
    fn keys<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<ParkedKey>>;
    /// One of them.
    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ParkedKey>>;
    /// Its messages, in order: the first `limit`, or fewer, of those after a message. None: that one is not parked.
    fn messages<'a>(&'a self, key: &'a str, after: Option<EventId>, limit: usize) -> Answer<'a, Option<Shown>>;
    /// Whether somebody does what is decided.
    fn is_at_work(&self) -> bool {
        true
    }
    /// Waits until nothing that is parked is being tried again, and keeps it so.
    fn rest(self: Arc<Self>) -> Answer<'static, Option<OwnedMutexGuard<()>>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Whether no other process works here, as far as one can tell.
    fn is_owned(&self) -> Answer<'_, bool> {
        Box::pin(std::future::ready(Ok(true)))
    }
    /// Whether it has applied a message, which a rebuild would leave out if it were discarded.
    fn has_applied<'a>(&'a self, message: &'a ParkedMessage) -> Answer<'a, bool> {
        let _ = message;
        Box::pin(std::future::ready(Ok(false)))
    }
    /// Does what was decided about a key.
    fn carry_out<'a>(self: Arc<Self>, key: &'a str, action: Action) -> Answer<'a, Handled>;
}

/// A read model in all its generations, whether or not they are fed.
pub(crate) trait Home: Send + Sync {
    /// Whose.
    fn projection(&self) -> ProjectionKey;
    /// What the loop that feeds the live one calls itself.
    fn loop_name(&self) -> &str;
    /// Those that are there for something.
    fn generations(&self) -> BoxFuture<'_, Result<Vec<StoredGeneration>, ReadError>>;
}

/// One of its generations.
pub(crate) struct StoredGeneration {
    /// What the loop that feeds it calls itself.
    pub(crate) loop_name: Arc<str>,
    pub(crate) is_live: bool,
    pub(crate) read_store: Arc<dyn ReadStore>,
}

impl StoredGeneration {
    pub(super) fn ward(self, projection: ProjectionKey, runtime: Runtime) -> Arc<ReadModelWard> {
        Arc::new(ReadModelWard::new(projection, self.loop_name, self.read_store, runtime))
    }
}

/// A read model with what its loop has parked in it.
pub(super) struct ReadModelWard {
    projection: ProjectionKey,
    loop_name: Arc<str>,
    read_store: Arc<dyn ReadStore>,
    /// None: nobody feeds it.
    requests: Option<mpsc::Sender<Request>>,
    /// What its loop has claimed it with.
    epoch: Mutex<Option<Epoch>>,
    runtime: Runtime,
}

impl ReadModelWard {
    pub(super) fn new(
        projection: ProjectionKey,
        loop_name: Arc<str>,
        read_store: Arc<dyn ReadStore>,
        runtime: Runtime,
    ) -> Self {
        Self { projection, loop_name, read_store, requests: None, epoch: Mutex::default(), runtime }
    }

    /// The same with a loop that does what is asked for.
    pub(super) fn told_by(self, requests: mpsc::Sender<Request>) -> Self {
        Self { requests: Some(requests), ..self }
    }

    pub(super) fn claimed(&self, epoch: Epoch) {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch);
    }

    async fn read<T: Default + Send + 'static>(
        &self,
        work: impl Fn(&mut dyn ReadSnapshot) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, QuarantineError> {
        let read_store = Arc::clone(&self.read_store);
        let read = move || {
            let mut found = T::default();
            read_store.read(&mut |snapshot| {
                found = work(snapshot)?;
                Ok(())
            })?;
            Ok::<_, ReadError>(found)
        };
        Ok(self.runtime.blocking(read).await??)
    }
}

impl Ward for ReadModelWard {
    fn handler(&self) -> &str {
        self.projection.name
    }

    fn version(&self) -> Option<u32> {
        Some(self.projection.version)
    }

    fn loop_name(&self) -> &str {
        &self.loop_name
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<ParkedKey>> {
        let (of, after) = (self.projection, after.map(str::to_owned));
        Box::pin(self.read(move |read| parked_keys(read, of, after.as_deref(), limit)))
    }

    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ParkedKey>> {
        let (of, key) = (self.projection, key.to_owned());
        Box::pin(self.read(move |read| keys(of).get(read, &key.as_str().into())))
    }

    fn messages<'a>(&'a self, key: &'a str, after: Option<EventId>, limit: usize) -> Answer<'a, Option<Shown>> {
        let (of, key) = (self.projection, key.to_owned());
        Box::pin(self.read(move |read| messages_shown(read, of, &key, (after, limit))))
    }

    fn is_at_work(&self) -> bool {
        self.requests.as_ref().is_some_and(|requests| !requests.is_closed())
    }

    fn is_owned(&self) -> Answer<'_, bool> {
        Box::pin(async move {
            let epoch = *self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
            // Who has not claimed it yet reads what was discarded after that.
            let Some(epoch) = epoch else { return Ok(true) };
            let (read_store, projection) = (Arc::clone(&self.read_store), self.projection);
            // Nothing to write, but it tells a displaced owner that it is one.
            let look = move || read_store.write(projection, epoch, &[], &mut |_| Ok(()));
            match self.runtime.blocking(look).await? {
                Ok(()) => Ok(true),
                Err(ReadError::Fenced { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn has_applied<'a>(&'a self, message: &'a ParkedMessage) -> Answer<'a, bool> {
        let (of, lane, position) = (self.projection, message.lane(), Position::new(message.position));
        let read_store = Arc::clone(&self.read_store);
        Box::pin(async move {
            let look = move || {
                let checkpoints = read_store.checkpoints(of)?;
                if !checkpoints.iter().any(|(known, at)| *known == lane && at.position >= position) {
                    return Ok(false);
                }
                let mut is_parked = false;
                read_store.read(&mut |read| {
                    is_parked = Shelf::load(read, of)?.places().any(|place| place == (lane.clone(), position));
                    Ok(())
                })?;
                Ok::<_, ReadError>(!is_parked)
            };
            Ok(self.runtime.blocking(look).await??)
        })
    }

    fn carry_out<'a>(self: Arc<Self>, key: &'a str, action: Action) -> Answer<'a, Handled> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let request = Request { key: key.to_owned(), action, reply };
            let requests = self.requests.as_ref().ok_or_else(|| no_answer("is just being restarted"))?;
            requests.try_send(request).map_err(|error| match error {
                TrySendError::Full(_) => no_answer("has too much to do"),
                TrySendError::Closed(_) => no_answer("is just being restarted"),
            })?;
            let answer = self.runtime.within(ANSWER_WAIT_MAX, answer).await;
            let handled = answer.ok_or_else(|| no_answer("does not get to it"))?;
            handled.map_err(|_| no_answer("was interrupted"))?.map_err(|why| no_answer(&why))
        })
    }
}

impl Ward for EventShelf {
    fn handler(&self) -> &str {
        &self.handler
    }

    fn version(&self) -> Option<u32> {
        None
    }

    fn loop_name(&self) -> &str {
        Self::loop_name(self)
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<ParkedKey>> {
        Box::pin(async move {
            // Its loop may not have begun to.
            self.catch_up().await?;
            Ok(Self::keys(self, after, limit))
        })
    }

    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ParkedKey>> {
        Box::pin(async move {
            self.catch_up().await?;
            Ok(self.about(key))
        })
    }

    fn messages<'a>(&'a self, key: &'a str, after: Option<EventId>, limit: usize) -> Answer<'a, Option<Shown>> {
        Box::pin(async move { Ok(Self::messages(self, key, after, limit).await?) })
    }

    fn rest(self: Arc<Self>) -> Answer<'static, Option<OwnedMutexGuard<()>>> {
        Box::pin(async move { Ok(Some(self.rests().await)) })
    }

    fn carry_out<'a>(self: Arc<Self>, key: &'a str, action: Action) -> Answer<'a, Handled> {
        let (reply, answer) = oneshot::channel();
        let (runtime, key) = (self.runtime.clone(), key.to_owned());
        Box::pin(async move {
            // On its own: whoever asked may leave, and what is outside may take its time.
            runtime.spawn(async move {
                let handled = match action {
                    Action::Retry => self.retry(&key).await,
                    Action::DropDiscarded => self.drop_discarded(&key).await,
                };
                let _ = reply.send(handled);
            });
            let answer = runtime.within(ANSWER_WAIT_MAX, answer).await;
            answer.ok_or_else(|| no_answer("is still at it"))?.map_err(|_| no_answer("was interrupted"))?
        })
    }
}

/// To be told with the loop's name before it.
fn no_answer(why: &str) -> QuarantineError {
    QuarantineError::NoAnswer(why.to_owned())
}
