//! Which commands there are, by name: the door for callers that have bytes.

use std::{any::TypeId, marker::PhantomData};

use schemars::{Schema, schema_for};

use super::{
    CommandReceipt, DispatchError,
    dispatcher::{CommandOptions, Core},
    run::run,
};
use crate::{
    input::{self, InvalidInput},
    model::{Aggregate, Command, Rejection, RejectionCode},
    runtime::contained,
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
    /// How its aggregate may refuse it: [`Rejection::CODES`].
    pub rejections: &'static [RejectionCode],
}

/// A command whose type is forgotten.
pub(crate) trait AnyCommand: Send + Sync {
    fn name(&self) -> &'static str;
    fn category(&self) -> &'static str;
    /// Which type decides about it.
    fn aggregate(&self) -> TypeId;
    fn info(&self) -> CommandInfo;

    fn run<'a>(
        &'a self,
        core: &'a Core,
        body: &'a [u8],
        options: CommandOptions,
    ) -> BoxFuture<'a, Result<CommandReceipt, DispatchError>>;
}

pub(crate) fn erase<C: Command>() -> Box<dyn AnyCommand> {
    Box::new(Erased::<C>(PhantomData))
}

struct Erased<C>(PhantomData<fn() -> C>);

impl<C: Command> AnyCommand for Erased<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn category(&self) -> &'static str {
        <C::Aggregate as Aggregate>::CATEGORY
    }

    fn aggregate(&self) -> TypeId {
        TypeId::of::<C::Aggregate>()
    }

    fn info(&self) -> CommandInfo {
        CommandInfo {
            name: self.name(),
            category: self.category(),
            schema: schema_for!(C),
            rejections: <C::Aggregate as Aggregate>::Rejection::CODES,
        }
    }

    fn run<'a>(
        &'a self,
        core: &'a Core,
        body: &'a [u8],
        options: CommandOptions,
    ) -> BoxFuture<'a, Result<CommandReceipt, DispatchError>> {
        Box::pin(async move {
            let command: Result<C, InvalidInput> =
                contained(|| input::from_json(body, options.unknown_fields)).map_err(DispatchError::Panicked)?;
            // What becomes of a bus command is recorded for ever, and told to everybody.
            let is_recorded = options.key.sent().is_some();
            let command =
                command.map_err(|no| DispatchError::Invalid(if is_recorded { no.without_values() } else { no }))?;
            // As it came, before defaults are filled in: what was left out stays left out.
            let request = core.request::<C>(body, options).ok_or_else(|| {
                DispatchError::Invalid(InvalidInput::malformed("the body is nested too deeply".to_owned()))
            })?;
            let outcome = run(core, &command, &request).await;
            // The rejection's words are the aggregate's code, too.
            outcome.map_err(|no| contained(|| no.erased()).unwrap_or_else(DispatchError::Panicked))
        })
    }
}
