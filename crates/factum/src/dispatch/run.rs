//! The path of one command.

use std::panic::{AssertUnwindSafe, catch_unwind};

use factum_engine::{Direction, ExpectedVersion, Position, StreamName, Version};

use super::{
    CommandReceipt, DispatchError,
    dispatcher::Core,
    load::{Loaded, load},
    receipt::topic_marks,
};
use crate::{
    model::{
        Aggregate, AggregateId, Command, CommandId, Context, ContextParts, CorrelationId, Event, EventId, Events,
        Handle, Timestamp, stream_of,
    },
    principal::{Access, Principal},
    store::{Append, AppendError, CommandRecord, EventStore, KnownCommand, Metadata, NewEvent, Receipt, RecordedEvent},
    token::Token,
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
}

type RejectionOf<C> = <<C as Command>::Aggregate as Aggregate>::Rejection;
type Outcome<C> = Result<CommandReceipt, DispatchError<RejectionOf<C>>>;

/// Authorise, validate, load, handle, append; again on conflict.
pub(super) async fn run<C: Command>(core: &Core, command: &C, request: &Request) -> Outcome<C> {
    let stream = target(command, request.record.id)?;
    let access = Access { principal: &request.principal, name: C::NAME, stream: Some(&stream) };
    core.policy.authorize(access).map_err(|_| DispatchError::Denied)?;
    command.validate().map_err(|field| DispatchError::Invalid(field.into()))?;

    let _turn = core.turns.take(&stream).await;
    for attempt in 1..=core.attempts_max {
        // Judged before every other condition: a repeat gets its answer whatever has happened since.
        if let Some(receipt) = repeat::<C>(core, &stream, request).await? {
            return Ok(receipt);
        }
        let loaded = load::<C::Aggregate>(core.store.as_ref(), &stream).await?;
        let decision = if meets(request.expected, loaded.version) {
            decide(&loaded, command, &stream, request)
        } else {
            Err(DispatchError::NotExpected { expected: request.expected, actual: loaded.version })
        };
        let events = match decision {
            Ok(events) => events.into_vec(),
            // A twin of this request may have been accepted since the look-up: its answer goes first.
            Err(no) => return repeat::<C>(core, &stream, request).await?.ok_or(no),
        };
        if events.is_empty() {
            return nothing_to_do(core, stream, &loaded, request).await;
        }
        match append(core, &stream, loaded.version, &events, request).await {
            Ok((receipt, recorded)) => {
                // The store knew the command id: a twin was faster, and its answer is the answer.
                let recorded =
                    if receipt.repeated { recorded_by(core.store.as_ref(), &receipt).await? } else { recorded };
                return accepted(core, stream, &receipt, &recorded, request.record.id);
            }
            Err(AppendError::Conflict { .. }) => core.pause_after_conflict(attempt).await,
            Err(AppendError::CommandIdReused(_)) => return Err(DispatchError::CommandIdReused),
            Err(AppendError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(DispatchError::Refused(error.to_string())),
        }
    }
    Err(DispatchError::Contended { attempts: core.attempts_max })
}

/// The stream of the aggregate the command is for; derived from the command id when the caller named none.
fn target<C: Command>(command: &C, id: CommandId) -> Result<StreamName, DispatchError<RejectionOf<C>>> {
    let derived;
    let aggregate_id = match command.aggregate_id() {
        Some(given) => given,
        None => {
            derived = <C::Aggregate as Aggregate>::Id::from_uuid(id.derive(<C::Aggregate as Aggregate>::CATEGORY));
            &derived
        }
    };
    stream_of::<C::Aggregate>(aggregate_id).map_err(|error| DispatchError::Refused(error.to_string()))
}

fn meets(expected: ExpectedVersion, actual: Version) -> bool {
    match expected {
        ExpectedVersion::Any => true,
        ExpectedVersion::NoStream => actual == Version::ZERO,
        ExpectedVersion::StreamExists => actual > Version::ZERO,
        ExpectedVersion::Exact(version) => actual == version,
    }
}

/// The original answer, when the command was accepted before.
async fn repeat<C: Command>(
    core: &Core,
    stream: &StreamName,
    request: &Request,
) -> Result<Option<CommandReceipt>, DispatchError<RejectionOf<C>>> {
    if request.fresh {
        return Ok(None);
    }
    match core.store.command(request.record.id).await? {
        None => Ok(None),
        Some(KnownCommand { fingerprint, .. }) if fingerprint != request.record.fingerprint => {
            Err(DispatchError::CommandIdReused)
        }
        Some(known) => {
            let recorded = recorded_by(core.store.as_ref(), &known.receipt).await?;
            accepted(core, stream.clone(), &known.receipt, &recorded, request.record.id).map(Some)
        }
    }
}

/// The events of an earlier append, read back.
async fn recorded_by<R>(store: &dyn EventStore, receipt: &Receipt) -> Result<Vec<RecordedEvent>, DispatchError<R>> {
    let count = (receipt.last.get() - receipt.first.get() + 1) as usize;
    let before = Position::new(receipt.first.get() - 1);
    let mut events = Vec::new();
    while events.len() < count {
        let after = events.last().map_or(before, |event: &RecordedEvent| event.position);
        let selection = crate::store::Selection::everything();
        let batch = store.read(&selection, after, Direction::Forward, count - events.len()).await?;
        if batch.events.is_empty() {
            return Err(DispatchError::Corrupt(format!("events {} to {} are missing", receipt.first, receipt.last)));
        }
        events.extend(batch.events);
    }
    Ok(events)
}

fn decide<A: Handle<C>, C: Command>(
    loaded: &Loaded<A>,
    command: &C,
    stream: &StreamName,
    request: &Request,
) -> Result<Events<A::Event>, DispatchError<A::Rejection>> {
    let context = Context::new(ContextParts {
        now: request.now,
        command_id: request.record.id,
        actor: request.principal.actor.clone(),
        stream: stream.clone(),
        version: loaded.version,
    });
    // The state is dropped after a panic, never used again.
    catch_unwind(AssertUnwindSafe(|| loaded.state.handle(command, &context)))
        .map_err(|payload| DispatchError::Panicked(crate::runtime::panic_text(payload.as_ref())))?
        .map_err(DispatchError::Rejected)
}

/// Appends what was decided, and returns it as it was recorded.
async fn append<E: Event>(
    core: &Core,
    stream: &StreamName,
    version: Version,
    facts: &[E],
    request: &Request,
) -> Result<(Receipt, Vec<RecordedEvent>), AppendError> {
    let metadata = Metadata {
        correlation_id: request.correlation_id,
        causation_id: request.causation_id,
        actor: request.principal.actor.clone(),
    };
    let events: Vec<NewEvent> =
        facts.iter().zip(0_u32..).map(|(fact, index)| new_event(fact, request, index)).collect();
    let published = if core.publications.is_empty() { Vec::new() } else { events.clone() };
    let append = Append::new(metadata.clone(), request.now)
        .stream(stream.clone(), ExpectedVersion::Exact(version), events)
        .command(request.record);
    let receipt = core.store.append(append).await?;
    assert!(receipt.repeated || receipt.last.get() - receipt.first.get() + 1 == facts.len() as u64);
    let recorded = published
        .into_iter()
        .zip(0_u64..)
        .map(|(event, index)| RecordedEvent {
            position: Position::new(receipt.first.get() + index),
            stream: stream.clone(),
            version: Version::new(version.get() + 1 + index),
            id: event.id,
            name: event.name.into(),
            schema: event.schema,
            tags: event.tags,
            data: event.data.into(),
            command_id: Some(request.record.id),
            metadata: metadata.clone(),
            recorded_at: request.now,
        })
        .collect();
    Ok((receipt, recorded))
}

fn new_event<E: Event>(fact: &E, request: &Request, index: u32) -> NewEvent {
    let mut data = Vec::with_capacity(256);
    fact.encode(&mut data);
    NewEvent {
        // Derived, so that an attempt repeated after a conflict or a lost answer means the same event.
        id: EventId::from_uuid(request.record.id.derive(&format!("event {index}"))),
        name: fact.name().into(),
        schema: fact.schema(),
        tags: fact.tags(),
        data,
    }
}

fn accepted<R>(
    core: &Core,
    stream: StreamName,
    receipt: &Receipt,
    recorded: &[RecordedEvent],
    command_id: CommandId,
) -> Result<CommandReceipt, DispatchError<R>> {
    let version =
        receipt.streams.iter().find(|(name, _)| *name == stream).map_or(Version::ZERO, |(_, version)| *version);
    let topics = topic_marks(&core.publications, core.source, &stream, recorded)?;
    let token = Token { source: core.source, position: receipt.last, topics };
    Ok(CommandReceipt { stream, version, position: receipt.last, command_id, repeated: receipt.repeated, token })
}

/// The receipt of a command that changed nothing: it stands for what the aggregate already is.
async fn nothing_to_do<A: Aggregate>(
    core: &Core,
    stream: StreamName,
    loaded: &Loaded<A>,
    request: &Request,
) -> Result<CommandReceipt, DispatchError<A::Rejection>> {
    let mut topics = topic_marks(&core.publications, core.source, &stream, &[])?;
    let mut from = loaded.version;
    // Back through the stream until each topic has its mark, or the beginning is reached.
    while from > Version::ZERO && topics.iter().any(|mark| mark.position == 0) {
        let batch = core.store.read_stream(&stream, from, Direction::Backward, 64).await?;
        let Some(oldest) = batch.events.last() else { break };
        from = Version::new(oldest.version.get() - 1);
        let ascending: Vec<_> = batch.events.iter().rev().cloned().collect();
        let found = topic_marks(&core.publications, core.source, &stream, &ascending)?;
        for (mark, found) in topics.iter_mut().zip(found).filter(|(mark, _)| mark.position == 0) {
            mark.position = found.position;
        }
    }
    let token = Token { source: core.source, position: loaded.position, topics };
    let command_id = request.record.id;
    Ok(CommandReceipt {
        stream,
        version: loaded.version,
        position: loaded.position,
        command_id,
        repeated: false,
        token,
    })
}
