//! Stories of process managers: what they hear, what they send; and that they have an answer to everything.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Debug,
};

use factum_engine::StreamName;

use super::{
    Decision, Story,
    given::{given_nothing, through_the_wire},
    story_text,
};
use crate::{
    Effects, Input, MessageType, ProcessManager,
    bus::command_id,
    model::{Refusal, Sent, TimerChange, What},
    runtime::contained,
};

/// How many states [`assert_total`] goes through besides those it is given.
const STATES_MAX: usize = 1_000;
/// How many failures it tells.
const FAILURES_TOLD_MAX: usize = 20;
/// A step and a timer that no process manager has.
const UNKNOWN: &str = "no-such-step-or-timer";

impl<P: ProcessManager> Story<P>
where
    P::Event: PartialEq + Debug,
    P::Message: PartialEq + Debug,
{
    /// The process hears a message; with the step under which it sent the command that caused it, if it did:
    /// `hears(held, "hold")`, `hears(opened, None)`. The message goes through its wire format.
    ///
    /// # Panics
    /// The message does not survive that, or the decision turns out otherwise when taken again.
    #[track_caller]
    pub fn hears<'a>(self, message: impl Into<P::Message>, step: impl Into<Option<&'a str>>) -> Decision<P> {
        let (message, step) = (through_the_wire(&message.into()), step.into());
        let when = format!("it hears {}{}", story_text::event(&message), after(step));
        self.hearing(when, Input::Message { message: &message, step })
    }

    /// The command it sent under a step was refused, with a code; [`Refusal::CANCELLED`]: it was cancelled in time.
    ///
    /// # Panics
    /// The decision turns out otherwise when taken again.
    #[track_caller]
    pub fn refused(self, step: &str, code: &str) -> Decision<P> {
        let refusal = Refusal { code: code.to_owned(), message: code.to_owned() };
        self.hearing(format!("`{step}` is refused with {code}"), Input::Refused { step, refusal: &refusal })
    }

    /// The command it sent under a step was accepted and changed nothing.
    ///
    /// # Panics
    /// The decision turns out otherwise when taken again.
    #[track_caller]
    pub fn nothing_to_do(self, step: &str) -> Decision<P> {
        self.hearing(format!("`{step}` had nothing to do"), Input::NothingToDo { step })
    }

    /// A timer is due.
    ///
    /// # Panics
    /// The decision turns out otherwise when taken again.
    #[track_caller]
    pub fn due(self, timer: &str) -> Decision<P> {
        self.hearing(format!("the timer `{timer}` is due"), Input::Due { timer })
    }

    /// What happened last (what the last decision led to, or was given) sends exactly this, in this order; made with
    /// [`CommandChannel::command`](crate::CommandChannel::command) and its sibling. Which process the events are of, say
    /// with [`Story::for_id`].
    ///
    /// # Panics
    /// It sends something else, or something that could not be sent.
    #[track_caller]
    pub fn then_sends(self, expected: impl IntoIterator<Item = Sent>) -> Self {
        let expected: Vec<Sent> = expected.into_iter().collect();
        let got: Vec<Sent> = self.effects().into_iter().flat_map(|effects| effects.sent).collect();
        if got != expected {
            let lines = |sent: &[Sent]| story_text::listed(&sent.iter().map(sent_text).collect::<Vec<_>>());
            self.goes_on_otherwise("sends", &lines(&expected), &lines(&got));
        }
        self
    }

    /// What happened last sets and clears exactly these timers, in this order. Events are recorded at [`Story::at`].
    ///
    /// # Panics
    /// It asks for something else.
    #[track_caller]
    pub fn then_timers(self, expected: impl IntoIterator<Item = TimerChange>) -> Self {
        let expected: Vec<TimerChange> = expected.into_iter().collect();
        let got: Vec<TimerChange> = self.effects().into_iter().flat_map(|effects| effects.timers).collect();
        if got != expected {
            let lines = |timers: &[TimerChange]| {
                story_text::listed(&timers.iter().map(|timer| format!("{timer:?}")).collect::<Vec<_>>())
            };
            self.goes_on_otherwise("sets and clears timers", &lines(&expected), &lines(&got));
        }
        self
    }

    #[track_caller]
    fn hearing(self, when: String, input: Input<'_, P::Message>) -> Decision<P> {
        match decided(&self, input) {
            Ok(events) => self.ends(when, events),
            Err(trouble) => panic!("{when}: {trouble}"),
        }
    }

    #[track_caller]
    fn effects(&self) -> Vec<Effects> {
        let effects = self.recent.iter().map(|(version, event)| match effects_of(self, *version, event) {
            Ok(effects) => effects,
            Err(trouble) => panic!("{}: {trouble}", story_text::event(event)),
        });
        effects.collect()
    }
}

/// Proves that a process manager has an answer to everything: on every state, to every input, the same when asked
/// again. States are those after each event of the histories, and those that answers lead to from there, up to a
/// thousand; inputs are the messages, heard by themselves and as answers to each step, and refusals, outcomes without a
/// change and timers of every name that the events use, and of a name they do not.
///
/// What is decided must be writable, foldable and sendable: on one of [`ProcessManager::CHANNELS`], a command that the
/// channel lists, under a step that makes a command id.
///
/// ```text
/// assert_total::<Transfer>([vec![requested()], vec![requested(), held(), credited()]], [held_message()]);
/// ```
///
/// # Panics
/// Something is not so: names the history, the input and the trouble.
#[track_caller]
pub fn assert_total<P>(
    histories: impl IntoIterator<Item = Vec<P::Event>>,
    messages: impl IntoIterator<Item = P::Message>,
) where
    P: ProcessManager + PartialEq + Debug,
    P::Event: PartialEq + Debug,
    P::Message: PartialEq + Debug,
{
    let messages: Vec<P::Message> = messages.into_iter().map(|message| through_the_wire(&message)).collect();
    let mut world = Explored::<P> { seen: Vec::new(), names: BTreeSet::from([UNKNOWN]), failures: Vec::new() };
    let mut open = VecDeque::from([given_nothing::<P>()]);
    world.seen.push(P::default());
    for history in histories {
        let mut story = given_nothing::<P>();
        for event in history {
            let Some(next) = world.happened(&story, &event, "given") else { break };
            world.visit(&next, &mut open);
            story = next;
        }
    }
    // A name that turns up late is tried on every state, too.
    let (mut tried, given) = (0, world.failures.len());
    while tried < world.names.len() {
        tried = world.names.len();
        world.failures.truncate(given);
        let mut again: VecDeque<_> = open.iter().cloned().collect();
        let mut all = Vec::new();
        while let Some(story) = again.pop_front() {
            world.try_all(&story, &messages, &mut again);
            all.push(story);
        }
        open = all.into();
    }
    let told = world.failures.iter().take(FAILURES_TOLD_MAX).cloned().collect::<Vec<_>>();
    assert!(world.failures.is_empty(), "{} has no answer to everything:\n{}", P::CATEGORY, story_text::listed(&told));
}

/// What [`assert_total`] has come across.
struct Explored<P> {
    seen: Vec<P>,
    /// Of steps and timers.
    names: BTreeSet<&'static str>,
    failures: Vec<String>,
}

impl<P> Explored<P>
where
    P: ProcessManager + PartialEq + Debug,
    P::Event: PartialEq + Debug,
    P::Message: PartialEq + Debug,
{
    fn try_all(&mut self, story: &Story<P>, messages: &[P::Message], open: &mut VecDeque<Story<P>>) {
        let names: Vec<&'static str> = self.names.iter().copied().collect();
        for message in messages {
            for step in names.iter().copied().map(Some).chain([None]) {
                let what = format!("{}{}", story_text::event(message), after(step));
                self.try_one(story, Input::Message { message, step }, &what, open);
            }
        }
        for name in names {
            for code in [Refusal::CANCELLED, "some-other-code"] {
                let refusal = Refusal { code: code.to_owned(), message: String::new() };
                let what = format!("`{name}` refused with {code}");
                self.try_one(story, Input::Refused { step: name, refusal: &refusal }, &what, open);
            }
            self.try_one(story, Input::NothingToDo { step: name }, &format!("`{name}` had nothing to do"), open);
            self.try_one(story, Input::Due { timer: name }, &format!("the timer `{name}` is due"), open);
        }
    }

    fn try_one(&mut self, story: &Story<P>, input: Input<'_, P::Message>, what: &str, open: &mut VecDeque<Story<P>>) {
        let events = match decided(story, input) {
            Ok(events) => events,
            Err(trouble) => return self.failures.push(format!("{:?}: {what}: {trouble}", story.state)),
        };
        let mut after = story.clone();
        for event in &events {
            let Some(next) = self.happened(&after, event, what) else { return };
            after = next;
        }
        self.visit(&after, open);
    }

    /// The story after one more event; `None` when that failed.
    fn happened(&mut self, story: &Story<P>, event: &P::Event, what: &str) -> Option<Story<P>> {
        let mut next = story.clone();
        let text =
            || format!("{:?}: {what}: {}", story.state, contained(|| story_text::event(event)).unwrap_or_default());
        if let Err(panic) = contained(|| next.happened(event)) {
            self.failures.push(format!("{}: {panic}", text()));
            return None;
        }
        let version = next.recent.last().map_or(1, |(version, _)| *version);
        match effects_of(&next, version, event) {
            Ok(effects) => {
                self.names.extend(effects.sent.iter().map(|sent| sent.step));
                self.names.extend(effects.timers.iter().map(|change| match change {
                    TimerChange::Set { timer, .. } | TimerChange::Clear { timer } => *timer,
                }));
            }
            Err(trouble) => self.failures.push(format!("{}: {trouble}", text())),
        }
        Some(next)
    }

    /// Notes a state to be tried, if it is a new one.
    fn visit(&mut self, story: &Story<P>, open: &mut VecDeque<Story<P>>) {
        if self.seen.len() < STATES_MAX && !self.seen.contains(&story.state) {
            self.seen.push(story.state.clone());
            open.push_back(story.clone());
        }
    }
}

/// What follows from an input, twice the same.
fn decided<P: ProcessManager>(story: &Story<P>, input: Input<'_, P::Message>) -> Result<Vec<P::Event>, String>
where
    P::Event: PartialEq + Debug,
{
    let context = story.context_in(story.stream());
    let decide = || contained(|| story.state.decide(input, &context).into_vec());
    let (first, again) = (decide().map_err(panicked)?, decide().map_err(panicked)?);
    if first == again {
        return Ok(first);
    }
    Err(format!("it was decided twice on the same state, first as {first:?}, then as {again:?}: no clock, no chance"))
}

/// What an event asks for, twice the same, and such that it can be had.
fn effects_of<P: ProcessManager>(story: &Story<P>, version: u64, event: &P::Event) -> Result<Effects, String> {
    let delivery = story.delivery(version);
    let ask = || contained(|| P::effects(event, &delivery));
    let (effects, again) = (ask().map_err(panicked)?, ask().map_err(panicked)?);
    if effects != again {
        return Err(format!("its effects are once {effects:?}, then {again:?}: a re-send must say the same"));
    }
    effects.sent.iter().try_for_each(|sent| can_be_sent::<P>(sent, &delivery.stream))?;
    Ok(effects)
}

fn can_be_sent<P: ProcessManager>(sent: &Sent, process: &StreamName) -> Result<(), String> {
    let Some(channel) = P::CHANNELS.iter().find(|channel| channel.topic == sent.topic) else {
        return Err(format!("it sends on {}, which is not among its CHANNELS", sent.topic));
    };
    if let What::Command { name, .. } = &sent.what
        && !MessageType::lists(channel.commands, name)
    {
        return Err(format!("{name} is not among the commands of {}", sent.topic));
    }
    match command_id(process, sent.step) {
        Some(_) => Ok(()),
        None => Err(format!("`{process}/{}` is no command id: write a shorter step, in ASCII, without `/`", sent.step)),
    }
}

fn panicked(panic: String) -> String {
    format!("it panicked: {panic}")
}

fn after(step: Option<&str>) -> String {
    step.map_or_else(String::new, |step| format!(" after `{step}`"))
}

/// What is sent, as one line.
fn sent_text(sent: &Sent) -> String {
    let Sent { topic, step, target, what } = sent;
    match what {
        What::Command { name, data } => {
            format!("`{step}` to {target} on {topic}: {name} {}", String::from_utf8_lossy(data))
        }
        What::Cancel => format!("`{step}` to {target} on {topic} is cancelled"),
    }
}
