use std::{collections::BTreeMap, time::Instant};

use factum::{
    ActorId, CorrelationId, Event as _, EventId, ExpectedVersion, StreamName,
    store::{Append, MemoryStore, Metadata, NewEvent},
    testing::{ACTOR, NOW},
};
use uuid::Uuid;

use super::*;
use crate::domain::{Settlement, TransferCompleted, TransferEvent, TransferStalled};

const PATIENCE: Duration = Duration::from_secs(20);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn stalled() -> TransferEvent {
    TransferStalled { step: Settlement::Capture, refused: None }.into()
}

async fn happens(store: &MemoryStore, transfer: u128, event: TransferEvent) {
    let mut data = Vec::new();
    event.encode(&mut data);
    let actor = ActorId::new(ACTOR).expect("is an actor");
    let metadata =
        Metadata { correlation_id: CorrelationId::from_uuid(id(1)), causation_id: None, actor, bus_command: None };
    let new = NewEvent {
        id: EventId::from_uuid(Uuid::new_v5(&id(transfer), event.name().as_bytes())),
        name: event.name().into(),
        schema: 1,
        tags: Vec::new(),
        data,
    };
    let stream = StreamName::new(format!("transfer-{}", id(transfer))).expect("is a stream");
    let append = Append::new(metadata, NOW).stream(stream, ExpectedVersion::Any, vec![new]);
    store.append(append).await.expect("the memory store takes it");
}

/// Waits until exactly these transfers raise an alarm.
async fn alarmed(service: &Service, transfers: &[u128]) {
    let expected: Vec<String> = transfers.iter().map(|number| format!("transfer-{}", id(*number))).collect();
    #[allow(clippy::disallowed_methods, reason = "how long a test waits")]
    let begun = Instant::now();
    loop {
        let loops: BTreeMap<_, _> = service.health().loops().into_iter().collect();
        let watch = &loops["stalled transfers"];
        if watch.state == LoopState::Live && watch.alarms.keys().eq(&expected) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "expected alarms of {expected:?}: {watch:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_transfer_that_has_stalled_raises_an_alarm_until_it_ends() {
    let store = MemoryStore::new();
    // Before the service starts: one has ended after all.
    for transfer in [1, 2] {
        happens(&store, transfer, stalled()).await;
    }
    happens(&store, 2, TransferCompleted {}.into()).await;
    let started = Service::builder("bank", "transfers").store(Arc::new(store.clone())).start().await;
    let mut service = started.expect("it starts");
    watch(&mut service);
    alarmed(&service, &[1]).await;
    happens(&store, 3, stalled()).await;
    alarmed(&service, &[1, 3]).await;
    happens(&store, 1, TransferCompleted {}.into()).await;
    alarmed(&service, &[3]).await;
    service.stop(PATIENCE).await.expect("it stops");
}
