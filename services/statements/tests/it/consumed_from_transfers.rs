//! What `transfers` publishes is what this service understands.

use statements::messages::{TRANSFER_TOPIC, TransferMessage};

use crate::contracts::Contract;

/// Which of the consumed messages it is: a new one does not compile until the count below is raised.
const fn kind(message: &TransferMessage) -> usize {
    match message {
        TransferMessage::Requested(_) => 0,
        TransferMessage::Completed(_) => 1,
        TransferMessage::Rejected(_) => 2,
    }
}

#[test]
fn every_sample_of_a_consumed_message_is_understood_and_each_has_one() {
    let mut understood = [0; 3];
    for message in Contract::of("transfers").understood() {
        understood[kind(&message)] += 1;
    }
    assert!(understood.iter().all(|count| *count > 0), "a consumed message has no sample: {understood:?}");
}

#[test]
fn a_message_or_a_field_that_is_added_later_is_tolerated() {
    Contract::of("transfers").assert_may_grow::<TransferMessage>();
}

#[test]
fn the_topic_is_where_the_publisher_says() {
    Contract::of("transfers").assert_on_topic::<TransferMessage>(TRANSFER_TOPIC);
}
