//! A reactor that hears topics.

use super::DynReactor;
use crate::{
    bus::{Envelope, Record, TopicPartition},
    consumer::{Effect, EffectError},
    model::{Delivery, RawEvent},
    quarantine::{ParkedMessage, Parks},
    read::ReadError,
    runtime::Runtime,
    store::BoxFuture,
};

/// What a reactor does, as the effect of messages.
#[derive(Clone)]
pub(crate) struct Reacts {
    pub(crate) reactor: DynReactor,
    pub(crate) runtime: Runtime,
}

impl Reacts {
    async fn react(&self, raw: RawEvent<'_>, delivery: &Delivery) -> Result<(), EffectError> {
        // Tried again from its first effect: those before the one that failed are done again under their ids.
        for doing in self.reactor.plan(raw, delivery)? {
            doing.attempt(delivery, &self.runtime).await?;
        }
        Ok(())
    }
}

impl Effect for Reacts {
    fn take<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        message: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move { self.react(message.raw(), &message.delivery()).await })
    }
}

impl Parks for Reacts {
    fn keys(&self, _: RawEvent<'_>, delivery: &Delivery) -> Vec<String> {
        vec![delivery.stream.as_str().to_owned()]
    }

    fn take_again<'a>(&'a self, message: &'a ParkedMessage) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async move {
            let damaged = |error: ReadError| EffectError::Never(error.to_string());
            let (delivery, data) = (message.delivery().map_err(damaged)?, message.document().map_err(damaged)?);
            self.react(message.raw(&data), &delivery).await
        })
    }
}
