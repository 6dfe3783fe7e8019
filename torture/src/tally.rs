//! How often something was sent again, and dropped as something that was had already, as the services count it.

use std::collections::HashMap;

use serde_json::Value;
use system_tests::{Side, Surfaces};

/// What the services counted. Their counters begin anew with each process, and what one counted since it was asked last
/// dies with it: these are the least that happened.
#[derive(Debug, Default)]
pub struct Tally {
    /// The last value of each counter.
    last: HashMap<String, u64>,
    /// Messages that relays had published before.
    pub sent_again: u64,
    /// Messages that consumers dropped because they had had them.
    pub dropped: u64,
}

impl Tally {
    /// Asks all that answer.
    pub async fn ask(&mut self, bank: &Surfaces, replica: &Surfaces) {
        for side in Side::ALL {
            for relay in told(bank, side, "relays").await {
                let topic = relay["topic"].as_str().unwrap_or_default();
                self.sent_again += self.rise(format!("{side:?} {topic}"), &relay["resent"]);
            }
        }
        let all = Side::ALL.map(|side| (bank, side, "")).into_iter().chain([(replica, Side::Read, "second ")]);
        for (surfaces, side, which) in all {
            for consumer in told(surfaces, side, "consumers").await {
                let name = consumer["consumer"].as_str().unwrap_or_default();
                self.dropped += self.rise(format!("{which}{side:?} {name}"), &consumer["dropped"]);
            }
        }
    }

    /// By how much a counter rose.
    fn rise(&mut self, counter: String, now: &Value) -> u64 {
        let now = now.as_u64().unwrap_or_default();
        let last = self.last.insert(counter, now).unwrap_or_default();
        // Less than before: of a new process.
        now.checked_sub(last).unwrap_or(now)
    }
}

async fn told(surfaces: &Surfaces, side: Side, what: &str) -> Vec<Value> {
    // Dead or stopped: the next time.
    match surfaces.send(side, "GET", &format!("/admin/{what}"), Vec::new(), &[]).await {
        Ok(answer) => answer.json[what].as_array().cloned().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_counter_that_begins_anew_adds_to_what_the_one_before_had_come_to() {
        let mut tally = Tally::default();
        let risen: Vec<u64> = [3, 5, 5, 2, 2, 4].map(|now| tally.rise("one".into(), &json!(now))).to_vec();
        assert_eq!(risen, [3, 2, 0, 2, 0, 2]);
        assert_eq!(tally.rise("other".into(), &json!(1)), 1, "of another counter");
    }
}
