//! Which queries there are, by name.

use std::{marker::PhantomData, sync::Arc};

use schemars::{Schema, schema_for};

use super::{
    AskError,
    dispatcher::{AskOptions, Core},
    pace::Pace,
};
use crate::{
    input,
    model::{Answers, ProjectionKey, Query, written},
    runtime::contained,
    store::BoxFuture,
};

/// What can be known of a registered query.
#[derive(Clone, Debug)]
pub struct QueryInfo {
    /// Its wire name.
    pub name: &'static str,
    /// The projections whose read models it reads.
    pub reads: &'static [ProjectionKey],
    /// The JSON Schema of its parameters.
    pub schema: Schema,
    /// The JSON Schema of its answer as it is written.
    pub answer: Schema,
    /// The codes of its 404s: [`Answers::NOT_FOUND`].
    pub not_found: &'static [&'static str],
}

/// A query whose type is forgotten.
pub(super) trait AnyQuery: Send + Sync {
    fn info(&self) -> QueryInfo;

    /// How long its answers take.
    fn pace(&self) -> &Arc<Pace>;

    /// The projections it reads.
    fn reads(&self) -> &'static [ProjectionKey];

    /// Whether it may be asked so.
    fn check(&self, core: &Core, query_string: &str, options: &AskOptions) -> Result<(), AskError>;

    fn ask<'a>(
        &'a self,
        core: &'a Core,
        query_string: &'a str,
        options: &'a AskOptions,
    ) -> BoxFuture<'a, Result<Vec<u8>, AskError>>;
}

pub(super) fn erase<Q: Query>() -> Box<dyn AnyQuery> {
    Box::new(Erased::<Q> { pace: Arc::default(), query: PhantomData })
}

struct Erased<Q> {
    pace: Arc<Pace>,
    query: PhantomData<fn() -> Q>,
}

impl<Q: Query> AnyQuery for Erased<Q> {
    fn info(&self) -> QueryInfo {
        let answer = written::<<Q as Answers>::Answer>();
        QueryInfo { name: Q::NAME, reads: Q::READS, schema: schema_for!(Q), answer, not_found: Q::NOT_FOUND }
    }

    fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    fn reads(&self) -> &'static [ProjectionKey] {
        Q::READS
    }

    fn check(&self, core: &Core, query_string: &str, options: &AskOptions) -> Result<(), AskError> {
        core.permit::<Q>(options)?;
        parsed::<Q>(query_string).map(drop)
    }

    fn ask<'a>(
        &'a self,
        core: &'a Core,
        query_string: &'a str,
        options: &'a AskOptions,
    ) -> BoxFuture<'a, Result<Vec<u8>, AskError>> {
        Box::pin(async move {
            core.permit::<Q>(options)?;
            let query: Q = parsed(query_string)?;
            core.visible::<Q>(options).await?;
            let write = |answer| {
                serde_json::to_vec(&answer)
                    .map_err(|error| AskError::Panicked(format!("the answer cannot be written as JSON: {error}")))
            };
            core.answer(query, &self.pace, write).await
        })
    }
}

fn parsed<Q: Query>(query_string: &str) -> Result<Q, AskError> {
    contained(|| input::from_query_string(query_string)).map_err(AskError::Panicked)?.map_err(AskError::Invalid)
}
