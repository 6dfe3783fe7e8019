//! Given–when–then: the story of one rule.

use std::fmt::Debug;

use factum_engine::{StreamName, Version};

use super::{
    Decision, IntoEvents,
    decision::Ending,
    fixtures::{ACTOR, COMMAND_ID, NOW, actor, delivery},
    story_text,
};
use crate::{
    Aggregate, Command, Decoded, Delivery, Event, Handle, Rejection, RejectionCode,
    model::{ActorId, AggregateId, CommandId, Context, ContextParts, RawEvent, Timestamp, stream_of},
};

/// What has happened to an aggregate before the story's command.
///
/// ```
/// # use factum::{Aggregate, Command, Context, Event, Events, Handle, Rejection};
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # use uuid::Uuid;
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)] struct Raised { by: u32 }
/// # #[derive(Clone, Debug, PartialEq, Event)] enum CounterEvent { #[factum(name = "counter.raised")] Raised(Raised) }
/// # #[derive(Debug, PartialEq, thiserror::Error)] #[error("full")] struct Full;
/// # impl Rejection for Full { fn code(&self) -> &'static str { "full" } }
/// # #[derive(Clone, Default)] struct Counter { sum: u32 }
/// # impl Aggregate for Counter {
/// #     const CATEGORY: &'static str = "counter";
/// #     type Id = Uuid;
/// #     type Event = CounterEvent;
/// #     type Rejection = Full;
/// #     fn apply(&mut self, CounterEvent::Raised(raised): &CounterEvent) { self.sum += raised.by; }
/// # }
/// # #[derive(Serialize, Deserialize, JsonSchema, Command)]
/// # #[factum(name = "raise", aggregate = Counter, id = counter)]
/// # struct Raise { counter: Uuid, by: u32 }
/// # impl Handle<Raise> for Counter {
/// #     fn handle(&self, raise: &Raise, _: &Context) -> Result<Events<CounterEvent>, Full> {
/// #         if raise.by == 0 { return Ok(Events::none()); }
/// #         if self.sum + raise.by > 10 { return Err(Full); }
/// #         Ok(CounterEvent::from(Raised { by: raise.by }).into())
/// #     }
/// # }
/// # let counter = Uuid::nil();
/// use factum::testing::given;
///
/// given::<Counter>([Raised { by: 7 }])
///     .when(Raise { counter, by: 3 })
///     .then([Raised { by: 3 }])
///     .then_state(|counter| assert_eq!(counter.sum, 10))
///     .when(Raise { counter, by: 1 })
///     .then_rejected(Full)
///     .when(Raise { counter, by: 0 })
///     .then_nothing();
/// ```
///
/// Each event goes through its wire format and must come back equal, each command goes through JSON and is validated,
/// each decision is taken twice and must turn out the same, and each rejection is among the listed ones.
///
/// # Panics
/// An event does not survive its wire format.
#[track_caller]
#[must_use = "a story without an end proves nothing"]
pub fn given<A: Aggregate>(events: impl IntoEvents<A::Event>) -> Story<A>
where
    A::Event: PartialEq + Debug,
{
    let mut story = given_nothing();
    for event in events.into_events() {
        story.happened(&event);
    }
    story
}

/// Nothing has happened to the aggregate yet.
#[must_use = "a story without an end proves nothing"]
pub fn given_nothing<A: Aggregate>() -> Story<A> {
    Story {
        told: Vec::new(),
        state: A::default(),
        version: 0,
        now: NOW,
        actor: actor(ACTOR),
        command_id: COMMAND_ID,
        id: None,
        stream: None,
        recent: Vec::new(),
    }
}

/// A story so far: what happened, and under which circumstances the next command comes. Begun by [`given`].
#[derive(Clone, Debug)]
pub struct Story<A: Aggregate> {
    pub(super) told: Vec<String>,
    pub(super) state: A,
    version: u64,
    now: Timestamp,
    actor: ActorId,
    command_id: CommandId,
    id: Option<A::Id>,
    /// The stream of the last command's aggregate.
    stream: Option<StreamName>,
    /// What happened last, with its versions: what was given, or came of the last decision.
    pub(super) recent: Vec<(u64, A::Event)>,
}

impl<A: Aggregate> Story<A> {
    /// Who asks from here on; [`ACTOR`] unless said.
    ///
    /// # Panics
    /// It is no actor id.
    #[track_caller]
    #[must_use = "a story without an end proves nothing"]
    pub fn as_actor(self, id: &str) -> Self {
        Self { actor: actor(id), ..self }
    }

    /// When the following commands are decided; [`NOW`] unless said.
    #[must_use = "a story without an end proves nothing"]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// The id of the next command; [`COMMAND_ID`] for the first unless said, derived from the one before for the
    /// others.
    #[must_use = "a story without an end proves nothing"]
    pub fn with_command_id(self, command_id: CommandId) -> Self {
        Self { command_id, ..self }
    }

    /// The aggregate the story is about: which one a command means that leaves the id out. Commands that name another
    /// one are refused.
    #[must_use = "a story without an end proves nothing"]
    pub fn for_id(self, id: A::Id) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Looks at the state.
    #[track_caller]
    pub fn then_state(self, check: impl FnOnce(&A)) -> Self {
        check(&self.state);
        self
    }

    /// A command comes. It is written to JSON, read back and validated, as if it came from outside, and decided on.
    ///
    /// # Panics
    /// It does not survive JSON, names another aggregate than [`Story::for_id`], or its decision turns out otherwise
    /// when taken again.
    #[track_caller]
    pub fn when<C>(mut self, command: C) -> Decision<A>
    where
        C: Command<Aggregate = A>,
        A: Handle<C>,
        A::Event: PartialEq + Debug,
    {
        let (command, text) = through_json(&command);
        let ending = match command.validate() {
            Err(invalid) => Ending::Invalid(invalid),
            Ok(()) => self.decided(&command, &text),
        };
        self.stream = Some(self.context(command.aggregate_id(), &text).stream().clone());
        let when = format!("{text} by {} at {}", self.actor.as_str(), self.now);
        Decision { story: self, when, ending }
    }

    #[track_caller]
    fn decided<C>(&self, command: &C, text: &str) -> Ending<A>
    where
        C: Command<Aggregate = A>,
        A: Handle<C>,
        A::Event: PartialEq + Debug,
    {
        let context = self.context(command.aggregate_id(), text);
        let decide = || A::handle(&self.state, command, &context);
        match (decide(), decide()) {
            (Ok(events), Ok(again)) if events == again => Ending::Accepted(events.into_vec()),
            (Err(rejection), Err(again)) if format!("{rejection:?}") == format!("{again:?}") => {
                assert_listed(&rejection);
                Ending::Rejected(rejection)
            }
            (first, again) => panic!(
                "{text} was decided twice on the same state in the same context, first as\n  {first:?}\nthen as\n  \
                 {again:?}\na decision takes time, ids and chance from its context"
            ),
        }
    }

    #[track_caller]
    fn context(&self, named: Option<&A::Id>, text: &str) -> Context {
        if let (Some(named), Some(id)) = (named, &self.id) {
            let (named, id) = (named.to_string(), id.to_string());
            assert!(named == id, "the story is about {} {id}, but {text} names {named}", A::CATEGORY);
        }
        let id = named.or(self.id.as_ref()).cloned();
        let id = id.unwrap_or_else(|| A::Id::from_uuid(self.command_id.derive(A::CATEGORY)));
        self.context_in(named_stream::<A>(&id))
    }

    /// The circumstances under which something is decided in a stream.
    pub(super) fn context_in(&self, stream: StreamName) -> Context {
        Context::new(ContextParts {
            now: self.now,
            command_id: self.command_id,
            actor: self.actor.clone(),
            stream,
            version: Version::new(self.version),
        })
    }

    /// The stream the story is about: of [`Story::for_id`], or of its last command.
    #[track_caller]
    pub(super) fn stream(&self) -> StreamName {
        match (&self.id, &self.stream) {
            (Some(id), _) => named_stream::<A>(id),
            (None, Some(stream)) => stream.clone(),
            (None, None) => named_stream::<A>(&A::Id::from_uuid(COMMAND_ID.derive(A::CATEGORY))),
        }
    }

    /// What is told of an event of the story.
    pub(super) fn delivery(&self, version: u64) -> Delivery {
        Delivery { recorded_at: self.now, ..delivery(self.stream().as_str(), version) }
    }

    /// Something that is not a command was decided on.
    pub(super) fn ends(self, when: String, decided: Vec<A::Event>) -> Decision<A> {
        let when = format!("{when} at {}", self.now);
        Decision { story: self, when, ending: Ending::Accepted(decided) }
    }

    /// Panics with the story, and with what comes after it.
    #[track_caller]
    pub(super) fn goes_on_otherwise(&self, what: &str, expected: &str, got: &str) -> ! {
        let told = story_text::listed(&self.told);
        panic!("the story goes on differently\ngiven\n{told}it {what}, expected\n{expected}got\n{got}")
    }

    /// Takes an event through its wire format and folds what came back.
    #[track_caller]
    pub(super) fn happened(&mut self, event: &A::Event)
    where
        A::Event: PartialEq + Debug,
    {
        self.state.apply(&through_the_wire(event));
        self.version += 1;
        self.recent.push((self.version, event.clone()));
        self.told.push(story_text::event(event));
    }

    /// The story after a command, whatever came of it.
    pub(super) fn later(mut self, when: String) -> Self {
        self.told.push(format!("({when})"));
        self.recent.clear();
        self.command_id = CommandId::from_uuid(self.command_id.derive("the next command of the story"));
        self
    }
}

#[track_caller]
fn named_stream<A: Aggregate>(id: &A::Id) -> StreamName {
    match stream_of::<A>(id) {
        Ok(stream) => stream,
        Err(source) => panic!("{} {id} can have no stream: {source}", A::CATEGORY),
    }
}

/// Proves that documents which list an aggregate's rejections, where there are any, list this one as it is.
#[track_caller]
fn assert_listed<R: Rejection>(rejection: &R) {
    let own = RejectionCode { code: rejection.code(), kind: rejection.kind() };
    let listed = R::CODES.is_empty() || R::CODES.contains(&own);
    assert!(listed, "{own:?} is not among the rejection's CODES: list it there");
}

/// The command as it arrives from outside, and its line in the story.
#[track_caller]
fn through_json<C: Command>(command: &C) -> (C, String) {
    let document = match serde_json::to_value(command) {
        Ok(document) => document,
        Err(source) => panic!("{} cannot be written as JSON: {source}", C::NAME),
    };
    let text = story_text::command::<C>(&document);
    let back: C = match serde_json::from_str(&document.to_string()) {
        Ok(back) => back,
        Err(source) => panic!("{text} cannot be read back: {source}"),
    };
    let again = serde_json::to_value(&back).ok();
    assert!(again.as_ref() == Some(&document), "{text} comes back from JSON as {again:?}");
    (back, text)
}

/// The event as it comes back from a store.
#[track_caller]
pub(super) fn through_the_wire<E: Event + PartialEq + Debug>(event: &E) -> E {
    let mut document = Vec::new();
    event.encode(&mut document);
    let text = story_text::event(event);
    assert!(E::names().contains(&event.name()), "{text} is not among the names of its type");
    match E::decode(RawEvent { name: event.name(), schema: event.schema(), data: &document }) {
        Ok(Decoded::Known(back)) => {
            assert!(back == *event, "{text} was written as\n  {event:?}\nand read back as\n  {back:?}");
            back
        }
        Ok(Decoded::Unknown) => panic!("{text} is written under a name its type does not read"),
        Err(source) => panic!("{text} cannot be read back: {source}"),
    }
}
