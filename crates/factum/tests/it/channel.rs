//! What a process sends to another service: events first, then by the relay.

use std::borrow::Cow;

use factum::{
    ActorId, CorrelationId, EventId,
    bus::{CANCEL_NAME, Envelope, TopicPartition, partition_of},
    prelude::*,
    relay::{self, Relay},
    store::{Append, EventStore, ExpectedVersion, Metadata, NewEvent, StreamName},
    testing::{NOW, NoEvent},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::world::{CounterEvent, Raised, eventually, message, running, world};

const TOPIC: &str = "shop.counters.commands.orders";
const PARTITIONS: u32 = 4;

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "shop.counters.raise-counter.v1")]
struct RaiseCounter {
    by: u32,
}

struct ToCounters;

impl CommandChannel for ToCounters {
    const TOPIC: &'static str = TOPIC;
    const PARTITIONS: u32 = PARTITIONS;
    const COMMANDS: &'static [MessageType] = &[MessageType::of::<RaiseCounter>()];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Placed {
    counter: String,
    by: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Withdrawn {
    counter: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Noticed {}

#[derive(Clone, Debug, PartialEq, Event)]
enum OrderEvent {
    #[factum(name = "order.placed")]
    Placed(Placed),
    #[factum(name = "order.withdrawn")]
    Withdrawn(Withdrawn),
    #[factum(name = "order.noticed")]
    Noticed(Noticed),
}

#[derive(Clone, Default)]
struct Order;

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = Uuid;
    type Event = OrderEvent;
    type Rejection = std::convert::Infallible;

    fn apply(&mut self, _: &OrderEvent) {}
}

impl ProcessManager for Order {
    type Message = NoEvent;
    const TOPICS: &'static [&'static str] = &[];
    const CHANNELS: &'static [ChannelSpec] = &[ChannelSpec::of::<ToCounters>()];

    fn decide(&self, _: Input<'_, NoEvent>, _: &Context) -> Events<OrderEvent> {
        Events::none()
    }

    fn effects(event: &OrderEvent, _: &Delivery) -> Effects {
        match event {
            OrderEvent::Placed(Placed { counter, by }) => {
                Effects::none().send(ToCounters::command("raise", stream(counter), &RaiseCounter { by: *by }))
            }
            OrderEvent::Withdrawn(Withdrawn { counter }) => {
                Effects::none().send(ToCounters::cancel("raise", stream(counter)))
            }
            OrderEvent::Noticed(_) => Effects::none(),
        }
    }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

async fn append(store: &dyn EventStore, name: &str, number: u128, event: &impl Event, bus_command: Option<&str>) {
    let mut data = Vec::new();
    event.encode(&mut data);
    let id = EventId::from_uuid(Uuid::from_u128(number));
    let event = NewEvent { id, name: Cow::Borrowed(event.name()), schema: 1, tags: Vec::new(), data };
    let metadata = Metadata {
        correlation_id: CorrelationId::from_uuid(Uuid::from_u128(7)),
        causation_id: None,
        actor: ActorId::system(),
        bus_command: bus_command.map(Into::into),
    };
    let append = Append::new(metadata, NOW).stream(stream(name), ExpectedVersion::Any, vec![event]);
    store.append(append).await.unwrap();
}

#[tokio::test]
async fn what_a_process_sends_goes_to_its_targets_partition_under_an_id_of_its_own() {
    let (world, bus) = world();
    let store = world.store.clone();
    let targets = ["counter-1", "counter-2", "counter-3", "counter-5"];
    for (number, target) in (0..).zip(targets) {
        append(
            &*store,
            "order-1",
            number,
            &OrderEvent::from(Placed { counter: target.to_owned(), by: 3 }),
            Some("x/y"),
        )
        .await;
        append(&*store, "order-1", 100 + number, &OrderEvent::from(Noticed {}), None).await;
        // Another process, whose events happen to look the same.
        let foreign = OrderEvent::from(Placed { counter: "counter-4".to_owned(), by: 9 });
        append(&*store, "backorder-1", 200 + number, &foreign, None).await;
        append(&*store, "order-1", 300 + number, &OrderEvent::from(Withdrawn { counter: target.to_owned() }), None)
            .await;
    }
    let publication = relay::channel::<Order>(Order::CHANNELS[0]);
    let relay = Relay::new("shop", "orders", publication, store, world.bus.clone(), world.runtime.clone());
    let status = relay.status().clone();
    let relay = running(status.clone(), |stop| async move { relay.run(stop).await });
    eventually(|| (status.report().processed == 8).then_some(()), || format!("{:?}", status.report())).await;
    relay.stop().await.unwrap();

    for target in targets {
        let home = TopicPartition::new(TOPIC, partition_of(target.as_bytes(), PARTITIONS));
        let records = bus.records(&home).into_iter().filter(|record| record.key == target.as_bytes());
        let [command, cancel]: [Envelope; 2] =
            records.map(|record| message(&record)).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((command.name.as_str(), &command.data[..]), ("shop.counters.raise-counter.v1", &br#"{"by":3}"#[..]));
        assert_eq!((cancel.name.as_str(), &cancel.data[..]), (CANCEL_NAME, &b"{}"[..]));
        for sent in [&command, &cancel] {
            assert_eq!((sent.stream.as_str(), sent.key.as_str()), ("order-1", target));
            assert_eq!(sent.command_id.as_deref(), Some("order-1/raise"));
        }
        assert!(command.position < cancel.position && command.position <= cancel.previous);
    }
}

#[tokio::test]
async fn what_a_bus_command_caused_bears_its_id() {
    let (world, bus) = world();
    let raised = CounterEvent::Raised(Raised { by: 1 });
    let position = crate::world::append(&*world.store, 1, raised.clone()).await;
    append(&*world.store, "counter-1", 1, &raised, Some("order-1/raise")).await;
    let relay = world.relay();
    let status = relay.status.clone();
    eventually(|| (status.report().processed == 2).then_some(()), || format!("{:?}", status.report())).await;
    let sent: Vec<_> = bus.records(&crate::world::partition_of(1)).iter().map(message).collect();
    assert_eq!(sent[0].position, position);
    assert_eq!(sent[0].delivery().bus_command, None);
    assert_eq!(sent[1].delivery().bus_command.as_deref(), Some("order-1/raise"));
    relay.stop().await.unwrap();
}
