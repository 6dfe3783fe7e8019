use serde_json::json;

use super::*;
use crate::client::Surfaces;
use crate::client::fake::{Answered, FakeServer};

fn event(position: u64) -> serde_json::Value {
    json!({
        "position": position, "stream": "account-7f3", "version": 2, "type": "account.funds-deposited",
        "data": { "amount": 12_500, "currency": "EUR" },
        "metadata": { "recorded_at": "2026-11-23T10:00:00Z", "command_id": "c", "actor": "someone" }
    })
}

/// A log of five events that gives at most two a page.
async fn log_of_five() -> (FakeServer, BankClient) {
    let server = FakeServer::start(|asked| {
        let after: u64 = asked.parameter("after").unwrap().parse().unwrap();
        let page: Vec<_> = (after + 1..=5).take(2).map(event).collect();
        Answered::lines(&page)
    })
    .await;
    let client = BankClient::at(Surfaces::all_at(server.address));
    (server, client)
}

fn args(after: u64, json: bool) -> EventsArgs {
    EventsArgs { bank: BankAddress::above(7000), of: Log::Accounts, after, follow: false, json }
}

#[tokio::test]
async fn events_are_readable_lines_from_where_one_asks() {
    let (_server, client) = log_of_five().await;
    let mut out = Vec::new();

    print_events(&client, &args(3, false), &mut out).await.unwrap();

    let line = "2026-11-23T10:00:00Z  account-7f3  v2     account.funds-deposited  amount=12500 currency=\"EUR\"";
    assert_eq!(String::from_utf8(out).unwrap(), format!("       4  {line}\n       5  {line}\n"));
}

#[tokio::test]
async fn as_json_an_event_is_what_the_service_gave() {
    let (_server, client) = log_of_five().await;
    let mut out = Vec::new();

    print_events(&client, &args(4, true), &mut out).await.unwrap();

    assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), event(5));
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (server, client) = log_of_five().await;

    print_events(&client, &args(0, false), &mut Closed).await.unwrap();

    assert_eq!(server.asked().len(), 1, "nothing more is asked for");
}

#[test]
fn long_data_is_shortened_between_characters() {
    let mut long: LoggedEvent = serde_json::from_value(event(1)).unwrap();
    long.data = json!({ "holder": "é".repeat(1_000) });
    let line = line::readable(&long);
    assert!(line.ends_with("é…") && line.chars().count() < 300, "{line}");
}
