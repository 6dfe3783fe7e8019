//! Whoever parks messages, as operators see it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    Action, EventShelf, Handled, ParkedKey, QuarantineError, Shown, desk::Request, parked_keys, shelf::keys,
    shown::messages_shown,
};
use crate::{
    model::{EventId, ProjectionKey},
    read::{ReadError, ReadSnapshot, ReadStore},
    runtime::Runtime,
    store::BoxFuture,
};

/// How long an operator waits until what was decided is done.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

type Answer<'a, T> = BoxFuture<'a, Result<T, QuarantineError>>;

/// A loop that may park, or several of one handler.
pub(super) trait Ward: Send + Sync {
    /// The handler's name.
    fn handler(&self) -> &str;
    /// Its version, where it has one.
    fn version(&self) -> Option<u32>;
    /// The loop that parks, as it calls itself.
    fn loop_name(&self) -> &str;
    /// The keys that are parked, in order, at most `limit`.
    fn keys(&self, limit: usize) -> Answer<'_, Vec<ParkedKey>>;
    /// One of them.
    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ParkedKey>>;
    /// Its messages, in order: the first `limit`, or fewer, of those after a message. None: that one is not parked.
    fn messages<'a>(&'a self, key: &'a str, after: Option<EventId>, limit: usize) -> Answer<'a, Option<Shown>>;
    /// Does what was decided about a key.
    fn carry_out<'a>(self: Arc<Self>, key: &'a str, action: Action) -> Answer<'a, Handled>;
}

/// A read model with what its loop has parked in it.
pub(super) struct ReadModelWard {
    pub(super) projection: ProjectionKey,
    pub(super) loop_name: Arc<str>,
    pub(super) read_store: Arc<dyn ReadStore>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) runtime: Runtime,
}

impl ReadModelWard {
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

    fn keys(&self, limit: usize) -> Answer<'_, Vec<ParkedKey>> {
        let of = self.projection;
        Box::pin(self.read(move |read| parked_keys(read, of, None, limit)))
    }

    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ParkedKey>> {
        let (of, key) = (self.projection, key.to_owned());
        Box::pin(self.read(move |read| keys(of).get(read, &key.as_str().into())))
    }

    fn messages<'a>(&'a self, key: &'a str, after: Option<EventId>, limit: usize) -> Answer<'a, Option<Shown>> {
        let (of, key) = (self.projection, key.to_owned());
        Box::pin(self.read(move |read| messages_shown(read, of, &key, (after, limit))))
    }

    fn carry_out<'a>(self: Arc<Self>, key: &'a str, action: Action) -> Answer<'a, Handled> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let request = Request { key: key.to_owned(), action, reply };
            self.requests.try_send(request).map_err(|_| no_answer("has too much to do"))?;
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

    fn keys(&self, limit: usize) -> Answer<'_, Vec<ParkedKey>> {
        Box::pin(std::future::ready(Ok(Self::keys(self, limit))))
    }

    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ParkedKey>> {
        Box::pin(std::future::ready(Ok(self.about(key))))
    }

    fn messages<'a>(&'a self, key: &'a str, after: Option<EventId>, limit: usize) -> Answer<'a, Option<Shown>> {
        Box::pin(async move { Ok(Self::messages(self, key, after, limit).await?) })
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
