//! What moved on a day: sums in UTC days, the same in whatever order the partitions deliver.

use factum::{Timestamp, testing::NOW};

use crate::world::{World, account, known, transfer};

fn at(moment: &str) -> Timestamp {
    moment.parse().unwrap()
}

#[tokio::test]
async fn each_day_and_currency_has_its_own_sums() {
    let mut world = World::new();
    for (number, currency) in [(1, "EUR"), (2, "EUR"), (3, "JPY")] {
        world.opened(account(number), known("Ada"), currency);
    }
    world.deposited(account(1), 12_500, at("2026-11-23T00:00:00Z"));
    world.deposited(account(2), 5, at("2026-11-23T23:59:59.999999Z"));
    world.withdrawn(account(1), 2_550, at("2026-11-23T12:00:00Z"));
    world.deposited(account(1), 100, at("2026-11-24T00:00:00Z"));
    world.deposited(account(3), 700, at("2026-11-23T12:00:00Z"));
    assert_eq!(world.totals("2026-11-23", "EUR").await, ["125.05", "25.50", "0.00"]);
    assert_eq!(world.totals("2026-11-24", "EUR").await, ["1.00", "0.00", "0.00"]);
    assert_eq!(world.totals("2026-11-23", "JPY").await, ["700", "0", "0"]);
}

#[tokio::test]
async fn a_day_without_anything_has_zeros() {
    let mut world = World::new();
    world.opened(account(1), known("Ada"), "EUR");
    world.closed(account(1));
    assert_eq!(world.totals("2026-11-23", "EUR").await, ["0.00", "0.00", "0.00"]);
    assert_eq!(world.totals("1999-12-31", "KWD").await, ["0.000", "0.000", "0.000"]);
}

#[tokio::test]
async fn sums_go_far_beyond_what_one_account_can_hold() {
    let mut world = World::new();
    for number in 0..40 {
        world.opened(account(number), known("Ada"), "EUR");
        world.deposited(account(number), u64::MAX, NOW);
    }
    let sum = u128::from(u64::MAX) * 40;
    let text = format!("{}.{:02}", sum / 100, sum % 100);
    assert_eq!(world.totals("2026-11-23", "EUR").await[0], text);
}

#[tokio::test]
async fn the_order_between_accounts_does_not_matter() {
    const SEEDS: u64 = 20;
    const ACCOUNTS: u64 = 6;
    let mut answers = Vec::new();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        // In order within an account, in any order between them: as partitions deliver.
        let mut done = [0; ACCOUNTS as usize];
        let mut steps: Vec<u64> = (0..ACCOUNTS).flat_map(|number| [number; 12]).collect();
        random.shuffle(&mut steps);
        for number in steps {
            let step = done[number as usize];
            done[number as usize] += 1;
            let day = NOW.plus(std::time::Duration::from_secs(step / 4 * 86_400));
            match step {
                0 => world.opened(account(number), known("Ada"), "EUR"),
                step if step % 3 == 0 => world.withdrawn(account(number), number + step, day),
                step if step % 4 == 1 => world.credited(account(number), transfer(step), 7 * step + number, day),
                step => world.deposited(account(number), 100 * (number + step), day),
            }
        }
        let mut days = Vec::new();
        for day in ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26"] {
            days.push(world.totals(day, "EUR").await);
        }
        answers.push(days);
    }
    assert!(answers.iter().all(|days| *days == answers[0]), "{answers:?}");
    assert_ne!(answers[0][0], answers[0][1]);
    assert!(answers[0].iter().any(|[_, _, transferred]| transferred != "0.00"), "{answers:?}");
}

#[tokio::test]
async fn what_is_no_day_or_currency_is_refused_by_field() {
    let world = World::new();
    for date in ["", "today", "2026-11-31", "2026-1-1", "20261123", "2026-11-23T00:00:00Z", "1969-12-31"] {
        assert_eq!(world.blamed("daily-totals", &format!("date={date}&currency=EUR")).await, "date", "{date}");
    }
    for currency in ["", "eur", "ZZZZ", "EU", "%20EUR"] {
        let parameters = format!("date=2026-11-23&currency={currency}");
        assert_eq!(world.blamed("daily-totals", &parameters).await, "currency", "{currency}");
    }
    assert_eq!(world.blamed("daily-totals", "currency=EUR").await, "date");
    assert_eq!(world.blamed("daily-totals", "date=2026-11-23").await, "currency");
}
