//! The routes about what came as a command and is none.

use serde_json::{Value, json};

use super::{
    components::Components,
    operators::{correlation, limit_of, operation_of, take},
    refusals,
};
use crate::surface::{AcknowledgeBody, AcknowledgedAnswer, DeadLettersAnswer, LETTERS_DEFAULT, LETTERS_MAX};

/// Path, method and operation of each.
pub(super) fn routes(components: &mut Components) -> Vec<(&'static str, &'static str, Value)> {
    let refused = || ("DeadLetters", refusals::of_dead_letters());
    let answer = schemars::schema_for!(DeadLettersAnswer);
    let what = "What came from other services as commands, is none, and waits to be acknowledged. For callers on the \
                same machine.";
    let mut list = operation_of(refused(), ("admin-dead-letters", what), ("DeadLettersAnswer", &answer), components);
    let limit = limit_of("How many letters at most.", (LETTERS_DEFAULT, LETTERS_MAX));
    list["parameters"] = json!([limit, correlation()]);
    let answer = schemars::schema_for!(AcknowledgedAnswer);
    let what = "Acknowledges a dead letter, and those before it on its partition: the alarm about them ends. For callers \
                on the same machine.";
    let name = "admin-dead-letters-acknowledge";
    let mut acknowledge = operation_of(refused(), (name, what), ("AcknowledgedAnswer", &answer), components);
    take(&mut acknowledge, ("DeadLettersAcknowledge", &schemars::schema_for!(AcknowledgeBody)), components);
    vec![("/admin/dead-letters", "get", list), ("/admin/dead-letters/acknowledge", "post", acknowledge)]
}
