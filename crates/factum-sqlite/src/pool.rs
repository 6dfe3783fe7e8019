//! A bounded number of connections, lent for one transaction each.

use std::{
    ops::Deref,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use factum::read::ReadError;
use rusqlite::Connection;

use crate::error::read_error;

/// Opens one more connection.
pub(crate) type Open = Box<dyn Fn() -> rusqlite::Result<Connection> + Send + Sync>;

pub(crate) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
    open: Open,
    lent_max: usize,
    wait_timeout: Duration,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    lent: usize,
    closed: bool,
    /// Nothing is lent for now: the file is being replaced.
    held_back: bool,
}

/// Why no connection was lent.
#[derive(Debug, thiserror::Error)]
enum PoolError {
    #[error("all {lent_max} connections stayed busy for {waited:?}")]
    Busy { lent_max: usize, waited: Duration },
    #[error("the read store is closed")]
    Closed,
    #[error("the file is being replaced")]
    HeldBack,
}

impl Pool {
    pub(crate) fn new(open: Open, lent_max: usize, wait_timeout: Duration) -> Self {
        Self { state: Mutex::default(), returned: Condvar::new(), open, lent_max, wait_timeout }
    }

    /// Takes a connection that is open already.
    pub(crate) fn keep(&self, connection: Connection) {
        self.state().idle.push(connection);
    }

    /// Whether it lends nothing any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// For whoever holds on to a connection for long: whether it may go on.
    pub(crate) fn is_lending(&self) -> Result<(), ReadError> {
        match &*self.state() {
            State { closed: true, .. } => Err(ReadError::Unavailable(PoolError::Closed.into())),
            State { held_back: true, .. } => Err(ReadError::Unavailable(PoolError::HeldBack.into())),
            State { .. } => Ok(()),
        }
    }

    /// Lends a connection; waits for one, up to the limit.
    pub(crate) fn lend(&self) -> Result<Lent<'_>, ReadError> {
        let taken = |state: &mut State| !state.closed && (state.held_back || state.lent >= self.lent_max);
        let (state, _) = self
            .returned
            .wait_timeout_while(self.state(), self.wait_timeout, taken)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(ReadError::Unavailable(PoolError::Closed.into()));
        }
        if state.held_back || state.lent >= self.lent_max {
            let busy = PoolError::Busy { lent_max: self.lent_max, waited: self.wait_timeout };
            return Err(ReadError::Unavailable(busy.into()));
        }
        self.take(state)
    }

    /// Lends a connection when one can be had without waiting for somebody to return it.
    pub(crate) fn try_lend(&self) -> Result<Option<Lent<'_>>, ReadError> {
        let state = self.state();
        if state.closed {
            return Err(ReadError::Unavailable(PoolError::Closed.into()));
        }
        if state.held_back || state.lent >= self.lent_max { Ok(None) } else { self.take(state).map(Some) }
    }

    fn take<'a>(&'a self, mut state: MutexGuard<'_, State>) -> Result<Lent<'a>, ReadError> {
        state.lent += 1;
        let mut lent = Lent { pool: self, connection: state.idle.pop() };
        drop(state);
        if lent.connection.is_none() {
            lent.connection = Some((self.open)().map_err(|error| read_error("the file", error))?);
        }
        Ok(lent)
    }

    /// Lends nothing until what is returned here is dropped: waits for what is lent, up to the limit, and closes every
    /// connection.
    pub(crate) fn hold_back(&self) -> Result<HeldBack<'_>, ReadError> {
        self.state().held_back = true;
        let held_back = HeldBack(self);
        let (mut state, _) = self
            .returned
            .wait_timeout_while(self.state(), self.wait_timeout, |state| state.lent > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(ReadError::Unavailable(PoolError::Closed.into()));
        }
        if state.lent > 0 {
            let busy = PoolError::Busy { lent_max: state.lent, waited: self.wait_timeout };
            return Err(ReadError::Unavailable(busy.into()));
        }
        state.idle.clear();
        drop(state);
        Ok(held_back)
    }

    /// Lends nothing any more, waits for what is lent, up to the limit, and closes what is idle. Idempotent.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.returned.notify_all();
        let (mut state, _) = self
            .returned
            .wait_timeout_while(self.state(), self.wait_timeout, |state| state.lent > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.idle.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it is there, a pool lends nothing.
pub(crate) struct HeldBack<'a>(&'a Pool);

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        self.0.state().held_back = false;
        self.0.returned.notify_all();
    }
}

/// A connection, given back when dropped.
pub(crate) struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lent connection is there until it is given back")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // One that is stuck in a transaction would let the next borrower read yesterday's data: it is closed.
        let usable = self.connection.take().filter(Connection::is_autocommit);
        let mut state = self.pool.state();
        state.lent -= 1;
        if !state.closed && !state.held_back {
            state.idle.extend(usable);
        }
        drop(state);
        self.pool.returned.notify_all();
    }
}
