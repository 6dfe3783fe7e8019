//! The contract of one service.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    asyncapi::{self, Action, Channel},
    evolution::INDEX,
    json::pretty,
};
use crate::{
    bus::{command_topic, schema_id, wire_name},
    model::{Command, Message, MessageType},
    receiver::{CommandNothingToDo, CommandRefused, OUTCOME_MESSAGES, OUTCOME_PARTITIONS, Takes, outcome_topic},
    relay::{EVERYWHERE_MESSAGES, HistoryLeft, Publication},
};

/// What the key of a record with a command is.
const COMMAND_KEY: &str = "the stream of the aggregate it is for";

/// What a service publishes, and which commands it takes from which services: topics, messages, samples.
///
/// ```
/// # use factum::{Delivery, Message, MessageType, OutgoingMessage, Publication, testing::NoEvent};
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// use factum::contract::Contract;
///
/// #[derive(Serialize, Deserialize, JsonSchema, Message)]
/// #[factum(name = "bank.accounts.account-closed.v1")]
/// struct AccountClosed { account_id: String }
///
/// # struct AccountPublication;
/// # impl Publication for AccountPublication {
/// #     const TOPIC: &'static str = "bank.accounts.account.events";
/// #     const MESSAGES: &'static [MessageType] = &[MessageType::of::<AccountClosed>()];
/// #     type Event = NoEvent;
/// #     fn translate(event: &NoEvent, _: &Delivery) -> Option<OutgoingMessage> { match *event {} }
/// # }
/// let contract = Contract::new("bank", "accounts")
///     .publishes::<AccountPublication>()
///     .sample("full", &AccountClosed { account_id: "6f1a7c1e-0000-4000-8000-000000000001".to_owned() });
/// let files = contract.files();
/// assert!(files.contains_key("schemas/bank.accounts.account-closed.v1.json"));
/// assert!(files.contains_key("samples/bank.accounts.account-closed.v1/full.json"));
/// ```
#[derive(Clone, Debug)]
pub struct Contract {
    system: String,
    service: String,
    topics: Vec<Topic>,
    commands: Vec<CommandTopic>,
    /// The schemas of commands, by their names on the wire.
    command_schemas: BTreeMap<String, Value>,
    samples: BTreeMap<(String, String), Value>,
}

/// The commands taken from one sender.
#[derive(Clone, Debug)]
struct CommandTopic {
    name: String,
    sender: String,
    /// By their names on the wire.
    commands: Vec<String>,
}

#[derive(Clone, Debug)]
struct Topic {
    name: String,
    partitions: u32,
    messages: &'static [MessageType],
}

impl Contract {
    /// A service that publishes nothing yet.
    pub fn new(system: &str, service: &str) -> Self {
        Self {
            system: system.to_owned(),
            service: service.to_owned(),
            topics: Vec::new(),
            commands: Vec::new(),
            command_schemas: BTreeMap::new(),
            samples: BTreeMap::new(),
        }
    }

    /// Adds a topic with its messages.
    ///
    /// # Panics
    /// One of its messages is on another topic already, or listed twice: a name means one thing.
    #[must_use]
    pub fn publishes<P: Publication>(mut self) -> Self {
        self.topic(P::TOPIC.to_owned(), P::PARTITIONS, P::MESSAGES);
        self
    }

    /// With the first topic come the messages that may be on every one.
    fn topic(&mut self, name: String, partitions: u32, messages: &'static [MessageType]) {
        for (index, message) in messages.iter().enumerate() {
            let listed = MessageType::lists(&messages[..index], message.name);
            assert!(!listed && !self.lists(message.name), "the message `{}` is published twice", message.name);
        }
        let is_first = self.topics.is_empty();
        self.topics.push(Topic { name, partitions, messages });
        if is_first {
            self.add_sample(HistoryLeft::NAME.to_owned(), "full", &HistoryLeft {});
        }
    }

    /// Adds the commands taken from a service, as [`receives_from`](crate::service::ServiceBuilder::receives_from)
    /// names them; and with the first ones the topic of their outcomes.
    ///
    /// # Panics
    /// A command is taken twice from one sender.
    #[must_use]
    pub fn receives_from(mut self, sender: &str, takes: impl FnOnce(Takes) -> Takes) -> Self {
        if self.commands.is_empty() {
            self.topic(outcome_topic(&self.system, &self.service), OUTCOME_PARTITIONS, OUTCOME_MESSAGES);
            let refused =
                CommandRefused { code: "insufficient-funds".to_owned(), message: "there is not enough".to_owned() };
            self = self.sample("full", &refused).sample("full", &CommandNothingToDo {});
        }
        let name = command_topic(&self.system, &self.service, sender);
        let mut commands = Vec::new();
        for info in takes(Takes::default()).infos() {
            let command = wire_name(&self.system, &self.service, info.name);
            assert!(!commands.contains(&command), "the command `{}` is taken twice from {sender}", info.name);
            let mut schema = info.schema.to_value();
            schema["$id"] = schema_id(&command).into();
            self.command_schemas.insert(command.clone(), schema);
            commands.push(command);
        }
        self.commands.push(CommandTopic { name, sender: sender.to_owned(), commands });
        self
    }

    /// Adds a golden sample of a command as it comes over the bus.
    ///
    /// # Panics
    /// The command is taken from nobody, cannot be written as JSON, or has a sample of this label already.
    #[must_use]
    pub fn command_sample<C: Command>(mut self, label: &str, command: &C) -> Self {
        let name = wire_name(&self.system, &self.service, C::NAME);
        assert!(self.command_schemas.contains_key(&name), "`{}` is taken from nobody: name its sender first", C::NAME);
        self.add_sample(name, label, command);
        self
    }

    /// Adds a golden sample of a message under a label in kebab-case, such as `minimal`.
    ///
    /// # Panics
    /// The message is on no topic, cannot be written as JSON, or has a sample of this label already.
    #[must_use]
    pub fn sample<M: Message>(mut self, label: &str, message: &M) -> Self {
        let name = M::NAME;
        assert!(self.lists(name), "`{name}` is on no topic: name its publication first");
        self.add_sample(name.to_owned(), label, message);
        self
    }

    fn add_sample<M: Message>(&mut self, name: String, label: &str, message: &M) {
        let sample = serde_json::to_value(message).expect("a message is made of JSON types");
        let before = self.samples.insert((name.clone(), label.to_owned()), sample);
        assert!(before.is_none(), "`{name}` has two samples called `{label}`");
    }

    /// Its messages, by topic; then those that may be on every topic.
    pub fn messages(&self) -> impl Iterator<Item = &MessageType> {
        self.topics.iter().flat_map(|topic| topic.messages).chain(self.everywhere())
    }

    fn everywhere(&self) -> &'static [MessageType] {
        if self.topics.is_empty() { &[] } else { EVERYWHERE_MESSAGES }
    }

    /// The commands it takes, by their names on the wire.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.command_schemas.keys().map(String::as_str)
    }

    /// The samples of a message or command, by label.
    pub fn samples_of<'a>(&'a self, message: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let all = self.samples.iter().filter(move |((name, _), _)| *name == message);
        all.map(|((_, label), sample)| (label.as_str(), sample))
    }

    /// The JSON Schema of a message as it is published: draft 2020-12, with the `$id` by which it is known. Fields that it
    /// does not name are allowed, so that a publisher may add some.
    pub fn schema_of(message: &MessageType) -> Value {
        let mut schema = message.schema().to_value();
        schema["$id"] = schema_id(message.name).into();
        schema
    }

    /// What others rely on, by its path below the contract's folder: the index, and the schemas of messages and commands.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let mut documents = BTreeMap::from([(INDEX.to_owned(), self.index())]);
        let messages = self.messages().map(|message| (message.name, Self::schema_of(message)));
        let commands = self.command_schemas.iter().map(|(name, schema)| (name.as_str(), schema.clone()));
        documents.extend(messages.chain(commands).map(|(name, schema)| (format!("schemas/{name}.json"), schema)));
        documents
    }

    /// Every file of the contract: its path below the contract's folder, and its text.
    pub fn files(&self) -> BTreeMap<String, String> {
        let documents = self.documents().into_iter();
        let mut files: BTreeMap<String, String> = documents.map(|(file, document)| (file, pretty(&document))).collect();
        files.insert("asyncapi.yaml".to_owned(), self.asyncapi());
        for ((name, label), sample) in &self.samples {
            files.insert(format!("samples/{name}/{label}.json"), pretty(sample));
        }
        files
    }

    fn asyncapi(&self) -> String {
        let everywhere = self.everywhere().iter();
        let published = self.topics.iter().map(|topic| Channel {
            topic: &topic.name,
            description: format!("What {} says.", self.service),
            partitions: Some(topic.partitions),
            action: Action::Send,
            key: "the stream of the event",
            messages: topic.messages.iter().chain(everywhere.clone()).map(|message| message.name.to_owned()).collect(),
        });
        let taken = self.commands.iter().map(|topic| Channel {
            topic: &topic.name,
            description: format!("What {} asks of {}. The sender makes the topic.", topic.sender, self.service),
            partitions: None,
            action: Action::Receive,
            key: COMMAND_KEY,
            messages: topic.commands.clone(),
        });
        asyncapi::document(self, &self.system, &self.service, &published.chain(taken).collect::<Vec<_>>())
    }

    fn lists(&self, name: &str) -> bool {
        self.messages().any(|message| message.name == name)
    }

    fn index(&self) -> Value {
        let topics: Vec<Value> = self.topics.iter().map(Topic::index).collect();
        let mut index = json!({ "system": self.system, "service": self.service, "topics": topics });
        if !self.topics.is_empty() {
            index["on_every_topic"] = self.everywhere().iter().map(|message| message.name).collect();
        }
        if !self.commands.is_empty() {
            index["commands"] = self.commands.iter().map(CommandTopic::index).collect();
        }
        index
    }
}

impl CommandTopic {
    fn index(&self) -> Value {
        json!({ "name": self.name, "sender": self.sender, "key": COMMAND_KEY, "commands": self.commands })
    }
}

impl Topic {
    fn index(&self) -> Value {
        let messages: Vec<&str> = self.messages.iter().map(|message| message.name).collect();
        json!({ "name": self.name, "key": "stream", "partitions": self.partitions, "messages": messages })
    }
}
