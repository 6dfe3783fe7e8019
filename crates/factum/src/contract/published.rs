//! The contract of one service.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::json::pretty;
use crate::{
    model::{Message, MessageType},
    relay::Publication,
};

/// What a service publishes: topics, messages, samples.
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
    samples: BTreeMap<(&'static str, String), Value>,
}

#[derive(Clone, Debug)]
struct Topic {
    name: &'static str,
    partitions: u32,
    messages: &'static [MessageType],
}

impl Contract {
    /// A service that publishes nothing yet.
    pub fn new(system: &str, service: &str) -> Self {
        Self { system: system.to_owned(), service: service.to_owned(), topics: Vec::new(), samples: BTreeMap::new() }
    }

    /// Adds a topic with its messages.
    ///
    /// # Panics
    /// One of its messages is on another topic already, or listed twice: a name means one thing.
    #[must_use]
    pub fn publishes<P: Publication>(mut self) -> Self {
        for (index, message) in P::MESSAGES.iter().enumerate() {
            let listed = MessageType::lists(&P::MESSAGES[..index], message.name);
            assert!(!listed && !self.lists(message.name), "the message `{}` is published twice", message.name);
        }
        self.topics.push(Topic { name: P::TOPIC, partitions: P::PARTITIONS, messages: P::MESSAGES });
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
        let sample = serde_json::to_value(message).expect("a message is made of JSON types");
        let before = self.samples.insert((name, label.to_owned()), sample);
        assert!(before.is_none(), "`{name}` has two samples called `{label}`");
        self
    }

    /// Its messages, by topic.
    pub fn messages(&self) -> impl Iterator<Item = &MessageType> {
        self.topics.iter().flat_map(|topic| topic.messages)
    }

    /// The samples of a message, by label.
    pub fn samples_of<'a>(&'a self, message: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let all = self.samples.iter().filter(move |((name, _), _)| *name == message);
        all.map(|((_, label), sample)| (label.as_str(), sample))
    }

    /// The JSON Schema of a message as it is published: draft 2020-12, with the `$id` by which it is known. Fields that it
    /// does not name are allowed, so that a publisher may add some.
    pub fn schema_of(message: &MessageType) -> Value {
        let mut schema = message.schema().to_value();
        schema["$id"] = format!("urn:factum:message:{}", message.name).into();
        schema
    }

    /// Every file of the contract: its path below the contract's folder, and its text.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::from([("index.json".to_owned(), pretty(&self.index()))]);
        for message in self.messages() {
            files.insert(format!("schemas/{}.json", message.name), pretty(&Self::schema_of(message)));
        }
        for ((name, label), sample) in &self.samples {
            files.insert(format!("samples/{name}/{label}.json"), pretty(sample));
        }
        files
    }

    fn lists(&self, name: &str) -> bool {
        self.topics.iter().any(|topic| MessageType::lists(topic.messages, name))
    }

    fn index(&self) -> Value {
        let topics: Vec<Value> = self.topics.iter().map(Topic::index).collect();
        json!({ "system": self.system, "service": self.service, "topics": topics })
    }
}

impl Topic {
    fn index(&self) -> Value {
        let messages: Vec<&str> = self.messages.iter().map(|message| message.name).collect();
        json!({ "name": self.name, "key": "stream", "partitions": self.partitions, "messages": messages })
    }
}
