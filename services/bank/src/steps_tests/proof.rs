//! What must hold once a story is over, whatever happened in it.

use std::sync::Arc;
use std::time::Duration;

use factum::query::AskOptions;
use factum::store::{Direction, RecordedEvent};
use factum::testing::Simulation;
use factum::{Position, Selection};
use serde_json::{Value, json};

use super::world::{Kind, World};
use super::{OTHER, PAID};
use crate::audit::{Report, audit};
use crate::client::fake::{Answered, Asked, FakeServer};
use crate::client::{BankClient, EVENTS_PAGE_MAX, Surfaces};

/// Far more than what is at rest has to catch up with.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// An event as the admin surface shows it.
pub fn line(event: &RecordedEvent) -> Value {
    json!({
        "position": event.position.get(), "stream": event.stream.as_str(), "version": event.version.get(),
        "type": &*event.name, "data": serde_json::from_slice::<Value>(&event.data).expect("is JSON"),
        "metadata": { "command_id": event.command_id.map(|id| id.as_uuid()), "recorded_at": event.recorded_at }
    })
}

/// All that a service recorded.
pub async fn recorded(world: &World, kind: Kind) -> Vec<RecordedEvent> {
    let limit = EVENTS_PAGE_MAX as usize;
    let all = world.store(kind).read(&Selection::everything(), Position::ZERO, Direction::Forward, limit).await;
    let all = all.expect("it can be read");
    assert!(all.end, "one page is enough");
    all.events
}

/// The same as the admin surface shows it.
pub async fn lines(world: &World, kind: Kind) -> Vec<Value> {
    recorded(world, kind).await.iter().map(line).collect()
}

fn course_of(events: &[RecordedEvent], transfer: &str) -> Vec<String> {
    let stream = format!("transfer-{transfer}");
    let of_it = events.iter().filter(|event| event.stream.as_str() == stream);
    of_it.map(|event| event.name.strip_prefix("transfer.").unwrap_or(&event.name).to_owned()).collect()
}

/// The two logs agree with each other: each command has one recorded end, and that of the credit decided, whether it was
/// done or cancelled. Answers what the transfer came to, event by event.
pub async fn judged(world: &World) -> String {
    let (accounts, transfers) = (recorded(world, Kind::Accounts).await, recorded(world, Kind::Transfers).await);
    let ends = |step: &str| -> Vec<String> {
        let id = format!("transfer-{PAID}/{step}");
        let of_it = accounts.iter().filter(|event| event.metadata.bus_command.as_deref() == Some(&*id));
        of_it.map(|event| event.name.to_string()).collect()
    };
    let happened = course_of(&transfers, PAID);
    assert_eq!(ends("hold"), ["account.funds-held"]);
    let credit = ends("credit");
    let (end, capture, release): (_, &[&str], &[&str]) = match credit.as_slice() {
        [one] if one == "account.credited" => ("completed", &["account.hold-captured"], &[]),
        [one] if one == "outcome.refused" => ("rejected", &[], &["account.hold-released"]),
        other => panic!("the credit ended as {other:?}"),
    };
    assert_eq!(happened.last().map(String::as_str), Some(end), "{happened:?}");
    assert_eq!(ends("capture"), capture);
    assert_eq!(ends("release"), release);
    assert_eq!(course_of(&transfers, OTHER), ["requested", "funds-held", "target-credited", "completed"]);
    happened.join(", ")
}

/// What is shown of a log instead of it.
pub type Shown = Arc<dyn Fn(Kind, Vec<Value>) -> Vec<Value> + Send + Sync>;

/// What `bank audit` says of the bank, over HTTP as always.
pub async fn audited(simulation: &Simulation, world: &World) -> Report {
    let as_it_is: Shown = Arc::new(|_, lines| lines);
    audited_as(simulation, world, &as_it_is, CATCH_UP_MAX).await
}

/// The same of one that does not show its logs as they are.
pub async fn audited_as(simulation: &Simulation, world: &World, shown: &Shown, catch_up: Duration) -> Report {
    let serve = |kind: Kind| {
        let (simulation, world, shown) = (simulation.clone(), world.clone(), Arc::clone(shown));
        FakeServer::start(move |asked| answer(&simulation, &world, (kind, &shown), asked))
    };
    let accounts = serve(Kind::Accounts).await;
    let transfers = serve(Kind::Transfers).await;
    let statements = serve(Kind::Statements).await;
    let surfaces =
        Surfaces { accounts: accounts.address, transfers: transfers.address, statements: statements.address };
    audit(&BankClient::at(surfaces), catch_up).await.expect("the bank answers")
}

/// The world goes on for as long as an answer takes.
fn answer(simulation: &Simulation, world: &World, (kind, shown): (Kind, &Shown), asked: &Asked) -> Answered {
    let (world, asked, shown) = (world.clone(), asked.clone(), Arc::clone(shown));
    simulation.run(async move {
        let service = world.service(kind).expect("it runs");
        let (path, parameters) = asked.path_and_query.split_once('?').unwrap_or((&asked.path_and_query, ""));
        match path {
            "/readyz" => {
                let readiness = service.health().readiness();
                Answered::json(&json!({ "ready": readiness.ready, "reason": readiness.reason, "loops": [] }))
            }
            "/admin/events" => {
                let after: u64 = asked.parameter("after").and_then(|after| after.parse().ok()).expect("a position");
                let mut lines = shown(kind, lines(&world, kind).await);
                lines.retain(|line| line["position"].as_u64().is_some_and(|position| position > after));
                Answered::lines(&lines)
            }
            query => {
                let name = query.strip_prefix("/queries/").expect("is a query");
                match service.queries().ask_named(name, parameters, AskOptions::default()).await {
                    Ok(answer) => Answered::raw(200, &String::from_utf8_lossy(&answer)),
                    Err(error) => Answered::problem(404, &format!("{error:?}")),
                }
            }
        }
    })
}
