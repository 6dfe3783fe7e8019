//! Commands and queries.

use factum::{RejectionCode, RejectionKind, dispatch::CommandInfo, query::QueryInfo};
use serde_json::{Map, Value, json};

use super::{
    components::{Components, Side},
    example, parameters, pascal,
    refusals::{self, Refusal},
};
use crate::surface::CommandAnswer;

/// `POST /commands/{name}`.
pub(super) fn command(command: &CommandInfo, components: &mut Components) -> Value {
    let name = pascal(command.name);
    let document = components.schema(&name, &command.schema, Side::Request);
    let answer = schemars::schema_for!(CommandAnswer);
    let answer = components.schema("CommandAnswer", &answer, Side::Answer);
    let accepted = json!({
        "description": "Accepted: what was decided is recorded, or there was nothing to do. A repeat under the same \
                        Idempotency-Key is answered so, too.",
        "headers": parameters::answer_headers(&["ETag", "Factum-Token", "Factum-Correlation-Id"]),
        "content": json_content(answer, components),
    });
    let mut responses = Map::from_iter([("200".to_owned(), accepted)]);
    let refused = [refusals::of_every_route(), refusals::of_commands()].concat();
    let (shared, own) = split(refused, command.rejections);
    refusals::add(&mut responses, "Command", shared, components);
    refusals::add(&mut responses, &pascal(command.category), own, components);
    let mut operation = json!({
        "operationId": command.name,
        "tags": ["commands"],
        "parameters": parameters::headers(&["Idempotency-Key", "If-Match", "Factum-Correlation-Id"]),
        "requestBody": { "required": true, "content": json_content(document, components) },
        "responses": responses,
    });
    describe(&mut operation, command.schema.get("description"));
    operation
}

/// `GET /queries/{name}`.
pub(super) fn query(query: &QueryInfo, components: &mut Components) -> Value {
    let answer = components.schema(&format!("{}Answer", pascal(query.name)), &query.answer, Side::Answer);
    let found = json!({
        "description": "The answer, from one moment of the read models.",
        "headers": parameters::answer_headers(&["Factum-Correlation-Id"]),
        "content": json_content(answer, components),
    });
    let mut all = parameters::of_query(query, components);
    all.extend(parameters::headers(&["Factum-At-Least", "Factum-Correlation-Id"]));
    let mut operation = json!({
        "operationId": query.name,
        "tags": ["queries"],
        "parameters": all,
        "responses": answered(query, found, components),
    });
    describe(&mut operation, query.schema.get("description"));
    operation
}

/// `GET /queries/{name}/live`.
pub(super) fn live(query: &QueryInfo, components: &mut Components) -> Value {
    let what = format!(
        "The answer to `{}` now, and again whenever it has changed, as server-sent events (HTML): `data` is the answer as \
         a JSON document, `id` what Last-Event-ID takes, `retry` how long to wait before coming back. Comments show that \
         the connection is alive. It ends when the service stops, and when there is no answer any more.",
        query.name
    );
    let stream = json!({
        "description": what,
        "headers": parameters::answer_headers(&["Factum-Correlation-Id"]),
        "content": { "text/event-stream": { "schema": { "type": "string" } } },
    });
    let mut all = parameters::of_query(query, components);
    all.extend(parameters::headers(&["Last-Event-ID", "Factum-At-Least", "Factum-Correlation-Id"]));
    json!({
        "operationId": format!("{}-live", query.name),
        "tags": ["queries"],
        "summary": format!("`{}`, answered again whenever it has changed.", query.name),
        "description": what,
        "parameters": all,
        "responses": answered(query, stream, components),
    })
}

/// An answer, and every refusal.
fn answered(query: &QueryInfo, answer: Value, components: &mut Components) -> Map<String, Value> {
    let mut responses = Map::from_iter([("200".to_owned(), answer)]);
    let shared = [refusals::of_every_route(), refusals::of_queries()].concat();
    refusals::add(&mut responses, "Query", shared, components);
    let not_found = query.not_found.iter().map(|code| refusals::new(404, code, &words(code))).collect();
    refusals::add(&mut responses, &pascal(query.name), not_found, components);
    responses
}

/// Refusals of statuses that an aggregate's rejections share are told with those, the others once for all commands.
fn split(refusals: Vec<Refusal>, rejections: &[RejectionCode]) -> (Vec<Refusal>, Vec<Refusal>) {
    let own = rejections.iter().map(|RejectionCode { code, kind }| {
        let status = match kind {
            RejectionKind::Rule => 422,
            RejectionKind::NotFound => 404,
        };
        refusals::new(status, code, &words(code))
    });
    let mut own: Vec<Refusal> = own.collect();
    let statuses: Vec<u16> = own.iter().map(|refusal| refusal.body().status).collect();
    let (with_own, shared) =
        refusals.into_iter().partition(|refusal: &Refusal| statuses.contains(&refusal.body().status));
    own.extend::<Vec<Refusal>>(with_own);
    (shared, own)
}

/// `account-not-found` as `account not found`: the aggregate's own words depend on its state.
fn words(code: &str) -> String {
    code.replace('-', " ")
}

fn json_content(schema: Value, components: &Components) -> Value {
    let example = example::of(&schema, components);
    json!({ "application/json": { "schema": schema, "example": example } })
}

/// The first line of a type's documentation is a summary, all of it the description.
fn describe(operation: &mut Value, documentation: Option<&Value>) {
    if let Some(text) = documentation.and_then(Value::as_str) {
        operation["summary"] = text.lines().next().unwrap_or_default().into();
        operation["description"] = text.into();
    }
}
