//! What processes have recorded and sent, and whether it is a function of what they were told.

use std::{collections::BTreeMap, sync::Arc};

use super::{house::House, receiver::all_commands};
use crate::{
    bus::{CANCEL_NAME, Envelope, TopicPartition, command_id},
    model::{Context, ContextParts, Decoded, EventId, ProcessManager, Sent, Source, What},
    process::{About, TIMER_CATEGORY, decide_again},
    store::{Direction, EventStore, Position, RecordedEvent, Selection, StreamName},
};

/// How many events are read at once.
const PAGE_EVENTS: usize = 1_000;

/// What one process came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// The names of its events.
    pub(super) events: Vec<String>,
    /// What it sent, by step and name, to which target.
    pub(super) sent: Vec<String>,
    /// A deadline of it has passed: it may come to something else.
    pub(super) was_late: bool,
}

/// What all processes came to, by stream.
pub(super) type Courses = BTreeMap<StreamName, Course>;

/// What all processes came to.
///
/// # Errors
/// Something that was recorded or sent is not what is decided when it is decided again.
pub(super) async fn courses<P: ProcessManager>(house: &House) -> Result<Courses, String> {
    let store = house.store();
    let events = all_events(store.as_ref()).await;
    let heard = heard(house, P::TOPICS);
    let source = store.identity().source();
    let mut courses = Courses::new();
    let mut by_process: BTreeMap<StreamName, Vec<&RecordedEvent>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.stream.category() == P::CATEGORY) {
        by_process.entry(event.stream.clone()).or_default().push(event);
    }
    let fired = fired(&events);
    for (stream, events) in &by_process {
        decides_the_same::<P>(stream, events, &heard, &fired)?;
        let mut course = Course { was_late: fired.keys().any(|(of, _)| of == stream), ..Course::default() };
        for event in events {
            course.events.push(event.name.to_string());
            let sent = effects::<P>(event, source)?.into_iter();
            course.sent.extend(sent.map(|sent| said(stream, &sent)));
        }
        courses.insert(stream.clone(), course);
    }
    sends_the_same::<P>(house, &events, source)?;
    Ok(courses)
}

async fn all_events(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let (mut all, mut after) = (Vec::new(), Position::ZERO);
    loop {
        let read = store.read(&Selection::everything(), after, Direction::Forward, PAGE_EVENTS).await;
        let batch = read.expect("a store in memory is there");
        let Some(last) = batch.events.last() else { return all };
        after = last.position;
        all.extend(batch.events);
    }
}

/// Every message on the topics, by id.
fn heard(house: &House, topics: &[&str]) -> BTreeMap<EventId, Envelope> {
    let mut heard = BTreeMap::new();
    for topic in topics {
        for partition in 0..crate::bus::PARTITIONS_MAX {
            let records = house.bus().records(&TopicPartition::new(*topic, partition));
            let messages = records.iter().filter_map(|record| Envelope::decode(&record.headers, &record.value).ok());
            heard.extend(messages.map(|message| (message.id, message)));
        }
    }
    heard
}

/// The timers that have fired, by process and by the id of the command record under which they did.
fn fired(events: &[RecordedEvent]) -> BTreeMap<(StreamName, Option<uuid::Uuid>), String> {
    let mut fired = BTreeMap::new();
    for event in events.iter().filter(|event| event.stream.category() == TIMER_CATEGORY) {
        let of = event.stream.as_str().split_once('-').and_then(|(_, of)| StreamName::new(of).ok());
        let document: serde_json::Value = serde_json::from_slice(&event.data).unwrap_or_default();
        if let (Some(of), Some(timer)) = (of, document["timer"].as_str()) {
            fired.insert((of, event.command_id.map(|id| id.as_uuid())), timer.to_owned());
        }
    }
    fired
}

/// Decides again about everything that led to events, on the state of then.
fn decides_the_same<P: ProcessManager>(
    stream: &StreamName,
    events: &[&RecordedEvent],
    heard: &BTreeMap<EventId, Envelope>,
    fired: &BTreeMap<(StreamName, Option<uuid::Uuid>), String>,
) -> Result<(), String> {
    let mut state = P::default();
    for group in events.chunk_by(|one, next| one.command_id.is_some() && one.command_id == next.command_id) {
        let first = group[0];
        let message = first.metadata.causation_id.and_then(|id| heard.get(&EventId::from_uuid(id)));
        let timer = fired.get(&(stream.clone(), first.command_id.map(|id| id.as_uuid())));
        let about = timer.map(|timer| About::Timer(timer)).or(message.map(About::Message));
        if let (Some(about), Some(command_id)) = (about, first.command_id) {
            let context = Context::new(ContextParts {
                now: first.recorded_at,
                command_id,
                actor: first.metadata.actor.clone(),
                stream: stream.clone(),
                version: crate::store::Version::new(first.version.get() - 1),
            });
            let again = decide_again(&state, about, &context)?;
            let recorded = group.iter().map(|event| (&*event.name, &event.data[..]));
            if !recorded.eq(again.iter().map(|(name, data)| (*name, &data[..]))) {
                let told = match about {
                    About::Message(message) => format!("the message {}", message.name),
                    About::Timer(timer) => format!("the timer {timer}"),
                };
                let shown = |name: &str, data: &[u8]| format!("{name} {}", String::from_utf8_lossy(data));
                let recorded: Vec<_> = group.iter().map(|event| shown(&event.name, &event.data)).collect();
                let again: Vec<_> = again.iter().map(|(name, data)| shown(name, data)).collect();
                return Err(format!(
                    "{stream} decides about {told} otherwise when asked again\n  recorded: {}\n  again:    {}",
                    recorded.join(", "),
                    again.join(", ")
                ));
            }
        }
        for event in group {
            if let Ok(Decoded::Known(fact)) = event.decode::<P::Event>() {
                state.apply(&fact);
            }
        }
    }
    Ok(())
}

/// What an event sends, twice the same.
fn effects<P: ProcessManager>(event: &RecordedEvent, source: Source) -> Result<Vec<Sent>, String> {
    let Ok(Decoded::Known(fact)) = event.decode::<P::Event>() else { return Ok(Vec::new()) };
    let delivery = event.delivery(source);
    let (first, again) = (P::effects(&fact, &delivery), P::effects(&fact, &delivery));
    if first == again {
        Ok(first.sent)
    } else {
        let (stream, name) = (&event.stream, &event.name);
        Err(format!("{name} of {stream} asks for something else when asked again\n  {first:?}\n  {again:?}"))
    }
}

fn said(stream: &StreamName, sent: &Sent) -> String {
    let id = command_id(stream, sent.step).unwrap_or_else(|| Arc::from("?"));
    format!("{id} {} to {}", wire(sent).0, sent.target)
}

fn wire(sent: &Sent) -> (&str, &[u8]) {
    match &sent.what {
        What::Command { name, data } => (name, data),
        What::Cancel => (CANCEL_NAME, b"{}"),
    }
}

/// Each record on the channels is what its event asks for, and all that events ask for is there.
fn sends_the_same<P: ProcessManager>(house: &House, events: &[RecordedEvent], source: Source) -> Result<(), String> {
    let mut expected = BTreeMap::new();
    for event in events.iter().filter(|event| event.stream.category() == P::CATEGORY) {
        for sent in effects::<P>(event, source)? {
            expected.insert((event.position, said(&event.stream, &sent)), wire(&sent).1.to_vec());
        }
    }
    let mut missing: std::collections::BTreeSet<_> = expected.keys().cloned().collect();
    for command in all_commands(house, P::CHANNELS) {
        let id = command.command_id.as_deref().unwrap_or("?");
        let place = (command.position, format!("{id} {} to {}", command.name, command.key));
        match expected.get(&place) {
            Some(data) if data[..] == command.data[..] => missing.remove(&place),
            other => {
                let again = other.map(|data| String::from_utf8_lossy(data).into_owned());
                let sent = String::from_utf8_lossy(&command.data);
                return Err(format!("{} was sent once as\n  {sent}\nand asked again is\n  {again:?}", place.1));
            }
        };
    }
    missing.into_iter().next().map_or(Ok(()), |(_, what)| Err(format!("{what} was never sent")))
}
