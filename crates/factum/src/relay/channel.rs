//! The commands that a process sends to another service, published like everything else: from its recorded events.

use std::{marker::PhantomData, sync::Arc};

use super::{AnyPublication, DynPublication, OutgoingMessage};
use crate::{
    bus::{CANCEL_NAME, command_id},
    model::{ChannelSpec, DecodeError, Decoded, ProcessManager, Sent, Source, What},
    store::RecordedEvent,
};

/// The document of a cancel: its command id says it all.
const CANCEL_DOCUMENT: &[u8] = b"{}";

/// What the events of a process send on one of its channels, for a relay.
pub fn channel<P: ProcessManager>(spec: ChannelSpec) -> DynPublication {
    Arc::new(Channel::<P> { spec, process: PhantomData })
}

struct Channel<P> {
    spec: ChannelSpec,
    process: PhantomData<fn() -> P>,
}

impl<P: ProcessManager> AnyPublication for Channel<P> {
    fn topic(&self) -> &str {
        self.spec.topic
    }

    fn partitions(&self) -> u32 {
        self.spec.partitions
    }

    fn translate(&self, event: &RecordedEvent, source: Source) -> Result<Option<OutgoingMessage>, DecodeError> {
        // Another process may have events of the same type: the id of a command names its own.
        if event.stream.category() != P::CATEGORY {
            return Ok(None);
        }
        let Decoded::Known(fact) = event.decode::<P::Event>()? else { return Ok(None) };
        let effects = P::effects(&fact, &event.delivery(source));
        let sent = effects.sent.into_iter().find(|sent| sent.topic == self.spec.topic);
        Ok(sent.map(|sent| outgoing(event, sent)))
    }
}

/// # Panics
/// The step makes no command id: the relay halts, and says so.
fn outgoing(event: &RecordedEvent, sent: Sent) -> OutgoingMessage {
    let Sent { step, target, what, .. } = sent;
    let id = command_id(&event.stream, step);
    let id = id.unwrap_or_else(|| panic!("`{}/{step}` is no command id: write a shorter step, in ASCII", event.stream));
    let (name, data) = match what {
        What::Command { name, data } => (name, data),
        What::Cancel => (CANCEL_NAME, CANCEL_DOCUMENT.to_vec()),
    };
    OutgoingMessage { name, data, key: Some(target), command_id: Some(id) }
}
