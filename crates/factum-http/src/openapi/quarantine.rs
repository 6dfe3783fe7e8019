//! The routes about what is quarantined.

use schemars::Schema;
use serde_json::{Value, json};

use super::{
    components::Components,
    operators::{correlation, limit_of, operation_of, take},
    refusals,
};
use crate::surface::{
    DiscardBody, HandledAnswer, PARKED_DEFAULT, PARKED_MAX, ParkedAnswer, QuarantineAnswer, RetriedKeysAnswer,
    RetryAllBody, RetryBody,
};

/// Path, method and operation of each.
pub(super) fn routes(components: &mut Components) -> Vec<(&'static str, &'static str, Value)> {
    let answer = schemars::schema_for!(QuarantineAnswer);
    let what = "The keys that are parked, each with why its first message failed. For callers on the same \
                machine.";
    let mut list = operation("admin-quarantine", what, ("QuarantineAnswer", &answer), components);
    list["parameters"] = json!([limit("How many keys of each handler at most."), correlation()]);
    let answer = schemars::schema_for!(ParkedAnswer);
    let what = "A parked key with its messages, in order; where documents are large, fewer than were asked for, and `next` \
                says where the rest begins. For callers on the same machine.";
    let mut show = operation("admin-quarantine-messages", what, ("ParkedAnswer", &answer), components);
    let (handler, key) = (text("handler", "Which handler has it parked."), text("key", "The key."));
    let after = json!({
        "name": "after", "in": "query", "required": false, "schema": { "type": "string", "format": "uuid" },
        "description": "Only what stands behind the message of this event id: `next` of the answer before.",
    });
    show["parameters"] = json!([handler, key, after, limit("How many messages at most."), correlation()]);
    let answer = schemars::schema_for!(HandledAnswer);
    let what = "Tries a key's messages again, in order, until one fails again. For callers on the same machine.";
    let mut retry = operation("admin-quarantine-retry", what, ("HandledAnswer", &answer), components);
    take(&mut retry, ("QuarantineRetry", &schemars::schema_for!(RetryBody)), components);
    let answer = schemars::schema_for!(RetriedKeysAnswer);
    let what = "Tries the keys of a handler again, one after the other; one that fails again keeps none of the others from \
                being tried. At most 100 keys and 5 seconds: `next` says where the rest begins. For callers on the same \
                machine.";
    let mut all = operation("admin-quarantine-retry-all", what, ("RetriedKeysAnswer", &answer), components);
    take(&mut all, ("QuarantineRetryAll", &schemars::schema_for!(RetryAllBody)), components);
    let answer = schemars::schema_for!(HandledAnswer);
    let what = "Drops a key's first message for good, also in every rebuild; what stands behind it stays parked until it \
                is tried again. For callers on the same machine.";
    let mut discard = operation("admin-quarantine-discard", what, ("HandledAnswer", &answer), components);
    take(&mut discard, ("QuarantineDiscard", &schemars::schema_for!(DiscardBody)), components);
    vec![
        ("/admin/quarantine", "get", list),
        ("/admin/quarantine/messages", "get", show),
        ("/admin/quarantine/retry", "post", retry),
        ("/admin/quarantine/retry-all", "post", all),
        ("/admin/quarantine/discard", "post", discard),
    ]
}

fn operation(name: &str, what: &str, answer: (&str, &Schema), components: &mut Components) -> Value {
    operation_of(("Quarantine", refusals::of_quarantine()), (name, what), answer, components)
}

fn limit(what: &str) -> Value {
    limit_of(what, (PARKED_DEFAULT, PARKED_MAX))
}

fn text(name: &str, what: &str) -> Value {
    json!({ "name": name, "in": "query", "required": true, "description": what, "schema": { "type": "string" } })
}
