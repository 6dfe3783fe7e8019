//! The audit against a small bank that can be made to lie.

use serde_json::json;

use super::books::{ANN, AT, BEN, Books, DAY, FakeBank, SHORT, finds};
use super::*;

#[tokio::test]
async fn sound_books_are_clean() {
    let bank = FakeBank::with(Books::sound()).await;
    let report = bank.audit(SHORT).await;
    assert!(report.is_clean(), "{:?}", report.differences());
    let euros = report.totals["EUR"].clone();
    assert_eq!((euros.deposited, euros.withdrawn, euros.balances), (12_500, 2_550, 9_950));
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("audit of 2 accounts, 5 events, 0 transfers\n"), "{text}");
    assert!(text.contains("EUR  deposited 125.00  withdrawn 25.50  transferred 0.00  balances 99.50"), "{text}");
}

#[tokio::test]
async fn an_altered_balance_is_found_at_once_and_money_is_missing() {
    let begun = Instant::now();
    let mut books = Books::sound();
    books.summary(ANN, "Ann", "open", "99.49", "EUR", 3);
    let report = FakeBank::with(books).await.audit(CATCH_UP_MAX).await;
    assert!(begun.elapsed() < CATCH_UP_MAX, "a difference at the same version is not waited for");
    assert_eq!(report.differences_total(), 2, "{:?}", report.differences());
    assert!(report.differences()[0].contains("shows balance 99.49, the events make it 99.50"));
    assert!(report.differences()[1].contains("EUR: the events leave 9950 minor units, the statements show 9949"));
}

#[tokio::test]
async fn a_loop_that_failed_is_found_although_all_balances_are_equal() {
    let failed = |books: &mut Books| books.failed = Some("relay bank.accounts.account.events is failed");
    let said = "not ready: relay bank.accounts.account.events is failed";
    finds(failed, &[said, said]).await;
}

#[tokio::test]
async fn every_field_of_a_summary_counts() {
    finds(|books| books.summary(BEN, "Bob", "closed", "0", "JPY", 2), &["shows holder Bob"]).await;
    finds(|books| books.summary(BEN, "Ben", "open", "0", "JPY", 2), &["shows status open"]).await;
    finds(|books| books.summary(BEN, "Ben", "closed", "0", "EUR", 2), &["shows currency EUR"]).await;
    finds(|books| books.summary(BEN, "Ben", "closed", "0.00", "JPY", 2), &["shows balance 0.00"]).await;
    let held = |books: &mut Books| books.summaries.get_mut(ANN).unwrap()["available"] = json!("9.50");
    finds(held, &["shows available 9.50"]).await;
}

#[tokio::test]
async fn an_altered_statement_line_is_found_on_any_page() {
    fn alter(books: &mut Books, line: usize, field: &str, value: &str) {
        books.statements.get_mut(ANN).unwrap()[line][field] = json!(value);
    }
    let breaks = "at version 2: the balance is 125.00, but 0.00 and 125.01 came before";
    finds(|books| alter(books, 1, "amount", "125.01"), &[breaks]).await;
    finds(|books| alter(books, 2, "balance", "99.5"), &["at version 3: shows the balance \"99.5\""]).await;
    finds(|books| alter(books, 2, "kind", "deposited"), &["is deposited, but shows the amount"]).await;
    finds(|books| alter(books, 2, "kind", "transferred"), &["is of an unknown kind"]).await;
    finds(|books| alter(books, 0, "at", "2026-11-24T10:00:00Z"), &["are not what the events say"]).await;
    let both = |books: &mut Books| {
        alter(books, 1, "amount", "100.00");
        alter(books, 1, "balance", "100.00");
        alter(books, 2, "amount", "-0.50");
    };
    finds(both, &["are not what the events say"]).await;
    let lost = |books: &mut Books| drop(books.statements.get_mut(ANN).unwrap().remove(1));
    finds(lost, &["at version 3: follows version 1"]).await;
}

#[tokio::test]
async fn what_lags_is_waited_for_and_then_compared() {
    let mut books = Books::sound();
    let late = books.statements.get_mut(ANN).unwrap().pop().unwrap();
    let summary = books.summaries.remove(BEN).unwrap();
    let bank = FakeBank::with(books).await;
    let catching_up = async {
        // Both accounts were asked for once: now the rest arrives.
        while bank.server.asked().iter().filter(|asked| asked.parameter("account_id").is_some()).count() < 3 {
            tokio::task::yield_now().await;
        }
        let mut books = bank.books.lock().unwrap();
        books.line(ANN, &late);
        books.summaries.insert(BEN.to_owned(), summary);
    };
    let (report, ()) = tokio::join!(bank.audit(CATCH_UP_MAX), catching_up);
    assert!(report.is_clean(), "{:?}", report.differences());
}

#[tokio::test]
async fn what_never_arrives_is_a_difference() {
    let lost = |books: &mut Books| drop(books.statements.get_mut(ANN).unwrap().pop());
    finds(lost, &["not settled after 300ms: its statement ends at version 2, the events are at 3"]).await;
    finds(|books| drop(books.summaries.remove(BEN)), &["404 account-not-found"]).await;
}

#[tokio::test]
async fn an_account_that_moves_on_meanwhile_is_folded_on() {
    let mut books = Books::sound();
    // The statements already show a deposit that the audit has not read: it is the sixth event.
    books.summary(ANN, "Ann", "open", "100.50", "EUR", 4);
    books.line(ANN, &json!({ "version": 4, "at": AT, "kind": "deposited", "amount": "1.00", "balance": "100.50" }));
    let bank = FakeBank::with(books).await;
    let moving_on = async {
        while !bank.server.asked().iter().any(|asked| asked.parameter("account_id") == Some(ANN)) {
            tokio::task::yield_now().await;
        }
        let mut books = bank.books.lock().unwrap();
        books.deposit_for_ann(4, 100, 10_050);
        books.days.insert((DAY, "EUR"), ["126.00", "25.50", "0.00"]);
    };
    let (report, ()) = tokio::join!(bank.audit(CATCH_UP_MAX), moving_on);
    assert!(report.is_clean(), "{:?}", report.differences());
    assert_eq!(report.position, 6);
}

#[tokio::test]
async fn what_the_log_does_not_have_must_not_be_shown() {
    let ghost = |books: &mut Books| {
        books.summary(ANN, "Ann", "open", "100.50", "EUR", 4);
    };
    finds(ghost, &["version 4 is shown, but its events end at 3"]).await;
    let line = json!({ "version": 3, "at": AT, "kind": "deposited", "amount": "1", "balance": "1" });
    finds(|books| books.line(BEN, &line), &["version 3 is shown, but its events end at 2"]).await;
}

#[tokio::test]
async fn an_account_that_no_event_opened_is_found_in_the_lists() {
    const GHOST: &str = "018f3c1e-0000-7000-8000-0000000000ff";
    let in_all = |books: &mut Books| {
        books.summary(GHOST, "Ghost", "open", "0.00", "EUR", 1);
        books.lists.get_mut("").unwrap().push(GHOST);
    };
    finds(in_all, &["the list of all accounts: account 018f3c1e-0000-7000-8000-0000000000ff at version 1 is shown"])
        .await;
    let of_ann = |books: &mut Books| {
        books.summary(GHOST, "Ann", "open", "0.00", "EUR", 1);
        books.lists.get_mut("Ann").unwrap().push(GHOST);
    };
    finds(of_ann, &["the accounts of the holder of 018f3c1e-0000-7000-8000-000000000001: account"]).await;
    let of_another = |books: &mut Books| books.lists.get_mut("Ann").unwrap().push(BEN);
    finds(of_another, &["is shown, which the events do not have there"]).await;
}

#[tokio::test]
async fn an_account_that_a_list_lacks_or_repeats_is_found() {
    let lost = |books: &mut Books| books.lists.get_mut("").unwrap().retain(|account| *account != ANN);
    finds(lost, &["not settled in time: account 018f3c1e-0000-7000-8000-000000000001 at version 3 is not shown"]).await;
    let lost = |books: &mut Books| books.lists.get_mut("Ben").unwrap().clear();
    finds(lost, &["holder of 018f3c1e-0000-7000-8000-000000000002: not settled in time"]).await;
    let twice = |books: &mut Books| books.lists.get_mut("").unwrap().insert(1, ANN);
    finds(twice, &["shows account 018f3c1e-0000-7000-8000-000000000001 twice, or out of order"]).await;
    finds(|books| books.lists.get_mut("").unwrap().reverse(), &["twice, or out of order"]).await;
}

#[tokio::test]
async fn an_altered_total_of_a_day_is_found() {
    let eur = |totals| move |books: &mut Books| books.days.extend([((DAY, "EUR"), totals)]);
    let more =
        "the totals of 2026-11-23 in EUR: deposited 12501, withdrawn 2550 and transferred 0 minor units is shown";
    finds(eur(["125.01", "25.50", "0.00"]), &[more]).await;
    finds(eur(["125.00", "25.51", "0.00"]), &["the events make it deposited 12500, withdrawn 2550"]).await;
    finds(eur(["124.99", "25.50", "0.00"]), &["not settled in time: deposited 12499"]).await;
    finds(eur(["125.00", "25.49", "0.00"]), &["not settled in time: deposited 12500, withdrawn 2549"]).await;
    finds(eur(["125.00", "25.50", "0.01"]), &["transferred 1 minor units is shown"]).await;
    finds(eur(["125", "25.50", "0.00"]), &["deposited \"125\""]).await;
    let in_yen = |books: &mut Books| books.days.extend([((DAY, "JPY"), ["1", "0", "0"])]);
    finds(in_yen, &["the totals of 2026-11-23 in JPY: deposited 1,"]).await;
}

#[tokio::test]
async fn totals_that_lag_are_waited_for() {
    let mut books = Books::sound();
    books.days.insert((DAY, "EUR"), ["0.00", "0.00", "0.00"]);
    let bank = FakeBank::with(books).await;
    let catching_up = async {
        while !bank.server.asked().iter().any(|asked| asked.parameter("currency") == Some("EUR")) {
            tokio::task::yield_now().await;
        }
        bank.books.lock().unwrap().days.insert((DAY, "EUR"), ["125.00", "25.50", "0.00"]);
    };
    let (report, ()) = tokio::join!(bank.audit(CATCH_UP_MAX), catching_up);
    assert!(report.is_clean(), "{:?}", report.differences());
}

#[tokio::test]
async fn a_rule_that_an_event_breaks_is_a_difference() {
    let twice = |books: &mut Books| books.events[3]["metadata"]["command_id"] = json!("command-3");
    finds(twice, &["repeats the effect of command command-3"]).await;
}

#[tokio::test]
async fn differences_are_kept_up_to_a_bound_and_counted_beyond() {
    let mut report = Report::default();
    for number in 0..report::DIFFERENCES_KEPT_MAX + 7 {
        report.differs(format!("difference {number}"));
    }
    assert_eq!(report.differences().len(), report::DIFFERENCES_KEPT_MAX);
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("… and 7 more\n") && text.ends_with("not clean: 57 differences\n"), "{text}");
}
