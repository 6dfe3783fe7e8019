//! The routes about what goes over the bus.

use schemars::Schema;
use serde_json::{Value, json};

use super::{
    components::Components,
    operators::{correlation, operation_of, take},
    refusals,
};
use crate::surface::{ConsumersAnswer, RelaysAnswer, RewindBody, RewoundAnswer, TopicsAnswer};

/// Path, method and operation of each.
pub(super) fn routes(components: &mut Components) -> Vec<(&'static str, &'static str, Value)> {
    let mut shows = |name: &str, what: &str, (called, answer): (&str, Schema)| {
        let refused = ("Traffic", refusals::of_traffic());
        let mut operation = operation_of(refused, (name, what), (called, &answer), components);
        operation["parameters"] = json!([correlation()]);
        operation
    };
    let what = "What publishes on each topic, and how far it is. For callers on the same machine.";
    let relays = shows("admin-relays", what, ("RelaysAnswer", schemars::schema_for!(RelaysAnswer)));
    let what = "How far each consumer is, partition by partition, and what it must be helped with. For callers on the same \
                machine.";
    let consumers = shows("admin-consumers", what, ("ConsumersAnswer", schemars::schema_for!(ConsumersAnswer)));
    let what =
        "The topics that the service publishes or hears, as they are on the bus. For callers on the same machine.";
    let topics = shows("admin-topics", what, ("TopicsAnswer", schemars::schema_for!(TopicsAnswer)));
    let what = "Publishes again, on a topic, what was published there of events after a position. It is carried out once \
                this is answered; asking twice does no harm. For callers on the same machine.";
    let (answer, refused) = (schemars::schema_for!(RewoundAnswer), ("Traffic", refusals::of_traffic()));
    let mut rewind = operation_of(refused, ("admin-relays-rewind", what), ("RewoundAnswer", &answer), components);
    take(&mut rewind, ("RelaysRewind", &schemars::schema_for!(RewindBody)), components);
    vec![
        ("/admin/relays", "get", relays),
        ("/admin/relays/rewind", "post", rewind),
        ("/admin/consumers", "get", consumers),
        ("/admin/topics", "get", topics),
    ]
}
