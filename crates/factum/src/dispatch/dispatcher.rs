//! The two doors to the one path.

use std::{collections::BTreeMap, sync::Arc};

use factum_engine::ExpectedVersion;
use uuid::Uuid;

use super::{
    CommandDispatcherBuilder, CommandInfo, CommandKey, CommandReceipt, DispatchError,
    canonical::canonical,
    identity::fingerprint,
    registry::AnyCommand,
    run::{Request, run},
    streams::Streams,
};
use crate::{
    input::UnknownFields,
    model::{Aggregate, Command, CommandId, CorrelationId, Message, Source},
    principal::{Authorize, Principal},
    relay::DynPublication,
    runtime::contained,
    store::{CommandRecord, EventStore},
};

/// Takes commands to their aggregates. Cheap to clone.
///
/// See the [crate's example](crate) for one at work.
#[derive(Clone)]
pub struct CommandDispatcher {
    pub(super) core: Arc<Core>,
    pub(super) commands: Arc<BTreeMap<&'static str, Box<dyn AnyCommand>>>,
}

/// What every command goes through.
pub(crate) struct Core {
    pub(super) service: String,
    pub(super) streams: Arc<Streams>,
    pub(super) source: Source,
    pub(super) policy: Arc<dyn Authorize>,
    pub(super) publications: Vec<DynPublication>,
}

/// Everything a caller may say about a command besides the command.
#[derive(Clone, Debug)]
pub struct CommandOptions {
    /// How it is recognised when it comes again.
    pub key: CommandKey,
    /// The version the aggregate's stream must have; [`ExpectedVersion::Any`] leaves it to the dispatcher, which
    /// decides again after a conflict.
    pub expected: ExpectedVersion,
    /// Who asks.
    pub principal: Principal,
    /// What it belongs to across services; its own command id when `None`.
    pub correlation_id: Option<CorrelationId>,
    /// The message that caused it, if one did.
    pub causation_id: Option<Uuid>,
    /// For commands that come as bytes: what to do with unknown fields.
    pub unknown_fields: UnknownFields,
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self {
            key: CommandKey::Fresh,
            expected: ExpectedVersion::Any,
            principal: Principal::anonymous(),
            correlation_id: None,
            causation_id: None,
            unknown_fields: UnknownFields::Refuse,
        }
    }
}

impl CommandDispatcher {
    /// Starts a dispatcher on an event store.
    pub fn builder(store: Arc<dyn EventStore>) -> CommandDispatcherBuilder {
        CommandDispatcherBuilder::new(store)
    }

    /// Dispatches a command whose type is known. The returned [`Dispatch`] takes options; awaiting it runs it.
    pub fn dispatch<C: Command>(&self, command: C) -> Dispatch<'_, C> {
        Dispatch { dispatcher: self, command, options: CommandOptions::default() }
    }

    /// Dispatches a command that comes as a name and a JSON document: from HTTP, or from the bus. The same path.
    ///
    /// # Errors
    /// See [`DispatchError`].
    pub async fn dispatch_named(
        &self,
        name: &str,
        body: &[u8],
        options: CommandOptions,
    ) -> Result<CommandReceipt, DispatchError> {
        match self.commands.get(name) {
            Some(command) => command.run(&self.core, body, options).await,
            None => Err(DispatchError::UnknownCommand(name.to_owned())),
        }
    }

    /// The registered commands, by name.
    pub fn commands(&self) -> Vec<CommandInfo> {
        self.commands.values().map(|command| command.info()).collect()
    }

    /// The event store behind it.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.core.streams.store
    }

    /// What the store remembers of a request under a key: the same as when it is dispatched by name.
    pub(crate) fn record_of(&self, key: &CommandKey, name: &str, document: &[u8]) -> CommandRecord {
        let id = key
            .effective(&self.core.service)
            .unwrap_or_else(|| CommandId::from_uuid(self.core.streams.runtime.new_id()));
        // What is no document has no canonical form.
        let canonical = canonical(document);
        let document = canonical.as_deref().unwrap_or(document);
        CommandRecord { id, fingerprint: fingerprint(&self.core.streams.store.identity().key, name, document) }
    }

    /// What its decisions are taken on, for those who decide on the same streams.
    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.core.streams
    }
}

impl Core {
    /// Fixes what stays the same over all attempts. `document` is the command as it came; `None`: it is no document.
    pub(super) fn request<C: Message>(&self, document: &[u8], options: CommandOptions) -> Option<Request> {
        let effective = options.key.effective(&self.service);
        let id = effective.unwrap_or_else(|| CommandId::from_uuid(self.streams.runtime.new_id()));
        let document = canonical(document).ok()?;
        let fingerprint = fingerprint(&self.streams.store.identity().key, C::NAME, &document);
        Some(Request {
            record: CommandRecord { id, fingerprint },
            fresh: effective.is_none(),
            now: self.streams.runtime.now(),
            expected: options.expected,
            principal: options.principal,
            correlation_id: options.correlation_id.unwrap_or_else(|| CorrelationId::from_uuid(id.as_uuid())),
            causation_id: options.causation_id,
            bus_command: options.key.sent().map(Into::into),
        })
    }
}

/// A command on its way; awaiting it runs it.
#[must_use = "a command runs when this is awaited"]
pub struct Dispatch<'a, C> {
    dispatcher: &'a CommandDispatcher,
    command: C,
    options: CommandOptions,
}

impl<C: Command> Dispatch<'_, C> {
    /// Names the effective command id, so that a repeat is recognised.
    pub fn command_id(mut self, id: CommandId) -> Self {
        self.options.key = CommandKey::Id(id);
        self
    }

    /// Says which version the aggregate's stream must have.
    pub fn expecting(mut self, expected: ExpectedVersion) -> Self {
        self.options.expected = expected;
        self
    }

    /// Says who asks.
    pub fn principal(mut self, principal: Principal) -> Self {
        self.options.principal = principal;
        self
    }

    /// Says everything at once.
    pub fn options(mut self, options: CommandOptions) -> Self {
        self.options = options;
        self
    }
}

impl<'a, C: Command> IntoFuture for Dispatch<'a, C> {
    type Output = Result<CommandReceipt, DispatchError<<C::Aggregate as Aggregate>::Rejection>>;
    type IntoFuture = crate::store::BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { dispatcher, command, options } = self;
            if !dispatcher.commands.contains_key(C::NAME) {
                return Err(DispatchError::UnknownCommand(C::NAME.to_owned()));
            }
            let document = contained(|| serde_json::to_vec(&command))
                .map_err(DispatchError::Panicked)?
                .map_err(|error| DispatchError::Refused(format!("the command cannot be written as JSON: {error}")))?;
            let request = dispatcher.core.request::<C>(&document, options);
            let request =
                request.ok_or_else(|| DispatchError::Refused("the command is nested too deeply".to_owned()))?;
            run(&dispatcher.core, &command, &request).await
        })
    }
}
