//! Owns every task of a service: restarts what panics, stops all in order and within a limit.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    runtime::{Backoff, LoopState, Runtime, Status, Stop, Stopper, Task},
    store::BoxFuture,
};

/// How often a loop that panics is started again before the service ends.
pub const RESTARTS_MAX: u32 = 5;
/// A loop that ran this long is taken to have recovered: its restarts are counted anew.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);
const RESTART_WAIT_FIRST: Duration = Duration::from_millis(100);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(5);

/// The order in which a service stops: no new requests first, stores last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// HTTP listeners: finish the requests at hand.
    Surfaces,
    /// Relays: finish the batch at hand.
    Relays,
    /// Consumers: finish the transaction at hand.
    Consumers,
    /// Projections on the own store.
    Projections,
}

/// How a loop ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoopEnd {
    /// It was told to.
    Stopped,
    /// Another owner took over. The service goes on.
    StoodDown,
    /// It must not go on until an operator has looked. The service goes on, and says that it is not ready.
    Halted(String),
    /// The service is nothing without it: end the process.
    Fatal(String),
}

/// Starts a loop; called again after a panic.
pub type StartLoop = Arc<dyn Fn(Stop) -> BoxFuture<'static, LoopEnd> + Send + Sync>;

/// Owns every task of a service.
pub struct Supervisor {
    runtime: Runtime,
    stages: BTreeMap<Stage, Vec<Owned>>,
    stoppers: BTreeMap<Stage, (Stopper, Stop)>,
    fatal: watch::Sender<Option<String>>,
    /// Raised each time the service has made sure that it holds its lease, where it has one.
    holds: Option<watch::Receiver<u64>>,
}

struct Owned {
    name: String,
    task: Task,
}

impl Supervisor {
    /// A supervisor without tasks.
    pub fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            stages: BTreeMap::new(),
            stoppers: BTreeMap::new(),
            fatal: watch::Sender::new(None),
            holds: None,
        }
    }

    /// Loops that are started from now on and stand down are started again when this is raised.
    pub(super) fn returns_with(&mut self, holds: watch::Receiver<u64>) {
        self.holds = Some(holds);
    }

    /// Starts a loop and owns it from now on.
    pub fn own(&mut self, stage: Stage, status: Status, start: StartLoop) {
        let stop = self.stoppers.entry(stage).or_insert_with(Stopper::new).1.clone();
        let name = status.name().to_owned();
        let (holds, fatal) = (self.holds.clone(), self.fatal.clone());
        let keep = keep_running(self.runtime.clone(), status, start, stop, fatal, holds);
        let task = self.runtime.spawn(keep);
        self.stages.entry(stage).or_default().push(Owned { name, task });
    }

    /// Waits until a loop without which the service is nothing has ended for good, and says why.
    pub async fn failed(&self) -> String {
        let mut fatal = self.fatal.subscribe();
        let found = fatal.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match found {
            Some(reason) => reason,
            // The sender lives in `self`: the wait cannot fail.
            None => std::future::pending().await,
        }
    }

    /// Stops every task, stage by stage, within `limit` in total; what does not end by then is aborted.
    ///
    /// # Errors
    /// The names of the loops that were aborted or had panicked.
    pub async fn stop(mut self, limit: Duration) -> Result<(), Vec<String>> {
        let until = self.runtime.now().plus(limit);
        let mut unclean = Vec::new();
        for (stage, owned) in std::mem::take(&mut self.stages) {
            if let Some((stopper, _)) = self.stoppers.get(&stage) {
                stopper.stop();
            }
            for Owned { name, mut task } in owned {
                let left = until.since(self.runtime.now());
                match self.runtime.within(left, task.join()).await {
                    Some(Ok(())) => {}
                    Some(Err(failure)) => unclean.push(format!("{name}: {failure}")),
                    None => {
                        task.abort();
                        unclean.push(format!("{name}: did not stop in time"));
                    }
                }
            }
        }
        if unclean.is_empty() { Ok(()) } else { Err(unclean) }
    }
}

/// A task that ends with whoever watches it: a task that is merely let go of would run on.
struct Watched(Task);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a loop to its end; starts it again after a panic, a few times.
async fn keep_running(
    runtime: Runtime,
    status: Status,
    start: StartLoop,
    mut stop: Stop,
    fatal: watch::Sender<Option<String>>,
    mut holds: Option<watch::Receiver<u64>>,
) {
    let mut backoff = Backoff::new(RESTART_WAIT_FIRST, RESTART_WAIT_MAX);
    loop {
        let began = runtime.now();
        // A task of its own, so that a panic ends that task and not the one that watches it.
        let (report, mut ended) = watch::channel(None);
        let body = start(stop.clone());
        let mut task = Watched(runtime.spawn(async move {
            report.send_replace(Some(body.await));
        }));
        let outcome = task.0.join().await;
        let end = ended.borrow_and_update().clone();
        match (outcome, end) {
            (Ok(()), Some(LoopEnd::Fatal(reason))) => return give_up(&status, &fatal, &reason),
            (Ok(()), Some(LoopEnd::Halted(reason))) => return show(&status, LoopState::Failed, Some(reason)),
            (Ok(()), Some(LoopEnd::StoodDown)) => {
                show(&status, LoopState::StoodDown, None);
                let Some(holds) = &mut holds else { return };
                // Who has the lease may return: whoever else has it is displaced from now on and cannot. So does a loop
                // that one displaced which was late to start, while this service had the lease all the time.
                holds.mark_unchanged();
                let returns = stop.unless(holds.changed()).await;
                if returns.is_none_or(|returns| returns.is_err()) {
                    return;
                }
                tracing::info!(loop_name = status.name(), "a displaced loop returns");
            }
            (Ok(()), _) => return show(&status, LoopState::Stopped, None),
            (Err(failure), _) => {
                if runtime.now().since(began) >= RECOVERED_AFTER {
                    backoff.reset();
                }
                if backoff.failures() >= RESTARTS_MAX {
                    return give_up(&status, &fatal, &format!("{failure}, after {RESTARTS_MAX} restarts"));
                }
                tracing::error!(loop_name = status.name(), %failure, "a loop failed and is started again");
                show(&status, LoopState::BackingOff, Some(failure.to_string()));
                let wait = backoff.next(&runtime);
                if stop.unless(runtime.sleep(wait)).await.is_none() {
                    return show(&status, LoopState::Stopped, None);
                }
            }
        }
    }
}

fn give_up(status: &Status, fatal: &watch::Sender<Option<String>>, reason: &str) {
    tracing::error!(loop_name = status.name(), reason, "a loop failed for good: the service ends");
    show(status, LoopState::Failed, Some(reason.to_owned()));
    fatal.send_replace(Some(format!("{}: {reason}", status.name())));
}

fn show(status: &Status, state: LoopState, error: Option<String>) {
    status.update(|report| {
        report.state = state;
        if error.is_some() {
            report.last_error = error;
        }
    });
}

#[cfg(test)]
mod tests;
