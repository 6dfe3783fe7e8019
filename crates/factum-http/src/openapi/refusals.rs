//! Every no, by status: which codes there are, and what they look like.

use std::{collections::BTreeMap, time::Duration};

use factum::projections::Progress;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    components::{Components, Side},
    parameters::answer_headers,
};
use crate::{
    code::Code,
    problem::{PROBLEM_JSON, Problem, ProblemBody},
};

/// A way to be refused: an example of the answer, and whether asking again may help.
pub(super) type Refusal = Problem;

/// What every route may be answered with before anything looks at it.
pub(super) fn of_every_route() -> Vec<Refusal> {
    vec![
        Problem::invalid("Factum-Correlation-Id", "send a UUID with its hyphens"),
        Problem::malformed("this is no request of HTTP/1.1: the method, the path or a header cannot be read"),
        Problem::request_timeout("the head of the request did not arrive in time: send it at once"),
        Problem::uri_too_long(8 << 10),
        Problem::of(Code::HeadersTooLarge, "the head of the request is larger than 32768 bytes"),
        Problem::internal(),
    ]
}

/// What commands may be answered with besides.
pub(super) fn of_commands() -> Vec<Refusal> {
    vec![
        Problem::malformed("the body must be a JSON object"),
        Problem::invalid("amount", "must be more than zero"),
        Problem::of(Code::UnknownField, "is not known here").field("surplus"),
        Problem::of(Code::Unauthenticated, "say who asks"),
        Problem::of(Code::Denied, "not permitted"),
        Problem::request_timeout("the body did not arrive within 10s"),
        Problem::of(Code::Contended, "others changed the same aggregate 10 times in a row: try again").retryable(),
        Problem::not_expected("expected version 7, the stream is at version 8", 7.into(), 8),
        Problem::too_large(1 << 20),
        Problem::of(Code::UnsupportedMediaType, "send one JSON document with Content-Type: application/json")
            .field("Content-Type"),
        Problem::of(Code::CommandIdReused, "this Idempotency-Key was used before for another request: take a new one")
            .field("Idempotency-Key"),
        Problem::too_many_requests(),
        Problem::damaged(),
        Problem::unavailable(
            "the event store cannot answer now: ask again, with the same Idempotency-Key that is safe",
        ),
    ]
}

/// What queries may be answered with besides.
pub(super) fn of_queries() -> Vec<Refusal> {
    vec![
        Problem::invalid("limit", "must be 1 to 500"),
        Problem::of(Code::UnknownField, "is not known here").field("surplus"),
        Problem::of(Code::TokenNotApplicable, "nothing this query reads is fed by the token's source")
            .field("Factum-At-Least"),
        Problem::of(Code::TokenLost, "what the token stands for was lost when the store was restored")
            .field("Factum-At-Least"),
        Problem::of(Code::Unauthenticated, "say who asks"),
        Problem::of(Code::Denied, "not permitted"),
        Problem::too_many_requests(),
        Problem::damaged(),
        Problem::unavailable("the read store cannot answer now: ask again"),
        Problem::of(Code::Quarantined, "what the token stands for is quarantined in a read model behind this query")
            .field("Factum-At-Least")
            .retryable(),
        Problem::of(Code::NotYet, "what the token stands for is not visible yet: ask again").retryable(),
        Problem::rebuilding(
            "the read models behind this query are being restored (17 of 42 done): ask again",
            Progress { done: 17, total: 42, rate: 5, left: Some(Duration::from_secs(5)) },
        ),
    ]
}

/// What the routes about read models may be answered with besides.
pub(super) fn of_read_models() -> Vec<Refusal> {
    vec![
        Problem::invalid("projection", "is given more than once"),
        Problem::of(Code::UnknownField, "is not known here: projection is").field("surplus"),
        Problem::of(Code::LoopbackOnly, "read models are rebuilt by callers on the same machine only"),
        Problem::of(Code::NotFound, "a read model can be told to rebuild, replace, verify, roll-back and discard"),
        Problem::of(Code::Busy, "totals@1 is busy with verify: wait for its end, or discard it"),
    ]
}

/// What the routes about what is quarantined may be answered with besides.
pub(super) fn of_quarantine() -> Vec<Refusal> {
    of_operators(
        "what is quarantined is shown",
        vec![
            Problem::invalid("handler", "no handler `totals` parks here: sums does"),
            Problem::of(Code::NotFound, "`counter-7` is not parked in sums: list what is"),
            Problem::unavailable("a store cannot answer now: look at what is parked, and ask again"),
        ],
    )
}

/// What the routes about dead letters may be answered with besides.
pub(super) fn of_dead_letters() -> Vec<Refusal> {
    of_operators(
        "dead letters are shown",
        vec![
            Problem::invalid("reason", "say why in 1 to 500 characters"),
            Problem::of(Code::NotFound, "no dead letter of that id waits to be acknowledged: list those that do"),
            Problem::unavailable("the event store cannot answer now: look at what waits, and ask again"),
        ],
    )
}

/// What the routes about forks may be answered with besides.
pub(super) fn of_forks() -> Vec<Refusal> {
    of_operators(
        "forks are shown",
        vec![
            Problem::invalid("consumer", "no consumer `process/order` with effects runs here, only process/transfer"),
            Problem::unavailable("the store or the bus cannot answer now: look at who stands at a fork, and ask again"),
        ],
    )
}

/// What the routes about relays and consumers may be answered with besides.
pub(super) fn of_traffic() -> Vec<Refusal> {
    of_operators(
        "relays and consumers are shown",
        vec![
            Problem::invalid("to", "position 4711 is beyond the head 42 of the store"),
            Problem::of(Code::NotFound, "`bank.accounts.events` is not published here: nothing is"),
            Problem::of(Code::Busy, "the relay is stood-down: rewind where it runs, or mend what stopped it first"),
            Problem::unavailable("the store or the bus cannot answer now: look at it, and ask again"),
        ],
    )
}

/// What the routes where operators decide may be answered with besides; `shown` is what strangers are not.
fn of_operators(shown: &str, own: Vec<Refusal>) -> Vec<Refusal> {
    let mut all = vec![Problem::malformed("the body must be a JSON object")];
    all.extend(own);
    all.extend([
        Problem::of(Code::UnknownField, "is not known here").field("surplus"),
        Problem::of(Code::Unauthenticated, "say who asks"),
        Problem::of(Code::LoopbackOnly, format!("{shown} to callers on the same machine only")),
        Problem::too_large(1 << 20),
        Problem::of(Code::UnsupportedMediaType, "send one JSON document with Content-Type: application/json")
            .field("Content-Type"),
        Problem::too_many_requests(),
        Problem::damaged(),
    ]);
    all
}

/// What the listing of events may be answered with besides.
pub(super) fn of_admin_events() -> Vec<Refusal> {
    vec![
        Problem::invalid("limit", "write a number from 1 to 1000"),
        Problem::of(Code::UnknownField, "is not known here: after and limit are").field("surplus"),
        Problem::of(Code::LoopbackOnly, "the log is shown to callers on the same machine only"),
        Problem::too_many_requests(),
        Problem::damaged(),
        Problem::unavailable("the event store cannot answer now: ask again"),
    ]
}

pub(super) fn new(status: u16, code: &'static str, detail: &str) -> Refusal {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Problem::new(status, code, detail)
}

/// Adds to `responses` what `refusals` look like, a shared one a status, named after whose they are.
pub(super) fn add(
    responses: &mut Map<String, Value>,
    whose: &str,
    refusals: Vec<Refusal>,
    components: &mut Components,
) {
    let mut by_status: BTreeMap<u16, Vec<Refusal>> = BTreeMap::new();
    for refusal in refusals {
        let same = by_status.entry(refusal.body().status).or_default();
        if same.iter().all(|other| other.body().code != refusal.body().code) {
            same.push(refusal);
        }
    }
    for (status, refusals) in by_status {
        let response = response(status, &refusals, components);
        let shared = components.response(&format!("{whose}{status}"), response);
        responses.insert(status.to_string(), shared);
    }
}

fn response(status: u16, refusals: &[Refusal], components: &mut Components) -> Value {
    let problem = components.schema("Problem", &schemars::schema_for!(ProblemBody), Side::Answer);
    let codes: Vec<&str> = refusals.iter().map(|refusal| refusal.body().code.as_ref()).collect();
    let quoted: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let title = refusals.first().map_or("", |refusal| refusal.body().title.as_ref());
    let examples: Map<String, Value> =
        refusals.iter().map(|refusal| (refusal.body().code.to_string(), json!({ "value": refusal.body() }))).collect();
    let retryable = refusals.iter().any(Problem::is_retryable);
    let headers: &[&str] =
        if retryable { &["Factum-Correlation-Id", "Retry-After"] } else { &["Factum-Correlation-Id"] };
    let own = json!({ "properties": { "status": { "const": status }, "code": { "enum": codes } } });
    json!({
        "description": format!("{title}: {}", quoted.join(", ")),
        "headers": answer_headers(headers),
        "content": { PROBLEM_JSON: { "schema": { "allOf": [problem, own] }, "examples": examples } },
    })
}
