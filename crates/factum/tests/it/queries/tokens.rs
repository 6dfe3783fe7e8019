//! Tokens: waited for, bounded, in whatever history their message comes.

use std::time::Duration;

use factum::{
    AskError, Position, Source, Token,
    projections::Feed,
    read::Lane,
    store::{Fork, History},
    testing::SOURCE,
    token::TopicMark,
};

use super::{KEY, WAIT, World, fork, history, price, token};
use crate::world::within;

#[tokio::test]
async fn a_token_waits_until_the_projection_got_there() {
    let world = World::new(Feed::OwnStore);
    world.moved(Lane::own_store(), 4);
    assert_eq!(world.queries().ask(price("tea")).at_least(&token(SOURCE, 4)).await.unwrap().price, 3);
    let asked = world.waiting(token(SOURCE, 6)).await;
    world.moved(Lane::own_store(), 5);
    tokio::task::yield_now().await;
    assert!(!asked.is_finished() && world.reads() == 1);
    world.moved(Lane::own_store(), 7);
    assert_eq!(within(asked).await.unwrap().unwrap().price, 3);
}

#[tokio::test]
async fn a_token_does_not_wait_for_ever() {
    let world = World::new(Feed::OwnStore);
    let asked = world.waiting(token(SOURCE, 6)).await;
    world.clock.advance(WAIT - Duration::from_micros(1));
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    world.clock.advance(Duration::from_micros(1));
    let told = within(asked).await.unwrap();
    assert!(matches!(told, Err(AskError::NotYet)), "{told:?}");
    assert_eq!(world.reads(), 0);
}

#[tokio::test]
async fn a_token_of_another_history_is_told_so_at_once() {
    let elsewhere = Source { store: factum::StoreId::from_uuid(uuid::Uuid::nil()), ..SOURCE };
    let never_heard_of = history(99);
    for source in [elsewhere, never_heard_of] {
        let world = World::new(Feed::OwnStore);
        world.moved(Lane::own_store(), 99);
        let told = within(world.queries().ask(price("tea")).at_least(&token(source, 1)).into_future()).await;
        assert!(matches!(told, Err(AskError::TokenNotApplicable)), "{told:?}");
    }
    // A projection that is fed by topics knows nothing of positions in the own store.
    let world = World::new(Feed::Topics(vec!["a".to_owned()]));
    let told = within(world.queries().ask(price("tea")).at_least(&token(SOURCE, 0)).into_future()).await;
    assert!(matches!(told, Err(AskError::TokenNotApplicable)), "{told:?}");
}

/// A position means the same in every history of the store up to where they parted.
#[tokio::test]
async fn a_token_from_before_a_restore_is_good_for_what_was_kept() {
    let world = World::new(Feed::OwnStore);
    world.moved(Lane::own_store(), 99);
    for (source, position) in [(history(1), 10), (history(2), 10), (SOURCE, 99)] {
        let asked = world.queries().ask(price("tea")).at_least(&token(source, position)).await;
        assert_eq!(asked.unwrap().price, 3, "{source:?} {position}");
    }
    for (source, position) in [(history(1), 11), (history(2), 11), (history(1), 21)] {
        let told = within(world.queries().ask(price("tea")).at_least(&token(source, position)).into_future()).await;
        let Err(AskError::TokenLost { fork }) = told else { panic!("{source:?} {position}: {told:?}") };
        assert_eq!(fork, Position::new(10));
    }
    // What was kept is still waited for.
    let world = World::new(Feed::OwnStore);
    let asked = world.waiting(token(history(1), 7)).await;
    world.moved(Lane::own_store(), 7);
    within(asked).await.unwrap().unwrap();
}

/// Behind the bus: whatever the history in which a message came, it is the same message.
#[tokio::test]
async fn a_token_finds_its_message_on_the_lane_of_any_history_it_is_part_of() {
    let of = |source, forks: &[Fork], position| Token {
        lineage: forks.to_vec(),
        topics: vec![mark("a", 3, position)],
        ..token(source, position)
    };
    let forks = [fork(1, 20), fork(2, 10)];
    let lane = |source| Lane::topic(&source, "a", 3);
    let newest = History { incarnation: SOURCE.incarnation, lineage: forks.to_vec() };
    // (token, what a consumer applied last, in which history, whether it knows of the restores)
    for (token, seen, at, knows) in [
        // A repeat of a command from before the restores, to a consumer that heard nothing since.
        (of(SOURCE, &forks, 8), history(1), 8, false),
        (of(SOURCE, &forks, 8), history(2), 9, false),
        // A token kept since before a restore, and a consumer that was filled anew after it.
        (of(history(1), &[], 8), SOURCE, 12, true),
        (of(history(2), &forks[..1], 8), SOURCE, 12, true),
        (of(history(1), &[], 8), history(2), 9, true),
    ] {
        let world = World::new(Feed::Topics(vec!["a".to_owned()]));
        if knows {
            world.watermarks.learned(KEY, SOURCE.store, newest.clone());
        }
        let asked = world.waiting(token.clone()).await;
        world.moved(lane(seen), 7);
        tokio::task::yield_now().await;
        assert!(!asked.is_finished(), "{token:?}: {seen:?} is behind");
        world.moved(lane(seen), at);
        within(asked).await.unwrap().unwrap();
    }
    // The position of another event, in a history that shares nothing up to there.
    let world = World::new(Feed::Topics(vec!["a".to_owned()]));
    world.moved(lane(history(1)), 15);
    let asked = world.waiting(of(SOURCE, &forks, 15)).await;
    world.moved(lane(SOURCE), 15);
    within(asked).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_token_for_what_a_restore_lost_is_refused_as_soon_as_that_is_known() {
    let world = World::new(Feed::Topics(vec!["a".to_owned()]));
    let lost = Token { topics: vec![mark("a", 3, 15)], ..token(history(1), 15) };
    let asked = world.waiting(lost).await;
    let newest = History { incarnation: SOURCE.incarnation, lineage: vec![fork(1, 20), fork(2, 10)] };
    world.watermarks.learned(KEY, SOURCE.store, newest.clone());
    let told = within(asked).await.unwrap();
    assert!(matches!(told, Err(AskError::TokenLost { fork }) if fork == Position::new(10)), "{told:?}");
    // Hearing from an ancestor again changes nothing.
    world.watermarks.learned(KEY, SOURCE.store, newest.line().nth(1).unwrap());
    let lost = Token { topics: vec![mark("a", 3, 15)], ..token(history(2), 15) };
    let told = within(world.queries().ask(price("tea")).at_least(&lost).into_future()).await;
    assert!(matches!(told, Err(AskError::TokenLost { .. })), "{told:?}");
}

fn mark(topic: &str, partition: u32, position: u64) -> TopicMark {
    TopicMark { topic: topic.to_owned(), partition, position }
}

#[tokio::test]
async fn a_token_waits_for_the_partition_of_its_own_stream() {
    let world = World::new(Feed::Topics(vec!["a".to_owned(), "b".to_owned()]));
    let of = |topics: Vec<TopicMark>| Token { topics, ..token(SOURCE, 50) };
    let asked = world.waiting(of(vec![mark("a", 3, 40), mark("b", 1, 41), mark("elsewhere", 0, 99)])).await;
    // Other partitions, other sources and the own store do not count.
    let stranger = history(0);
    let unrelated = [Lane::topic(&SOURCE, "a", 4), Lane::topic(&stranger, "a", 3), Lane::own_store()];
    for lane in unrelated {
        world.moved(lane, 99);
    }
    world.moved(Lane::topic(&SOURCE, "a", 3), 40);
    tokio::task::yield_now().await;
    assert!(!asked.is_finished(), "one of two");
    world.moved(Lane::topic(&SOURCE, "b", 1), 41);
    within(asked).await.unwrap().unwrap();
    // Nothing was published there: nothing to wait for.
    within(world.queries().ask(price("tea")).at_least(&of(vec![mark("b", 7, 0)])).into_future()).await.unwrap();
    let told = within(world.queries().ask(price("tea")).at_least(&of(vec![mark("c", 0, 0)])).into_future()).await;
    assert!(matches!(told, Err(AskError::TokenNotApplicable)), "{told:?}");
}
