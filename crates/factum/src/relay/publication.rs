//! Which of a service's events others may know about, and in which words.

use std::sync::Arc;

use crate::{
    model::Source,
    model::{DecodeError, Decoded, Delivery, Event, Message, MessageType},
    store::{RecordedEvent, StreamName},
};

/// The partitions of a topic, unless the contract says otherwise. Part of the contract: it never changes for a topic.
pub const PARTITIONS_DEFAULT: u32 = 12;

/// The public face of an aggregate's events: a pure translation of each event into at most one message.
///
/// The message's key is the event's stream, so that the messages of one aggregate stay in order. A message about an
/// event that a bus command caused bears that command's id.
pub trait Publication: Send + Sync + 'static {
    /// The topic: `<system>.<service>.<aggregate>.events`.
    const TOPIC: &'static str;
    /// Its number of partitions, for ever.
    const PARTITIONS: u32 = PARTITIONS_DEFAULT;
    /// Every message the translation may lead to: with the topic, its contract.
    const MESSAGES: &'static [MessageType];
    /// The events it translates.
    type Event: Event;

    /// The message for an event; `None` keeps it private. Pure: a re-send must say the same.
    fn translate(event: &Self::Event, delivery: &Delivery) -> Option<OutgoingMessage>;

    /// Writes a message as JSON. One that [`Publication::MESSAGES`] does not list does not compile: nothing is sent that
    /// is not in the contract.
    ///
    /// ```compile_fail,E0080
    /// # use factum::{Delivery, Message, MessageType, OutgoingMessage, Publication, testing::NoEvent};
    /// # #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, Message)]
    /// # #[factum(name = "account-closed.v1")]
    /// # struct AccountClosed {}
    /// # struct Accounts;
    /// # impl Publication for Accounts {
    /// #     const TOPIC: &'static str = "accounts";
    /// #     const MESSAGES: &'static [MessageType] = &[];
    /// #     type Event = NoEvent;
    /// #     fn translate(event: &NoEvent, _: &Delivery) -> Option<OutgoingMessage> { match *event {} }
    /// # }
    /// assert!(Accounts::MESSAGES.is_empty());
    /// Accounts::outgoing(&AccountClosed {});
    /// ```
    ///
    /// # Panics
    /// A hand-written `Serialize` fails, or writes a map whose keys are no strings: a message type that can never be
    /// sent is a bug.
    fn outgoing<M: Message>(message: &M) -> OutgoingMessage {
        const { assert!(MessageType::lists(Self::MESSAGES, M::NAME), "the message is not among MESSAGES: list it there") };
        let data = serde_json::to_vec(message).expect("a message is made of JSON types");
        OutgoingMessage { name: M::NAME, data, key: None, command_id: None }
    }
}

/// A message ready to be sent: its name and its JSON document. Made by [`Publication::outgoing`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingMessage {
    /// [`Message::NAME`].
    pub name: &'static str,
    /// The JSON document.
    pub data: Vec<u8>,
    /// What it is kept in order with; `None`: the event's stream. For a command, the stream it is for.
    pub(crate) key: Option<StreamName>,
    /// A command's own id, as it is sent; `None`: that of the bus command that caused the event, if one did.
    pub(crate) command_id: Option<Arc<str>>,
}

impl OutgoingMessage {
    /// The key it is sent under, as the message of an event of `stream`.
    pub fn key<'a>(&'a self, stream: &'a StreamName) -> &'a StreamName {
        self.key.as_ref().unwrap_or(stream)
    }
}

/// A publication whose type is forgotten.
pub type DynPublication = Arc<dyn AnyPublication>;

/// What relay and dispatcher need of a publication.
pub trait AnyPublication: Send + Sync {
    /// [`Publication::TOPIC`].
    fn topic(&self) -> &str;

    /// [`Publication::PARTITIONS`].
    fn partitions(&self) -> u32;

    /// The message for a recorded event, if it is published.
    ///
    /// # Errors
    /// The event's name is known, but its document cannot be read.
    fn translate(&self, event: &RecordedEvent, source: Source) -> Result<Option<OutgoingMessage>, DecodeError>;
}

/// Forgets the type of a publication.
pub fn erase<P: Publication>() -> DynPublication {
    Arc::new(Erased::<P>(std::marker::PhantomData))
}

struct Erased<P>(std::marker::PhantomData<fn() -> P>);

impl<P: Publication> AnyPublication for Erased<P> {
    fn topic(&self) -> &str {
        P::TOPIC
    }

    fn partitions(&self) -> u32 {
        P::PARTITIONS
    }

    fn translate(&self, event: &RecordedEvent, source: Source) -> Result<Option<OutgoingMessage>, DecodeError> {
        match event.decode::<P::Event>()? {
            Decoded::Known(fact) => Ok(P::translate(&fact, &event.delivery(source))),
            Decoded::Unknown => Ok(None),
        }
    }
}
