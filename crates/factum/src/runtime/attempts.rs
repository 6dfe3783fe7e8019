//! The frame of every loop: one attempt after the other, until it is told to stop or must not go on.

use std::fmt::Display;

use super::{Backoff, Ending, LoopState, Runtime, Status, Stop, Trouble};

/// The attempts of a loop, and how it goes on after each.
///
/// ```text
/// while attempts.go_on() {
///     let over = self.attempt(&mut attempts.stop, &mut attempts.backoff).await;
///     attempts.over(over).await?;
/// }
/// ```
pub(crate) struct Attempts<'a> {
    status: &'a Status,
    runtime: &'a Runtime,
    pub(crate) stop: Stop,
    /// To be reset by an attempt that gets somewhere.
    pub(crate) backoff: Backoff,
}

impl<'a> Attempts<'a> {
    /// Before the first one. What goes wrong is shown in the status.
    pub(crate) fn new(status: &'a Status, runtime: &'a Runtime, stop: Stop) -> Self {
        Self { status, runtime, stop, backoff: Backoff::default() }
    }

    /// Whether there is to be another one: as long as nobody says stop.
    pub(crate) fn go_on(&self) -> bool {
        !self.stop.is_stopped()
    }

    /// One is over, without trouble only when it was told to stop. After what time may mend, waits: longer each time.
    ///
    /// # Errors
    /// There must not be another one.
    pub(crate) async fn over<E: Ending>(&mut self, attempt: Result<(), Trouble<E>>) -> Result<(), E> {
        match attempt {
            Ok(()) => {
                assert!(self.stop.is_stopped(), "{} ended although nobody said stop", self.status.name());
                Ok(())
            }
            Err(Trouble::End(end)) => {
                let state = if end.is_stood_down() { LoopState::StoodDown } else { LoopState::Failed };
                self.show(state, &end);
                Err(end)
            }
            Err(Trouble::Later(reason)) => {
                self.show(LoopState::BackingOff, &reason);
                let wait = self.backoff.next(self.runtime);
                self.stop.unless(self.runtime.sleep(wait)).await;
                Ok(())
            }
        }
    }

    fn show(&self, state: LoopState, reason: &dyn Display) {
        let (name, error) = (self.status.name(), reason.to_string());
        if state == LoopState::Failed {
            tracing::error!(loop_name = name, error, "halted");
        } else {
            tracing::warn!(loop_name = name, error, state = state.as_str(), "interrupted");
        }
        self.status.update(|report| {
            report.state = state;
            report.last_error = Some(error);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Stopper;

    #[derive(Debug, PartialEq, thiserror::Error)]
    enum Over {
        #[error("another owner took over")]
        StoodDown,
        #[error("it is damaged")]
        Damaged,
    }

    impl Ending for Over {
        const STOOD_DOWN: Self = Self::StoodDown;
    }

    #[tokio::test]
    async fn what_time_may_mend_is_shown_and_attempted_again_after_a_wait() {
        let (runtime, clock) = Runtime::manual(1);
        let (status, (_stopper, stop)) = (Status::new("a loop"), Stopper::new());
        let mut attempts = Attempts::new(&status, &runtime, stop);
        let waits = async {
            attempts.over::<Over>(Err(Trouble::Later("the disk is away".to_owned()))).await.expect("goes on");
            attempts.go_on()
        };
        let wakes = async {
            status.shows(|report| report.state == LoopState::BackingOff).await;
            assert_eq!(status.report().last_error.as_deref(), Some("the disk is away"));
            while clock.next_wake().is_none() {
                tokio::task::yield_now().await;
            }
            clock.advance(std::time::Duration::from_millis(10));
        };
        let (goes_on, ()) = tokio::join!(waits, wakes);
        assert!(goes_on);
    }

    #[tokio::test]
    async fn who_waits_hears_that_it_is_to_stop() {
        let (runtime, _clock) = Runtime::manual(1);
        let (status, (stopper, stop)) = (Status::new("a loop"), Stopper::new());
        let mut attempts = Attempts::new(&status, &runtime, stop);
        stopper.stop();
        attempts.over::<Over>(Err(Trouble::Later("the disk is away".to_owned()))).await.expect("no ending");
        assert!(!attempts.go_on());
        attempts.over::<Over>(Ok(())).await.expect("it was told to stop");
    }

    #[tokio::test]
    async fn an_ending_is_told_and_shown_as_what_it_is() {
        let (runtime, _clock) = Runtime::manual(1);
        for (ending, state) in [(Over::StoodDown, LoopState::StoodDown), (Over::Damaged, LoopState::Failed)] {
            let (status, (_stopper, stop)) = (Status::new("a loop"), Stopper::new());
            let text = ending.to_string();
            let end = Attempts::new(&status, &runtime, stop).over(Err(ending.into())).await;
            assert_eq!(end.map_err(|end| end.to_string()), Err(text.clone()));
            assert_eq!((status.report().state, status.report().last_error), (state, Some(text)));
        }
    }
}
