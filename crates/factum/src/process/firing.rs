//! A timer is due: decided on, and recorded as fired, at once.

use std::sync::Arc;

use factum_engine::{Direction, ExpectedVersion, StreamName};
use serde::{Deserialize, Serialize};

use super::{
    HearError, Hearer,
    pending::Timer,
    record::{Appended, Cause},
};
use crate::{
    derives::Event,
    dispatch::{Streams, new_events},
    model::{ActorId, Decoded, EventId, Input, ProcessManager, Source, TimerChange},
    runtime::contained,
    store::{Append, Metadata, RecordedEvent, StreamAppend},
};

/// The category of the streams in which it is recorded that timers have fired: `timer-<stream of the process>`.
pub(crate) const TIMER_CATEGORY: &str = "timer";
/// How many events of a process one read asks for, to see whether a timer is still set.
const LOOK_EVENTS: usize = 64;

/// A timer has fired: what the process decided stands in the same append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TimerFired {
    /// Its name.
    pub(super) timer: String,
    /// The event that had set it.
    pub(super) set_by: EventId,
}

/// What is recorded of timers besides what sets and clears them.
#[derive(Clone, Debug, PartialEq, Eq, Event)]
pub(super) enum TimerEvent {
    #[factum(name = "timer.fired")]
    Fired(TimerFired),
}

/// What came of a timer whose time had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firing {
    /// It has fired; now, or at an earlier attempt.
    Fired,
    /// It is not set any more.
    Gone,
}

/// What an event of a store means for the timers of a kind of processes.
pub(crate) enum Change {
    Set(Timer),
    Clear { stream: StreamName, name: Arc<str> },
    Fired { stream: StreamName, name: String, set_by: EventId },
}

impl Change {
    /// Which timer it is about.
    pub(super) fn timer(&self) -> (&StreamName, &str) {
        match self {
            Self::Set(Timer { stream, name, .. }) | Self::Clear { stream, name } => (stream, name),
            Self::Fired { stream, name, .. } => (stream, name),
        }
    }
}

impl<P: ProcessManager> Hearer<P> {
    /// What an event of the store means for these processes' timers, in order.
    pub(super) fn changes(event: &RecordedEvent, source: Source) -> Result<Vec<Change>, HearError> {
        match event.stream.category() {
            category if category == P::CATEGORY => {
                let stream = || event.stream.clone();
                let changes = timers::<P>(event, source)?.into_iter().map(|change| match change {
                    TimerChange::Set { timer, due } => Change::Set(Timer {
                        stream: stream(),
                        name: timer.into(),
                        due,
                        set_by: event.id,
                        version: event.version,
                        position: event.position,
                        correlation_id: event.metadata.correlation_id,
                    }),
                    TimerChange::Clear { timer } => Change::Clear { stream: stream(), name: timer.into() },
                });
                Ok(changes.collect())
            }
            TIMER_CATEGORY => {
                let Ok(stream) = StreamName::new(event.stream.id()) else { return Ok(Vec::new()) };
                if stream.category() != P::CATEGORY {
                    return Ok(Vec::new());
                }
                Ok(match event.decode().map_err(HearError::Unreadable)? {
                    Decoded::Known(TimerEvent::Fired(TimerFired { timer: name, set_by })) => {
                        vec![Change::Fired { stream, name, set_by }]
                    }
                    Decoded::Unknown => Vec::new(),
                })
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Lets a timer fire: what the process decides and that it has fired are one append, under an id derived from what
    /// set it. So it fires once, however often and by however many that is tried.
    pub(super) async fn fire(&self, timer: &Timer) -> Result<Firing, HearError> {
        let streams = self.streams.as_ref();
        let cause = Self::cause(streams, timer);
        let _turn = streams.turn(&cause.stream).await;
        for attempt in 1..=streams.attempts_max {
            let decide = |loaded: &_| cause.decide::<P>(loaded, Input::Due { timer: &timer.name });
            // Something is appended in any case.
            let (loaded, decided) = streams.decide::<P, _>(&cause.stream, decide, |_| true).await?;
            // Looked at after the state was: what is later than both makes the append a conflict.
            if !self.is_set(timer).await? {
                return Ok(Firing::Gone);
            }
            let events = decided.map_err(HearError::Panicked)?;
            let beside = fired(timer, &cause)?;
            match cause.append(streams, loaded, events.as_slice(), Some(beside)).await? {
                Appended::Recorded { .. } => return Ok(Firing::Fired),
                Appended::Conflict if attempt < streams.attempts_max => streams.pause(attempt).await,
                Appended::Conflict => {}
            }
        }
        Err(HearError::Contended { attempts: streams.attempts_max })
    }

    /// Records that a timer has fired, without anything being decided: an operator discarded it.
    pub(super) async fn pass_over(&self, timer: &Timer) -> Result<(), HearError> {
        let streams = self.streams.as_ref();
        let cause = Self::cause(streams, timer);
        let beside = fired(timer, &cause)?;
        let mut append = Append::new(cause.metadata.clone(), cause.now).command(cause.record);
        append.streams.push(beside);
        streams.store.append(append).await?;
        Ok(())
    }

    fn cause(streams: &Streams, timer: &Timer) -> Cause {
        let metadata = Metadata {
            correlation_id: timer.correlation_id,
            causation_id: Some(timer.set_by.as_uuid()),
            actor: ActorId::system(),
            bus_command: None,
        };
        let which = format!("{} {}", timer.name, timer.set_by);
        Cause::new(streams, timer.stream.clone(), ("timer", &which), metadata)
    }

    /// Whether the timer is still set, by what its process's stream says from the event on that set it.
    async fn is_set(&self, timer: &Timer) -> Result<bool, HearError> {
        let store = self.streams.store.as_ref();
        let source = store.identity().source();
        let (mut from, mut is_set) = (timer.version, false);
        loop {
            let batch = store.read_stream(&timer.stream, from, Direction::Forward, LOOK_EVENTS).await?;
            for event in &batch.events {
                if event.version == timer.version && event.id != timer.set_by {
                    return Ok(false);
                }
                for change in timers::<P>(event, source)? {
                    match change {
                        TimerChange::Set { timer: name, .. } if *name == *timer.name => {
                            is_set = event.id == timer.set_by
                        }
                        TimerChange::Clear { timer: name } if *name == *timer.name => is_set = false,
                        TimerChange::Set { .. } | TimerChange::Clear { .. } => {}
                    }
                }
                from = event.version.next();
            }
            if batch.end {
                return Ok(is_set);
            }
        }
    }
}

/// What an event of a process asks of timers.
fn timers<P: ProcessManager>(event: &RecordedEvent, source: Source) -> Result<Vec<TimerChange>, HearError> {
    let changes = contained(|| {
        let decoded = event.decode::<P::Event>().map_err(HearError::Unreadable)?;
        match decoded {
            Decoded::Known(fact) => Ok(P::effects(&fact, &event.delivery(source)).timers),
            Decoded::Unknown => {
                // It may have set or cleared one.
                Err(HearError::Corrupt(format!(
                    "this build does not know `{}`: deploy the build that wrote it",
                    event.name
                )))
            }
        }
    });
    let changes = changes.map_err(HearError::Panicked).flatten();
    changes.map_err(|error| match error {
        HearError::Panicked(panic) => {
            HearError::Panicked(format!("over the effects of {} version {}: {panic}", event.stream, event.version))
        }
        HearError::Corrupt(reason) => {
            HearError::Corrupt(format!("{} version {}: {reason}", event.stream, event.version))
        }
        other => other,
    })
}

/// That a timer has fired, beside what was decided.
fn fired(timer: &Timer, cause: &Cause) -> Result<StreamAppend, HearError> {
    let stream = StreamName::new(format!("{TIMER_CATEGORY}-{}", timer.stream));
    let stream = stream.map_err(|error| HearError::Refused(format!("what timers are recorded in: {error}")))?;
    let fact = TimerEvent::Fired(TimerFired { timer: timer.name.to_string(), set_by: timer.set_by });
    // Labelled apart from what is decided under the same command id.
    let id = crate::model::CommandId::from_uuid(cause.record.id.derive("fired"));
    let events = new_events(&[fact], id).map_err(HearError::Panicked)?;
    // Whether it fired before, the command id says.
    Ok(StreamAppend { stream, expected: ExpectedVersion::Any, events })
}
