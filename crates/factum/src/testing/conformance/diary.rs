//! What was done to a handler, for who has to find out why it went wrong.

use std::sync::{Arc, Mutex, PoisonError};

/// How many of the last entries are told.
const ENTRIES_TOLD_MAX: usize = 30;

/// What happened in a run, in order. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Diary {
    entries: Arc<Mutex<Vec<String>>>,
}

impl Diary {
    pub(super) fn note(&self, entry: impl Into<String>) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry.into());
    }

    /// The last entries, a line each.
    pub(super) fn told(&self) -> String {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = entries.len().saturating_sub(ENTRIES_TOLD_MAX);
        let mut told = String::new();
        if left_out > 0 {
            told.push_str(&format!("\n  ({left_out} more before)"));
        }
        entries.iter().skip(left_out).for_each(|entry| told.push_str(&format!("\n  {entry}")));
        told
    }
}
