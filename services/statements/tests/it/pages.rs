//! Walks over pages while everything changes: what is there all the time is seen exactly once, in order.

use std::collections::BTreeSet;

use factum::testing::NOW;
use serde_json::Value;
use uuid::Uuid;

use crate::world::{World, account, ids, known};

const SEEDS: u64 = 10;
/// Accounts that are there before a walk begins.
const ACCOUNTS: u64 = 40;
/// Writes between two pages.
const WRITES: usize = 4;

/// A bank in which things go on.
struct Bustle {
    world: World,
    random: fastrand::Rng,
    opened: u64,
    open: Vec<Uuid>,
}

impl Bustle {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let mut bustle =
            Self { world: World::new(), random: fastrand::Rng::with_seed(seed), opened: 0, open: Vec::new() };
        (0..ACCOUNTS).for_each(|_| bustle.open());
        bustle
    }

    fn open(&mut self) {
        let id = account(self.opened);
        self.opened += 1;
        self.world.opened(id, known("Ada"), "EUR");
        self.open.push(id);
    }

    /// Opens, changes or closes some accounts.
    fn go_on(&mut self) {
        for _ in 0..WRITES {
            let index = self.random.usize(..self.open.len());
            match self.random.u8(..4) {
                0 => self.open(),
                1 if self.open.len() > 1 => {
                    let id = self.open.swap_remove(index);
                    self.world.closed(id);
                }
                _ => self.world.deposited(self.open[index], self.random.u64(1..10_000), NOW),
            }
        }
    }

    /// All pages of a question, with writes between them; what `items` finds on each, one after the other.
    async fn walk(&mut self, name: &str, parameters: &str, items: impl Fn(&Value) -> Vec<String>) -> Vec<String> {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.world.ask(name, &format!("{parameters}&limit=3{cursor}")).await.unwrap();
            seen.extend(items(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return seen,
            }
            self.go_on();
        }
    }
}

/// `seen` has all of `before`, nothing twice, in order.
fn assert_whole(seen: &[String], before: &BTreeSet<String>) {
    assert!(seen.is_sorted_by(|one, next| one < next), "in order, nothing twice: {seen:?}");
    let missing: Vec<_> = before.iter().filter(|id| seen.binary_search(id).is_err()).collect();
    assert!(missing.is_empty(), "{missing:?} were there all the time");
}

#[tokio::test]
async fn accounts_are_seen_once_while_others_come_and_all_change() {
    for seed in 0..SEEDS {
        for whose in ["", "holder=Ada"] {
            let mut bustle = Bustle::new(seed);
            let before: BTreeSet<String> = bustle.open.iter().map(Uuid::to_string).collect();
            let seen = bustle.walk("accounts", whose, ids).await;
            assert_whole(&seen, &before);
            assert!(seen.len() > before.len(), "some of those opened meanwhile are seen");
        }
    }
}

#[tokio::test]
async fn lines_are_seen_once_while_others_come() {
    for seed in 0..SEEDS {
        let mut bustle = Bustle::new(seed);
        let id = bustle.open.remove(0);
        (0..20).for_each(|_| bustle.world.deposited(id, 1, NOW));
        // What goes on elsewhere, and sometimes here.
        bustle.open.push(id);
        let before: BTreeSet<String> = (1..=21).map(|version| format!("{version:04}")).collect();
        let versions = |page: &Value| {
            let lines = page["lines"].as_array().unwrap().iter();
            lines.map(|line| format!("{:04}", line["version"].as_u64().unwrap())).collect()
        };
        let seen = bustle.walk("statement", &format!("account_id={id}"), versions).await;
        assert_whole(&seen, &before);
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_question_only() {
    let mut world = World::new();
    for (number, holder) in [(1, "Ada"), (2, "Ada"), (3, "Ben"), (4, "Ben")] {
        world.opened(account(number), known(holder), "EUR");
        world.deposited(account(number), 100, NOW);
    }
    let questions = [
        ("accounts", "holder=Ada".to_owned()),
        ("accounts", "holder=Ben".to_owned()),
        ("accounts", "limit=1".to_owned()),
        ("statement", format!("account_id={}", account(1))),
        ("statement", format!("account_id={}", account(2))),
    ];
    let mut cursors = Vec::new();
    for (name, parameters) in &questions {
        let limit = if parameters.contains("limit") { "" } else { "&limit=1" };
        let page = world.ask(name, &format!("{parameters}{limit}")).await.unwrap();
        cursors.push(page["next"].as_str().unwrap().to_owned());
    }
    for (asked, (name, parameters)) in questions.iter().enumerate() {
        for (given, cursor) in cursors.iter().enumerate() {
            let parameters = format!("{parameters}&cursor={cursor}");
            if asked == given {
                world.ask(name, &parameters).await.unwrap();
            } else {
                assert_eq!(world.blamed(name, &parameters).await, "cursor", "{parameters}");
            }
        }
        for garbage in ["", "garbage", "%2F%2F%2F", "AAAAAAAAAAAAAAAAAAAA", &"A".repeat(10_000)] {
            assert_eq!(world.blamed(name, &format!("{parameters}&cursor={garbage}")).await, "cursor", "{garbage}");
        }
    }
}
