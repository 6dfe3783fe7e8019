//! The events of one journey as a tree: what was decided, what was recorded, what that led to.

use std::collections::BTreeMap;

use factum::Timestamp;
use serde_json::Value;

use crate::client::{Log, LoggedEvent};

/// How deep a tree is shown: far deeper than any journey of the bank.
const DEPTH_MAX: usize = 64;

/// What an event says about where it comes from.
#[derive(Debug, Default)]
pub struct Recorded {
    pub event: Option<String>,
    pub command: Option<String>,
    pub bus_command: Option<String>,
    pub correlation: Option<String>,
    pub cause: Option<String>,
}

impl Recorded {
    pub fn of(event: &LoggedEvent) -> Self {
        let text = |name: &str| event.metadata.others.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            event: text("event_id"),
            command: event.metadata.command_id.clone(),
            bus_command: text("bus_command"),
            correlation: text("correlation_id"),
            cause: text("causation_id"),
        }
    }
}

/// Everything that one request from outside led to.
#[derive(Debug)]
pub struct Journey {
    pub correlation: String,
    /// What nothing among the events led to: as a rule the request alone.
    pub roots: Vec<Decision>,
    pub decisions: usize,
    pub events: usize,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
}

/// Why something was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody outside asked for it; the command's id.
    Asked(String),
    /// Another service did, over the bus; the command as it was sent.
    Commanded(String),
    /// A process heard of what happened elsewhere; the event's name.
    Heard(String),
    /// A process' timer was due.
    Due,
    /// Of something that is not among the events; its id.
    Unknown(String),
}

/// What one command, message or timer led to in one service, recorded at once.
#[derive(Debug)]
pub struct Decision {
    pub service: Log,
    pub reason: Reason,
    pub at: Option<Timestamp>,
    pub recorded: Vec<Step>,
}

/// One event, and the decisions that it led to.
#[derive(Debug)]
pub struct Step {
    pub event: LoggedEvent,
    pub leads_to: Vec<Decision>,
}

/// Events recorded at once: those of a service with one command.
struct Group {
    service: Log,
    cause: Option<String>,
    events: Vec<LoggedEvent>,
}

impl Journey {
    pub fn of(correlation: String, events: Vec<(Log, LoggedEvent)>) -> Self {
        let count = events.len();
        let times: Vec<Timestamp> = events.iter().filter_map(|(_, event)| recorded_at(event)).collect();
        let mut groups = grouped(events);
        groups.sort_by_key(|group| group.events.first().and_then(recorded_at));
        let decisions = groups.len();
        let roots = Tree::of(groups).grown();
        let (began, ended) = (times.iter().min().copied(), times.iter().max().copied());
        Self { correlation, roots, decisions, events: count, began, ended }
    }

    /// When its first event was recorded.
    pub fn began(&self) -> Option<Timestamp> {
        self.began
    }

    /// How long after its first event its last one was recorded, in milliseconds.
    pub fn took_ms(&self) -> f64 {
        self.began.zip(self.ended).map_or(0.0, |(began, ended)| ended.since(began).as_secs_f64() * 1_000.0)
    }
}

/// When an event was recorded.
pub fn recorded_at(event: &LoggedEvent) -> Option<Timestamp> {
    event.metadata.recorded_at.as_deref()?.parse().ok()
}

fn grouped(events: Vec<(Log, LoggedEvent)>) -> Vec<Group> {
    let mut groups = BTreeMap::<(String, String), Group>::new();
    for (service, event) in events {
        let Recorded { command, event: id, cause, .. } = Recorded::of(&event);
        // Without a command, it was recorded by itself.
        let key = command.or(id).unwrap_or_else(|| event.position.to_string());
        groups
            .entry((service.to_string(), key))
            .or_insert_with(|| Group { service, cause, events: Vec::new() })
            .events
            .push(event);
    }
    groups.into_values().collect()
}

/// Groups by what led to them.
struct Tree {
    known: BTreeMap<String, (Log, String)>,
    by_cause: BTreeMap<String, Vec<Group>>,
    roots: Vec<Group>,
}

impl Tree {
    fn of(groups: Vec<Group>) -> Self {
        let all = groups.iter().flat_map(|group| group.events.iter().map(|event| (group.service, event)));
        let known: BTreeMap<String, (Log, String)> =
            all.filter_map(|(log, event)| Some((Recorded::of(event).event?, (log, event.name.clone())))).collect();
        let (mut by_cause, mut roots) = (BTreeMap::<String, Vec<Group>>::new(), Vec::new());
        for group in groups {
            match group.cause.clone().filter(|cause| known.contains_key(cause)) {
                Some(cause) => by_cause.entry(cause).or_default().push(group),
                None => roots.push(group),
            }
        }
        Self { known, by_cause, roots }
    }

    fn grown(mut self) -> Vec<Decision> {
        let roots = std::mem::take(&mut self.roots);
        let mut grown: Vec<Decision> = roots.into_iter().map(|group| self.decision(group, 0)).collect();
        // What is left led to itself, which only a damaged log can say, or lies too deep: shown all the same.
        while let Some((_, groups)) = self.by_cause.pop_first() {
            grown.extend(groups.into_iter().map(|group| self.decision(group, 0)));
        }
        grown
    }

    fn decision(&mut self, Group { service, cause, events }: Group, depth: usize) -> Decision {
        let at = events.first().and_then(recorded_at);
        let reason = self.reason(service, cause.as_deref(), &events);
        let recorded = events.into_iter().map(|event| {
            let led = Recorded::of(&event).event.filter(|_| depth < DEPTH_MAX);
            let led = led.and_then(|id| self.by_cause.remove(&id)).unwrap_or_default();
            Step { event, leads_to: led.into_iter().map(|group| self.decision(group, depth + 1)).collect() }
        });
        Decision { service, reason, at, recorded: recorded.collect() }
    }

    fn reason(&self, service: Log, cause: Option<&str>, events: &[LoggedEvent]) -> Reason {
        let recorded = events.first().map(Recorded::of).unwrap_or_default();
        if let Some(command) = recorded.bus_command {
            return Reason::Commanded(command);
        }
        match cause.map(|cause| (cause, self.known.get(cause))) {
            None => Reason::Asked(recorded.command.unwrap_or_default()),
            Some((_, Some((of, _)))) if *of == service => Reason::Due,
            Some((_, Some((_, name)))) => Reason::Heard(name.clone()),
            Some((cause, None)) => Reason::Unknown(cause.to_owned()),
        }
    }
}

/// The ids of all events below some decisions, for checks.
#[cfg(test)]
pub fn ids(decisions: &[Decision], into: &mut std::collections::BTreeSet<String>) {
    for step in decisions.iter().flat_map(|decision| &decision.recorded) {
        into.extend(Recorded::of(&step.event).event);
        ids(&step.leads_to, into);
    }
}
