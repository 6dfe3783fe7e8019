//! A trace for people, and for programs.

use std::fmt::Write as _;

use factum::Timestamp;
use serde_json::{Value, json};

use super::{
    Trace,
    journey::{Decision, Journey, Reason, Recorded, Step},
};
use crate::client::LoggedEvent;

/// The most characters of an event's data that are shown to people.
const DATA_CHARACTERS_MAX: usize = 100;

pub fn as_text(trace: &Trace) -> String {
    let mut text = String::new();
    let kinds: Vec<&str> = trace.kinds.iter().map(|kind| kind.as_str()).collect();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "{} is known as {}", trace.id, kinds.join(", "));
    if trace.earlier {
        let _ = writeln!(text, "the latest {} journeys; there are earlier ones", trace.journeys.len());
    }
    for journey in &trace.journeys {
        let Journey { correlation, decisions, events, roots, .. } = journey;
        let (decided, recorded) = (counted(*decisions, "decision"), counted(*events, "event"));
        let _ = writeln!(text, "\njourney {correlation}: {decided}, {recorded}, {:.1} ms", journey.took_ms());
        for root in roots {
            let _ = writeln!(text, "{}", title(root, journey.began()));
            branch(root, journey.began(), "", &mut text);
        }
    }
    if trace.left_out > 0 {
        let _ = writeln!(text, "\n{} more events are left out", trace.left_out);
    }
    text
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn title(decision: &Decision, began: Option<Timestamp>) -> String {
    let why = match &decision.reason {
        Reason::Asked(id) => format!("asked by command {id}"),
        Reason::Commanded(command) => format!("takes {command}"),
        Reason::Heard(name) => format!("hears {name}"),
        Reason::Due => "finds a timer due".to_owned(),
        Reason::Unknown(id) => format!("acts on {id}, which is not among the events"),
    };
    let after = began.zip(decision.at).map_or(0.0, |(began, at)| at.since(began).as_secs_f64() * 1_000.0);
    format!("{} {why}  +{after:.1} ms", decision.service)
}

fn branch(decision: &Decision, began: Option<Timestamp>, indent: &str, text: &mut String) {
    for (index, Step { event, leads_to }) in decision.recorded.iter().enumerate() {
        let (joint, below) = joints(indent, index + 1 == decision.recorded.len());
        let _ = writeln!(text, "{joint}{}", line(event));
        for (index, next) in leads_to.iter().enumerate() {
            let (joint, below) = joints(&below, index + 1 == leads_to.len());
            let _ = writeln!(text, "{joint}{}", title(next, began));
            branch(next, began, &below, text);
        }
    }
}

fn joints(indent: &str, is_last: bool) -> (String, String) {
    let (joint, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    (format!("{indent}{joint}"), format!("{indent}{below}"))
}

fn line(LoggedEvent { position, stream, version, name, data, .. }: &LoggedEvent) -> String {
    let fields = data.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
    let fields = fields.collect::<Vec<_>>().join(" ");
    let fields = match fields.char_indices().nth(DATA_CHARACTERS_MAX) {
        None => fields,
        Some((end, _)) => format!("{}…", &fields[..end]),
    };
    format!("{name}  {stream} v{version} at {position}  {fields}").trim_end().to_owned()
}

pub fn as_json(trace: &Trace) -> Value {
    let kinds: Vec<&str> = trace.kinds.iter().map(|kind| kind.as_str()).collect();
    let journeys = trace.journeys.iter().map(|journey| {
        let Journey { correlation, decisions, events, roots, .. } = journey;
        json!({
            "correlation_id": correlation,
            "decisions": decisions,
            "events": events,
            "took_ms": journey.took_ms(),
            "roots": roots.iter().map(node).collect::<Vec<_>>(),
        })
    });
    json!({
        "id": trace.id,
        "known_as": kinds,
        "journeys": journeys.collect::<Vec<_>>(),
        "earlier_journeys": trace.earlier,
        "events_left_out": trace.left_out,
    })
}

fn node(decision: &Decision) -> Value {
    let (reason, of) = match &decision.reason {
        Reason::Asked(id) => ("asked", Some(id)),
        Reason::Commanded(command) => ("commanded", Some(command)),
        Reason::Heard(name) => ("heard", Some(name)),
        Reason::Due => ("due", None),
        Reason::Unknown(id) => ("unknown", Some(id)),
    };
    let recorded = decision.recorded.iter().map(|Step { event, leads_to }| {
        json!({
            "event_id": Recorded::of(event).event,
            "type": event.name,
            "stream": event.stream,
            "version": event.version,
            "position": event.position,
            "recorded_at": event.metadata.recorded_at,
            "data": event.data,
            "leads_to": leads_to.iter().map(node).collect::<Vec<_>>(),
        })
    });
    json!({
        "service": decision.service.to_string(),
        "reason": reason,
        "of": of,
        "recorded": recorded.collect::<Vec<_>>(),
    })
}
