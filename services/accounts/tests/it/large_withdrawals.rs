//! Somebody outside is told of large withdrawals: each one, in order per account, whatever happens to them or to us.

use std::{path::Path, sync::Arc, time::Duration};

use accounts::{
    Config, Webhook,
    domain::{AccountId, DepositFunds, OpenAccount, WithdrawFunds},
};
use factum::{
    ActorId, Personal, Service,
    bus::MemoryBus,
    runtime::LoopState,
    service::{STOP_LIMIT_DEFAULT, settle},
};
use factum_http::Server;
use serde_json::Value;

use crate::receiver::{Does, Receiver, Told};

const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const BEN: &str = "6f1a7c1e-0000-4000-8000-000000000002";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
const LIMIT: u64 = 100;

async fn start(folder: &Path, receiver: Option<&Receiver>) -> Service {
    let listener = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let webhook = receiver.map(|at| Webhook::new(&format!("http://{}/told?by=accounts", at.address), LIMIT).unwrap());
    let config = Config { data: folder.to_owned(), listener, webhook };
    accounts::service(config, Arc::new(MemoryBus::new())).await.unwrap()
}

async fn stop(service: Service) {
    assert_eq!(service.stop(STOP_LIMIT_DEFAULT).await, Ok(()));
}

async fn with_money(service: &Service, accounts: &[&str]) {
    for account in accounts {
        let (account_id, holder): (AccountId, _) = (account.parse().unwrap(), Personal::known((*account).to_owned()));
        let currency = "EUR".parse().unwrap();
        let open = OpenAccount { account_id: Some(account_id), holder, currency };
        service.commands().dispatch(open).await.unwrap();
        let amount = "1000000".parse().unwrap();
        service.commands().dispatch(DepositFunds { account_id, amount, currency }).await.unwrap();
    }
}

async fn withdraw(service: &Service, account: &str, amount: &str) {
    let (account_id, currency) = (account.parse().unwrap(), "EUR".parse().unwrap());
    let amount = amount.parse().unwrap();
    service.commands().dispatch(WithdrawFunds { account_id, amount, currency }).await.unwrap();
}

async fn settled(service: &Service) {
    tokio::time::timeout(PATIENCE, settle(&[service])).await.expect("settles in time").unwrap();
}

async fn shows(service: &Service, story: &str, condition: impl Fn(&factum::runtime::StatusReport) -> bool) {
    let look = async {
        loop {
            let loops = service.health().loops();
            let (_, report) = loops.iter().find(|(name, _)| name == "reactor large-withdrawals").unwrap();
            if condition(report) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{story}"));
}

/// The amounts told of an account, each under its first effect id only.
fn amounts(told: &[Told], account: &str) -> Vec<String> {
    let mut seen: Vec<&Value> = Vec::new();
    let mut amounts = Vec::new();
    for Told { document, .. } in told.iter().filter(|told| told.document["account_id"] == account) {
        if !seen.contains(&&document["effect_id"]) {
            seen.push(&document["effect_id"]);
            amounts.push(document["amount"].as_str().unwrap().to_owned());
        }
    }
    amounts
}

#[tokio::test]
async fn each_withdrawal_above_the_limit_is_told_once_with_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::listen().await;
    let service = start(folder.path(), Some(&receiver)).await;
    with_money(&service, &[ADA]).await;
    for amount in ["100.00", "100.01", "99.99", "5000"] {
        withdraw(&service, ADA, amount).await;
    }
    settled(&service).await;
    let told = receiver.told();
    assert_eq!(amounts(&told, ADA), ["100.01", "5000.00"]);
    assert_eq!(told.len(), 2);
    for Told { head, document } in &told {
        assert!(head.starts_with("post /told?by=accounts http/1.1"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let id = document["effect_id"].as_str().unwrap();
        assert!(head.contains(&format!("idempotency-key: {id}")), "{head}");
        assert_eq!(document["currency"], "EUR");
        assert!(document["at"].as_str().unwrap().ends_with('Z'), "{document}");
        assert_eq!(document.as_object().unwrap().len(), 5);
    }
    stop(service).await;
    // Started again, nobody hears of it again.
    let service = start(folder.path(), Some(&receiver)).await;
    withdraw(&service, ADA, "101").await;
    settled(&service).await;
    assert_eq!(amounts(&receiver.told(), ADA), ["100.01", "5000.00", "101.00"]);
    assert_eq!(receiver.told().len(), 3);
    stop(service).await;
}

#[tokio::test]
async fn whatever_goes_wrong_there_it_is_told_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::listen().await;
    let service = start(folder.path(), Some(&receiver)).await;
    with_money(&service, &[ADA]).await;
    receiver.does([
        Does::Answers(503),
        Does::HangsUp,
        Does::Answers(500),
        Does::HangsUpHalfway,
        Does::Answers(429),
        Does::Answers(408),
    ]);
    for amount in ["201", "202", "203"] {
        withdraw(&service, ADA, amount).await;
    }
    settled(&service).await;
    let told = receiver.told();
    assert!(told.len() >= 9, "{told:?}");
    assert!(told[..6].iter().all(|told| told.document == receiver.told()[0].document), "the first, until it is taken");
    assert_eq!(amounts(&told, ADA), ["201.00", "202.00", "203.00"]);
    stop(service).await;
}

#[tokio::test]
async fn who_says_nothing_is_given_up_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::listen().await;
    let service = start(folder.path(), Some(&receiver)).await;
    with_money(&service, &[ADA]).await;
    receiver.does([Does::IsSilent]);
    withdraw(&service, ADA, "300").await;
    shows(&service, "the silence is told", |report| {
        report.last_error.as_ref().is_some_and(|error| error.contains("did not answer within 4s"))
    })
    .await;
    settled(&service).await;
    assert_eq!((receiver.told().len(), amounts(&receiver.told(), ADA).len()), (2, 1));
    stop(service).await;
}

#[tokio::test]
async fn who_is_down_for_a_while_misses_nothing_over_our_restart() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::listen().await;
    let service = start(folder.path(), Some(&receiver)).await;
    with_money(&service, &[ADA, BEN]).await;
    withdraw(&service, ADA, "101").await;
    settled(&service).await;
    let address = receiver.address;
    let gone = receiver.goes().await;
    for (account, amount) in [(ADA, "102"), (BEN, "103"), (ADA, "104")] {
        withdraw(&service, account, amount).await;
    }
    shows(&service, "its absence is told", |report| {
        report.last_error.as_ref().is_some_and(|error| error.contains(&address.to_string())) && report.alarms.is_empty()
    })
    .await;
    assert!(service.health().readiness().ready, "that nobody listens there does not make us unready");
    stop(service).await;
    let receiver = gone.returns().await;
    let service = start(folder.path(), Some(&receiver)).await;
    withdraw(&service, BEN, "105").await;
    settled(&service).await;
    let told = receiver.told();
    assert_eq!(amounts(&told, ADA), ["101.00", "102.00", "104.00"]);
    assert_eq!(amounts(&told, BEN), ["103.00", "105.00"]);
    assert_eq!(told.len(), 5);
    stop(service).await;
}

#[tokio::test]
async fn a_refusal_parks_that_account_alone_until_an_operator_tries_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::listen().await;
    let service = start(folder.path(), Some(&receiver)).await;
    with_money(&service, &[ADA, BEN]).await;
    receiver.does([Does::Answers(422)]);
    withdraw(&service, ADA, "400").await;
    let stream = format!("account-{ADA}");
    shows(&service, "an alarm", |report| {
        report.state == LoopState::Live && report.alarms.get("quarantine").is_some_and(|alarm| alarm.contains("422"))
    })
    .await;
    withdraw(&service, BEN, "401").await;
    withdraw(&service, ADA, "402").await;
    settled(&service).await;
    let by = ActorId::new("ada").unwrap();
    let handled = service.quarantine().retry("reactor/large-withdrawals", &stream, by).await.unwrap();
    assert_eq!((handled.done, handled.left), (2, 0));
    let told = receiver.told();
    assert_eq!(amounts(&told, ADA), ["400.00", "402.00"]);
    assert_eq!(amounts(&told, BEN), ["401.00"]);
    let at = |account: &str| told.iter().rposition(|told| told.document["account_id"] == account).unwrap();
    assert!(at(BEN) < at(ADA), "who has nothing to do with it does not wait");
    shows(&service, "no alarm", |report| report.alarms.is_empty()).await;
    stop(service).await;
}

/// It was off, then on for the first time: the past rests. Then off and on: nothing is left out.
#[tokio::test]
async fn the_past_rests_and_a_pause_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::listen().await;
    let service = start(folder.path(), None).await;
    with_money(&service, &[ADA]).await;
    withdraw(&service, ADA, "501").await;
    stop(service).await;
    let service = start(folder.path(), Some(&receiver)).await;
    withdraw(&service, ADA, "502").await;
    settled(&service).await;
    stop(service).await;
    let service = start(folder.path(), None).await;
    withdraw(&service, ADA, "503").await;
    stop(service).await;
    let service = start(folder.path(), Some(&receiver)).await;
    settled(&service).await;
    assert_eq!(amounts(&receiver.told(), ADA), ["502.00", "503.00"]);
    stop(service).await;
}
