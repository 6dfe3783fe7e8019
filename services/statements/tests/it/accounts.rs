//! Which accounts there are, and whose.

use factum::{Personal, testing::NOW};
use serde_json::json;

use crate::world::{World, account, ids, known};

#[tokio::test]
async fn a_holder_sees_exactly_their_own() {
    let mut world = World::new();
    world.opened(account(1), known("Ada"), "EUR");
    world.opened(account(2), known("Ada"), "JPY");
    // A longer name, another spelling, a space.
    for (number, holder) in (3..).zip(["Ada Lovelace", "ada", "Ada ", "Äda"]) {
        world.opened(account(number), known(holder), "EUR");
    }
    world.deposited(account(1), 9_950, NOW);
    world.closed(account(2));
    let answer = world.ask("accounts", "holder=Ada").await.unwrap();
    let mut expected = [account(1), account(2)].map(|id| id.to_string());
    expected.sort();
    assert_eq!(ids(&answer), expected);
    assert_eq!(answer["next"], json!(null));
    for summary in answer["accounts"].as_array().unwrap() {
        let id = summary["account_id"].as_str().unwrap();
        assert_eq!(*summary, world.ask("account-summary", &format!("account_id={id}")).await.unwrap());
    }
    assert_eq!(ids(&world.ask("accounts", "holder=Ada+Lovelace").await.unwrap()), [account(3).to_string()]);
    assert_eq!(world.ask("accounts", "holder=Nobody").await.unwrap(), json!({ "accounts": [], "next": null }));
}

#[tokio::test]
async fn the_accounts_of_a_forgotten_holder_are_nobodys_but_still_there() {
    let mut world = World::new();
    world.opened(account(1), Personal::Forgotten, "EUR");
    let all = world.ask("accounts", "").await.unwrap();
    assert_eq!(ids(&all), [account(1).to_string()]);
    assert_eq!(all["accounts"][0]["holder"], json!(null));
    assert_eq!(ids(&world.ask("accounts", "holder=null").await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn a_cursor_shows_no_name() {
    let mut world = World::new();
    let holder = "Ada Lovelace, Countess";
    for number in 0..3 {
        world.opened(account(number), known(holder), "EUR");
    }
    let page = world.ask("accounts", "holder=Ada+Lovelace,+Countess&limit=1").await.unwrap();
    let cursor = page["next"].as_str().unwrap();
    // As base64 at any of the three alignments, or plain.
    for hidden in ["Lovelace", "TG92ZWxhY2", "xvdmVsYWN", "Mb3ZlbGFjZ"] {
        assert!(!cursor.contains(hidden), "{cursor}");
    }
    let query = format!(
        "{:?}",
        statements::queries::GetAccounts {
            holder: Some(serde_json::from_value(json!(holder)).unwrap()),
            limit: None,
            cursor: None,
        }
    );
    assert!(!query.contains("Lovelace"), "{query}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_field() {
    let world = World::new();
    for holder in [String::new(), "x".repeat(201), "A%00".to_owned(), "A%0A".to_owned(), "A%C2%85".to_owned()] {
        assert_eq!(world.blamed("accounts", &format!("holder={holder}")).await, "holder", "{holder}");
    }
    for limit in ["0", "501", "100000000", "-1", "ten", ""] {
        assert_eq!(world.blamed("accounts", &format!("limit={limit}")).await, "limit", "{limit}");
    }
    for limit in [1, 500] {
        world.ask("accounts", &format!("limit={limit}")).await.unwrap();
    }
}
