//! Process managers: what has to happen over time, between aggregates that do not know each other.

use std::time::Duration;

use factum_engine::StreamName;

use super::{Aggregate, Context, Delivery, Event, Events, Message, MessageType, Timestamp};

/// An event-sourced state machine that hears messages and asks other services for something, over time.
///
/// It is an [`Aggregate`]: its state is its stream, and it may handle commands of its own. What it hears leads to
/// events ([`ProcessManager::decide`]); what each event asks of others, and by when, is a pure function of that event
/// ([`ProcessManager::effects`]). So what it asks for is recorded before it is sent, and a re-send says the same.
///
/// `decide` is total: for every state and every input it names what happens, which may be nothing.
pub trait ProcessManager: Aggregate {
    /// What it hears from other services: an enum of its own of foreign messages.
    type Message: Event;
    /// The topics it hears: of the events it follows, and of the outcomes of the commands it sends.
    ///
    /// What it decides on is the event that a message tells of: where one event is published as two messages, on one topic
    /// or on two, the second that comes counts as a repeat of the first.
    const TOPICS: &'static [&'static str];
    /// The topics it sends commands on.
    const CHANNELS: &'static [ChannelSpec];

    /// Which process a message is for that none of its own commands caused; `None`: for none. A message that was
    /// caused by a command of a process is for that process, and is not asked about.
    fn correlate(message: &Self::Message, delivery: &Delivery) -> Option<Self::Id> {
        let _ = (message, delivery);
        None
    }

    /// What follows from something heard; nothing is an answer, too.
    fn decide(&self, input: Input<'_, Self::Message>, context: &Context) -> Events<Self::Event>;

    /// What an event asks of others, and the deadlines it sets. Pure: asked again, it says the same.
    fn effects(event: &Self::Event, delivery: &Delivery) -> Effects;
}

/// Something a process hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a, M> {
    /// A message. `step` names the command of this process that caused it, if one did.
    Message {
        /// What was published.
        message: &'a M,
        /// The step under which the process sent the command.
        step: Option<&'a str>,
    },
    /// A command of this process was refused, or cancelled before it was dealt with: nothing came of it, and nothing
    /// ever will.
    Refused {
        /// The step under which it was sent.
        step: &'a str,
        /// Why.
        refusal: &'a Refusal,
    },
    /// A command of this process was accepted and changed nothing.
    NothingToDo {
        /// The step under which it was sent.
        step: &'a str,
    },
    /// A deadline has passed. It decides nothing by itself: what was asked for may have happened all the same.
    Due {
        /// The timer's name.
        timer: &'a str,
    },
}

// Not derived: only references are copied, whatever `M` is.
impl<M> Clone for Input<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Input<'_, M> {}

/// Why nothing came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code in kebab-case: the rejection's, or [`Refusal::CANCELLED`].
    pub code: String,
    /// The same in words.
    pub message: String,
}

impl Refusal {
    /// The code of a command that its sender cancelled in time.
    pub const CANCELLED: &'static str = "cancelled";
}

/// A topic on which one service sends commands to another: `<system>.<receiver>.commands.<sender>`.
pub trait CommandChannel: 'static {
    /// The topic.
    const TOPIC: &'static str;
    /// Its number of partitions, for ever.
    const PARTITIONS: u32 = crate::relay::PARTITIONS_DEFAULT;
    /// Every command sent on it, by the receiver's names: `<system>.<receiver>.<command>.v1`.
    const COMMANDS: &'static [MessageType];

    /// A command for an aggregate of the receiver. One that [`CommandChannel::COMMANDS`] does not list does not
    /// compile.
    ///
    /// # Panics
    /// A hand-written `Serialize` fails: a command that can never be sent is a bug.
    fn command<M: Message>(step: &'static str, target: StreamName, command: &M) -> Sent {
        const { assert!(MessageType::lists(Self::COMMANDS, M::NAME), "the command is not among COMMANDS: list it there") };
        let data = serde_json::to_vec(command).expect("a message is made of JSON types");
        Sent { topic: Self::TOPIC, step, target, what: What::Command { name: M::NAME, data } }
    }

    /// Cancels the command sent under a step to this target: it will be refused, unless it has been dealt with.
    fn cancel(step: &'static str, target: StreamName) -> Sent {
        Sent { topic: Self::TOPIC, step, target, what: What::Cancel }
    }
}

/// A [`CommandChannel`] as a value.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSpec {
    /// [`CommandChannel::TOPIC`].
    pub topic: &'static str,
    /// [`CommandChannel::PARTITIONS`].
    pub partitions: u32,
    /// [`CommandChannel::COMMANDS`].
    pub commands: &'static [MessageType],
}

impl ChannelSpec {
    /// The channel as a value.
    pub const fn of<C: CommandChannel>() -> Self {
        Self { topic: C::TOPIC, partitions: C::PARTITIONS, commands: C::COMMANDS }
    }
}

/// Something an event sends to another service. Its command id is the process's stream, `/`, the step: the same
/// whenever it is sent, so a process sends at most one command under a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// On which topic.
    pub topic: &'static str,
    /// What the process calls the command.
    pub step: &'static str,
    /// The stream of the aggregate it is for; the record's key.
    pub target: StreamName,
    /// A command, or the cancelling of one.
    pub what: What,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A command.
    Command {
        /// Its name on the wire.
        name: &'static str,
        /// Its JSON document.
        data: Vec<u8>,
    },
    /// The command sent under the same step is cancelled.
    Cancel,
}

/// A change of a durable timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// It will be due at a time; one of the same name gives way to it.
    Set {
        /// The timer's name within the process.
        timer: &'static str,
        /// When.
        due: Timestamp,
    },
    /// It will not be due any more.
    Clear {
        /// The timer's name within the process.
        timer: &'static str,
    },
}

/// What an event asks of others, and the deadlines it sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "effects happen when they are returned"]
pub struct Effects {
    /// At most one for each topic.
    pub sent: Vec<Sent>,
    /// In this order.
    pub timers: Vec<TimerChange>,
}

impl Effects {
    /// Nothing.
    pub const fn none() -> Self {
        Self { sent: Vec::new(), timers: Vec::new() }
    }

    /// Sends something: [`CommandChannel::command`], [`CommandChannel::cancel`].
    ///
    /// # Panics
    /// The event sends something on the same topic already: make it two events.
    pub fn send(mut self, sent: Sent) -> Self {
        assert!(self.sent.iter().all(|other| other.topic != sent.topic), "an event sends one message on a topic");
        self.sent.push(sent);
        self
    }

    /// Sets a timer, so long after the event was recorded.
    pub fn due_after(mut self, timer: &'static str, delivery: &Delivery, wait: Duration) -> Self {
        self.timers.push(TimerChange::Set { timer, due: delivery.recorded_at.plus(wait) });
        self
    }

    /// Clears a timer.
    pub fn clear(mut self, timer: &'static str) -> Self {
        self.timers.push(TimerChange::Clear { timer });
        self
    }
}
