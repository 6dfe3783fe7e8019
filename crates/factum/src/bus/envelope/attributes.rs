//! Attribute names on the wire, and how their values are written. CloudEvents allows lower-case letters and digits.

use std::fmt::Write as _;

use super::{Envelope, LINEAGE_MAX};
use crate::store::Fork;

pub(super) const PREFIX: &str = "ce_";
pub(super) const SPEC_VERSION: &str = "1.0";

/// By which the JSON Schema of a message is known: its `$id`, and `ce_dataschema`.
pub(crate) fn schema_id(name: &str) -> String {
    format!("urn:factum:message:{name}")
}

/// The headers of a message, in the order in which they are written.
pub(super) fn of(envelope: &Envelope) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("ce_specversion", SPEC_VERSION.to_owned()),
        ("ce_id", envelope.id.to_string()),
        ("ce_source", envelope.origin.to_string()),
        ("ce_type", envelope.name.clone()),
        ("ce_subject", envelope.stream.to_string()),
        ("ce_time", envelope.recorded_at.to_string()),
        ("ce_partitionkey", envelope.key.to_string()),
        ("ce_sequence", format!("{:020}", envelope.position.get())),
        ("ce_previous", envelope.previous.to_string()),
        ("ce_streamversion", envelope.version.to_string()),
        ("ce_correlationid", envelope.correlation_id.to_string()),
        ("ce_actor", envelope.actor.as_str().to_owned()),
    ];
    if !envelope.lineage.is_empty() {
        all.push(("ce_lineage", lineage(&envelope.lineage)));
    }
    all.extend(envelope.causation_id.map(|id| ("ce_causationid", id.to_string())));
    all.extend(envelope.command_id.as_deref().map(|id| ("ce_commandid", id.to_owned())));
    // For readers that are not ours: nothing here is read back.
    all.push(("ce_dataschema", schema_id(&envelope.name)));
    all.push(("traceparent", traceparent(envelope)));
    all
}

/// The W3C trace context of what is done about a message: the trace is what everything belongs to, the span is the event.
/// Sampled, as nobody decided otherwise. Of the event alone, so that a re-send says the same.
fn traceparent(envelope: &Envelope) -> String {
    let span = envelope.id.as_uuid().as_u64_pair().1;
    format!("00-{}-{span:016x}-01", envelope.correlation_id.as_uuid().simple())
}

/// `<incarnation>:<fork position>`, oldest first, separated by commas.
fn lineage(forks: &[Fork]) -> String {
    let mut text = String::new();
    for fork in &forks[forks.len().saturating_sub(LINEAGE_MAX)..] {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{}:{}", fork.parent, fork.position);
    }
    text
}
