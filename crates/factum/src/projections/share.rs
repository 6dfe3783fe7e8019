//! How much of the time a filling beside a read model that answers works: as much as it is given, and more as long as it
//! comes no nearer to what it has to reach.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::model::Timestamp;

/// Over how long it is looked whether a filling comes nearer.
const WINDOW: Duration = Duration::from_secs(5);
/// What it does in this time is no distance: messages come in bursts.
const NEAR: Duration = Duration::from_secs(1);
/// It comes no nearer when so much of what it does, in percent, only makes up for what came meanwhile.
const NO_NEARER_PERCENT: u128 = 90;
/// It works less when it would come nearer all the same, with so much to spare, in percent of what comes.
const SPARE_PERCENT: u128 = 125;
/// What waits for messages more than this, in percent of the time, has enough of it.
const WAITING_PERCENT: u128 = 25;

/// The share of one filling. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    percent: u32,
    /// What it was given last.
    least: u32,
    /// Since when it has had nothing to work on.
    waits: Option<Timestamp>,
    window: Option<Window>,
}

/// What happened since it was last judged.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    /// How much was left when it began.
    left: u64,
    done: u64,
    /// How long it had nothing to work on.
    waited: Duration,
}

/// What follows from a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    More,
    Less,
    Same,
}

impl Share {
    pub(crate) fn new(percent: u32) -> Self {
        Self(Arc::new(Mutex::new(State { percent, least: percent, waits: None, window: None })))
    }

    /// How much of the time it works at present.
    pub(crate) fn percent(&self) -> u32 {
        self.state().percent
    }

    /// It has something to work on.
    pub(crate) fn begins(&self, now: Timestamp) {
        let mut state = self.state();
        let waited = state.waits.take().map_or(Duration::ZERO, |since| now.since(since));
        if let Some(window) = &mut state.window {
            window.waited += waited;
        }
    }

    /// It has done so much, and is about to pause; `least`: what it is given, in percent. How much of the time it works from
    /// now on.
    pub(crate) fn worked(&self, least: u32, now: Timestamp, done: u64, left: impl FnOnce() -> u64) -> u32 {
        let mut state = self.state();
        // What was not raised is what is given now, also where that is less than before.
        state.percent = if state.percent == state.least { least } else { state.percent.max(least) };
        state.least = least;
        let Some(window) = &mut state.window else {
            state.window = Some(Window { began: now, left: left(), done: 0, waited: Duration::ZERO });
            return state.percent;
        };
        window.done += done;
        if now.since(window.began) >= WINDOW {
            let (window, left) = (*window, left());
            let less = lowered(state.percent).max(least);
            state.percent = match window.verdict(now, left, state.percent, less) {
                Verdict::More => raised(state.percent),
                Verdict::Less => less,
                Verdict::Same => state.percent,
            };
            state.window = Some(Window { began: now, left, done: 0, waited: Duration::ZERO });
        }
        state.percent
    }

    /// Its pause is over.
    pub(crate) fn paused(&self, now: Timestamp) {
        self.state().waits = Some(now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Half as much again, up to all of the time.
fn raised(percent: u32) -> u32 {
    percent.saturating_mul(3).div_ceil(2).min(100)
}

fn lowered(percent: u32) -> u32 {
    percent * 2 / 3
}

impl Window {
    fn verdict(self, now: Timestamp, left: u64, percent: u32, less: u32) -> Verdict {
        let took = now.since(self.began);
        let worked = took.saturating_sub(self.waited);
        let came = left.saturating_add(self.done).saturating_sub(self.left);
        let (took, worked) = (took.as_micros(), worked.as_micros());
        let (came, done) = (u128::from(came), u128::from(self.done));
        let is_near = u128::from(left) * took <= done * NEAR.as_micros();
        let waits = (took - worked) * 100 > took * WAITING_PERCENT;
        let comes_no_nearer = came * 100 >= done * NO_NEARER_PERCENT;
        // What came would have been done in this part of its time; of less time it would be a larger part.
        let would_keep_up = came * worked * u128::from(percent) * SPARE_PERCENT <= done * took * u128::from(less) * 100;
        match (comes_no_nearer && !is_near && !waits, would_keep_up) {
            (true, _) => Verdict::More,
            (false, true) => Verdict::Less,
            (false, false) => Verdict::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: u32 = 33;
    const MILLI: Duration = Duration::from_millis(1);

    /// A filling that folds one message in a millisecond, in transactions of 20, and what comes meanwhile.
    struct Filling {
        share: Share,
        now: Timestamp,
        left: f64,
    }

    impl Filling {
        fn new(left: u32) -> Self {
            Self { share: Share::new(LEAST), now: Timestamp::from_micros(1_000_000), left: left.into() }
        }

        fn passes(&mut self, time: Duration, per_second: u32) {
            self.now = self.now.plus(time);
            self.left += time.as_secs_f64() * f64::from(per_second);
        }

        /// The shares that it had meanwhile, each once.
        fn goes_on(&mut self, seconds: u64, per_second: u32) -> Vec<u32> {
            let (end, mut shares) = (self.now.plus(Duration::from_secs(seconds)), vec![self.share.percent()]);
            while self.now < end {
                if self.left < 1.0 {
                    self.passes(MILLI, per_second);
                    continue;
                }
                self.share.begins(self.now);
                let done = self.left.min(20.0).floor();
                let took = MILLI.mul_f64(done);
                self.passes(took, per_second);
                self.left -= done;
                let percent = self.share.worked(LEAST, self.now, done as u64, || self.left as u64);
                self.passes(took * (100 - percent) / percent, per_second);
                self.share.paused(self.now);
                shares.push(percent);
            }
            shares.dedup();
            shares
        }
    }

    #[test]
    fn what_comes_nearer_keeps_the_share_it_was_given() {
        assert_eq!(Filling::new(50_000).goes_on(300, 100), [LEAST]);
        assert_eq!(Filling::new(50_000).goes_on(300, 280), [LEAST], "slowly");
    }

    #[test]
    fn what_follows_keeps_the_share_it_was_given() {
        for per_second in [0, 1, 100, 250] {
            assert_eq!(Filling::new(0).goes_on(300, per_second), [LEAST], "{per_second}/s");
        }
    }

    #[test]
    fn what_comes_no_nearer_works_more_step_by_step_up_to_all_of_the_time() {
        assert_eq!(Filling::new(1_000).goes_on(300, 450), [33, 50, 75], "it catches up, and follows");
        let mut filling = Filling::new(1_000);
        assert_eq!(filling.goes_on(300, 900), [33, 50, 75, 100]);
        assert!(filling.left < 100.0, "{} are left", filling.left);
        assert_eq!(Filling::new(1_000).goes_on(300, 2_000), [33, 50, 75, 100], "there is no more than all of it");
    }

    #[test]
    fn what_comes_nearer_quickly_works_less_again_down_to_what_it_was_given() {
        let mut filling = Filling::new(1_000);
        filling.goes_on(60, 2_000);
        assert_eq!(filling.goes_on(300, 100), [100, 66, 44, 33]);
        assert!(filling.left < 100.0, "{} are left", filling.left);
    }

    #[test]
    fn what_follows_works_less_again_when_less_comes() {
        let mut filling = Filling::new(1_000);
        assert_eq!(filling.goes_on(300, 450), [33, 50, 75]);
        assert!(filling.left < 100.0, "{} are left", filling.left);
        assert_eq!(filling.goes_on(60, 50), [75, 50, 33]);
    }

    #[test]
    fn a_burst_after_a_quiet_night_is_no_reason_to_work_more() {
        let mut filling = Filling::new(0);
        filling.goes_on(60, 100);
        filling.passes(Duration::from_secs(8 * 3_600), 0);
        filling.left += 50_000.0;
        assert_eq!(filling.goes_on(120, 100), [LEAST]);
    }

    #[test]
    fn a_share_that_is_given_counts_at_once_and_one_percent_rises_too() {
        let share = Share::new(1);
        let now = Timestamp::from_micros(1_000_000);
        assert_eq!([50, 20].map(|given| share.worked(given, now, 1, || 1)), [50, 20]);
        let steps = std::iter::successors(Some(1), |percent| Some(raised(*percent)));
        assert!(steps.take(20).any(|percent| percent == 100));
        assert_eq!(raised(100), 100);
    }
}
