//! `GET /queries/{name}`.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use factum::query::{AskError, AskOptions, QueryDispatcher};
use http::{HeaderMap, header};

use super::Shared;
use crate::{headers, problem::Problem, work::Work};

#[derive(Clone)]
pub(super) struct Queries {
    pub(super) shared: Arc<Shared>,
    pub(super) dispatcher: QueryDispatcher,
}

pub(super) async fn query(
    State(Queries { shared, dispatcher }): State<Queries>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(parameters): RawQuery,
    owner: Option<Extension<Work>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = shared.options.authenticate.authenticate(&headers)?;
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    if !shared.names.contains(name.as_str()) {
        return Err(AskError::UnknownQuery(name).into());
    }
    let options = AskOptions { at_least: headers::at_least(&headers)?, not_before: None, principal };
    let parameters = parameters.unwrap_or_default();
    let work = async move { dispatcher.ask_named(&name, &parameters, options).await };
    let answer = shared.gate.run(owner, "ask again", work).await??;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}
