//! A service as its loops are started.

use std::sync::Arc;

use super::{Health, Service, Stage, Supervisor, Traffic, lease::Lease, loops};
use crate::{
    dispatch::{CommandDispatcher, Streams},
    process::Managed,
    projections::{DynProjection, Feed},
    query::QueryDispatcher,
    reactor::DynReactor,
    rebuild::ReadModels,
    receiver::outcomes,
    relay::DynPublication,
};

/// A service, and loops added to it one after the other.
pub(super) struct Started(pub(super) Service);

impl Started {
    pub(super) fn new(
        version: String,
        commands: Option<CommandDispatcher>,
        queries: Option<QueryDispatcher>,
        parts: loops::Parts,
    ) -> Self {
        Self(Service {
            name: parts.service.clone(),
            version,
            commands,
            queries,
            read_models: ReadModels::default(),
            traffic: Traffic::new(Arc::clone(&parts.watermarks), parts.bus.clone()),
            health: Health::default(),
            supervisor: Supervisor::new(parts.runtime.clone()),
            own_loops: Vec::new(),
            effects: Vec::new(),
            deadlines: Vec::new(),
            parts,
        })
    }

    /// Before any loop, which might be displaced.
    pub(super) async fn lease(&mut self) {
        let loops::Parts { service, store, read_store, runtime, .. } = &self.0.parts;
        let lease = Lease::new(service, store.as_ref(), read_store.as_ref(), runtime.clone());
        let Some(lease) = lease else { return };
        let (holds, status) = (lease.holds(), lease.status().clone());
        self.0.own(Stage::Projections, status, lease.begin().await);
        self.0.supervisor.returns_with(holds);
    }

    pub(super) fn relay(&mut self, publication: DynPublication) {
        let (relay, start) = loops::relay(&self.0.parts, publication);
        let status = relay.status().clone();
        self.0.traffic.relays_mut().add(relay);
        self.0.own_loops.push(status.clone());
        self.0.own(Stage::Relays, status, start);
    }

    pub(super) fn effects(&mut self, loops::Effects { topics, status, seen, start }: loops::Effects) {
        self.0.traffic.effects(topics.clone(), status.clone(), seen.clone());
        self.0.effects.push((topics, status.clone(), seen));
        self.0.own(Stage::Consumers, status, start);
    }

    /// One for each sender, and the relay of what comes of their commands.
    pub(super) fn receivers(&mut self, senders: impl ExactSizeIterator<Item = (String, CommandDispatcher)>) {
        if senders.len() > 0 {
            self.relay(outcomes(&self.0.parts.system, &self.0.parts.service));
        }
        for (sender, commands) in senders {
            self.effects(loops::receiver(&self.0.parts, &sender, commands));
        }
    }

    pub(super) fn process(&mut self, process: &Managed, streams: &Arc<Streams>) {
        process.channels.iter().for_each(|publication| self.relay(Arc::clone(publication)));
        let (hearing, timers) = loops::process(&self.0.parts, process, streams);
        if let Some(hearing) = hearing {
            self.effects(hearing);
        }
        self.0.deadlines.push((timers.status.clone(), timers.deadlines));
        self.0.own_loops.push(timers.status.clone());
        self.0.own(Stage::Consumers, timers.status, timers.start);
    }

    pub(super) async fn reactor(&mut self, reactor: DynReactor) {
        if of_topics(&reactor) {
            self.effects(loops::reactor_to_topics(&self.0.parts, reactor));
            return;
        }
        let (status, start) = loops::reactor(&self.0.parts, reactor).await;
        self.0.own_loops.push(status.clone());
        self.0.own(Stage::Consumers, status, start);
    }

    pub(super) fn read_models(&mut self, projections: Vec<(DynProjection, Feed)>) {
        let keys: Vec<_> = projections.iter().map(|(projection, _)| projection.key()).collect();
        let mut models = Vec::new();
        for (projection, feed) in projections {
            let versions = keys.iter().filter(|key| key.name == projection.key().name).map(|key| key.version).collect();
            let model = loops::read_model(&self.0.parts, projection, feed, versions);
            let (status, start) = loops::projection(&model);
            if model.is_of_topics() {
                self.0.traffic.projection(model.key(), status.clone());
                self.0.own(Stage::Consumers, status, start);
            } else {
                self.0.own_loops.push(status.clone());
                self.0.own(Stage::Projections, status, start);
            }
            // What it is doing is shown by the read model: a rebuild that fails leaves the service what it is.
            let (status, start) = loops::rebuilds(&model);
            self.0.supervisor.own(Stage::Consumers, status, start);
            models.push(model);
        }
        self.0.read_models = ReadModels::new(models);
    }
}

pub(super) fn of_topics(reactor: &DynReactor) -> bool {
    !reactor.topics().is_empty()
}
