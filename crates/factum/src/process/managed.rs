//! A process manager as a service is told of it.

use std::{any::TypeId, sync::Arc};

use super::{AnyProcess, Hearer};
use crate::{
    dispatch::Streams,
    model::ProcessManager,
    relay::{self, DynPublication},
};

/// A process manager whose type is forgotten, before it is put to work.
pub(crate) struct Managed {
    pub(crate) category: &'static str,
    /// Which type it is.
    pub(crate) aggregate: TypeId,
    pub(crate) topics: &'static [&'static str],
    /// What it sends, by topic.
    pub(crate) channels: Vec<DynPublication>,
    pub(crate) on: fn(Arc<Streams>) -> Arc<dyn AnyProcess>,
}

impl Managed {
    pub(crate) fn of<P: ProcessManager>() -> Self {
        Self {
            category: P::CATEGORY,
            aggregate: TypeId::of::<P>(),
            topics: P::TOPICS,
            channels: P::CHANNELS.iter().map(|spec| relay::channel::<P>(*spec)).collect(),
            on: |streams| Arc::new(Hearer::<P>::on(streams)),
        }
    }

    /// Whether it hears or sends anything: one that only has timers needs no bus.
    pub(crate) fn talks(&self) -> bool {
        !self.topics.is_empty() || !self.channels.is_empty()
    }
}
