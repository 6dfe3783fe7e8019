//! What was done to a handler, for who has to find out why it went wrong.

use std::sync::{Arc, Mutex, PoisonError};

/// Says what is wrong with a handler, and how to see it once more.
#[track_caller]
pub(super) fn fails(handler: &str, seed: u64, trouble: &str, diary: &Diary, again: &str) -> ! {
    let (told, next) = (diary.told(), seed + 1);
    panic!(
        "{handler} does not conform, seed {seed}: {trouble}\nwhat was done:{told}\nagain: conformance::{again}, {seed}..{next})"
    )
}

/// A type's name without its modules.
pub(super) fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    let modules = name.split('<').next().and_then(|name| name.rfind("::"));
    modules.map_or(name, |end| &name[end + 2..])
}

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
