//! What becomes of a command that came over the bus.

use std::sync::Arc;

use super::{DeadLetters, dead_letter, outcome::Outcome};
use crate::{
    bus::{
        CANCEL_NAME, Envelope, EnvelopeError, Record, Remains, TopicPartition, command_name, command_topic,
        is_command_id,
    },
    consumer::{Effect, EffectError},
    dispatch::{CommandDispatcher, CommandKey, CommandOptions, DispatchError, Surface},
    input::UnknownFields,
    model::{ActorId, CorrelationId, Refusal},
    principal::Principal,
    runtime::{Runtime, Status},
    store::{AppendError, BoxFuture, CommandRecord, ExpectedVersion, Metadata, StoreError},
};

/// The code of a message that cannot be read.
const MALFORMED: &str = "malformed";

/// Takes the commands of one sender.
pub(crate) struct Receiver {
    system: String,
    service: String,
    sender: String,
    /// Knows the commands that are taken from this sender, and no others.
    commands: CommandDispatcher,
    runtime: Runtime,
    status: Status,
    dead_letters: Arc<DeadLetters>,
}

/// What is said about a command besides the command.
struct Told {
    key: CommandKey,
    metadata: Metadata,
}

impl Receiver {
    pub(crate) fn new(
        system: &str,
        service: &str,
        sender: &str,
        commands: CommandDispatcher,
        dead_letters: Arc<DeadLetters>,
        runtime: Runtime,
    ) -> Self {
        let [system, service, sender] = [system, service, sender].map(str::to_owned);
        let status = Status::new(&format!("commands from {sender}"));
        dead_letters.shown_by(command_topic(&system, &service, &sender), status.clone());
        Self { system, service, sender, commands, runtime, status, dead_letters }
    }

    /// The topic it takes them from.
    pub(crate) fn topic(&self) -> Arc<str> {
        command_topic(&self.system, &self.service, &self.sender).into()
    }

    /// What its loop shows of itself, and it with it.
    pub(crate) const fn status(&self) -> &Status {
        &self.status
    }

    async fn receive(&self, from: &TopicPartition, record: &Record, message: &Envelope) -> Result<(), EffectError> {
        let Some(id) = message.command_id.as_ref().filter(|id| is_command_id(id)) else {
            let reason = "it has no command id: 1 to 255 visible ASCII characters";
            return self.bury(from, record, reason).await;
        };
        let told = self.told(id, message.correlation_id, Some(message.id.as_uuid()), message.actor.clone());
        if message.name == CANCEL_NAME {
            let cancelled = Outcome::refused(Refusal::CANCELLED, "its sender cancelled it before it was dealt with");
            let record = self.commands.record_of(&told.key, CANCEL_NAME, b"{}");
            return self.settle(record, &cancelled, told.metadata).await;
        }
        let name = command_name(&message.name, &self.system, &self.service);
        // What is no name of ours is answered by the whole of it.
        let name = name.unwrap_or(&message.name);
        let options = CommandOptions {
            key: told.key.clone(),
            expected: ExpectedVersion::Any,
            principal: Principal { actor: message.actor.clone() },
            correlation_id: Some(message.correlation_id),
            causation_id: Some(message.id.as_uuid()),
            unknown_fields: UnknownFields::Ignore,
        };
        let outcome = match self.commands.dispatch_named(name, &message.data, options).await {
            Ok(receipt) if !receipt.nothing_to_do => return Ok(()),
            Ok(_) => Outcome::NothingToDo(super::outcome::NothingToDo {}),
            Err(DispatchError::CommandIdReused) => return self.taken(id, &told.key).await,
            Err(error) => {
                if let DispatchError::Panicked(panic) = &error {
                    tracing::error!(sender = self.sender, id = &**id, name, panic, "a bus command's handler panicked");
                }
                refusal(error)?
            }
        };
        let record = self.commands.record_of(&told.key, name, &message.data);
        self.settle(record, &outcome, told.metadata).await
    }

    /// Records an outcome, unless there is one.
    async fn settle(&self, record: CommandRecord, outcome: &Outcome, metadata: Metadata) -> Result<(), EffectError> {
        let append = outcome.append(record, metadata, self.runtime.now());
        let append = append.map_err(|error| EffectError::Never(error.to_string()))?;
        match self.commands.store().append(append).await {
            // Taken by what was asked first: its outcome is the outcome.
            Ok(_) | Err(AppendError::CommandIdReused(_)) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Something else was recorded under this id: as a rule, that it was cancelled.
    async fn taken(&self, id: &str, key: &CommandKey) -> Result<(), EffectError> {
        let cancel = self.commands.record_of(key, CANCEL_NAME, b"{}");
        let known = self.commands.store().command(cancel.id).await.map_err(|error| failed(error.into()))?;
        if known.is_none_or(|known| known.fingerprint != cancel.fingerprint) {
            let sender = &self.sender;
            tracing::warn!(sender, id, "a command came under an id that was used for another one: it changes nothing");
        }
        Ok(())
    }

    /// Keeps a record of which not even an id can be read.
    async fn bury(&self, from: &TopicPartition, record: &Record, reason: &str) -> Result<(), EffectError> {
        let append = dead_letter::append(from, record, reason, self.runtime.now());
        let append = append.map_err(|error| EffectError::Never(error.to_string()))?;
        let receipt = self.commands.store().append(append).await.map_err(failed)?;
        if !receipt.repeated {
            tracing::error!(%from, offset = %record.offset, reason, "what is no command was put aside");
        }
        self.dead_letters.look().await.map_err(|error| failed(error.into()))
    }

    fn told(
        &self,
        id: &Arc<str>,
        correlation_id: CorrelationId,
        causation_id: Option<uuid::Uuid>,
        actor: ActorId,
    ) -> Told {
        let key = CommandKey::Keyed { surface: Surface::Bus(self.sender.clone()), key: id.to_string() };
        Told { key, metadata: Metadata { correlation_id, causation_id, actor, bus_command: Some(id.clone()) } }
    }
}

impl Effect for Receiver {
    fn begin(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.dead_letters.look())
    }

    fn take<'a>(
        &'a self,
        from: &'a TopicPartition,
        record: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(self.receive(from, record, message))
    }

    fn take_unreadable<'a>(
        &'a self,
        from: &'a TopicPartition,
        record: &'a Record,
        error: &'a EnvelopeError,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            let Remains { id, command_id, correlation_id, actor, .. } = Remains::of(&record.headers, &record.value);
            let Some(command_id) = command_id.filter(|id| is_command_id(id)) else {
                return self.bury(from, record, &error.to_string()).await;
            };
            let actor = actor.unwrap_or_else(ActorId::system);
            let key = CommandKey::Keyed { surface: Surface::Bus(self.sender.clone()), key: command_id.to_string() };
            let record = self.commands.record_of(&key, MALFORMED, &record.value);
            let correlation_id = correlation_id.unwrap_or_else(|| CorrelationId::from_uuid(record.id.as_uuid()));
            let told = self.told(&command_id, correlation_id, id.map(|id| id.as_uuid()), actor);
            self.settle(record, &Outcome::refused(MALFORMED, error), told.metadata).await
        })
    }
}

/// A deterministic no as an outcome.
fn refusal(error: DispatchError) -> Result<Outcome, EffectError> {
    Ok(match error {
        DispatchError::Rejected(rejection) => Outcome::refused(rejection.code, rejection.message),
        DispatchError::Invalid(input) => Outcome::refused(input.kind.code(), input),
        DispatchError::UnknownCommand(_) => Outcome::refused("unknown-command", error),
        DispatchError::Denied => Outcome::refused("denied", error),
        // What a panic says may be about a person; the log has it.
        DispatchError::Panicked(_) => Outcome::refused("panicked", "its handler panicked: see the receiver's log"),
        DispatchError::Refused(_) => Outcome::refused("too-large", error),
        DispatchError::NotExpected { .. } | DispatchError::Contended { .. } | DispatchError::Unavailable(_) => {
            return Err(EffectError::Later(error.to_string()));
        }
        DispatchError::CommandIdReused | DispatchError::Corrupt(_) => {
            return Err(EffectError::Never(error.to_string()));
        }
    })
}

/// Whether trying again helps an append.
fn failed(error: AppendError) -> EffectError {
    match error {
        AppendError::Store(StoreError::Damaged(_)) | AppendError::Refused(_) | AppendError::InvalidName(_) => {
            EffectError::Never(error.to_string())
        }
        other => EffectError::Later(other.to_string()),
    }
}
