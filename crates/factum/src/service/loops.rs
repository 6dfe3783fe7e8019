//! Which loop a publication or projection becomes.

use std::sync::Arc;

use super::{LoopEnd, StartLoop};
use crate::{
    bus::{Assignment, Bus, ConsumerOptions},
    consumer::{ConsumerEnd, ProjectionConsumer},
    projections::{DynProjection, Feed, ProjectionEnd, ProjectionRunner, Watermarks},
    read::ReadStore,
    relay::{DynPublication, Relay, RelayEnd},
    runtime::{Runtime, Status},
    store::EventStore,
};

/// What loops are made on. [`ServiceBuilder`](super::ServiceBuilder) has checked that each loop finds what it needs.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) system: String,
    pub(super) service: String,
    pub(super) runtime: Runtime,
    pub(super) store: Option<Arc<dyn EventStore>>,
    pub(super) read_store: Option<Arc<dyn ReadStore>>,
    pub(super) bus: Option<Arc<dyn Bus>>,
    pub(super) watermarks: Arc<Watermarks>,
}

impl Parts {
    fn store(&self) -> Arc<dyn EventStore> {
        Arc::clone(self.store.as_ref().expect("checked by the builder"))
    }

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(self.bus.as_ref().expect("checked by the builder"))
    }

    fn read_store(&self) -> Arc<dyn ReadStore> {
        Arc::clone(self.read_store.as_ref().expect("checked by the builder"))
    }
}

/// The loop that publishes on one topic.
pub(super) fn relay(parts: &Parts, publication: DynPublication) -> (Status, StartLoop) {
    let (system, service) = (&parts.system, &parts.service);
    let relay = Relay::new(system, service, publication, parts.store(), parts.bus(), parts.runtime.clone());
    let relay = Arc::new(relay);
    let status = relay.status().clone();
    let start: StartLoop = Arc::new(move |stop| {
        let relay = Arc::clone(&relay);
        Box::pin(async move {
            match relay.run(stop).await {
                Ok(()) => LoopEnd::Stopped,
                Err(RelayEnd::StoodDown) => LoopEnd::StoodDown,
                Err(RelayEnd::Halted(halt)) => LoopEnd::Halted(halt.to_string()),
            }
        })
    });
    (status, start)
}

/// The loop that feeds one projection.
pub(super) fn projection(parts: &Parts, projection: DynProjection, feed: Feed) -> (Status, StartLoop) {
    match feed {
        Feed::OwnStore => own_store(parts, projection),
        Feed::Topics(topics) => consumer(parts, projection, &topics),
    }
}

fn own_store(parts: &Parts, projection: DynProjection) -> (Status, StartLoop) {
    let watermarks = Arc::clone(&parts.watermarks);
    let runner =
        ProjectionRunner::new(projection, parts.store(), parts.read_store(), watermarks, parts.runtime.clone());
    let runner = Arc::new(runner);
    let status = runner.status().clone();
    let start: StartLoop = Arc::new(move |stop| {
        let runner = Arc::clone(&runner);
        Box::pin(async move {
            match runner.run(stop).await {
                Ok(()) => LoopEnd::Stopped,
                Err(ProjectionEnd::StoodDown) => LoopEnd::StoodDown,
                Err(ProjectionEnd::Foreign(reason)) => LoopEnd::Halted(reason),
            }
        })
    });
    (status, start)
}

fn consumer(parts: &Parts, projection: DynProjection, topics: &[String]) -> (Status, StartLoop) {
    let options = ConsumerOptions {
        group: format!("{}.{}.{}", parts.system, parts.service, projection.key()),
        topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
        // Two instances of a service either have a read database each, and each must have everything in it; or they
        // share one, and the projection's epoch lets only one of them write.
        assignment: Assignment::Everything,
    };
    let watermarks = Arc::clone(&parts.watermarks);
    let (bus, read_store, runtime) = (parts.bus(), parts.read_store(), parts.runtime.clone());
    let consumer = ProjectionConsumer::new(projection, options, bus, read_store, watermarks, runtime);
    let consumer = Arc::new(consumer);
    let status = consumer.status().clone();
    let start: StartLoop = Arc::new(move |stop| {
        let consumer = Arc::clone(&consumer);
        Box::pin(async move {
            match consumer.run(stop).await {
                Ok(()) => LoopEnd::Stopped,
                Err(ConsumerEnd::StoodDown) => LoopEnd::StoodDown,
                Err(end) => LoopEnd::Halted(end.to_string()),
            }
        })
    });
    (status, start)
}
