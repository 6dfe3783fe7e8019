//! A message may have to wait in two lines, that of its process and that of its stream: it is never lost between them, and
//! nothing of its stream overtakes it.

use factum::{
    Service, StreamName,
    quarantine::Handled,
    store::{Direction, Version},
    testing::StoreCall,
};
use tokio::sync::Semaphore;

use super::{
    CARTS, cure,
    quarantine::{Carts, HANDLER, ORDER, key, listed, poison, rested, retry},
    shop::Shop,
};
use crate::{
    faults::gated,
    operator::{because, operator},
    world::{eventually, within},
};

const STREAM: &str = "cart-a";
const UNREADABLE: &str = "{}";

/// What is parked under a key, by its versions: they count through all carts here.
async fn line(orders: &Service, key: &str) -> Vec<u64> {
    let parked = orders.quarantine().show(HANDLER, key, None, 10).await.unwrap().remove(0).1;
    parked.messages.into_iter().map(|message| message.version).collect()
}

async fn discard_first(orders: &Service, key: &str) {
    let about = listed(orders).await.into_iter().find(|listed| listed.about.key == key).unwrap().about;
    orders.quarantine().discard(HANDLER, key, about.event_id, because("nobody can read it"), operator()).await.unwrap();
}

async fn retry_stream(orders: &Service) -> Handled {
    orders.quarantine().retry(HANDLER, STREAM, operator()).await.unwrap()
}

/// It went from the line of its process to that of its stream and back, where it had been before: recorded under the same
/// id, it stood in neither.
#[tokio::test]
async fn what_is_let_go_from_one_line_while_the_other_is_parked_is_not_lost() {
    let mut carts = Carts::new().await;
    let (shop, first, second) = (carts.shop.clone(), poison(), poison());
    carts.checks_out("a", ORDER, first).await;
    carts.checks_out("b", ORDER, second).await;
    carts.tell("a", UNREADABLE.to_owned()).await;
    let orders = shop.orders().await;
    rested(&[&orders]).await;
    assert_eq!((line(&orders, &key(ORDER)).await, line(&orders, STREAM).await), (vec![1, 2], vec![3]));
    assert_eq!(retry(&orders, ORDER).await.unwrap().left, 2, "what it waits for came later, and is not waited for");
    discard_first(&orders, STREAM).await;
    cure(first);
    assert_eq!(retry(&orders, ORDER).await.unwrap(), Handled { done: 2, left: 0, failed: None });
    assert_eq!(shop.story(ORDER).await, ["placed"]);
    let placed =
        shop.store.read_stream(&StreamName::new(key(ORDER)).unwrap(), Version::new(1), Direction::Forward, 1).await;
    let placed: serde_json::Value = serde_json::from_slice(&placed.unwrap().events[0].data).unwrap();
    assert_eq!(placed["amount"], first, "the first of them has placed it");
}

/// Its process is parked, and so is its stream, with one that came before it: it waits behind that one.
#[tokio::test]
async fn of_a_parked_stream_nothing_overtakes_in_the_line_of_a_process() {
    let mut carts = Carts::new().await;
    let (shop, amount) = (carts.shop.clone(), poison());
    carts.tell("a", UNREADABLE.to_owned()).await;
    carts.checks_out("a", ORDER, 5).await;
    carts.checks_out("b", ORDER, amount).await;
    let orders = shop.orders().await;
    rested(&[&orders]).await;
    carts.checks_out("a", ORDER, 6).await;
    rested(&[&orders]).await;
    assert_eq!((line(&orders, &key(ORDER)).await, line(&orders, STREAM).await), (vec![3], vec![1, 2, 4]));
    discard_first(&orders, STREAM).await;
    assert_eq!(retry_stream(&orders).await, Handled { done: 2, left: 0, failed: None });
    assert_eq!(line(&orders, &key(ORDER)).await, [3, 2, 4]);
    drop(orders);
    let orders = shop.orders().await;
    rested(&[&orders]).await;
    cure(amount);
    assert_eq!(retry(&orders, ORDER).await.unwrap(), Handled { done: 3, left: 0, failed: None });
    assert!(listed(&orders).await.is_empty());
}

/// What the owner before parked after the new one had looked at what is parked, and before it took over.
#[tokio::test]
async fn who_takes_over_knows_what_was_parked_until_then() {
    let mut carts = Carts::new().await;
    let (shop, amount) = (carts.shop.clone(), poison());
    let before = shop.orders().await;
    rested(&[&before]).await;
    let (store, gate) = gated(&shop.store);
    let orders = Shop { store: store.clone(), ..shop.clone() }.orders().await;
    let all = orders.health().loops().len() as u64;
    eventually(|| (store.count(StoreCall::ClaimProgress) + 1 >= all).then_some(()), || format!("{all} loops")).await;
    carts.checks_out("a", ORDER, amount).await;
    rested(&[&before]).await;
    let name = format!("{HANDLER}/{CARTS}");
    let noted = async || {
        let value = shop.store.progress(&name).await.unwrap().value.unwrap_or_default();
        String::from_utf8(value).unwrap().contains(r#""offset":1"#)
    };
    within(async {
        while !noted().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.add_permits(Semaphore::MAX_PERMITS);
    rested(&[&orders]).await;
    carts.checks_out("b", ORDER, 5).await;
    rested(&[&orders]).await;
    assert_eq!((shop.story(ORDER).await, line(&orders, &key(ORDER)).await), (Vec::new(), vec![1, 2]));
    drop(before);
}
