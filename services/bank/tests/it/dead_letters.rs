//! `bank dead-letters`: somebody writes to the topic of commands what is none, and an operator deals with it.

use std::process::Output;

use factum::{
    Timestamp,
    bus::{Bus, Headers, LocalBus, LocalBusOptions, NewRecord, TopicPartition},
};
use serde_json::Value;

use crate::bank::Site;

/// The port of accounts above the base.
const ACCOUNTS: u16 = 1;

/// Puts a record without a readable id where transfers put commands to accounts. The bank must not run.
async fn write(site: &Site, value: &'static [u8]) {
    let bus = LocalBus::open(site.data().join("bus"), LocalBusOptions::default()).unwrap();
    let record = NewRecord {
        key: "account-1".into(),
        headers: Headers::new(),
        value: value.into(),
        timestamp: Timestamp::from_micros(0),
    };
    let to = TopicPartition::new("bank.accounts.commands.transfers", 3);
    bus.producer().await.unwrap().produce(vec![(to, record)]).await.unwrap();
    bus.close().await.unwrap();
}

fn listed(site: &Site) -> Value {
    let Output { status, stdout, stderr } = site.tool(&["dead-letters", "list", "--json"]);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn what_is_no_command_is_shown_with_an_alarm_until_somebody_acknowledges_it() {
    let site = Site::new();
    drop(site.start());
    write(&site, b"what\n?\x1b[2J").await;
    write(&site, b"\xff").await;

    // Over a restart, and as often as it is started.
    for _ in 0..2 {
        let _bank = site.start();
        site.until("shows both", || listed(&site)["open"] == 2);
        site.until("raises an alarm", || site.readiness(ACCOUNTS).contains("2 records that are no commands"));
        assert!(site.readiness(ACCOUNTS).starts_with("HTTP/1.1 200"), "it goes on");
    }
    let bank = site.start();
    site.until("shows both", || listed(&site)["open"] == 2);
    let letters = listed(&site)["letters"].clone();
    let first = &letters[0];
    assert_eq!((&first["partition"], &first["value_bytes"]), (&3.into(), &10.into()), "{first}");
    assert_eq!(first["text"], "what\n?\u{1b}[2J");
    assert_eq!((&letters[1]["text"], &letters[1]["value_bytes"]), (&Value::Null, &1.into()));
    let told = said(&site.tool(&["dead-letters", "list"]));
    assert!(told.contains("10 bytes") && !told.contains('\u{1b}'), "{told:?}");

    // One after the other, each by its id and with a reason.
    let id = |letter: usize| letters[letter]["event_id"].as_str().unwrap().to_owned();
    let unknown = site.tool(&["dead-letters", "acknowledge", &uuid::Uuid::nil().to_string(), "--reason", "why not"]);
    assert!(!unknown.status.success() && said(&unknown).contains("list those that do"), "{}", said(&unknown));
    for (letter, left) in [(0, "acknowledged 1, 1 left"), (1, "acknowledged 1, nothing left")] {
        let done = site.tool(&["dead-letters", "acknowledge", &id(letter), "--reason", "sent by a test"]);
        assert!(done.status.success() && said(&done).starts_with(left), "{}", said(&done));
    }
    assert_eq!(said(&site.tool(&["dead-letters", "list"])), "no dead letters\n");
    site.until("ends the alarm", || !site.readiness(ACCOUNTS).contains("no commands"));
    drop(bank);

    // For good.
    let _bank = site.start();
    assert_eq!(listed(&site)["open"], 0);
    assert!(!site.readiness(ACCOUNTS).contains("no commands"));
    let audited = site.tool(&["audit"]);
    assert!(audited.status.success(), "{}", said(&audited));
}
