//! `POST /commands/{name}`.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use factum::{
    CorrelationId,
    dispatch::{CommandDispatcher, CommandKey, CommandOptions, CommandReceipt, DispatchError, Surface},
    input::UnknownFields,
};
use http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Shared, body, observe::Correlation};
use crate::{
    headers::{self, FACTUM_CORRELATION_ID, FACTUM_TOKEN},
    problem::Problem,
    work::Work,
};

/// What to do about a command that took too long.
const AFTER_TIMEOUT: &str = "whether the command was accepted is not known, repeat it with the same Idempotency-Key";

#[derive(Clone)]
pub(super) struct Commands {
    pub(super) shared: Arc<Shared>,
    pub(super) dispatcher: CommandDispatcher,
}

/// The body of the answer to an accepted command. A repeat is answered with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CommandAnswer {
    /// The aggregate's id.
    #[schemars(example = "6f1a7c1e-0000-4000-8000-000000000001")]
    pub id: String,
    /// Its stream.
    #[schemars(example = "account-6f1a7c1e-0000-4000-8000-000000000001")]
    pub stream: String,
    /// The stream's version after the command; also the `ETag`.
    #[schemars(example = 3)]
    pub version: u64,
    /// The position of the command's last event; of the stream's last when there was nothing to do.
    #[schemars(example = 17)]
    pub position: u64,
    /// What a query can wait for; also in `Factum-Token`.
    #[schemars(example = &"eyJzIjoiNmYxYSJ9")]
    pub token: String,
}

pub(super) async fn command(
    State(Commands { shared, dispatcher }): State<Commands>,
    name: Result<Path<String>, PathRejection>,
    Extension(Correlation(correlation_id)): Extension<Correlation>,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let principal = shared.options.authenticate.authenticate(&headers)?;
    // Before anything of the body is read: nobody need send one to a name that is not there.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    if !shared.names.contains(name.as_str()) {
        return Err(DispatchError::UnknownCommand(name).into());
    }
    headers::must_be_json(&headers)?;
    let key = match headers::idempotency_key(&headers)? {
        Some(key) => CommandKey::Keyed { surface: Surface::Http(principal.actor.clone()), key },
        None => CommandKey::Fresh,
    };
    let options = CommandOptions {
        key,
        expected: headers::expected_version(&headers)?,
        principal,
        correlation_id,
        causation_id: None,
        unknown_fields: UnknownFields::Refuse,
    };
    let body = body::read(&shared, &headers, body).await?;
    let work = async move { dispatcher.dispatch_named(&name, &body.bytes, options).await };
    let receipt = shared.gate.run(owner, AFTER_TIMEOUT, work).await?.inspect_err(|error| {
        if let DispatchError::Unavailable(error) = error {
            shared.trouble.tell(error, &shared.health);
        }
    })?;
    Ok(answer(&receipt, correlation_id))
}

fn answer(receipt: &CommandReceipt, correlation_id: Option<CorrelationId>) -> Response {
    let token = receipt.token().to_string();
    // What the dispatcher took for the correlation id, when the caller named none.
    let correlation = correlation_id.map_or_else(|| receipt.command_id.to_string(), |id| id.to_string());
    let values = [
        (header::ETAG, headers::etag(receipt.version)),
        (FACTUM_TOKEN, token.clone()),
        (FACTUM_CORRELATION_ID, correlation),
    ];
    let answer = CommandAnswer {
        id: receipt.aggregate_id().to_owned(),
        stream: receipt.stream.to_string(),
        version: receipt.version.get(),
        position: receipt.position.get(),
        token,
    };
    let mut response = axum::Json(answer).into_response();
    for (name, value) in values {
        // All of them are visible ASCII; what is not would be left out rather than fail an accepted command.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
