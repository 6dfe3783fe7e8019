//! Reactors: effects outside, such as a webhook or a mail, with ids derived from the event that leads to them.
//!
//! A [`Reactor`] says what should be done about an event as data ([`Reactor::react`]), and does it
//! ([`Reactor::perform`]). Its progress is with the event store and is written after the effect was done: killed
//! anywhere, it does the effect again under the same [`EffectId`](crate::model::EffectId), and never leaves one out. Read models have nothing
//! to do with it: refilling or rebuilding them reaches no reactor, and no [`Projection`](crate::Projection) is handed an
//! [`Outside`].

mod end;
mod erased;
mod hears;
mod ledger;
mod open;
mod outside;
mod run;
mod work;
mod worker;

use std::future::Future;

pub use crate::consumer::EffectError;
pub use end::ReactorEnd;
pub use outside::Outside;
pub use run::ReactorRunner;

pub(crate) use erased::{DynReactor, erase};
pub(crate) use hears::Reacts;

use crate::model::{Delivery, Event};

/// What the progress of reactors is named with, before their names.
pub(crate) const PROGRESS_PREFIX: &str = "reactor/";
/// The most effects of one event.
pub const EFFECTS_MAX: usize = 16;

/// Has effects outside: what an event should lead to, as data, and how that is done.
///
/// ```
/// use factum::{prelude::*, reactor::{EffectError, Outside, Reactions, Reactor}};
/// # use serde::{Deserialize, Serialize};
///
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// # pub struct Joined { address: String }
/// #[derive(Clone, Debug, PartialEq, Event)]
/// pub enum MemberEvent {
///     #[factum(name = "member.joined")]
///     Joined(Joined),
/// }
///
/// pub struct Welcome;
///
/// impl Reactor for Welcome {
///     const NAME: &'static str = "welcome";
///     type Event = MemberEvent;
///     type Effect = String;
///
///     fn react(&self, event: &MemberEvent, _: &Delivery) -> Reactions<String> {
///         let MemberEvent::Joined(Joined { address }) = event;
///         Reactions::one(address.clone())
///     }
///
///     async fn perform(&self, address: &String, outside: &Outside) -> Result<(), EffectError> {
///         println!("mail {} to {address}", outside.id());
///         Ok(())
///     }
/// }
/// ```
pub trait Reactor: Send + Sync + 'static {
    /// Its name in kebab-case: what its progress and the ids of its effects are derived from. Under another name it is
    /// another reactor, and does everything again that it is asked to begin with.
    const NAME: &'static str;
    /// Where it begins when it is first started; later starts go on where it was.
    const SINCE: Since = Since::Now;
    /// The topics it hears; none: the service's own events.
    const TOPICS: &'static [&'static str] = &[];
    /// What it reacts to: the service's own events, or an enum of its own of foreign messages.
    type Event: Event;
    /// Something to be done outside, as data.
    type Effect: Send + Sync + 'static;

    /// What should be done about an event. Pure: asked again about the same event, it says the same.
    fn react(&self, event: &Self::Event, delivery: &Delivery) -> Reactions<Self::Effect>;

    /// Does it. May be asked to again although it was done, with the same [`Outside::id`]; so whoever is told outside
    /// must be told that id, to recognise a repeat. It is given up after [`EFFECT_TIME_MAX`] and tried again.
    ///
    /// The effects of the events of one stream (of topics: of one key) come in order, each when the one before was
    /// done; those of different streams at the same time.
    ///
    /// # Errors
    /// [`EffectError::Later`]: it is tried again after a while. [`EffectError::Never`]: the event is parked with what comes
    /// after it in its stream, with an alarm, until an operator tries it again or discards it. Nothing else is left out.
    fn perform(&self, effect: &Self::Effect, outside: &Outside)
    -> impl Future<Output = Result<(), EffectError>> + Send;
}

pub use work::EFFECT_TIME_MAX;

/// Where a reactor begins that was never started before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// With what happens after it was first started.
    #[default]
    Now,
    /// With everything that ever happened.
    Beginning,
}

/// What should be done about an event, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "effects happen when they are returned"]
pub struct Reactions<E>(Vec<E>);

impl<E> Reactions<E> {
    /// Nothing.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// One effect.
    pub fn one(effect: E) -> Self {
        Self(vec![effect])
    }

    /// One more. Its id stems from its place: put new ones last.
    ///
    /// # Panics
    /// There are [`EFFECTS_MAX`] already.
    pub fn and(mut self, effect: E) -> Self {
        assert!(self.0.len() < EFFECTS_MAX, "an event leads to at most {EFFECTS_MAX} effects");
        self.0.push(effect);
        self
    }

    /// Nothing, or one effect.
    pub fn maybe(effect: Option<E>) -> Self {
        Self(effect.into_iter().collect())
    }

    /// The effects.
    pub fn as_slice(&self) -> &[E] {
        &self.0
    }

    fn into_vec(self) -> Vec<E> {
        self.0
    }
}
