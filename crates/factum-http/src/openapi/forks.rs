//! The routes about forks.

use serde_json::{Value, json};

use super::{
    components::Components,
    operators::{correlation, operation_of, take},
    refusals,
};
use crate::surface::{AcceptBody, AcceptedForksAnswer, ForksAnswer};

/// Path, method and operation of each.
pub(super) fn routes(components: &mut Components) -> Vec<(&'static str, &'static str, Value)> {
    let refused = || ("Forks", refusals::of_forks());
    let answer = schemars::schema_for!(ForksAnswer);
    let what = "The consumers that stand still because their source was restored to before what they dealt with, each with \
                what it dealt with beyond the fork. For callers on the same machine.";
    let mut list = operation_of(refused(), ("admin-forks", what), ("ForksAnswer", &answer), components);
    list["parameters"] = json!([correlation()]);
    let answer = schemars::schema_for!(AcceptedForksAnswer);
    let what = "Lets consumers go on with the present history of their source from the fork on. What they dealt with beyond it \
                stays as it is. For callers on the same machine.";
    let mut accept =
        operation_of(refused(), ("admin-forks-accept", what), ("AcceptedForksAnswer", &answer), components);
    take(&mut accept, ("ForksAccept", &schemars::schema_for!(AcceptBody)), components);
    vec![("/admin/forks", "get", list), ("/admin/forks/accept", "post", accept)]
}
