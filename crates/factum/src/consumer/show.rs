//! What consumers show of themselves.

use std::sync::Arc;

use super::{book::Gap, end::PartitionStop, plan::Plan};
use crate::{
    bus::{Offset, TopicPartition},
    quarantine::QUARANTINE_ALARM,
    rebuild::KEPT_ALARM,
    receiver::DEAD_LETTERS_ALARM,
    relay::LOOK_EVERY,
    runtime::{LoopState, Status},
    store::Position,
};

/// Nothing is known yet: what was said of partitions is of a run that is over, perhaps of another generation.
pub(super) fn begins(status: &Status, topics: &[Arc<str>]) {
    let is_of_partition = |about: &str| {
        let place = about.strip_prefix("topic/").unwrap_or(about);
        topics.iter().any(|topic| place.strip_prefix(&**topic).is_some_and(|rest| rest.starts_with('/')))
    };
    status.update(|report| {
        report.last_error = None;
        report.alarms.retain(|about, _| !is_of_partition(about));
    });
}

/// A hole that stayed although the partition was read again.
pub(super) fn gap(status: &Status, partition: &TopicPartition, gap: &Gap) {
    let text = format!(
        "messages of store {} above position {} and up to {} are missing on {partition}: nothing after them counts until its \
         relay has published again from position {} on; it does so by itself where its topic's end is lost or the topic \
         made anew, and looks for that every {LOOK_EVERY:?}",
        gap.source.store, gap.watermark, gap.previous, gap.watermark
    );
    status.alarm(gap.lane.as_str(), text);
}

/// A partition stands still at a record: what is said of it. `remedy`: what helps where the source has left the history followed so far.
pub(super) fn stands_still(
    status: &Status,
    partition: &TopicPartition,
    offset: Offset,
    stop: &PartitionStop,
    remedy: &str,
) -> String {
    let mut text = format!("{partition} stands still at offset {offset}: {stop}");
    if let Some(remedy) = stop.remedy(remedy) {
        text = format!("{text}: {remedy}");
    }
    status.update(|report| report.last_error = Some(text.clone()));
    status.alarm(&partition.to_string(), text.clone());
    text
}

/// A plan was carried out: so many messages of it, up to a position. `over`: its partition stood still before.
pub(super) fn done(
    status: &Status,
    partition: &TopicPartition,
    plan: &Plan,
    (count, last): (u64, Option<Position>),
    over: bool,
) {
    for hole in &plan.gaps {
        gap(status, partition, hole);
    }
    status.update(|report| {
        report.processed += count;
        report.dropped += plan.repeated;
        report.last_error = None;
        if let Some(last) = last {
            report.position = last;
            report.target = report.target.max(last);
        }
        if over {
            report.alarms.remove(&partition.to_string());
        }
        for lane in plan.moves.iter().map(|step| &step.lane).chain(&plan.filled) {
            report.alarms.remove(lane.as_str());
        }
    });
}

/// How far the loop is on the whole.
pub(super) fn progress(status: &Status, caught_up: bool) {
    status.update(|report| {
        report.state = if caught_up { LoopState::Live } else { LoopState::CatchingUp };
        // Partitions end at different positions: with nothing known to be missing on any, nothing lags.
        let dealt_with = [QUARANTINE_ALARM, KEPT_ALARM, DEAD_LETTERS_ALARM];
        let is_dealt_with = |about: &String| dealt_with.contains(&about.as_str());
        if caught_up && report.alarms.keys().all(is_dealt_with) {
            report.position = report.target;
        }
    });
}
