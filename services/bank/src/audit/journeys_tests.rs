//! Transfers in the audit: what it finds when one thing about them is not as it was.

use serde_json::json;

use super::CATCH_UP_MAX;
use super::books::{Books, FakeBank, PAID, SHORT, finds_in};

async fn finds(lie: impl FnOnce(&mut Books), differences: &[&str]) {
    finds_in(Books::with_a_transfer(), lie, differences).await;
}

#[tokio::test]
async fn sound_books_with_a_transfer_are_clean() {
    let report = FakeBank::with(Books::with_a_transfer()).await.audit(CATCH_UP_MAX).await;
    assert!(report.is_clean(), "{:?}", report.differences());
    let euros = report.totals["EUR"].clone();
    assert_eq!((euros.credited, euros.captured, euros.held, euros.balances), (2_500, 2_500, 0, 9_950));
    assert_eq!(report.transfers, 1);
}

#[tokio::test]
async fn a_transfer_that_is_left_open_is_found() {
    let left = "transfer 018f3c1e-0000-7000-8000-0000000000f1: left open: waits for the capture";
    finds(|books| drop(books.of_transfers.pop()), &[left]).await;
}

#[tokio::test]
async fn an_amount_that_was_altered_is_found() {
    let asked = |books: &mut Books| books.of_transfers[0]["data"]["amount"] = json!(2_501);
    finds(asked, &["has 2500 as amount, asked for was 2501", "held, where it must be 2501 EUR"]).await;
    // The credit, with all sums on its account made to fit: only the transfer tells that it is one cent too many.
    let credited = |books: &mut Books| {
        for field in ["amount", "balance"] {
            books.events[7]["data"][field] = json!(2_501);
        }
    };
    let fitting = [
        "2501 EUR on 018f3c1e-0000-7000-8000-000000000003 is credited",
        "shows balance 25.00, the events make it 25.01",
        "the list of all accounts",
        "the totals of 2026-11-23",
        "EUR: the events leave 9951",
        "EUR: transfers brought 2501 minor units and took 2500",
    ];
    finds(credited, &[fitting[0], fitting[1], fitting[3], fitting[4], fitting[5]]).await;
}

#[tokio::test]
async fn an_event_that_was_dropped_is_found() {
    let hole = "positions are not dense";
    let of_accounts = |books: &mut Books| drop(books.events.remove(7));
    let report = audited(of_accounts).await;
    assert!(report.iter().any(|found| found.contains(hole)), "{report:?}");
    assert!(report.iter().any(|found| found.contains("nothing is credited")), "{report:?}");
    let report = audited(|books| drop(books.of_transfers.remove(1))).await;
    assert!(report.iter().any(|found| found.contains(hole)), "{report:?}");
    assert!(report.iter().any(|found| found.contains("comes to a transfer that waits for the hold")), "{report:?}");
}

/// What is found, of whatever number.
async fn audited(lie: impl FnOnce(&mut Books)) -> Vec<String> {
    let mut books = Books::with_a_transfer();
    lie(&mut books);
    let report = FakeBank::with(books).await.audit(SHORT).await;
    report.differences().to_vec()
}

#[tokio::test]
async fn what_statements_show_of_a_transfer_must_be_what_the_events_say() {
    fn shown(books: &mut Books, field: &str, value: &str) {
        books.transfers.get_mut(PAID).unwrap()[field] = json!(value);
    }
    finds(|books| shown(books, "status", "rejected"), &["statements shows"]).await;
    finds(|books| shown(books, "amount", "25.01"), &["25.01"]).await;
    finds(|books| shown(books, "reason", "cancelled"), &["cancelled"]).await;
    finds(|books| shown(books, "status", "pending"), &["left open: statements shows it as pending"]).await;
    finds(|books| drop(books.transfers.remove(PAID)), &["left open: statements answers 404"]).await;
}

#[tokio::test]
async fn money_that_moved_for_a_transfer_nobody_asked_for_is_found() {
    let nobody = |books: &mut Books| books.of_transfers.clear();
    finds(nobody, &["accounts moved money for it, and nobody asked for it"]).await;
}
