//! An event store and a read store that fail as they are told to.

use std::{
    io,
    sync::{Arc, Mutex},
};

use factum::{
    ProjectionKey,
    read::{
        Checkpoint, CheckpointMove, Epoch, Lane, MemoryReadStore, ReadError, ReadSnapshot, ReadStore, ReadTransaction,
    },
    store::{BoxFuture, EventStore, MemoryStore, StoreError},
    testing::{Fault, FaultyStore, Interference, StoreCall},
};
use tokio::sync::Notify;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Somebody else is always faster.
    Conflict,
    Unavailable,
    ReadOnly,
    Full,
    Damaged,
    /// Appends begin and do not end until [`Troubled::release`].
    Hanging,
}

/// Told to every trouble, and to be kept from every caller.
pub const SECRET: &str = "/var/lib/secret-path";

pub struct Troubled {
    store: Arc<dyn EventStore>,
    state: Arc<State>,
}

struct State {
    trouble: Mutex<Trouble>,
    reached: Notify,
    released: Notify,
}

impl Troubled {
    pub fn new(trouble: Trouble) -> Self {
        let state = Arc::new(State { trouble: Mutex::new(trouble), reached: Notify::new(), released: Notify::new() });
        let inner: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let interfering = Arc::clone(&state);
        let store = FaultyStore::new(&inner).on(move |call, _| {
            let may_fail =
                matches!(call, StoreCall::Append | StoreCall::ReadStream | StoreCall::Read | StoreCall::Heads);
            if may_fail { Interference::Before(Arc::clone(&interfering).meet(call)) } else { Interference::None }
        });
        Self { store: Arc::new(store), state }
    }

    /// The store itself.
    pub fn store(&self) -> Arc<dyn EventStore> {
        Arc::clone(&self.store)
    }

    /// Waits until an append hangs.
    pub async fn reached(&self) {
        self.state.reached.notified().await;
    }

    pub fn release(&self) {
        *self.state.trouble.lock().unwrap() = Trouble::None;
        self.state.released.notify_waiters();
    }
}

impl State {
    fn meet(self: Arc<Self>, call: StoreCall) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(async move {
            let cause = || Box::new(io::Error::other(SECRET));
            let released = self.released.notified();
            let trouble = *self.trouble.lock().unwrap();
            match trouble {
                Trouble::None => Ok(()),
                Trouble::Conflict => Err(Fault::Conflict),
                Trouble::Unavailable => Err(Fault::Store(StoreError::Unavailable(cause()))),
                Trouble::ReadOnly => Err(Fault::Store(StoreError::ReadOnly(cause()))),
                Trouble::Full => Err(Fault::Store(StoreError::Full)),
                Trouble::Damaged => Err(Fault::Store(StoreError::Damaged(cause()))),
                Trouble::Hanging => {
                    if call == StoreCall::Append {
                        self.reached.notify_one();
                        released.await;
                    }
                    Ok(())
                }
            }
        })
    }
}

/// A read store that cannot be read.
pub struct UnreadableStore {
    pub inner: MemoryReadStore,
    pub error: fn() -> ReadError,
}

impl ReadStore for UnreadableStore {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        self.inner.claim(projection)
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        self.inner.checkpoints(projection)
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.inner.write(projection, epoch, moves, work)
    }

    fn read(&self, _: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        Err((self.error)())
    }
}
