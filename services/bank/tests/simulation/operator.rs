//! Operators: they rebuild read models while these answer, and decide about what is quarantined.

use std::time::Duration;

use factum::{
    ActorId, Reason, Service, quarantine::QuarantineError, rebuild::Operation, receiver::DeadLetterError, runtime::Task,
};

use crate::{
    audit,
    client::Ledger,
    world::{Kind, World},
};

/// The longest time between two decisions.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Where the operators of each service look: most of them are those of statements.
const LOOKS: [Kind; 5] = [Kind::Accounts, Kind::Transfers, Kind::Statements, Kind::Statements, Kind::Statements];
/// How long an operator waits for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How long operations on read models may take.
const IDLE_WITHIN: Duration = Duration::from_secs(600);
/// How many quarantined keys one look shows.
const LISTED_MAX: usize = 20;
/// How often what is quarantined is tried again once nothing is wrong with it any more.
const RETRIES_MAX: u32 = 20;
const READ_MODELS: [&str; 5] = ["account-summaries", "statement-lines", "daily-totals", "transfers", "diary"];

/// At work until it is aborted.
pub(crate) fn begin(world: &World) -> Task {
    let world = world.clone();
    world.runtime().spawn(async move {
        loop {
            world.pause(WAIT_MAX).await;
            let kind = LOOKS[world.random_below(LOOKS.len() as u64) as usize];
            let Some(service) = world.service(kind) else { continue };
            if kind == Kind::Accounts {
                let _ = world.runtime().within(ANSWER_WAIT, acknowledge(&service)).await;
            } else if kind == Kind::Statements && world.random_below(2) == 0 {
                let model = READ_MODELS[world.random_below(READ_MODELS.len() as u64) as usize];
                let operation = Operation::ALL[world.random_below(Operation::ALL.len() as u64) as usize];
                // Another one may be under way.
                if service.read_models().request(Some(model), operation).is_ok() {
                    world.note_rebuild();
                }
            } else {
                // The process may die of it.
                let _ = world.runtime().within(ANSWER_WAIT, decide(&world, &service)).await;
            }
        }
    })
}

/// About one quarantined key, by chance: its first message is dropped, or all of them are tried again.
async fn decide(world: &World, service: &Service) -> Result<(), QuarantineError> {
    let listed = service.quarantine().list(LISTED_MAX).await?;
    let Some(one) = listed.get(world.random_below(listed.len() as u64) as usize) else { return Ok(()) };
    let (handler, key) = (&one.handler, &one.about.key);
    let decided = if world.random_below(3) == 0 {
        let of_no_use = Reason::new("of no use").expect("is a reason");
        service.quarantine().discard(handler, key, one.about.event_id, of_no_use, operator()).await
    } else {
        service.quarantine().retry(handler, key, operator()).await
    };
    world.note_decision();
    decided.map(drop)
}

/// The first dead letter, if there is one.
async fn acknowledge(service: &Service) -> Result<bool, DeadLetterError> {
    let (_, first) = service.dead_letters().list(1).await?;
    let Some(letter) = first.first() else { return Ok(false) };
    let seen = Reason::new("seen").expect("is a reason");
    service.dead_letters().acknowledge(letter.event_id, seen, operator()).await.map(|_| true)
}

fn operator() -> ActorId {
    ActorId::new("operator").expect("is an actor")
}

/// In the calm, once nothing fails any more: what is quarantined is tried again until nothing is, and operations on read
/// models come to their ends.
pub(crate) async fn clear(world: &World) {
    release(world, Kind::Transfers).await;
    release(world, Kind::Statements).await;
    let accounts = world.service(Kind::Accounts).expect("runs");
    while acknowledge(&accounts).await.expect("is calm") {}
    let alarms =
        |service: &Service| service.health().loops().iter().any(|(_, at)| at.alarms.contains_key("dead letters"));
    assert!(!alarms(&accounts), "an alarm for letters that are acknowledged");
}

async fn release(world: &World, kind: Kind) {
    let service = world.service(kind).expect("runs");
    for _ in 0..RETRIES_MAX {
        let mut listed = service.quarantine().list(LISTED_MAX).await.expect("is calm");
        if listed.is_empty() {
            idle(world, &service).await;
            // What no loop had open while a read model was rebuilt was not listed.
            listed = service.quarantine().list(LISTED_MAX).await.expect("is calm");
        }
        if listed.is_empty() {
            return;
        }
        for one in listed {
            let tried = service.quarantine().retry(&one.handler, &one.about.key, operator()).await;
            // Or its loop is just being replaced by the next one.
            let goes_on = matches!(
                tried,
                Ok(_)
                    | Err(QuarantineError::NotParked { .. }
                        | QuarantineError::NoAnswer(_)
                        | QuarantineError::Busy { .. })
            );
            assert!(goes_on, "{tried:?}");
        }
        world.pause(WAIT_MAX).await;
    }
    panic!("stays quarantined: {:?}", service.quarantine().list(LISTED_MAX).await);
}

/// Until no operation on a read model is under way.
async fn idle(world: &World, service: &Service) {
    let idle = world.runtime().within(IDLE_WITHIN, service.read_models().idle()).await;
    assert!(idle.is_some(), "an operation never ends: {:?}", service.read_models().reports());
}

/// In the calm: every read model equals one that is filled anew, and so does the one that answered before; nothing is
/// told outside again meanwhile.
pub(crate) async fn look_twice(world: &World, ledger: &Ledger) {
    let service = world.service(Kind::Statements).expect("runs");
    let told = audit::told(world);
    // A generation that was left half filled while something failed is taken up again, with what it had parked.
    for operation in [Operation::Discard, Operation::Verify, Operation::Replace, Operation::RollBack] {
        service.read_models().request(None, operation).expect("is idle");
        idle(world, &service).await;
        for report in service.read_models().reports() {
            let last = report.last.expect("was asked for");
            assert!(last.operation == operation && last.result.is_ok(), "{:?}: {last:?}", report.projection);
        }
        world.ended(ledger).await;
        audit::audit(world, ledger).await;
        if operation == Operation::Replace {
            audit::without_discarded(world).await;
        }
    }
    assert_eq!(audit::told(world), told, "told again for a rebuild");
}
