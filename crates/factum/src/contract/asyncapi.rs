//! A contract as an AsyncAPI 3.0 document: the same topics, messages and commands, for tools that are not ours
//! (<https://www.asyncapi.com/docs/reference/specification/v3.0.0>).

use serde_json::{Map, Value, json};

use super::{Contract, json::sorted, yaml};

/// What every record says of itself besides its value.
const HEADERS: &str = "headers";
/// Of the Kafka bindings (<https://github.com/asyncapi/bindings/tree/master/kafka>).
const BINDING_VERSION: &str = "0.5.0";

/// A header that every message has, or only some have.
struct Header {
    name: &'static str,
    required: bool,
    schema: fn() -> Value,
}

/// Whether the service sends on a channel or receives.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Send,
    Receive,
}

/// A topic and what is on it.
pub(super) struct Channel<'a> {
    pub(super) topic: &'a str,
    pub(super) description: String,
    /// How many partitions it has; unknown to whom it is not theirs.
    pub(super) partitions: Option<u32>,
    pub(super) action: Action,
    /// What the record's key is.
    pub(super) key: &'static str,
    pub(super) messages: Vec<String>,
}

/// The document, of one service.
pub(super) fn document(contract: &Contract, system: &str, service: &str, channels: &[Channel<'_>]) -> String {
    let mut messages = Map::new();
    for channel in channels {
        for name in &channel.messages {
            messages.entry(name.clone()).or_insert_with(|| message(contract, name, channel.key));
        }
    }
    let value = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": format!("{system} {service}"),
            // The document has none: each message's is in its name, and a change that breaks readers is a new name.
            "version": "1",
            "description": "What the service publishes and takes on Apache Kafka, as CloudEvents 1.0 in binary mode. Of each \
                partition and store (`ce_source` without its last part) a reader keeps the highest `ce_sequence` it has \
                dealt with: what is not above it was sent again, and is passed over; a `ce_previous` above it tells of a \
                gap. Of one key everything is in order.",
        },
        "defaultContentType": "application/json",
        "channels": channels.iter().map(|channel| (channel.topic.to_owned(), channel.value())).collect::<Map<_, _>>(),
        "operations": channels.iter().map(Channel::operation).collect::<Map<_, _>>(),
        "components": { "messages": messages, "schemas": { HEADERS: headers() } },
    });
    yaml::document(&sorted(&value))
}

impl Channel<'_> {
    fn value(&self) -> Value {
        let reference = |name: &String| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }));
        let mut kafka = json!({ "topic": self.topic, "bindingVersion": BINDING_VERSION });
        if let Some(partitions) = self.partitions {
            kafka["partitions"] = partitions.into();
            // -1: without end. Never compacted: a stream is all of its records.
            kafka["topicConfiguration"] = json!({ "cleanup.policy": ["delete"], "retention.ms": -1 });
        }
        json!({
            "address": self.topic,
            "description": self.description,
            "messages": self.messages.iter().map(reference).collect::<Map<_, _>>(),
            "bindings": { "kafka": kafka },
        })
    }

    fn operation(&self) -> (String, Value) {
        let action = match self.action {
            Action::Send => "send",
            Action::Receive => "receive",
        };
        let channel = format!("#/channels/{}", self.topic);
        let messages: Vec<Value> =
            self.messages.iter().map(|name| json!({ "$ref": format!("{channel}/messages/{name}") })).collect();
        let value = json!({ "action": action, "channel": { "$ref": channel }, "messages": messages });
        (format!("{action}.{}", self.topic), value)
    }
}

fn message(contract: &Contract, name: &str, key: &str) -> Value {
    let examples: Vec<Value> =
        contract.samples_of(name).map(|(label, sample)| json!({ "name": label, "payload": sample })).collect();
    let mut message = json!({
        "name": name,
        "headers": { "$ref": format!("#/components/schemas/{HEADERS}") },
        "payload": { "$ref": format!("./schemas/{name}.json") },
        "bindings": { "kafka": { "key": { "type": "string", "description": key }, "bindingVersion": BINDING_VERSION } },
    });
    if !examples.is_empty() {
        message["examples"] = examples.into();
    }
    message
}

fn headers() -> Value {
    let properties: Map<String, Value> = ALL.iter().map(|header| (header.name.to_owned(), (header.schema)())).collect();
    let required: Vec<&str> = ALL.iter().filter(|header| header.required).map(|header| header.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn uuid(description: &str) -> Value {
    json!({ "type": "string", "format": "uuid", "description": description })
}

fn number(description: &str, pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "description": description })
}

const fn always(name: &'static str, schema: fn() -> Value) -> Header {
    Header { name, required: true, schema }
}

const fn sometimes(name: &'static str, schema: fn() -> Value) -> Header {
    Header { name, required: false, schema }
}

/// As [`Envelope::encode`](crate::bus::Envelope::encode) writes them; a test holds it to that.
const ALL: &[Header] = &[
    always("content-type", || json!({ "type": "string", "const": "application/json" })),
    always("ce_specversion", || json!({ "type": "string", "const": "1.0" })),
    always("ce_id", || uuid("The event's id: a message that is sent again has the same.")),
    always("ce_source", || text("`/<system>/<service>/<store>/<incarnation>`: whose positions these are.")),
    always("ce_type", || text("The message's name, with its version.")),
    always("ce_subject", || text("The stream of the event.")),
    always("ce_time", || json!({ "type": "string", "format": "date-time", "description": "When it was recorded." })),
    always("ce_partitionkey", || text("What it is kept in order with; also the record's key.")),
    always("ce_sequence", || number("The event's position in its store, 20 digits.", "^[0-9]{20}$")),
    always("ce_previous", || {
        number(
            "The position of the message before it from the same source on the same partition; 0 for the first.",
            "^[0-9]+$",
        )
    }),
    always("ce_streamversion", || number("The version of the stream.", "^[0-9]+$")),
    always("ce_correlationid", || uuid("What it belongs to, across services.")),
    always("ce_actor", || text("Who asked for it, as an opaque id.")),
    sometimes("ce_lineage", || {
        text(
            "`<incarnation>:<fork position>` of each ancestor of the incarnation, oldest first: the store was restored there.",
        )
    }),
    sometimes("ce_causationid", || uuid("What caused the event.")),
    sometimes("ce_commandid", || text("The id of the bus command that caused it; of a command, its own.")),
    always("ce_dataschema", || text("The `$id` of the value's JSON Schema.")),
    always("traceparent", || text("W3C trace context: the trace is the correlation, the span the event.")),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bus::Envelope;

    fn written(envelope: &Envelope) -> BTreeSet<String> {
        envelope.encode().headers.iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn the_headers_are_those_that_a_message_has() {
        let full = crate::bus::full_envelope();
        let all: BTreeSet<String> = ALL.iter().map(|header| header.name.to_owned()).collect();
        assert_eq!(written(&full), all);
        let least = Envelope { lineage: Vec::new(), causation_id: None, command_id: None, ..full };
        let required: BTreeSet<String> =
            ALL.iter().filter(|header| header.required).map(|header| header.name.to_owned()).collect();
        assert_eq!(written(&least), required);
    }
}
