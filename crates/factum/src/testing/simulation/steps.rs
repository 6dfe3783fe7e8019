//! The calls of a whole world, numbered: what is to happen at which of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What happens at one call of a store, a bus or a read store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mishap {
    /// The call fails, and nothing was done.
    FailBefore,
    /// The call was done, and fails all the same.
    FailAfter,
    /// Who makes the call dies, and nothing was done.
    DieBefore,
    /// The call is done, and who made it dies without an answer.
    DieAfter,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FailBefore, Self::FailAfter, Self::DieBefore, Self::DieAfter];
}

/// Numbers every call that the processes of a world make of their stores, buses and read stores, in the order of the world,
/// and lets something happen at set numbers: with a seed, every step of a story can be its last, in turn. Cheap to clone;
/// clones count together.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    counting: bool,
    calls: Vec<String>,
    planned: BTreeMap<usize, Mishap>,
}

impl Steps {
    /// Nothing happens before [`begin`](Steps::begin); then something at each of these calls, of which the first is number 1.
    pub fn with(planned: impl IntoIterator<Item = (usize, Mishap)>) -> Self {
        let state = State { planned: planned.into_iter().collect(), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Counts from now on.
    pub fn begin(&self) {
        self.state().counting = true;
    }

    /// Counts no more: nothing more happens.
    pub fn end(&self) {
        self.state().counting = false;
    }

    /// Every call that was counted, by whose it is and its name: `accounts store.append`.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    pub(super) fn take(&self, whose: &str, call: &str) -> Option<Mishap> {
        let mut state = self.state();
        if !state.counting {
            return None;
        }
        state.calls.push(format!("{whose} {call}"));
        state.planned.get(&state.calls.len()).copied()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_numbered_from_the_beginning_to_the_end() {
        let steps = Steps::with([(2, Mishap::DieAfter)]);
        assert_eq!(steps.take("accounts", "store.append"), None, "not begun");
        steps.begin();
        assert_eq!(steps.take("accounts", "store.append"), None);
        assert_eq!(steps.take("transfers", "bus.produce"), Some(Mishap::DieAfter));
        assert_eq!(steps.take("accounts", "store.append"), None);
        steps.end();
        assert_eq!(steps.take("accounts", "store.append"), None, "ended");
        assert_eq!(steps.calls(), ["accounts store.append", "transfers bus.produce", "accounts store.append"]);
    }
}
