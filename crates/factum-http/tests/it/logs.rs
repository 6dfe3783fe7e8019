//! What is logged about a request, and what never is.

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::Once,
};

use uuid::Uuid;

use crate::{
    toy::{Toy, UNBEARABLE, get, post, raise, send, with},
    troubled::{Trouble, Troubled},
};

thread_local! {
    /// What was logged on this thread since [`listen`]: a test has one thread for everything it does.
    static HEARD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct Ear;

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HEARD.with_borrow_mut(|heard| {
            if let Some(heard) = heard {
                heard.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From now on everything this thread logs is kept, at every level.
fn listen() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(|| Ear).init();
    });
    HEARD.set(Some(Vec::new()));
}

fn heard() -> String {
    HEARD.with_borrow(|heard| String::from_utf8(heard.clone().unwrap()).unwrap())
}

#[tokio::test]
async fn a_request_is_a_line_with_its_name_and_status_and_nothing_personal() {
    listen();
    let toy = Toy::new();
    let (write, read) = (toy.write_app(), toy.read_app());
    let journey = "6c0f0a1e-0000-4000-8000-00000000000a";
    let headers = [("idempotency-key", "secretkey"), ("factum-correlation-id", journey), ("x-any", "secretheader")];
    send(&write, with(post("/commands/raise?secretquery", r#"{"by":1,"note":"secretbody"}"#), &headers)).await;
    send(&write, post("/commands/raise", r#"{"by":"secretvalue"}"#)).await;
    send(&write, post("/commands/secretname", "{}")).await;
    send(&write, post("/secretpath", "{}")).await;
    send(&read, get("/queries/total?counter=secretcounter")).await;
    let text = heard();
    let answered = text.lines().filter(|line| line.contains("answered")).collect::<Vec<_>>();
    assert_eq!(answered.len(), 5, "{text}");
    for part in ["write", "POST", "name=\"raise\"", "status=200", "ms=", journey] {
        assert!(answered[0].contains(part), "{part} is not in {}", answered[0]);
    }
    assert!(answered[4].contains("name=\"total\"") && answered[4].contains("status=404"), "{}", answered[4]);
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn what_callers_are_not_told_operators_are() {
    listen();
    send(&Toy::new().write_app(), raise(Uuid::from_u128(1), UNBEARABLE)).await;
    assert!(heard().contains("ERROR") && heard().contains("cannot bear 13"), "{}", heard());
    send(&Toy::on(Troubled::new(Trouble::Unavailable).store()).write_app(), raise(Uuid::from_u128(1), 1)).await;
    assert!(heard().contains("secret-path"), "{}", heard());
}
