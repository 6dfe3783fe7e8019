//! One id through command, event, message, process and outcome: what a request led to is found again by any of its ids.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use serde_json::{Value, json};
use system_tests::{Side, Site, Surfaces};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);
const FROM: &str = "6f1a7c1e-0000-4000-8000-00000000000a";
const TO: &str = "6f1a7c1e-0000-4000-8000-00000000000b";
const COMPLETED: &str = "22222222-0000-4000-8000-000000000001";
const REJECTED: &str = "22222222-0000-4000-8000-000000000002";
const CORRELATION: &str = "11111111-0000-4000-8000-000000000001";

async fn ends(surfaces: &Surfaces, transfer: &str) -> anyhow::Result<String> {
    let asked = std::time::Instant::now();
    loop {
        let answer = surfaces.query(&format!("/queries/transfer?transfer_id={transfer}"), &[]).await?;
        match answer.field("status") {
            status @ ("completed" | "rejected") => return Ok(status.to_owned()),
            _ => ensure!(asked.elapsed() < LIMIT, "it does not end: {}", answer.text),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What `bank trace` says about an id.
async fn traced(site: &Site, id: &str) -> anyhow::Result<Value> {
    let ended = site.run_tool("trace", &["--json", id], LIMIT).await?;
    ensure!(ended.status.success(), "{id}: {}", ended.stderr);
    Ok(serde_json::from_str(&ended.stdout)?)
}

/// The types of all events below some decisions, in the order of the tree, with why each was decided.
fn told(decisions: &Value, into: &mut Vec<String>) {
    for decision in decisions.as_array().into_iter().flatten() {
        for event in decision["recorded"].as_array().into_iter().flatten() {
            let [service, reason, name] = [&decision["service"], &decision["reason"], &event["type"]];
            into.push([service, reason, name].map(|text| text.as_str().unwrap_or("-")).join(" "));
            told(&event["leads_to"], into);
        }
    }
}

#[tokio::test]
async fn a_transfer_is_traced_through_every_service_by_each_of_its_ids() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let surfaces = bank.surfaces();
    for account in [FROM, TO] {
        let open = json!({ "account_id": account, "holder": "Ada", "currency": "EUR" });
        surfaces.command("open-account", &open, &[]).await?.accepted()?;
    }
    let deposit = json!({ "account_id": FROM, "amount": "10.00", "currency": "EUR" });
    surfaces.command("deposit-funds", &deposit, &[]).await?.accepted()?;
    let request = |id: &str, amount: &str| json!({ "transfer_id": id, "from": FROM, "to": TO, "amount": amount, "currency": "EUR" });
    let headers = [("factum-correlation-id", CORRELATION)];
    surfaces.command("request-transfer", &request(COMPLETED, "4.00"), &headers).await?.accepted()?;
    let rejected = surfaces.command("request-transfer", &request(REJECTED, "40.00"), &[]).await?.accepted()?;
    ensure!(ends(surfaces, COMPLETED).await? == "completed" && ends(surfaces, REJECTED).await? == "rejected");

    let trace = traced(&site, CORRELATION).await?;
    let journey = &trace["journeys"][0];
    let mut story = Vec::new();
    told(&journey["roots"], &mut story);
    let expected = [
        "transfers asked transfer.requested",
        "accounts commanded account.funds-held",
        "transfers heard transfer.funds-held",
        "accounts commanded account.credited",
        "transfers heard transfer.target-credited",
        "accounts commanded account.hold-captured",
        "transfers heard transfer.completed",
    ];
    ensure!(story == expected, "{story:#?}");
    let mut others =
        BTreeSet::from([COMPLETED.to_owned(), format!("transfer-{COMPLETED}"), format!("transfer-{COMPLETED}/hold")]);
    for side in [Side::Write, Side::Transfers] {
        let of_it = surfaces.events_of(side).await?;
        let of_it = of_it.iter().filter(|event| event["metadata"]["correlation_id"] == CORRELATION);
        for name in ["event_id", "command_id"] {
            others.extend(of_it.clone().filter_map(|event| Some(event["metadata"][name].as_str()?.to_owned())));
        }
    }
    ensure!(others.len() == 3 + 7 + 7, "each of the seven has ids of its own: {others:?}");
    for id in others {
        ensure!(traced(&site, &id).await?["journeys"] == trace["journeys"], "{id} leads elsewhere");
    }

    // Nobody named its journey: the command's id does, which comes back with the answer.
    let trace = traced(&site, rejected.header("factum-correlation-id")).await?;
    let mut story = Vec::new();
    told(&trace["journeys"][0]["roots"], &mut story);
    let expected = [
        "transfers asked transfer.requested",
        "accounts commanded outcome.refused",
        "transfers heard transfer.rejected",
    ];
    ensure!(story == expected, "{story:#?}");

    let text = site.run_tool("trace", &[&format!("account-{FROM}")], LIMIT).await?;
    ensure!(text.stdout.matches("\njourney ").count() == 3, "opened, deposited, moved: {}", text.stdout);
    let unknown = site.run_tool("trace", &["nobody"], LIMIT).await?;
    ensure!(unknown.status.code() == Some(1) && unknown.stderr.lines().count() == 1, "{}", unknown.stderr);
    Ok(())
}
