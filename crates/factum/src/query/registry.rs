//! Which queries there are, by name.

use std::{marker::PhantomData, sync::Arc};

use schemars::{Schema, schema_for};

use super::{AskError, dispatcher::Core};
use crate::{
    input,
    model::{Answers, ProjectionKey, Query},
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
    /// The JSON Schema of its answer.
    pub answer: Schema,
}

/// A query whose type is forgotten.
pub(super) trait AnyQuery: Send + Sync {
    fn info(&self) -> QueryInfo;
    fn reads(&self) -> &'static [ProjectionKey];
    fn answer(&self, core: Arc<Core>, query_string: &str) -> BoxFuture<'static, Result<Vec<u8>, AskError>>;
}

pub(super) fn erase<Q: Query>() -> Box<dyn AnyQuery> {
    Box::new(Erased::<Q>(PhantomData))
}

struct Erased<Q>(PhantomData<fn() -> Q>);

impl<Q: Query> AnyQuery for Erased<Q> {
    fn info(&self) -> QueryInfo {
        let answer = schema_for!(<Q as Answers>::Answer);
        QueryInfo { name: Q::NAME, reads: Q::READS, schema: schema_for!(Q), answer }
    }

    fn reads(&self) -> &'static [ProjectionKey] {
        Q::READS
    }

    fn answer(&self, core: Arc<Core>, query_string: &str) -> BoxFuture<'static, Result<Vec<u8>, AskError>> {
        let query = input::from_query_string::<Q>(query_string).map_err(AskError::Invalid);
        Box::pin(async move {
            let answer = core.answer(query?).await?;
            serde_json::to_vec(&answer).map_err(|error| AskError::Panicked(error.to_string()))
        })
    }
}
