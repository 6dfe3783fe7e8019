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

/// How many alarms a loop shows of things of which there may be many.
pub(crate) const ALARMS_MAX: usize = 16;

/// How it is told that there are more alarms than those shown.
pub(crate) struct More {
    /// What takes the place of what they are about.
    pub(crate) about: &'static str,
    pub(crate) text: &'static str,
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

    /// Shows something that an operator must look at although the loop goes on; it is logged when it is news.
    pub(crate) fn alarm(&self, about: &str, text: String) {
        self.report.send_if_modified(|report| {
            let is_news = report.alarms.get(about) != Some(&text);
            if is_news {
                tracing::error!(loop_name = self.name(), about, text, "alarm");
                report.alarms.insert(about.to_owned(), text);
            }
            is_news
        });
    }

    /// The same about one of many things: beyond [`ALARMS_MAX`], only that there are more is shown.
    pub(crate) fn alarm_of_many(&self, about: &str, text: String, more: &More) {
        let alarms = self.report().alarms;
        if alarms.len() < ALARMS_MAX || alarms.contains_key(about) {
            return self.alarm(about, text);
        }
        tracing::error!(loop_name = self.name(), about, text, "alarm");
        self.update(|report| drop(report.alarms.insert(more.about.to_owned(), more.text.to_owned())));
    }

    /// What an alarm was about is over; with the last one of many goes that there are more.
    pub(crate) fn alarm_over(&self, about: &str, more: &More) {
        self.report.send_if_modified(|report| {
            let before = report.alarms.len();
            report.alarms.remove(about);
            if report.alarms.keys().all(|left| left == more.about) {
                report.alarms.clear();
            }
            report.alarms.len() < before
        });
    }

    /// Waits until what it shows meets a condition.
    pub async fn shows(&self, mut condition: impl FnMut(&StatusReport) -> bool) {
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.report.subscribe().wait_for(|report| condition(report)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_alarms_some_are_shown_and_that_there_are_more_until_those_are_over() {
        const MORE: More = More { about: "others", text: "see the log" };
        let status = Status::new("a loop");
        let about = |number: usize| format!("timer {number:02}");
        for number in 0..=ALARMS_MAX {
            status.alarm_of_many(&about(number), "late".to_owned(), &MORE);
        }
        let alarms = status.report().alarms;
        assert_eq!((alarms.len(), alarms["others"].as_str()), (ALARMS_MAX + 1, "see the log"));
        assert!(!alarms.contains_key(&about(ALARMS_MAX)));
        status.alarm_of_many(&about(0), "later".to_owned(), &MORE);
        assert_eq!(status.report().alarms[&about(0)], "later");
        (1..ALARMS_MAX).for_each(|number| status.alarm_over(&about(number), &MORE));
        assert!(status.report().alarms.keys().eq(["others", "timer 00"]));
        status.alarm_over(&about(0), &MORE);
        assert!(status.report().alarms.is_empty());
    }
}
