//! What `accounts` publishes is what this service understands.

use statements::messages::{ACCOUNT_TOPIC, AccountMessage, FundsDeposited};

use crate::contracts::Contract;

/// Which of the consumed messages it is: a new one does not compile until the count below is raised.
const fn kind(message: &AccountMessage) -> usize {
    match message {
        AccountMessage::Opened(_) => 0,
        AccountMessage::Deposited(_) => 1,
        AccountMessage::Withdrawn(_) => 2,
        AccountMessage::Held(_) => 3,
        AccountMessage::Credited(_) => 4,
        AccountMessage::Captured(_) => 5,
        AccountMessage::Released(_) => 6,
        AccountMessage::Closed(_) => 7,
    }
}

#[test]
fn every_sample_of_a_consumed_message_is_understood_and_each_has_one() {
    let mut understood = [0; 8];
    for message in Contract::of("accounts").understood() {
        understood[kind(&message)] += 1;
    }
    assert!(understood.iter().all(|count| *count > 0), "a consumed message has no sample: {understood:?}");
}

#[test]
fn forgotten_holders_are_among_the_samples() {
    let messages = Contract::of("accounts").understood();
    let forgotten = messages
        .iter()
        .filter(|message| matches!(message, AccountMessage::Opened(opened) if opened.holder.get().is_none()));
    assert_eq!(forgotten.count(), 1);
}

#[test]
fn messages_from_before_there_were_holds_are_among_the_samples() {
    let messages = Contract::of("accounts").understood();
    let silent = messages
        .iter()
        .filter(|message| matches!(message, AccountMessage::Deposited(FundsDeposited { available_minor: None, .. })));
    assert_eq!(silent.count(), 1);
}

#[test]
fn a_message_or_a_field_that_is_added_later_is_tolerated() {
    Contract::of("accounts").assert_may_grow::<AccountMessage>();
}

#[test]
fn the_topic_is_where_the_publisher_says() {
    Contract::of("accounts").assert_on_topic::<AccountMessage>(ACCOUNT_TOPIC);
}
