//! `/admin/read-models`: how the read models are, and rebuilding them, for operators and tools on the same machine.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State, rejection::PathRejection},
};
use factum::{
    projections::Progress,
    rebuild::{Done, ModelReport, Operation, ReadModels, RequestError},
};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    operators::{Peer, nobody_else},
};
use crate::{code::Code, meter::Page, problem::Problem};

/// What the routes work with.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) shared: Arc<Shared>,
}

/// The body of `/admin/read-models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ReadModelsAnswer {
    /// Every read model of the service.
    pub read_models: Vec<ReadModelAnswer>,
}

/// A read model as `/admin/read-models` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ReadModelAnswer {
    /// The projection's name.
    #[schemars(example = "account-summaries")]
    pub projection: String,
    /// Its version.
    pub version: u32,
    /// The generations that are there.
    pub generations: Vec<GenerationAnswer>,
    /// What is under way: `rebuild`, `replace`, `verify`, `roll-back` or `discard`.
    pub operation: Option<String>,
    /// What it is doing: `idle`, `beginning`, `filling`, `aligning`, `comparing`, `switching` or `discarding`.
    #[schemars(example = &"idle")]
    pub step: String,
    /// How far a filling is.
    pub progress: Option<ProgressAnswer>,
    /// What stands in the way of what is being filled; it goes on trying.
    pub trouble: Option<String>,
    /// How the last operation since the service started ended.
    pub last: Option<DoneAnswer>,
}

/// One generation of a read model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct GenerationAnswer {
    /// Its number.
    pub generation: u32,
    /// What it is there for: `live`, `kept`, `filling`, `replacing`, `checking` or `retired`.
    #[schemars(example = &"live")]
    pub role: String,
    /// Of one that is kept: what stands in its way, such as why it is no longer fed and cannot answer again.
    pub trouble: Option<String>,
    /// Of one that is fed beside the one that answers: how much of the time that takes at present, at most, in percent. It
    /// rises by itself while the generation comes no nearer, and queries wait longer then.
    pub share_percent: Option<u32>,
}

/// How far a filling is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ProgressAnswer {
    /// Positions done.
    pub done: u64,
    /// Positions there are to do; 0 while that is not known yet.
    pub total: u64,
    /// Positions a second.
    pub per_second: u64,
    /// How long the rest takes at this rate.
    pub seconds_left: Option<u64>,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DoneAnswer {
    /// Which one.
    #[schemars(example = &"rebuild")]
    pub operation: String,
    /// Whether it did what it was to do.
    pub ok: bool,
    /// What it came to, or why it did not.
    pub text: String,
    /// Over every document it compared, in the order of tables and keys.
    pub checksum: Option<String>,
    /// How many documents those are.
    pub documents: Option<u64>,
}

impl From<Progress> for ProgressAnswer {
    fn from(progress: Progress) -> Self {
        let Progress { done, total, rate, left } = progress;
        Self { done, total, per_second: rate, seconds_left: left.map(|left| left.as_secs()) }
    }
}

impl From<Done> for DoneAnswer {
    fn from(done: Done) -> Self {
        let (ok, text) = done.result.map_or_else(|text| (false, text), |text| (true, text));
        Self {
            operation: done.operation.as_str().to_owned(),
            ok,
            text,
            checksum: done.checksum.map(|checksum| checksum.to_string()),
            documents: done.checksum.map(|checksum| checksum.documents),
        }
    }
}

impl From<ModelReport> for ReadModelAnswer {
    fn from(report: ModelReport) -> Self {
        let generations = report.generations.into_iter().map(|one| GenerationAnswer {
            generation: one.generation.0,
            role: one.role.as_str().to_owned(),
            trouble: one.trouble,
            share_percent: one.share_percent,
        });
        Self {
            projection: report.projection.name.to_owned(),
            version: report.projection.version,
            generations: generations.collect(),
            operation: report.operation.map(|operation| operation.as_str().to_owned()),
            step: report.step.as_str().to_owned(),
            progress: report.progress.map(Into::into),
            trouble: report.trouble,
            last: report.last.map(Into::into),
        }
    }
}

fn answer(read_models: &ReadModels) -> Json<ReadModelsAnswer> {
    Json(ReadModelsAnswer { read_models: read_models.reports().into_iter().map(Into::into).collect() })
}

/// How the read models are.
pub(super) async fn list(
    State(admin): State<Admin>,
    peer: Peer,
    headers: HeaderMap,
    RawQuery(parameters): RawQuery,
) -> Result<Json<ReadModelsAnswer>, Problem> {
    nobody_else("read models are rebuilt", peer, &headers)?;
    if let Some((name, _)) = form_urlencoded::parse(parameters.unwrap_or_default().as_bytes()).next() {
        return Err(Problem::of(Code::UnknownField, "is not known here: nothing is").field(name));
    }
    Ok(answer(&admin.shared.read_models))
}

/// Begins an operation; how far it is, is asked for.
pub(super) async fn begin(
    State(admin): State<Admin>,
    peer: Peer,
    headers: HeaderMap,
    operation: Result<Path<String>, PathRejection>,
    RawQuery(parameters): RawQuery,
) -> Result<(StatusCode, Json<ReadModelsAnswer>), Problem> {
    nobody_else("read models are rebuilt", peer, &headers)?;
    // A name that is no UTF-8 is none that is known.
    let operation = operation.map_or_else(|_| String::new(), |Path(operation)| operation);
    let known = Operation::ALL.into_iter().find(|known| known.as_str() == operation);
    let operation = known.ok_or_else(|| {
        Problem::of(Code::NotFound, "a read model can be told to rebuild, replace, verify, roll-back and discard")
    })?;
    let projection = projection(parameters.as_deref().unwrap_or_default())?;
    admin.shared.read_models.request(projection.as_deref(), operation).map_err(refused)?;
    Ok((StatusCode::ACCEPTED, answer(&admin.shared.read_models)))
}

fn projection(parameters: &str) -> Result<Option<String>, Problem> {
    let mut projection = None;
    for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
        if name != "projection" {
            return Err(Problem::of(Code::UnknownField, "is not known here: projection is").field(name));
        }
        if projection.replace(value.into_owned()).is_some() {
            return Err(Problem::invalid("projection", "is given more than once"));
        }
    }
    Ok(projection)
}

fn refused(error: RequestError) -> Problem {
    match error {
        RequestError::Unknown(_) => Problem::invalid("projection", &error.to_string()),
        RequestError::Unsupported(_) | RequestError::Busy { .. } => Problem::of(Code::Busy, error.to_string()),
    }
}

/// How far fillings are, and what the generations are there for.
pub(super) fn write_metrics(read_models: &ReadModels, page: &mut Page) {
    let reports = read_models.reports();
    if reports.is_empty() {
        return;
    }
    page.family("factum_read_model_generation", "gauge", "Generations of a read model, by what they are there for.");
    for report in &reports {
        let projection = report.projection.to_string();
        for one in &report.generations {
            page.sample("", &[("projection", &projection), ("role", one.role.as_str())], one.generation.0);
        }
    }
    let help = "How much of the time a generation is fed beside the one that answers, at most.";
    page.family("factum_filling_share_percent", "gauge", help);
    for report in &reports {
        let projection = report.projection.to_string();
        let fed = report.generations.iter().filter_map(|one| Some((one.role, one.share_percent?)));
        for (role, share) in fed {
            page.sample("", &[("projection", &projection), ("role", role.as_str())], share);
        }
    }
    type Figure = (&'static str, &'static str, fn(&Progress) -> u64);
    const FIGURES: [Figure; 4] = [
        ("factum_refill_done", "Positions done of a read model that is being filled.", |progress| progress.done),
        ("factum_refill_total", "Positions there are to do.", |progress| progress.total),
        ("factum_refill_rate", "Positions a second.", |progress| progress.rate),
        ("factum_refill_seconds_left", "How long the rest takes at this rate.", |progress| {
            progress.left.map_or(0, |left| left.as_secs())
        }),
    ];
    for (family, help, figure) in FIGURES {
        page.family(family, "gauge", help);
        for report in &reports {
            if let Some(progress) = &report.progress {
                page.sample("", &[("projection", &report.projection.to_string())], figure(progress));
            }
        }
    }
}
