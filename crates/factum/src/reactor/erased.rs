//! A reactor of any type, fed with undecoded events.

use std::sync::Arc;

use super::{
    Outside, Reactor, Since,
    outside::effect_id,
    work::{Doing, Todo},
};
use crate::{
    consumer::EffectError,
    model::{Decoded, Delivery, Event, RawEvent},
    runtime::contained,
};

/// A reactor whose type is forgotten.
pub(crate) type DynReactor = Arc<dyn AnyReactor>;

/// What loops need of a reactor.
pub(crate) trait AnyReactor: Send + Sync {
    fn name(&self) -> &'static str;
    fn since(&self) -> Since;
    fn topics(&self) -> &'static [&'static str];

    /// What is to be done about an event. Names the reactor does not know lead to nothing.
    fn plan(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Result<Todo, EffectError>;
}

/// Forgets the type of a reactor.
pub(crate) fn erase<R: Reactor>(reactor: R) -> DynReactor {
    Arc::new(Erased(Arc::new(reactor)))
}

struct Erased<R>(Arc<R>);

impl<R: Reactor> AnyReactor for Erased<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn since(&self) -> Since {
        R::SINCE
    }

    fn topics(&self) -> &'static [&'static str] {
        R::TOPICS
    }

    fn plan(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Result<Todo, EffectError> {
        let effects = contained(|| match R::Event::decode(raw) {
            Ok(Decoded::Known(event)) => Ok(self.0.react(&event, delivery).into_vec()),
            Ok(Decoded::Unknown) => Ok(Vec::new()),
            Err(error) => Err(EffectError::Never(error.to_string())),
        });
        let effects = effects.unwrap_or_else(|panic| Err(EffectError::Never(format!("the reactor panicked: {panic}"))));
        Ok(effects?.into_iter().enumerate().map(|(index, effect)| self.doing(index, effect, delivery)).collect())
    }
}

impl<R: Reactor> Erased<R> {
    fn doing(&self, index: usize, effect: R::Effect, delivery: &Delivery) -> Doing {
        let (reactor, effect) = (Arc::clone(&self.0), Arc::new(effect));
        let perform = move |outside: Outside| {
            let (reactor, effect) = (Arc::clone(&reactor), Arc::clone(&effect));
            Box::pin(async move { reactor.perform(&effect, &outside).await }) as _
        };
        Doing { id: effect_id(R::NAME, delivery.event_id, index), perform: Box::new(perform) }
    }
}
