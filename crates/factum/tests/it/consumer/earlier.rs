//! Messages of an older incarnation of a store on a partition of which only the newer one is known: what stands below the
//! fork is the same in both, what stands above it was left.

use super::{regrown::taking, *};
use crate::world::impatient;

/// Of the incarnation that came out of the first one at position 4.
fn newer(previous: u64, position: u64) -> Letter {
    letter(previous, position).restored(2, &[(1, 4)])
}

/// A partition of which a projection knows the newer incarnation alone, up to position 2.
async fn newer_only() -> (World, MemoryBus, Running<ConsumerEnd>) {
    let (world, bus) = quiet_world().await;
    let consumer = world.consumer();
    send(&bus, [newer(0, 1), newer(1, 2)]).await;
    folds(&world, &bus, &[1, 2]).await;
    (world, bus, consumer)
}

/// Covered, next, and left; and a message of the newer one, which counts on the one that was next.
fn of_both() -> [Letter; 4] {
    [letter(1, 2), letter(2, 3), letter(3, 5), newer(3, 6)]
}

async fn went_through(world: &World, bus: &MemoryBus, consumer: &Running<ConsumerEnd>) {
    folds(world, bus, &[1, 2, 3, 6]).await;
    no_alarm(consumer).await;
    consumer.status.shows(|report| report.dropped >= 2).await;
    assert!(checkpoint(world, &Lane::topic(&source(1), TOPIC, 0)).is_none(), "counted as the newer one's");
    let at = checkpoint(world, &Lane::topic(&source(2), TOPIC, 0)).unwrap();
    assert_eq!((at.position.get(), at.incarnation), (6, source(2).incarnation));
}

#[tokio::test]
async fn what_stands_below_the_fork_is_applied_in_order_and_what_was_left_is_not() {
    let (world, bus, consumer) = newer_only().await;
    send(&bus, of_both()).await;
    went_through(&world, &bus, &consumer).await;
}

/// It begins where nothing but the older one is left to read: what tells of the fork stands before that.
#[tokio::test]
async fn a_consumer_that_begins_between_them_looks_for_what_tells_of_the_fork() {
    let (world, bus, consumer) = newer_only().await;
    consumer.stop().await.unwrap();
    let [covered, next, left, later] = of_both();
    send(&bus, [covered, next, left]).await;
    let consumer = world.consumer();
    folds(&world, &bus, &[1, 2, 3]).await;
    send(&bus, [later]).await;
    went_through(&world, &bus, &consumer).await;
}

#[tokio::test]
async fn a_hole_below_the_fork_is_reported_and_filled_by_whichever_incarnation() {
    let (world, bus, consumer) = newer_only().await;
    send(&bus, [letter(3, 4)]).await;
    alarm(&consumer, "above position 2 and up to 3 are missing").await;
    send(&bus, [newer(4, 6)]).await;
    send(&bus, [letter(2, 3), newer(3, 4), newer(4, 6)]).await;
    folds(&world, &bus, &[1, 2, 3, 4, 6]).await;
    no_alarm(&consumer).await;
}

/// The broker has lost everything that told of the fork: nobody can know until the newer one is heard of again.
#[tokio::test]
async fn nothing_is_guessed_until_something_tells_of_the_fork() {
    let (world, bus, consumer) = newer_only().await;
    consumer.stop().await.unwrap();
    bus.lose_records(&home(), Offset::new(0));
    let world = World { runtime: impatient(), ..world };
    let [covered, next, left, later] = of_both();
    send(&bus, [covered, next, left]).await;
    let consumer = world.consumer();
    alarm(&consumer, "does not descend from").await;
    assert_eq!(folded(&world), [1, 2]);
    send(&bus, [later]).await;
    // It stood behind what it lacked, which is a gap until everything was read again.
    went_through(&world, &bus, &consumer).await;
}

/// A newer one that does not name the known one among those that it came out of is another matter.
#[tokio::test]
async fn a_history_that_has_nothing_to_do_with_the_known_one_stands_still() {
    let (world, bus, consumer) = newer_only().await;
    send(&bus, [letter(2, 3).restored(7, &[(6, 9)])]).await;
    alarm(&consumer, "stands still at offset 2: the source goes on in history").await;
    assert_eq!(folded(&world), [1, 2]);
}

#[tokio::test]
async fn effects_go_by_the_same_rule() {
    for begins_between in [false, true] {
        let (world, bus) = quiet_world().await;
        let mut consumer = taking(&world);
        send(&bus, [newer(0, 1), newer(1, 2)]).await;
        consumer.status.shows(|report| report.processed == 2).await;
        let mut seen = 2;
        let [covered, next, left, later] = of_both();
        if begins_between {
            consumer.stop().await.unwrap();
            send(&bus, [covered, next, left]).await;
            consumer = taking(&world);
            seen = 0;
        } else {
            send(&bus, [covered, next, left]).await;
        }
        send(&bus, [later]).await;
        let done = |report: &StatusReport| (report.processed, report.dropped) == (seen + 2, 2);
        consumer.status.shows(done).await;
        no_alarm(&consumer).await;
        consumer.stop().await.unwrap();
    }
}
