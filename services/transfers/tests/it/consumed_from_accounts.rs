//! What `accounts` publishes is what this service understands.

use transfers::messages::{ACCOUNT_TOPIC, AccountMessage};

use crate::contracts::Contract;

/// Which of the consumed messages it is: a new one does not compile until the count below is raised.
const fn kind(message: &AccountMessage) -> usize {
    match message {
        AccountMessage::Held(_) => 0,
        AccountMessage::Credited(_) => 1,
        AccountMessage::Captured(_) => 2,
        AccountMessage::Released(_) => 3,
    }
}

#[test]
fn every_sample_of_a_consumed_message_is_understood_and_each_has_one() {
    let mut understood = [0; 4];
    for message in Contract::of("accounts").understood() {
        understood[kind(&message)] += 1;
    }
    assert!(understood.iter().all(|count| *count > 0), "a consumed message has no sample: {understood:?}");
}

#[test]
fn a_message_or_a_field_that_is_added_later_is_tolerated() {
    Contract::of("accounts").assert_may_grow::<AccountMessage>();
}

#[test]
fn the_topic_is_where_the_publisher_says() {
    Contract::of("accounts").assert_on_topic::<AccountMessage>(ACCOUNT_TOPIC);
}
