//! The loop that feeds whichever generation is live.

use std::{pin::pin, sync::Arc, time::Duration};

use super::{ModelEnd, ReadModel, feeder::FeedEnd};
use crate::{
    read::ReadError,
    runtime::{Backoff, LoopState, Stop, Stopper},
};

/// The first wait after the read store could not be asked which generation is live.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest wait after that.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why the feeding was interrupted.
enum Interruption {
    Stop,
    Rest,
    /// A query met damage.
    Damage(String),
}

/// As long as it is there, nothing is written to the live generation.
pub(super) struct Rest<'a>(&'a ReadModel);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.rests.send_modify(|rests| *rests -= 1);
    }
}

impl ReadModel {
    /// Feeds the live generation until told to stop: lets it rest when asked to, goes on with the one that is live by
    /// then, and begins a damaged read database anew.
    pub(crate) async fn run(self: Arc<Self>, mut stop: Stop) -> Result<(), ModelEnd> {
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        let end = loop {
            if stop.unless(self.has_rested()).await.is_none() {
                break Ok(());
            }
            let life = self.read_store.life();
            // Another projection's loop may have begun the store anew while this one rested.
            self.watermarks.fed_in(self.key(), life);
            let end = match self.live().await {
                Ok(generation) => {
                    let (watermarks, status) = (Arc::clone(&self.watermarks), self.status().clone());
                    let feeder = self.feeder(self.view(generation), watermarks, status, None);
                    let (stopper, told) = Stopper::new();
                    let mut feeding = pin!(feeder.feed(told));
                    let interruption = tokio::select! {
                        biased;
                        end = &mut feeding => Err(end),
                        interruption = self.interruption(&mut stop, life) => Ok(interruption),
                    };
                    stopper.stop();
                    match interruption {
                        Err(end) => end,
                        Ok(Interruption::Damage(text)) => {
                            feeding.await;
                            FeedEnd::Damaged(ReadError::Damaged { place: "a query".to_owned(), source: text.into() })
                        }
                        Ok(Interruption::Stop | Interruption::Rest) => feeding.await,
                    }
                }
                Err(damage @ ReadError::Damaged { .. }) => FeedEnd::Damaged(damage),
                Err(error) => {
                    tracing::warn!(projection = %self.key(), %error, "the read store cannot tell which generation is live");
                    let wait = backoff.next(&self.runtime);
                    stop.unless(self.runtime.sleep(wait)).await;
                    continue;
                }
            };
            match end {
                FeedEnd::Stopped => {}
                // What it had claimed is gone with the database that was put aside.
                FeedEnd::StoodDown if self.read_store.life() != life => self.watermarks.begun_anew(self.key()),
                FeedEnd::StoodDown => break Err(ModelEnd::StoodDown),
                FeedEnd::Halted(reason) => {
                    if let Err(end) = self.has_halted(reason, &mut stop).await {
                        break Err(end);
                    }
                }
                FeedEnd::Damaged(damage) => match self.start_over(life, damage, &mut stop).await {
                    Ok(()) => {}
                    Err(reason) => break Err(ModelEnd::Halted(reason)),
                },
            }
        };
        if end.is_ok() {
            self.status().update(|report| report.state = LoopState::Stopped);
        }
        // Nobody writes any more: who waits for that may go on.
        self.resting.send_replace(true);
        end
    }

    /// Waits until another generation answers instead of the one that cannot go on, which stops nobody else.
    async fn has_halted(&self, reason: String, stop: &mut Stop) -> Result<(), ModelEnd> {
        let mut switches = self.switches.subscribe();
        tracing::error!(projection = %self.key(), reason, "a read model cannot go on");
        self.status().update(|report| {
            (report.state, report.last_error) = (LoopState::Failed, Some(reason.clone()));
        });
        self.resting.send_replace(true);
        // The sender lives in `self`: the wait ends for one of two reasons.
        match stop.unless(switches.changed()).await {
            Some(_) => Ok(()),
            None => Err(ModelEnd::Halted(reason)),
        }
    }

    /// Tells the loop that feeds the live generation that it is another one by now.
    pub(super) fn has_switched(&self) {
        self.status().update(|report| {
            if report.state == LoopState::Failed {
                (report.state, report.last_error) = (LoopState::CatchingUp, None);
            }
        });
        self.switches.send_modify(|switches| *switches += 1);
    }

    /// Waits, resting, until nobody asks for it.
    async fn has_rested(&self) {
        let mut rests = self.rests.subscribe();
        loop {
            self.resting.send_replace(false);
            // Only now: who asks for a rest from here on waits until it is told that there is one.
            if *rests.borrow_and_update() == 0 {
                return;
            }
            self.resting.send_replace(true);
            // The sender lives in `self`: the wait cannot fail.
            let _ = rests.wait_for(|rests| *rests == 0).await;
        }
    }

    async fn interruption(&self, stop: &mut Stop, life: u64) -> Interruption {
        let mut rests = self.rests.subscribe();
        tokio::select! {
           biased;
            () = stop.stopped() => Interruption::Stop,
            _ = rests.wait_for(|rests| *rests > 0) => Interruption::Rest,
            text = self.watermarks.damage(life) => Interruption::Damage(text),
        }
    }

    /// Lets the live generation rest: returns once nothing is written to it any more.
    pub(super) async fn rest(&self) -> Rest<'_> {
        self.rests.send_modify(|rests| *rests += 1);
        let rest = Rest(self);
        // The sender lives in `self`: the wait cannot fail.
        let _ = self.resting.subscribe().wait_for(|resting| *resting).await;
        rest
    }

    /// Puts the damaged read database aside, as soon as that is possible.
    async fn start_over(&self, life: u64, damage: ReadError, stop: &mut Stop) -> Result<(), String> {
        tracing::error!(projection = %self.key(), %damage, "the read database is damaged");
        self.watermarks.damaged(life, &damage);
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        let damage = Arc::new(damage);
        while !stop.is_stopped() {
            let (read_store, seen) = (Arc::clone(&self.read_store), Arc::clone(&damage));
            let done = self.runtime.blocking(move || read_store.start_over(life, &seen)).await;
            match done {
                Ok(Ok(())) => {
                    self.watermarks.begun_anew(self.key());
                    return Ok(());
                }
                Ok(Err(error @ ReadError::Unavailable(_))) => {
                    tracing::warn!(projection = %self.key(), %error, "the read database cannot be put aside yet");
                    stop.unless(self.runtime.sleep(backoff.next(&self.runtime))).await;
                }
                Ok(Err(error)) => return Err(error.to_string()),
                Err(failure) => return Err(failure.to_string()),
            }
        }
        Ok(())
    }
}
