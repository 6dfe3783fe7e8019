//! The conformance kit finds what is planted, and nothing where nothing is wrong.

mod orders;

use std::{
    collections::BTreeMap,
    panic::catch_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use factum::{
    Runtime,
    prelude::*,
    reactor::{EffectError, Outside, Reactions, Reactor},
    testing::conformance::{self, Sample},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Sold {
    by: String,
    amount: u64,
}

#[derive(Clone, Event)]
enum SaleMessage {
    #[factum(name = "shop.till.sold.v1")]
    Sold(Sold),
}

/// Three tills, whose sales alternate.
fn sales() -> Sample<SaleMessage> {
    (1..=12).fold(Sample::new(), |sample, amount| {
        let till = format!("till-{}", amount % 3);
        sample.after(&till, [SaleMessage::Sold(Sold { by: till.clone(), amount })])
    })
}

/// A projection with one line that makes the difference.
macro_rules! projection {
    ($name:ident, $text:literal, |$sold:ident, $from:ident, $tx:ident| $body:expr) => {
        #[derive(Default)]
        struct $name;

        impl Projection for $name {
            const NAME: &'static str = $text;
            const VERSION: u32 = 1;
            type Event = SaleMessage;

            fn project(
                &self,
                SaleMessage::Sold($sold): &SaleMessage,
                $from: &Delivery,
                $tx: &mut dyn ReadTransaction,
            ) -> Result<(), ReadError> {
                $body
            }
        }
    };
}

const TOTALS: Table<u64> = Table::of::<Totals>("totals");
projection!(Totals, "totals", |sold, _from, tx| {
    let (till, all) = (Key::from(sold.by.as_str()), Key::from("all"));
    for key in [till, all] {
        let before = TOTALS.get(tx, &key)?.unwrap_or(0);
        TOTALS.put(tx, &key, &(before + sold.amount))?;
    }
    Ok(())
});

static FOLDED: AtomicU64 = AtomicU64::new(0);
const NUMBERED: Table<u64> = Table::of::<Numbered>("numbered");
projection!(Numbered, "numbered", |_sold, from, tx| {
    NUMBERED.put(tx, &Key::from(from.event_id.to_string().as_str()), &FOLDED.fetch_add(1, Ordering::SeqCst))
});

const LINES: Table<u64> = Table::of::<Lines>("lines");
projection!(Lines, "lines", |sold, _from, tx| {
    let id = Runtime::tokio().new_id().to_string();
    LINES.put(tx, &Key::from(id.as_str()), &sold.amount)
});

const LAST: Table<u64> = Table::of::<LastSale>("last");
projection!(LastSale, "last-sale", |sold, _from, tx| LAST.put(tx, &Key::from("of all tills"), &sold.amount));

const LAST_OF_TILL: Table<u64> = Table::of::<LastOfTill>("last");
projection!(LastOfTill, "last-of-till", |sold, _from, tx| {
    LAST_OF_TILL.put(tx, &Key::from(sold.by.as_str()), &sold.amount)
});

const SO_FAR: Table<u64> = Table::of::<SoFar>("so_far");
projection!(SoFar, "so-far", |sold, _from, tx| {
    let all = SO_FAR.get(tx, &Key::from("all"))?.unwrap_or(0) + sold.amount;
    SO_FAR.put(tx, &Key::from("all"), &all)?;
    SO_FAR.put(tx, &Key::from(sold.by.as_str()), &all)
});

/// Would know its totals by heart.
#[derive(Default)]
struct ByHeart(Mutex<BTreeMap<String, u64>>);

const BY_HEART: Table<u64> = Table::of::<ByHeart>("totals");

impl Projection for ByHeart {
    const NAME: &'static str = "by-heart";
    const VERSION: u32 = 1;
    type Event = SaleMessage;

    fn project(&self, event: &SaleMessage, _: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let SaleMessage::Sold(sold) = event;
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total = totals.entry(sold.by.clone()).or_insert(0);
        *total += sold.amount;
        BY_HEART.put(tx, &Key::from(sold.by.as_str()), total)
    }
}

projection!(Fails, "fails", |_sold, _from, _tx| Err(ReadError::Broken("it never works".to_owned())));

fn found(story: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(story).expect_err("something is wrong with it");
    factum::runtime::panic_text(panic.as_ref())
}

#[test]
fn sums_and_documents_of_one_key_conform() {
    conformance::projection::<Totals>(sales());
    conformance::projection::<LastOfTill>(sales());
}

#[test]
fn state_outside_of_the_transaction_is_found() {
    let found = found(|| conformance::projection::<Numbered>(sales()));
    assert!(found.contains("numbered@1 does not conform, seed 0: table numbered, key"), "{found}");
    assert!(found.contains("undisturbed: ") && found.contains("what was done:"), "{found}");
}

/// It is built anew for every message: what it learns by heart, it has forgotten by the next one.
#[test]
fn nothing_is_kept_in_a_projection_beside_its_documents() {
    conformance::projection::<ByHeart>(sales());
}

#[test]
fn a_document_of_one_key_that_depends_on_how_far_the_others_are_is_found() {
    let found = found(|| conformance::projection::<SoFar>(sales()));
    assert!(found.contains("so-far@1 does not conform") && found.contains("table so_far"), "{found}");
}

/// Whoever reads a failure need not look up how one seed is tried again.
#[test]
fn how_to_try_the_seed_again_is_told() {
    let line = |found: String| found.lines().find(|line| line.starts_with("again: ")).map(str::to_owned);
    let of_topics = found(|| conformance::projection_over::<Numbered>(sales(), 7..9));
    assert_eq!(line(of_topics).as_deref(), Some("again: conformance::projection_over::<Numbered>(sample, 7..8)"));
    let of_own = found(|| conformance::own_projection_over::<Numbered>(sales(), 7..9));
    assert_eq!(line(of_own).as_deref(), Some("again: conformance::own_projection_over::<Numbered>(sample, 7..8)"));
    let of_reactor = found(|| conformance::reactor_over(|| Tells { id: random }, sales(), 7..9));
    assert_eq!(line(of_reactor).as_deref(), Some("again: conformance::reactor_over(make, sample, 7..8)"));
}

#[test]
fn a_line_appended_under_a_random_id_is_found() {
    let found = found(|| conformance::projection::<Lines>(sales()));
    assert!(found.contains("lines@1 does not conform") && found.contains("(no document)"), "{found}");
}

#[test]
fn a_last_writer_document_fed_by_two_partitions_is_found() {
    let found = found(|| conformance::projection::<LastSale>(sales()));
    assert!(found.contains("last-sale@1 does not conform") && found.contains("undisturbed: 12"), "{found}");
}

#[test]
fn what_does_not_even_work_undisturbed_is_told() {
    let found = found(|| conformance::projection::<Fails>(sales()));
    assert!(found.contains("does not get through the sample undisturbed"), "{found}");
    assert!(found.contains("it never works"), "{found}");
}

#[test]
fn a_projection_of_own_events_conforms_or_is_found() {
    conformance::own_projection::<LastSale>(sales());
    let found = found(|| conformance::own_projection::<Lines>(sales()));
    assert!(found.contains("lines@1 does not conform"), "{found}");
}

/// Tells of large sales, under an id of its own making.
struct Tells {
    id: fn(&Delivery) -> String,
}

impl Reactor for Tells {
    const NAME: &'static str = "tells";
    type Event = SaleMessage;
    type Effect = String;

    fn react(&self, SaleMessage::Sold(sold): &SaleMessage, from: &Delivery) -> Reactions<String> {
        Reactions::maybe((sold.amount > 3).then(|| format!("{}: {}", (self.id)(from), sold.amount)))
    }

    async fn perform(&self, _: &String, _: &Outside) -> Result<(), EffectError> {
        panic!("nobody outside is told in a test")
    }
}

/// The same, of what is heard on a topic.
struct Hears(Tells);

impl Reactor for Hears {
    const NAME: &'static str = "hears";
    const TOPICS: &'static [&'static str] = &[conformance::TOPIC];
    type Event = SaleMessage;
    type Effect = String;

    fn react(&self, event: &SaleMessage, from: &Delivery) -> Reactions<String> {
        self.0.react(event, from)
    }

    async fn perform(&self, _: &String, _: &Outside) -> Result<(), EffectError> {
        panic!("nobody outside is told in a test")
    }
}

fn derived(from: &Delivery) -> String {
    from.event_id.to_string()
}

fn random(_: &Delivery) -> String {
    Runtime::tokio().new_id().to_string()
}

#[test]
fn reactors_with_derived_ids_conform() {
    conformance::reactor(|| Tells { id: derived }, sales());
    conformance::reactor(|| Hears(Tells { id: derived }), sales());
}

#[test]
fn a_reactor_that_panics_over_one_event_is_found() {
    let not_the_seventh = |from: &Delivery| {
        assert!(from.position.get() != 7, "not the seventh");
        derived(from)
    };
    let found = found(move || conformance::reactor(move || Tells { id: not_the_seventh }, sales()));
    assert!(found.contains("it failed for good") && found.contains("not the seventh"), "{found}");
}

#[test]
fn a_random_id_in_a_reactor_is_found() {
    let found_own = found(|| conformance::reactor(|| Tells { id: random }, sales()));
    assert!(found_own.contains("reactor tells does not conform, seed 0: effect 1 of till-"), "{found_own}");
    let found = found(|| conformance::reactor(|| Hears(Tells { id: random }), sales()));
    assert!(found.contains("reactor hears does not conform, seed 0"), "{found}");
}
