//! What becomes of a command.

use std::sync::atomic::{AtomicUsize, Ordering};

use factum::{Delivery, MessageType, OutgoingMessage, Publication};

use super::*;
use crate::accounts::AccountEvent;

const REFUSED: &str = "factum.command-refused.v1";
const NOTHING_TO_DO: &str = "factum.command-nothing-to-do.v1";

fn refused(id: &str, code: &str) -> (String, String, String) {
    (id.to_owned(), REFUSED.to_owned(), code.to_owned())
}

impl Story {
    /// Command id, name, code.
    fn told(&self) -> Vec<(String, String, String)> {
        let code = |document: &Value| document["code"].as_str().unwrap_or_default().to_owned();
        self.outcomes().into_iter().map(|(id, name, document)| (id, name, code(&document))).collect()
    }
}

#[tokio::test]
async fn an_accepted_command_is_its_events_which_bear_its_id() {
    let mut story = Story::with(10).await;
    story.sender.deposit("transfer-1/credit", 5).await;
    story.settled().await;
    let [event]: [RecordedEvent; 1] = recorded(story.store.as_ref()).await.try_into().unwrap();
    assert_eq!((&*event.name, event.stream), ("account.deposited", account(ACCOUNT)));
    assert_eq!(event.metadata.bus_command.as_deref(), Some("transfer-1/credit"));
    assert_eq!(event.metadata.correlation_id.as_uuid(), Uuid::from_u128(0xc0));
    assert_eq!(event.metadata.actor.as_str(), "ada");
    let (_, sent) = Sender::named(&story.bus, 50).await.next(None, "", &json!({}));
    assert_eq!(event.metadata.causation_id, Some(sent.id.as_uuid()), "the message that caused it");
    assert_eq!(story.told(), []);
    assert_eq!(story.balance().await, 15);
    story.end().await;
}

#[tokio::test]
async fn a_rejection_is_recorded_and_published() {
    let mut story = Story::with(10).await;
    story.sender.withdraw("transfer-1/hold", 11).await;
    story.settled().await;
    let [(id, name, document)]: [_; 1] = story.recorded().await.try_into().unwrap();
    assert_eq!((id.as_str(), name.as_str()), ("transfer-1/hold", "outcome.refused"));
    assert_eq!(document["code"], "insufficient-funds");
    assert_eq!(story.told(), [refused("transfer-1/hold", "insufficient-funds")]);

    // It is an outcome: although there is enough by now, it stays refused.
    story.sender.deposit("transfer-2/credit", 5).await;
    story.sender.withdraw("transfer-1/hold", 11).await;
    story.settled().await;
    assert_eq!(story.balance().await, 15);
    assert_eq!(story.told().len(), 1);
    story.end().await;
}

#[tokio::test]
async fn nothing_to_do_is_an_outcome_too() {
    let mut story = Story::with(0).await;
    story.sender.send("t/close", "close-account", &json!({ "account_id": ACCOUNT })).await;
    story.sender.send("t/close-again", "close-account", &json!({ "account_id": ACCOUNT })).await;
    story.settled().await;
    let names: Vec<_> = story.recorded().await.into_iter().map(|(id, name, _)| (id, name)).collect();
    let expected = [("t/close", "account.closed"), ("t/close-again", "outcome.nothing-to-do")];
    assert_eq!(names, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
    assert_eq!(story.told(), [("t/close-again".to_owned(), NOTHING_TO_DO.to_owned(), String::new())]);
    story.end().await;
}

#[tokio::test]
async fn a_command_that_comes_again_changes_nothing() {
    let mut story = Story::with(10).await;
    for _ in 0..3 {
        story.sender.deposit("transfer-1/credit", 5).await;
        story.sender.withdraw("transfer-1/hold", 100).await;
    }
    story.settled().await;
    assert_eq!(story.balance().await, 15);
    assert_eq!(story.recorded().await.len(), 2);
    // Another command under an id that is taken is none.
    story.sender.deposit("transfer-1/credit", 6).await;
    story.settled().await;
    assert_eq!(story.balance().await, 15);
    assert_eq!(story.recorded().await.len(), 2);
    story.end().await;
}

#[tokio::test]
async fn whichever_of_command_and_cancel_is_recorded_first_decides() {
    let mut story = Story::with(10).await;
    story.sender.cancel("early/credit").await;
    story.sender.deposit("early/credit", 5).await;
    story.sender.cancel("early/credit").await;
    story.sender.deposit("late/credit", 7).await;
    story.sender.cancel("late/credit").await;
    story.settled().await;
    assert_eq!(story.balance().await, 17);
    assert_eq!(story.told(), [refused("early/credit", "cancelled")]);
    let [cancelled, deposited]: [_; 2] = story.recorded().await.try_into().unwrap();
    assert_eq!((cancelled.0.as_str(), cancelled.1.as_str()), ("early/credit", "outcome.refused"));
    assert_eq!((deposited.0.as_str(), deposited.1.as_str()), ("late/credit", "account.deposited"));
    story.end().await;
}

#[tokio::test]
async fn every_deterministic_no_is_a_refusal_and_what_follows_goes_on() {
    let mut story = Story::with(0).await;
    let sender = &mut story.sender;
    sender.send("1", "misspelt", &json!({ "account_id": ACCOUNT })).await;
    // Known to the service, but not taken from this sender.
    sender.send("2", "open-account", &json!({ "account_id": Uuid::from_u128(2) })).await;
    sender.send_as("3", "bank.cards.deposit.v1", &json!({ "account_id": ACCOUNT, "amount": 1 })).await;
    sender.deposit("4", 0).await;
    sender.send("5", "deposit", &json!({ "account_id": ACCOUNT })).await;
    sender.send("6", "deposit", &json!([])).await;
    sender.send("7", "misbehave", &json!({ "account_id": ACCOUNT, "how": "handle" })).await;
    sender.send("8", "misbehave", &json!({ "account_id": ACCOUNT, "how": "read" })).await;
    sender.send("9", "witness", &json!({ "account_id": ACCOUNT, "times": 100_000 })).await;
    // A field that this build does not know is ignored: a sender must be able to add one.
    sender.send("10", "deposit", &json!({ "account_id": ACCOUNT, "amount": 3, "note": "hi" })).await;
    story.settled().await;
    let codes = [
        ("1", "unknown-command"),
        ("2", "unknown-command"),
        ("3", "unknown-command"),
        ("4", "invalid"),
        ("5", "invalid"),
        ("6", "malformed"),
        ("7", "panicked"),
        ("8", "panicked"),
        ("9", "too-large"),
    ];
    assert_eq!(story.told(), codes.map(|(id, code)| refused(id, code)));
    assert_eq!(story.balance().await, 3);
    assert!(story.receiver().alarms.is_empty());
    story.end().await;
}

/// serde quotes a value that does not fit, and a panic whatever its code shows: both stood in the outcome, for ever.
#[tokio::test]
async fn an_outcome_does_not_repeat_what_a_command_says() {
    let mut story = Story::with(0).await;
    let sender = &mut story.sender;
    sender.send("1", "misbehave", &json!({ "account_id": ACCOUNT, "how": "Ada Lovelace" })).await;
    sender.send("2", "deposit", &json!({ "account_id": "Ada Lovelace", "amount": 1 })).await;
    sender.send("3", "deposit", &json!({ "account_id": ACCOUNT })).await;
    sender.send("4", "misbehave", &json!({ "account_id": ACCOUNT, "how": "handle" })).await;
    sender.deposit("5", 0).await;
    story.settled().await;
    let said: Vec<_> = story.outcomes().into_iter().map(|(_, _, told)| told["message"].clone()).collect();
    let expected = [
        "how: does not fit",
        "account_id: does not fit",
        "amount: missing field `amount`",
        "its handler panicked: see the receiver's log",
        "amount: write more than zero",
    ];
    assert_eq!(said, expected);
    story.end().await;
}

#[tokio::test]
async fn a_policy_is_asked_as_for_every_command() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(1));
    let memory = MemoryBus::new();
    let bus: Arc<dyn Bus> = Arc::new(memory.clone());
    let no_deposits = |access: factum::principal::Access<'_>| {
        if access.name == "deposit" { Err(factum::principal::Denied) } else { Ok(()) }
    };
    let builder = builder(&store, &bus, &crate::world::impatient()).authorize_commands(no_deposits);
    let service = builder.start().await.unwrap();
    let sender = Sender::new(&memory).await;
    let mut story = Story { service, store, bus: memory, sender };
    story.sender.deposit("1", 5).await;
    story.settled().await;
    assert_eq!(story.told(), [refused("1", "denied")]);
    story.end().await;
}

/// Counts how often it is asked.
struct Counted;

static TRANSLATED: AtomicUsize = AtomicUsize::new(0);

impl Publication for Counted {
    const TOPIC: &'static str = "bank.accounts.account.events";
    const MESSAGES: &'static [MessageType] = &[];
    type Event = AccountEvent;

    fn translate(event: &AccountEvent, _: &Delivery) -> Option<OutgoingMessage> {
        TRANSLATED.fetch_add(usize::from(matches!(event, AccountEvent::Deposited(_))), Ordering::Relaxed);
        None
    }
}

/// What is published of a command was worked out twice: for its relay, and for a token that nobody waits with.
#[tokio::test]
async fn nothing_is_worked_out_for_a_token_that_nobody_gets() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(1));
    let memory = MemoryBus::new();
    let bus: Arc<dyn Bus> = Arc::new(memory.clone());
    let service = builder(&store, &bus, &crate::world::impatient()).publishes::<Counted>().start().await.unwrap();
    open(&service, 0).await;
    let sender = Sender::new(&memory).await;
    let mut story = Story { service, store, bus: memory, sender };
    for id in ["1", "2", "1"] {
        story.sender.deposit(id, 5).await;
    }
    story.settled().await;
    assert_eq!(story.balance().await, 10);
    assert_eq!(TRANSLATED.load(Ordering::Relaxed), 2, "once by the relay");
    story.end().await;
}

#[tokio::test]
async fn the_surface_does_not_list_what_only_comes_over_the_bus() {
    let story = Story::with(0).await;
    let names: Vec<_> = story.service.commands().commands().into_iter().map(|command| command.name).collect();
    assert_eq!(names, ["open-account"]);
    story.end().await;
}

#[tokio::test]
async fn two_senders_never_meet_each_others_ids() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::seeded(1));
    let memory = MemoryBus::new();
    let bus: Arc<dyn Bus> = Arc::new(memory.clone());
    let loans = command_topic("bank", "accounts", "loans");
    memory.ensure_topics(&[TopicSpec::new(&loans, PARTITIONS).unwrap()]).await.unwrap();
    let service = builder(&store, &bus, &crate::world::impatient())
        .receives_from("loans", |commands| commands.takes::<Deposit>())
        .start()
        .await
        .unwrap();
    open(&service, 10).await;
    let sender = Sender::new(&memory).await;
    let mut story = Story { service, store, bus: memory, sender };
    story.sender.cancel("1").await;
    story.sender.deposit("2", 1).await;
    let mut other = Sender::named(&story.bus, 60).await;
    for (id, command, amount) in [("1", "deposit", 2), ("2", "deposit", 4), ("3", "withdraw", 8)] {
        let document = json!({ "account_id": ACCOUNT, "amount": amount });
        let (partition, envelope) = other.next(Some(id), &wire_name("bank", "accounts", command), &document);
        other.produce(TopicPartition::new(loans.as_str(), partition.partition), envelope.encode()).await;
    }
    story.settled().await;
    assert_eq!(story.balance().await, 17);
    let mut told = story.told();
    told.sort();
    // Loans may deposit, and no more.
    assert_eq!(told, [refused("1", "cancelled"), refused("3", "unknown-command")]);
    story.end().await;
}
