use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::client::Surfaces;
use crate::client::fake::{Answered, Asked, FakeServer};
use crate::load::plan::Plan;

const CONCURRENCY: usize = 8;

fn receipt() -> Answered {
    Answered::json(&json!({ "version": 5, "token": "t5" }))
}

fn summary(version: u64) -> Answered {
    Answered::json(&json!({
        "account_id": "a", "holder": "Ann", "status": "open", "balance": "1.00", "available": "1.00",
        "currency": "EUR", "version": version
    }))
}

/// `count` operations of one plan against a server, and the switch that stops them.
fn work(server: &FakeServer, count: u64) -> (Arc<Work>, Arc<AtomicBool>) {
    let plan = Plan { seed: 1, accounts: 3 };
    let stop = Arc::new(AtomicBool::new(false));
    let work = Work {
        client: BankClient::at(Surfaces::all_at(server.address)),
        planned: Box::new(move |index| plan.operation(index)),
        count,
        stop: Arc::clone(&stop),
        progress: ProgressBar::hidden(),
        next: AtomicU64::new(0),
    };
    (Arc::new(work), stop)
}

fn is_command(asked: &Asked) -> bool {
    asked.path_and_query.starts_with("/commands/")
}

#[tokio::test]
async fn every_command_is_sent_once_under_its_key_and_counted_by_its_end() {
    let server = FakeServer::start(|asked| match asked.headers.get("idempotency-key").map(|key| key.as_bytes()) {
        Some(b"load-1-operation-7") => Answered::problem(422, "insufficient-funds"),
        Some(b"load-1-operation-8") => Answered::problem(500, "panicked"),
        Some(_) => receipt(),
        None => summary(5),
    })
    .await;

    let tally = send_all(work(&server, 120).0, CONCURRENCY).await.unwrap();

    assert_eq!((tally.accepted, tally.insufficient_funds, tally.failed, tally.unread), (118, 1, 1, 0));
    assert_eq!((tally.total(), tally.answered.count(), tally.visible.count()), (120, 120, 3));
    assert!(!tally.is_clean());
    let asked = server.asked();
    let commands: Vec<_> = asked.iter().filter(|asked| is_command(asked)).collect();
    let keys: HashSet<_> = commands.iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert_eq!((commands.len(), keys.len()), (120, 120));
    assert!(asked.iter().filter(|asked| !is_command(asked)).all(|asked| asked.headers["factum-at-least"] == "t5"));
}

#[tokio::test]
async fn a_summary_older_than_the_token_is_no_success() {
    let server = FakeServer::start(|asked| if is_command(asked) { receipt() } else { summary(4) }).await;

    let tally = send_all(work(&server, 1).0, CONCURRENCY).await.unwrap();

    assert_eq!((tally.accepted, tally.unread), (1, 1));
    assert!(!tally.is_clean());
    let text = tally.to_text("operations", std::time::Duration::from_secs(1));
    assert!(text.contains("1 × version 4 is shown to a token that stands for version 5"), "{text}");
}

#[tokio::test]
async fn once_stopped_no_further_command_is_begun() {
    let server = FakeServer::start(|asked| if is_command(asked) { receipt() } else { summary(5) }).await;
    let (work, stop) = work(&server, u64::MAX);

    let sending = tokio::spawn(send_all(work, CONCURRENCY));
    while server.asked().len() < 20 {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    let tally = sending.await.unwrap().unwrap();

    let commands = server.asked().iter().filter(|asked| is_command(asked)).count();
    assert_eq!(tally.total(), commands as u64, "what was begun is answered and counted");
}

#[tokio::test]
async fn a_bank_that_is_gone_ends_the_load() {
    let server = FakeServer::start(|_| receipt()).await;
    let (work, stop) = work(&server, u64::MAX);
    drop(server);

    let gone = send_all(work, CONCURRENCY).await.unwrap_err();

    assert!(format!("{gone:#}").starts_with("the bank does not answer: no answer from 127.0.0.1:"), "{gone:#}");
    assert!(stop.load(Ordering::Relaxed), "the other workers end as well");
}
