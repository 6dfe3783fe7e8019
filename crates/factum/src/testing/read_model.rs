//! The story of a read model: what happened, and what is answered then.

use std::collections::BTreeMap;

use factum_engine::Position;

use super::{IntoEvents, delivery};
use crate::{
    Answers, Projection, ProjectionKey, QueryError,
    model::Delivery,
    read::{Epoch, MemoryReadStore, ReadStore},
};

/// A read model in memory, filled by one projection. Begun by [`read_model`].
pub struct ReadModel<P> {
    projection: P,
    models: MemoryReadStore,
    epoch: Epoch,
    /// The versions that the streams so far have reached.
    streams: BTreeMap<String, u64>,
}

/// Begins the story of a read model, in which nothing has happened yet.
///
/// ```
/// use factum::{prelude::*, testing::read_model};
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Added { amount: u32 }
/// # #[derive(Clone, Event)]
/// # enum CounterEvent { #[factum(name = "counter.added")] Added(Added) }
/// # #[derive(Default)]
/// # struct Sums;
/// # const SUMS: Table<u32> = Table::of::<Sums>("sums");
/// # impl Projection for Sums {
/// #     const NAME: &'static str = "sums";
/// #     const VERSION: u32 = 1;
/// #     type Event = CounterEvent;
/// #     fn project(&self, event: &CounterEvent, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
/// #         let CounterEvent::Added(added) = event;
/// #         let key = Key::from(from.aggregate_id());
/// #         let sum = SUMS.get(tx, &key)?.unwrap_or(0);
/// #         SUMS.put(tx, &key, &(sum + added.amount))
/// #     }
/// # }
/// # #[derive(Serialize, Deserialize, JsonSchema, Query)]
/// # #[factum(name = "sum", reads(Sums))]
/// # struct Sum { counter: String }
/// # impl Answers for Sum {
/// #     type Answer = u32;
/// #     fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u32, QueryError> {
/// #         Ok(SUMS.get(read, &Key::from(self.counter.as_str()))?.unwrap_or(0))
/// #     }
/// # }
/// let sums = read_model::<Sums>()
///     .after("counter-a", [Added { amount: 1 }, Added { amount: 2 }])
///     .after("counter-b", [Added { amount: 7 }]);
/// assert_eq!(sums.ask(&Sum { counter: "a".to_owned() })?, 3);
/// # Ok::<(), QueryError>(())
/// ```
#[track_caller]
pub fn read_model<P: Projection>() -> ReadModel<P> {
    let models = MemoryReadStore::new();
    match models.claim(ProjectionKey::of::<P>()) {
        Ok(epoch) => ReadModel { projection: P::default(), models, epoch, streams: BTreeMap::new() },
        Err(error) => panic!("the projection `{}` cannot be claimed: {error}", P::NAME),
    }
}

impl<P: Projection> ReadModel<P> {
    /// These facts happened next in a stream, such as `parcel-7f3…`, and were folded in: facts of one kind in an array or
    /// a vector, of several kinds in a tuple.
    ///
    /// # Panics
    /// No stream can have this name, or the projection failed.
    #[track_caller]
    pub fn after(mut self, stream: &str, facts: impl IntoEvents<P::Event>) -> Self {
        for event in facts.into_events() {
            let version = self.streams.get(stream).map_or(1, |version| version + 1);
            let from = Delivery { position: self.next_position(), ..delivery(stream, version) };
            let folded = self
                .models
                .write(ProjectionKey::of::<P>(), self.epoch, &[], &mut |tx| self.projection.project(&event, &from, tx));
            if let Err(error) = folded {
                panic!("event {version} of {stream} cannot be folded in: {error}");
            }
            self.streams.insert(stream.to_owned(), version);
        }
        self
    }

    /// What a query answers now.
    ///
    /// # Errors
    /// What the query says: nothing is there, or a parameter is not allowed.
    pub fn ask<Q: Answers>(&self, query: &Q) -> Result<Q::Answer, QueryError> {
        let mut answer = None;
        self.models.read(&mut |read| {
            answer = Some(query.answer(read));
            Ok(())
        })?;
        answer.expect("a read runs its work")
    }

    /// Positions count the events of all streams: one more than there were.
    fn next_position(&self) -> Position {
        Position::new(self.streams.values().sum::<u64>() + 1)
    }
}
