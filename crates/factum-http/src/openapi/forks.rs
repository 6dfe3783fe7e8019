//! The routes about forks.

use schemars::Schema;
use serde_json::{Value, json};

use super::{
    components::{Components, Side},
    example, refusals,
    routes::get,
};
use crate::surface::{AcceptBody, AcceptedForksAnswer, ForksAnswer};

/// Path, method and operation of each.
pub(super) fn routes(components: &mut Components) -> Vec<(&'static str, &'static str, Value)> {
    let answer = schemars::schema_for!(ForksAnswer);
    let what = "The consumers that stand still because their source was restored to before what they dealt with, each with \
                what it dealt with beyond the fork. For callers on the same machine.";
    let mut list = operation("admin-forks", what, ("ForksAnswer", &answer), components);
    list["parameters"] = json!([{ "$ref": "#/components/parameters/Factum-Correlation-Id" }]);
    let answer = schemars::schema_for!(AcceptedForksAnswer);
    let what = "Lets consumers go on with the present history of their source from the fork on. What they dealt with beyond it \
                stays as it is. For callers on the same machine.";
    let mut accept = operation("admin-forks-accept", what, ("AcceptedForksAnswer", &answer), components);
    let schema = components.schema("ForksAccept", &schemars::schema_for!(AcceptBody), Side::Request);
    let content = json!({ "application/json": { "example": example::of(&schema, components), "schema": schema } });
    accept["requestBody"] = json!({ "required": true, "content": content });
    vec![("/admin/forks", "get", list), ("/admin/forks/accept", "post", accept)]
}

fn operation(name: &str, what: &str, (called, answer): (&str, &Schema), components: &mut Components) -> Value {
    let schema = components.schema(called, answer, Side::Answer);
    let content = json!({ "application/json": { "example": example::of(&schema, components), "schema": schema } });
    let mut operation = get(name, what, content, &[], components);
    if let Some(responses) = operation["responses"].as_object_mut() {
        let all = [refusals::of_every_route(), refusals::of_forks()].concat();
        refusals::add(responses, "Forks", all, components);
    }
    operation
}
