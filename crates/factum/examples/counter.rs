//! A counter: one aggregate, one projection, one query, in memory.
use factum::{prelude::*, read::MemoryReadStore, store::MemoryStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, error::Error, sync::Arc};

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "add", aggregate = Counter, id = counter)]
struct Add {
    counter: uuid::Uuid,
    amount: u32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Added {
    amount: u32,
}

#[derive(Clone, Event)]
enum CounterEvent {
    #[factum(name = "counter.added")]
    Added(Added),
}

#[derive(Clone, Default)]
struct Counter(u32);
impl Aggregate for Counter {
    const CATEGORY: &'static str = "counter";
    type Id = uuid::Uuid;
    type Event = CounterEvent;
    type Rejection = Infallible;
    fn apply(&mut self, CounterEvent::Added(added): &CounterEvent) {
        self.0 += added.amount;
    }
}
impl Handle<Add> for Counter {
    fn handle(&self, add: &Add, _: &Context) -> Result<Events<CounterEvent>, Infallible> {
        Ok(CounterEvent::Added(Added { amount: add.amount }).into())
    }
}

#[derive(Default)]
struct Sums;
const SUMS: Table<u32> = Table::of::<Sums>("sums");
impl Projection for Sums {
    const NAME: &'static str = "sums";
    const VERSION: u32 = 1;
    type Event = CounterEvent;
    fn project(&self, event: &CounterEvent, from: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let CounterEvent::Added(added) = event;
        let key = Key::from(from.aggregate_id());
        let sum = SUMS.get(tx, &key)?.unwrap_or(0);
        SUMS.put(tx, &key, &(sum + added.amount))
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "sum", reads(Sums))]
struct Sum {
    counter: uuid::Uuid,
}
impl Answers for Sum {
    type Answer = u32;
    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u32, QueryError> {
        Ok(SUMS.get(read, &Key::from(self.counter.to_string().as_str()))?.unwrap_or(0))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (events, models) = (Arc::new(MemoryStore::new()), Arc::new(MemoryReadStore::default()));
    let service = Service::builder("example", "counters").store(events).read_store(models);
    let service = service.handles::<Add>().projects::<Sums>().answers::<Sum>().start().await?;
    let counter = uuid::Uuid::nil();
    let receipt = service.commands().dispatch(Add { counter, amount: 42 }).await?;
    let sum = service.queries().ask(Sum { counter }).at_least(receipt.token()).await?;
    println!("{sum} at version {}", receipt.version);
    Ok(())
}
