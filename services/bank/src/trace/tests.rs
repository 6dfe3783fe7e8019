use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::client::{
    Surfaces,
    fake::{Answered, FakeServer},
};

/// An event of a log that is being written down.
fn event(position: u64, stream: &str, name: &str, more: Value) -> Value {
    let mut metadata = json!({
        "event_id": format!("{stream}:{position}"),
        "command_id": format!("c-{stream}-{position}"),
        "correlation_id": "journey",
        "recorded_at": format!("2026-11-23T10:00:00.{:03}Z", position * 10),
    });
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "position": position, "stream": stream, "version": 1, "type": name,
        "data": { "amount_minor": 5 }, "metadata": metadata,
    })
}

/// A transfer whose hold was refused, and somebody else's deposit.
fn logs() -> [Vec<Value>; 2] {
    let caused = |by: &str| json!({ "causation_id": by });
    let transfers = vec![
        event(1, "transfer-1", "transfer.requested", json!({ "command_id": "journey" })),
        event(
            5,
            "transfer-1",
            "transfer.hold-cancelled",
            json!({ "causation_id": "transfer-1:1", "command_id": "due" }),
        ),
        event(6, "timer-transfer-1", "timer.fired", json!({ "causation_id": "transfer-1:1", "command_id": "due" })),
        event(8, "transfer-1", "transfer.rejected", caused("outcome-x:7")),
    ];
    let refused = json!({ "causation_id": "transfer-1:1", "bus_command": "transfer-1/hold" });
    let accounts = vec![
        event(2, "account-9", "account.funds-deposited", json!({ "correlation_id": "another" })),
        event(7, "outcome-x", "outcome.refused", refused),
    ];
    [accounts, transfers]
}

/// A bank whose logs these are, two events a page.
async fn bank(logs: [Vec<Value>; 2]) -> ([FakeServer; 2], BankClient) {
    let [accounts, transfers] = logs.map(|log| {
        FakeServer::start(move |asked| {
            let after: u64 = asked.parameter("after").unwrap().parse().unwrap();
            let page = log.iter().filter(|event| event["position"].as_u64().unwrap() > after).take(2);
            Answered::lines(&page.cloned().collect::<Vec<_>>())
        })
    });
    let (accounts, transfers) = tokio::join!(accounts, transfers);
    let surfaces = Surfaces { accounts: accounts.address, transfers: transfers.address, statements: accounts.address };
    ([accounts, transfers], BankClient::at(surfaces))
}

#[tokio::test]
async fn a_journey_is_a_tree_of_decisions_and_what_they_recorded() {
    let (_servers, client) = bank(logs()).await;
    let text = show::as_text(&trace(&client, "1").await.unwrap());
    let expected = "\
1 is known as transfer

journey journey: 4 decisions, 5 events, 70.0 ms
transfers asked by command journey  +0.0 ms
└─ transfer.requested  transfer-1 v1 at 1  amount_minor=5
   ├─ transfers finds a timer due  +40.0 ms
   │  ├─ transfer.hold-cancelled  transfer-1 v1 at 5  amount_minor=5
   │  └─ timer.fired  timer-transfer-1 v1 at 6  amount_minor=5
   └─ accounts takes transfer-1/hold  +60.0 ms
      └─ outcome.refused  outcome-x v1 at 7  amount_minor=5
         └─ transfers hears outcome.refused  +70.0 ms
            └─ transfer.rejected  transfer-1 v1 at 8  amount_minor=5
";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn every_id_of_a_journey_leads_to_it_and_what_it_is_is_said() {
    let (_servers, client) = bank(logs()).await;
    for (id, kinds) in [
        ("journey", &[Kind::Correlation][..]),
        ("transfer-1:1", &[Kind::Event]),
        ("c-transfer-1-8", &[Kind::Command]),
        ("transfer-1/hold", &[Kind::Command]),
        ("x", &[Kind::Command]),
        ("1", &[Kind::Transfer]),
        ("transfer-1", &[Kind::Stream]),
    ] {
        let found = trace(&client, id).await.unwrap();
        assert_eq!(found.kinds, kinds, "{id}");
        let [journey] = found.journeys.as_slice() else { panic!("{id}: {found:?}") };
        let mut ids = BTreeSet::new();
        journey::ids(&journey.roots, &mut ids);
        assert_eq!((ids.len(), journey.events), (5, 5), "{id}");
    }
    assert_eq!(trace(&client, "9").await.unwrap().kinds, [Kind::Account]);
    let unknown = trace(&client, "nobody").await.unwrap_err().to_string();
    assert!(unknown.contains("no event has to do with `nobody`"), "{unknown}");
}

/// The logs are read from the beginning: twice only for what may have come before the id was met.
#[tokio::test]
async fn the_logs_are_read_once_for_what_is_met_where_its_journeys_begin() {
    for (id, times) in [("1", 1), ("transfer-1", 1), ("transfer-1:1", 1), ("journey", 1), ("x", 2), ("9", 2)] {
        let (servers, client) = bank(logs()).await;
        trace(&client, id).await.unwrap();
        for server in &servers {
            let begun = server.asked().iter().filter(|asked| asked.parameter("after") == Some("0")).count();
            assert_eq!(begun, times, "{id}");
        }
    }
}

/// Whoever asks may name the correlation id, also that of earlier requests.
#[tokio::test]
async fn what_came_before_an_id_on_the_same_journey_is_shown_too() {
    let transfers = vec![
        event(1, "transfer-1", "transfer.requested", json!({})),
        event(2, "transfer-2", "transfer.requested", json!({})),
    ];
    let (_servers, client) = bank([Vec::new(), transfers]).await;
    assert_eq!(trace(&client, "2").await.unwrap().journeys[0].events, 2);
}

#[tokio::test]
async fn programs_read_the_same_tree() {
    let (_servers, client) = bank(logs()).await;
    let json = show::as_json(&trace(&client, "journey").await.unwrap());
    assert_eq!(json["known_as"], json!(["correlation id"]));
    let root = &json["journeys"][0]["roots"][0];
    assert_eq!([&root["service"], &root["reason"], &root["of"]], ["transfers", "asked", "journey"]);
    let hold = &root["recorded"][0]["leads_to"][1];
    assert_eq!([&hold["service"], &hold["reason"], &hold["of"]], ["accounts", "commanded", "transfer-1/hold"]);
    let heard = &hold["recorded"][0]["leads_to"][0];
    assert_eq!([&heard["reason"], &heard["of"]], ["heard", "outcome.refused"]);
}

#[tokio::test]
async fn an_account_has_many_journeys_of_which_the_latest_are_shown() {
    let of = |position: u64| {
        event(position, "account-9", "account.funds-deposited", json!({ "correlation_id": format!("{position:03}") }))
    };
    let (_servers, client) = bank([(1..=50).map(of).collect(), Vec::new()]).await;
    let found = trace(&client, "account-9").await.unwrap();
    let shown: Vec<&str> = found.journeys.iter().map(|journey| journey.correlation.as_str()).collect();
    assert_eq!((shown.len(), shown[0], shown[JOURNEYS_MAX - 1]), (JOURNEYS_MAX, "031", "050"));
    assert!(found.earlier && show::as_text(&found).contains("there are earlier ones"));
}

/// Only a damaged or forged log says such things: every event is shown, once, and the tool ends.
#[tokio::test]
async fn events_that_lead_to_each_other_or_to_nothing_known_or_very_far_are_all_shown() {
    let mut accounts = vec![
        event(1, "a", "one", json!({ "causation_id": "b:2" })),
        event(2, "b", "two", json!({ "causation_id": "a:1" })),
        event(3, "c", "three", json!({ "causation_id": "gone" })),
        event(4, "d", "four", json!({})),
    ];
    for position in 5..500 {
        let before = if position == 5 { "d:4".to_owned() } else { format!("d:{}", position - 1) };
        accounts.push(event(position, "d", "further", json!({ "causation_id": before, "recorded_at": null })));
    }
    let (_servers, client) = bank([accounts, Vec::new()]).await;
    let found = trace(&client, "journey").await.unwrap();
    let mut ids = BTreeSet::new();
    journey::ids(&found.journeys[0].roots, &mut ids);
    assert_eq!(ids.len(), 499);
    let text = show::as_text(&found);
    assert!(text.contains("acts on gone, which is not among the events"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("further  ")).count(), 495);
}

#[test]
fn an_id_is_what_is_recorded_however_it_is_written() {
    let upper = "6F1A7C1E-0000-4000-8000-000000000001";
    assert_eq!(id_from(upper).unwrap(), upper.to_lowercase());
    assert_eq!(id_from("transfer-6F1A/hold").unwrap(), "transfer-6F1A/hold");
    for no_id in ["", "a\nb", "\u{1b}[31m", &"x".repeat(ID_CHARS_MAX + 1)] {
        assert!(id_from(no_id).is_err(), "{no_id:?}");
    }
}
