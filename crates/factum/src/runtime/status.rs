//! What every loop shows of itself: its name, state, position and last error.

use std::{collections::BTreeMap, sync::Arc};

use factum_engine::Position;
use tokio::sync::watch;

/// The stop signal of a loop: set once, never taken back.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Gives the stop signal. Dropping it stops as well.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// A signal not yet given, and its receiver.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Tells every holder of the [`Stop`] to finish what it is doing and end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the signal was given.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits for the signal.
    pub async fn stopped(&mut self) {
        // A dropped sender means stop, too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// The result of a future, or `None` when the signal came first.
    pub async fn unless<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stopped() => None,
            done = future => Some(done),
        }
    }
}

/// What a loop is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopState {
    /// Taking over, checking where it was left.
    #[default]
    Starting,
    /// Working through what is there already.
    CatchingUp,
    /// Up to date, waiting for more.
    Live,
    /// Waiting after an error before it tries again.
    BackingOff,
    /// Stopped: another owner took over.
    StoodDown,
    /// Stopped for good, for a reason an operator must see.
    Failed,
    /// Ended because it was told to.
    Stopped,
}

impl LoopState {
    /// The state as a word for logs, metrics and health reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CatchingUp => "catching-up",
            Self::Live => "live",
            Self::BackingOff => "backing-off",
            Self::StoodDown => "stood-down",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What a loop shows of itself at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusReport {
    /// What it is doing.
    pub state: LoopState,
    /// The position it has reached.
    pub position: Position,
    /// The position it knows it will reach: the difference is its lag.
    pub target: Position,
    /// How many events or messages it has dealt with since it started.
    pub processed: u64,
    /// How many re-sends it has dropped since it started.
    pub dropped: u64,
    /// How many keys are parked.
    pub parked_keys: u64,
    /// How many messages of those are parked.
    pub parked_messages: u64,
    /// The last error, kept until it works again.
    pub last_error: Option<String>,
    /// What an operator must look at although the loop goes on, by what it is about; each goes away with its cause.
    pub alarms: BTreeMap<String, String>,
}

/// A loop's status, shared between the loop and whoever looks.
#[derive(Clone, Debug)]
pub struct Status {
    name: Arc<str>,
    report: Arc<watch::Sender<StatusReport>>,
}

impl Status {
    /// The status of a loop: `relay bank.accounts.account.events`.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), report: Arc::new(watch::Sender::new(StatusReport::default())) }
    }

    /// The loop's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it shows now.
    pub fn report(&self) -> StatusReport {
        self.report.borrow().clone()
    }

    /// Changes what it shows.
    pub fn update(&self, change: impl FnOnce(&mut StatusReport)) {
        self.report.send_modify(change);
    }

    /// Waits until what it shows meets a condition.
    pub async fn shows(&self, mut condition: impl FnMut(&StatusReport) -> bool) {
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.report.subscribe().wait_for(|report| condition(report)).await;
    }
}
