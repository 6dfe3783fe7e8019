//! Which commands there are, by name: the door for callers that have bytes.

use std::marker::PhantomData;

use schemars::{Schema, schema_for};

use super::{
    CommandReceipt, DispatchError,
    dispatcher::{CommandOptions, Core},
    run::run,
};
use crate::{
    input::{self, InvalidInput, InvalidInputKind},
    model::{Aggregate, Command},
    store::BoxFuture,
};

/// What can be known of a registered command.
#[derive(Clone, Debug)]
pub struct CommandInfo {
    /// Its wire name.
    pub name: &'static str,
    /// The category of the aggregate that decides about it.
    pub category: &'static str,
    /// The JSON Schema of its document.
    pub schema: Schema,
}

/// A command whose type is forgotten.
pub(super) trait AnyCommand: Send + Sync {
    fn info(&self) -> CommandInfo;

    fn run<'a>(
        &'a self,
        core: &'a Core,
        body: &'a [u8],
        options: CommandOptions,
    ) -> BoxFuture<'a, Result<CommandReceipt, DispatchError>>;
}

pub(super) fn erase<C: Command>() -> Box<dyn AnyCommand> {
    Box::new(Erased::<C>(PhantomData))
}

struct Erased<C>(PhantomData<fn() -> C>);

impl<C: Command> AnyCommand for Erased<C> {
    fn info(&self) -> CommandInfo {
        let category = <C::Aggregate as Aggregate>::CATEGORY;
        CommandInfo { name: C::NAME, category, schema: schema_for!(C) }
    }

    fn run<'a>(
        &'a self,
        core: &'a Core,
        body: &'a [u8],
        options: CommandOptions,
    ) -> BoxFuture<'a, Result<CommandReceipt, DispatchError>> {
        Box::pin(async move {
            let command: C = input::from_json(body, options.unknown_fields).map_err(DispatchError::Invalid)?;
            // As it came, before defaults are filled in: what was left out stays left out.
            let payload = serde_json::from_slice(body).map_err(|error| {
                DispatchError::Invalid(InvalidInput {
                    kind: InvalidInputKind::Malformed,
                    field: None,
                    reason: error.to_string(),
                })
            })?;
            let request = core.request::<C>(&payload, options);
            run(core, &command, &request).await.map_err(DispatchError::erased)
        })
    }
}
