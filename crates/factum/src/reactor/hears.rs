//! A reactor that hears topics.

use super::DynReactor;
use crate::{
    bus::{Envelope, Record, TopicPartition},
    consumer::{Effect, EffectError},
    model::RawEvent,
    runtime::Runtime,
    store::BoxFuture,
};

/// What a reactor does, as the effect of messages.
pub(crate) struct Reacts {
    pub(crate) reactor: DynReactor,
    pub(crate) runtime: Runtime,
}

impl Effect for Reacts {
    fn take<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            let delivery = message.delivery();
            // Tried again from its first effect: those before the one that failed are done again under their ids.
            for doing in self.reactor.plan(raw(message), &delivery)? {
                doing.attempt(&delivery, &self.runtime).await?;
            }
            Ok(())
        })
    }
}

fn raw(message: &Envelope) -> RawEvent<'_> {
    RawEvent { name: &message.name, schema: 1, data: &message.data }
}
