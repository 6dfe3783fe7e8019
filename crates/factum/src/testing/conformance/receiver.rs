//! The services that a process manager sends commands to, played by a function.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    house::House,
    lanes::Lanes,
    sample::{Reply, Told},
};
use crate::{
    bus::{CANCEL_NAME, Envelope, NOTHING_TO_DO_NAME, Offset, REFUSED_NAME, TopicPartition, sender_of},
    model::{ChannelSpec, Event, Refusal},
    store::{Position, StreamName},
};

/// A command that a process has sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The stream of the process.
    pub process: &'a StreamName,
    /// What the process calls the command.
    pub step: &'a str,
    /// The stream of the aggregate it is for.
    pub target: &'a StreamName,
    /// Its name on the wire.
    pub name: &'a str,
    /// Its JSON document.
    pub data: &'a [u8],
}

/// What comes of a command.
#[derive(Clone, Debug)]
pub enum Answer<M> {
    /// It is done, and this is published.
    Done(M),
    /// It is refused, with this code.
    Refused(&'static str),
    /// It is accepted and changes nothing.
    NothingToDo,
}

/// A message's name and document.
pub(super) type Written = (&'static str, Vec<u8>);
/// Says what becomes of a command.
pub(super) type AnswerFn = dyn Fn(&Asked<'_>) -> Written + Send + Sync;

/// Who answers what processes send.
pub(super) struct Others {
    pub(super) topics: &'static [&'static str],
    pub(super) channels: &'static [ChannelSpec],
    pub(super) answer: Box<AnswerFn>,
}

/// A receiver of commands, which deals with each once.
pub(super) struct Receiver {
    others: Arc<Others>,
    pub(super) lanes: Lanes,
    next: BTreeMap<TopicPartition, Offset>,
    taken: std::collections::BTreeSet<Arc<str>>,
    positions: BTreeMap<Arc<str>, u64>,
    versions: BTreeMap<StreamName, u64>,
}

impl<M: Event> Answer<M> {
    /// Its name and document on the wire.
    pub(super) fn written(&self) -> Written {
        match self {
            Self::Done(message) => {
                let mut data = Vec::new();
                message.encode(&mut data);
                (message.name(), data)
            }
            Self::Refused(code) => refused(code),
            Self::NothingToDo => (NOTHING_TO_DO_NAME, b"{}".to_vec()),
        }
    }
}

fn refused(code: &str) -> Written {
    let document = serde_json::json!({ "code": code, "message": code });
    (REFUSED_NAME, document.to_string().into_bytes())
}

/// Everything that was sent on a channel so far, from these offsets on.
fn commands(house: &House, channel: &ChannelSpec, next: &mut BTreeMap<TopicPartition, Offset>) -> Vec<Envelope> {
    let mut commands = Vec::new();
    for partition in 0..channel.partitions {
        let partition = TopicPartition::new(channel.topic, partition);
        let from = next.entry(partition.clone()).or_default();
        let mut records = house.bus().records(&partition);
        records.retain(|record| record.offset >= *from);
        for record in records {
            *from = record.offset.next();
            let command = Envelope::decode(&record.headers, &record.value);
            commands.push(command.unwrap_or_else(|error| panic!("what was sent cannot be read: {error}")));
        }
    }
    commands
}

/// Everything that was ever sent on these channels.
pub(super) fn all_commands(house: &House, channels: &[ChannelSpec]) -> Vec<Envelope> {
    channels.iter().flat_map(|channel| commands(house, channel, &mut BTreeMap::new())).collect()
}

impl Receiver {
    pub(super) async fn new(others: &Arc<Others>, mut lanes: Lanes) -> Self {
        for topic in others.topics {
            lanes.topic(&Arc::from(*topic)).await;
        }
        Self {
            others: Arc::clone(others),
            lanes,
            next: BTreeMap::new(),
            taken: std::collections::BTreeSet::new(),
            positions: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// Deals with what was sent since it looked before.
    pub(super) async fn receive(&mut self, house: &House) {
        let others = Arc::clone(&self.others);
        for channel in others.channels {
            for command in commands(house, channel, &mut self.next) {
                let id = command.command_id.clone().expect("a command has an id");
                if self.taken.insert(Arc::clone(&id)) {
                    let (name, data) = self.dealt_with(&command, &id);
                    self.reply(house, &command, id, (name, data)).await;
                }
            }
        }
    }

    fn dealt_with(&self, command: &Envelope, id: &str) -> Written {
        if command.name == CANCEL_NAME {
            return refused(Refusal::CANCELLED);
        }
        let (process, step) = sender_of(id).expect("a command's id names its sender");
        let (target, name, data) = (&command.key, command.name.as_str(), &command.data);
        (self.others.answer)(&Asked { process: &process, step, target, name, data })
    }

    /// Facts are published on the first topic that is heard; that there are none, on the last.
    async fn reply(&mut self, house: &House, command: &Envelope, id: Arc<str>, (name, data): Written) {
        let is_fact = name != REFUSED_NAME && name != NOTHING_TO_DO_NAME;
        let topics = self.others.topics;
        let topic = if is_fact { topics.first() } else { topics.last() };
        let Some(topic) = topic else { return };
        let topic: Arc<str> = Arc::from(*topic);
        let stream = if is_fact {
            command.key.clone()
        } else {
            StreamName::new(format!(
                "outcome-{}",
                crate::model::CorrelationId::from_uuid(command.id.as_uuid()).derive(&id)
            ))
            .expect("a UUID makes a stream")
        };
        let position = self.positions.entry(Arc::clone(&topic)).or_insert(0);
        *position += 1;
        let version = self.versions.entry(stream.clone()).or_insert(0);
        *version += 1;
        let reply = Reply { topic, stream, name, data, command_id: id };
        let told = Told::reply(reply, *version, Position::new(*position), house.now());
        self.lanes.push(told).await;
    }
}
