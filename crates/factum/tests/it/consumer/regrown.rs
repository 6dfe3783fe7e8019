//! A partition that lost records and grows back while a loop that read farther begins: where it ends is where reading
//! resumes, and no gap tells that other records stand there.

use std::sync::Mutex;

use factum::{
    bus::{Assignment, BusError, ConsumerOptions, EnvelopeError, Record},
    consumer::{Effect, EffectConsumer, EffectError},
    store::BoxFuture,
};

use super::*;
use crate::world::{Running, running};

/// What happens on the bus while somebody looks where a partition ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// What was lost before is sent again.
    Grows,
    /// What was there is lost, and something else is sent.
    IsReplaced,
}

/// Does so right after the first look.
struct Regrowing {
    bus: MemoryBus,
    then: Mutex<Option<Then>>,
}

impl Bus for Regrowing {
    bus_passes_on!([bus] ensure_topics partitions producer consumer close);

    fn tail<'a>(
        &'a self,
        partition: &'a TopicPartition,
        below: Option<Offset>,
    ) -> BoxFuture<'a, Result<Option<Record>, BusError>> {
        Box::pin(async move {
            let tail = self.bus.tail(partition, below).await;
            let then = self.then.lock().unwrap().take();
            match then {
                None => {}
                Some(Then::Grows) => send(&self.bus, [letter(1, 2)]).await,
                Some(Then::IsReplaced) => {
                    self.bus.lose_records(partition, Offset::new(0));
                    send(&self.bus, [letter(0, 1), letter(1, 2)]).await;
                }
            }
            tail
        })
    }
}

/// Message 1 was sent twice, and read so; what is there when the loop begins again, and what happens while it does.
const STORIES: [(&[u64], Then); 2] = [(&[1], Then::Grows), (&[1, 1], Then::IsReplaced)];

async fn read_twice(bus: &MemoryBus) {
    send(bus, [letter(0, 1), letter(0, 1)]).await;
}

/// The broker loses all and is sent something again.
async fn again(bus: &MemoryBus, positions: &[u64]) {
    bus.lose_records(&home(), Offset::new(0));
    send(bus, positions.iter().map(|position| letter(position - 1, *position))).await;
}

#[tokio::test]
async fn a_partition_that_grows_back_while_a_projection_begins_is_read_anew() {
    for (there, then) in STORIES {
        let (world, bus) = quiet_world().await;
        let consumer = world.consumer();
        read_twice(&bus).await;
        folds(&world, &bus, &[1]).await;
        consumer.stop().await.unwrap();
        again(&bus, there).await;
        let regrowing = Regrowing { bus: bus.clone(), then: Mutex::new(Some(then)) };
        let world = World { bus: Arc::new(regrowing), ..world };
        let consumer = world.consumer();
        let story = || format!("{then:?}: {:?}", folded(&world));
        eventually(|| (folded(&world) == [1, 2]).then_some(()), story).await;
        no_alarm(&consumer).await;
    }
}

/// Two messages are applied; then their source is restored to a position, and the topic made anew: as long as before.
async fn made_anew(fork: u64) -> (World, Running<ConsumerEnd>) {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [letter(0, 1), letter(1, 2)]).await;
    folds(&world, &bus, &[1, 2]).await;
    consumer.stop().await.unwrap();
    bus.lose_records(&home(), Offset::new(0));
    send(&bus, [letter(0, 1), letter(1, 2)].map(|letter| letter.restored(2, &[(1, fork)]))).await;
    let consumer = world.consumer();
    (world, consumer)
}

/// Nothing is in it that was not applied: but for what is told later, and for whoever compares it with a
/// read model that is filled anew, it stands in another history.
#[tokio::test]
async fn a_partition_made_anew_after_a_restore_is_heard_of_in_its_new_history() {
    let (world, consumer) = made_anew(2).await;
    let lane = Lane::topic(&source(2), TOPIC, 0);
    let heard = || checkpoint(&world, &lane).filter(|at| at.position == Position::new(2));
    eventually(heard, || format!("{:?}", world.read_store.checkpoints(ProjectionKey::of::<Totals>()))).await;
    assert_eq!(folded(&world), [1, 2]);
    no_alarm(&consumer).await;
}

/// The same where the restore lost what was applied: nothing was shown of it, and nobody told.
#[tokio::test]
async fn a_partition_made_anew_after_a_restore_that_lost_what_was_applied_stands_still() {
    let (world, consumer) = made_anew(1).await;
    alarm(&consumer, "forked at 1").await;
    assert_eq!(folded(&world), [1, 2]);
}

/// Takes in whatever comes.
struct Taking;

impl Effect for Taking {
    fn take<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        _: &'a Envelope,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async { Ok(()) })
    }

    fn take_unreadable<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: &'a Record,
        _: &'a EnvelopeError,
    ) -> BoxFuture<'a, Result<(), EffectError>> {
        Box::pin(async { Ok(()) })
    }
}

pub(super) fn taking(world: &World) -> Running<ConsumerEnd> {
    let options =
        ConsumerOptions { group: "taking".to_owned(), topics: vec![TOPIC.into()], assignment: Assignment::Everything };
    let (store, runtime) = (Arc::clone(&world.store), world.runtime.clone());
    let consumer = EffectConsumer::new("taking", Arc::new(Taking), options, Arc::clone(&world.bus), store, runtime);
    running(consumer.status().clone(), |stop| async move { consumer.run(stop).await })
}

#[tokio::test]
async fn a_partition_that_grows_back_while_effects_begin_is_read_anew() {
    for (there, then) in STORIES {
        let (world, bus) = quiet_world().await;
        let consumer = taking(&world);
        read_twice(&bus).await;
        consumer.status.shows(|report| report.dropped == 1).await;
        consumer.stop().await.unwrap();
        again(&bus, there).await;
        let regrowing = Regrowing { bus: bus.clone(), then: Mutex::new(Some(then)) };
        let world = World { bus: Arc::new(regrowing), ..world };
        let consumer = taking(&world);
        let story = || format!("{then:?}: {:?}", consumer.status.report());
        eventually(|| (consumer.status.report().processed == 1).then_some(()), story).await;
        consumer.stop().await.unwrap();
    }
}

/// What somebody put on the topic that is no message stands last, before and after the broker lost what was there.
#[tokio::test]
async fn a_partition_that_has_grown_back_and_ends_with_what_is_no_message_is_read_anew() {
    let (world, bus) = quiet_world().await;
    let consumer = taking(&world);
    send(&bus, [letter(0, 1)]).await;
    send_junk(&bus).await;
    consumer.status.shows(|report| report.processed == 2).await;
    consumer.stop().await.unwrap();
    bus.lose_records(&home(), Offset::new(0));
    send(&bus, [letter(1, 2)]).await;
    send_junk(&bus).await;
    let consumer = taking(&world);
    let story = || format!("{:?}", consumer.status.report());
    eventually(|| (consumer.status.report().processed == 2).then_some(()), story).await;
    consumer.stop().await.unwrap();
}
