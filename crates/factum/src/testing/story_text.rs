//! A story as a reader sees it when it ends differently.

use std::fmt::{Debug, Write};

use serde_json::Value;

use crate::{Event, Message, Rejection};

/// An event as one line: its name, its schema when it is not the first, its document.
pub(super) fn event(event: &impl Event) -> String {
    let mut document = Vec::new();
    event.encode(&mut document);
    let schema = if event.schema() == 1 { String::new() } else { format!(" (schema {})", event.schema()) };
    format!("{}{schema} {}", event.name(), String::from_utf8_lossy(&document))
}

/// A command as one line: its name and its document.
pub(super) fn command<C: Message>(document: &Value) -> String {
    format!("{} {document}", C::NAME)
}

/// A rejection as one line: its code, its words, its value.
pub(super) fn rejection(rejection: &impl Rejection) -> String {
    format!("rejected with {}: {rejection} ({rejection:?})", rejection.code())
}

/// Two lists of events below each other, one a line; lines that differ are marked. Events whose documents are equal
/// although they differ are shown as their types see them.
pub(super) fn compared<E: Event + PartialEq + Debug>(expected: &[E], got: &[E]) -> (String, String) {
    let side = |ours: &[E], theirs: &[E]| {
        let lines = ours.iter().enumerate().map(|(at, this)| {
            let other = theirs.get(at);
            let mark = if other == Some(this) { ' ' } else { '≠' };
            let line = event(this);
            let disguised = other.is_some_and(|other| other != this && event(other) == line);
            if disguised { format!("{mark} {line} that is {this:?}") } else { format!("{mark} {line}") }
        });
        lines.collect::<Vec<_>>()
    };
    (listed(&side(expected, got)), listed(&side(got, expected)))
}

/// Lines, indented; or that there are none.
pub(super) fn listed(lines: &[String]) -> String {
    if lines.is_empty() {
        return "  nothing\n".to_owned();
    }
    lines.iter().fold(String::new(), |mut text, line| {
        let _infallible = writeln!(text, "  {line}");
        text
    })
}
