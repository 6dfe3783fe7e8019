//! The path of one command.

use std::sync::Arc;

use factum_engine::{ExpectedVersion, StreamName};

use super::{CommandReceipt, DispatchError, dispatcher::Core, load::Loaded, record::record};
use crate::{
    input::InvalidInput,
    model::{
        Aggregate, AggregateId, Command, CommandId, Context, ContextParts, CorrelationId, Events, Handle, Timestamp,
        stream_of,
    },
    principal::{Access, Denied, Principal},
    runtime::contained,
    store::{AppendError, CommandRecord},
};

/// Everything about a request but the command itself; fixed once, over all attempts.
pub(super) struct Request {
    pub(super) record: CommandRecord,
    /// The id was made for this request: nobody can have used it before.
    pub(super) fresh: bool,
    pub(super) now: Timestamp,
    pub(super) expected: ExpectedVersion,
    pub(super) principal: Principal,
    pub(super) correlation_id: CorrelationId,
    pub(super) causation_id: Option<uuid::Uuid>,
    /// The id of a command that came over the bus, as its sender sent it.
    pub(super) bus_command: Option<Arc<str>>,
}

type RejectionOf<C> = <<C as Command>::Aggregate as Aggregate>::Rejection;
type EventOf<C> = <<C as Command>::Aggregate as Aggregate>::Event;
type Outcome<C, T = CommandReceipt> = Result<T, DispatchError<RejectionOf<C>>>;

/// Authorise, validate, load, handle, append; again on conflict.
pub(super) async fn run<C: Command>(core: &Core, command: &C, request: &Request) -> Outcome<C> {
    let streams = core.streams.as_ref();
    let stream = admit(core, command, request)?;
    let _turn = core.streams.turn(&stream).await;
    // Judged before every other condition: a repeat gets its answer whatever has happened since.
    if let Some(receipt) = repeat(core, request).await? {
        return Ok(receipt);
    }
    for attempt in 1..=streams.attempts_max {
        let (loaded, decision) = load_and_decide(core, command, &stream, request).await?;
        let events = match decision {
            Ok(events) if !events.as_slice().is_empty() => events,
            no_events => {
                let (version, position) = (loaded.version, loaded.position);
                // After a panic the state is dropped, never used again.
                if !matches!(no_events, Err(DispatchError::Panicked(_))) {
                    streams.keep(&stream, loaded);
                }
                // A twin of this request may have been accepted since the look-up: its answer goes first.
                if let Some(receipt) = repeat(core, request).await? {
                    return Ok(receipt);
                }
                no_events?;
                return CommandReceipt::of_nothing(core, stream, version, position, request).await;
            }
        };
        let (append, recorded) = record(core, &stream, loaded.version, events.as_slice(), request)?;
        let after = loaded.after(&append.streams[0].events)?;
        match streams.store.append(append).await {
            Ok(receipt) => {
                if !receipt.repeated {
                    streams.keep_after(&stream, after, events.as_slice().len(), receipt.first, request.now);
                }
                return CommandReceipt::of_append(core, receipt, recorded, request).await;
            }
            Err(AppendError::Conflict { actual, .. }) if !request.expected.is_met_by(actual) => {
                return Err(DispatchError::NotExpected { expected: request.expected, actual });
            }
            Err(AppendError::Conflict { .. } | AppendError::BoundaryCrossed { .. }) => {
                if attempt < streams.attempts_max {
                    streams.pause(attempt).await;
                }
            }
            Err(AppendError::CommandIdReused(_)) => return Err(DispatchError::CommandIdReused),
            Err(AppendError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(DispatchError::Refused(error.to_string())),
        }
    }
    Err(DispatchError::Contended { attempts: streams.attempts_max })
}

/// Permission first, then the command's own check; nothing is looked up before.
fn admit<C: Command>(core: &Core, command: &C, request: &Request) -> Outcome<C, StreamName> {
    let admitted = contained(|| {
        let stream = target(command, request.record.id)?;
        let access = Access { principal: &request.principal, name: C::NAME, stream: Some(&stream) };
        core.policy.authorize(access).map_err(|Denied| DispatchError::Denied)?;
        command.validate().map_err(|field| DispatchError::Invalid(field.into()))?;
        Ok(stream)
    });
    admitted.unwrap_or_else(|panic| Err(DispatchError::Panicked(panic)))
}

/// The stream of the aggregate the command is for; derived from the command id when the caller named none.
fn target<C: Command>(command: &C, id: CommandId) -> Outcome<C, StreamName> {
    let named = command.aggregate_id().map(stream_of::<C::Aggregate>);
    let stream = named.unwrap_or_else(|| {
        let derived = id.derive(<C::Aggregate as Aggregate>::CATEGORY);
        stream_of::<C::Aggregate>(&<C::Aggregate as Aggregate>::Id::from_uuid(derived))
    });
    stream.map_err(|error| DispatchError::Invalid(InvalidInput::invalid(format!("the aggregate's id: {error}"))))
}

/// The original answer, when the command was accepted before.
async fn repeat<R>(core: &Core, request: &Request) -> Result<Option<CommandReceipt>, DispatchError<R>> {
    if request.fresh {
        return Ok(None);
    }
    match core.streams.store.command(request.record.id).await? {
        None => Ok(None),
        Some(known) if known.fingerprint != request.record.fingerprint => Err(DispatchError::CommandIdReused),
        Some(known) => CommandReceipt::of_repeat(core, known.receipt, request).await.map(Some),
    }
}

/// Decides on a kept state, or on the stream as it is.
async fn load_and_decide<C: Command>(
    core: &Core,
    command: &C,
    stream: &StreamName,
    request: &Request,
) -> Outcome<C, (Loaded<C::Aggregate>, Outcome<C, Events<EventOf<C>>>)> {
    let appends = |decision: &Outcome<C, _>| matches!(decision, Ok(events) if !Events::as_slice(events).is_empty());
    Ok(core.streams.decide(stream, |loaded| decide(loaded, command, stream, request), appends).await?)
}

fn decide<C: Command>(
    loaded: &Loaded<C::Aggregate>,
    command: &C,
    stream: &StreamName,
    request: &Request,
) -> Outcome<C, Events<EventOf<C>>> {
    if !request.expected.is_met_by(loaded.version) {
        return Err(DispatchError::NotExpected { expected: request.expected, actual: loaded.version });
    }
    let context = Context::new(ContextParts {
        now: request.now,
        command_id: request.record.id,
        actor: request.principal.actor.clone(),
        stream: stream.clone(),
        version: loaded.version,
    });
    // The state is dropped after a panic, never used again.
    contained(|| loaded.state.handle(command, &context))
        .map_err(DispatchError::Panicked)?
        .map_err(DispatchError::Rejected)
}
