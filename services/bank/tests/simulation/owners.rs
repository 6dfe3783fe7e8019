//! Two owners of everything: the older one stands down.

use std::{sync::Arc, time::Duration};

use factum::{
    Service,
    runtime::{LoopState, StatusReport},
};

use crate::{
    client::{self, Ledger},
    world::{Kind, World},
};

/// Within this long after the last command whoever is displaced has noticed it: an attempt to write something down, at
/// most, and its answer.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// A keeper of timers writes down next to nothing: that a timer fires once is a matter of its command id.
const ONLY_READS: &str = "timers ";

/// Starts a second process of each service beside the first one, and sends commands: a loop of a first one that got
/// anything done since has stood down by the end.
pub(crate) async fn second_ones(world: &World, ledger: Ledger) -> Ledger {
    let first_ones = world.second_ones().await;
    let before: Vec<_> = first_ones.iter().map(|(_, service)| service.health().loops()).collect();
    let ledger = client::late_comer(world, ledger).finish().await;
    world.ended(&ledger).await;
    world.runtime().sleep(NOTICED_WITHIN).await;
    stood_down(&first_ones, before);
    if !world.is_shared() {
        return ledger;
    }
    // The lease runs out, and the first ones return.
    world.first_ones_again();
    let ledger = client::late_comer(world, ledger).finish().await;
    world.ended(&ledger).await;
    ledger
}

type Loops = Vec<(String, StatusReport)>;

fn stood_down(first_ones: &[(Kind, Arc<Service>)], before: Vec<Loops>) {
    for ((kind, service), before) in first_ones.iter().zip(before) {
        for ((name, after), (_, before)) in service.health().loops().into_iter().zip(before) {
            let worked = after.processed > before.processed && !name.starts_with(ONLY_READS);
            assert!(!worked || is_out(&after), "{kind:?}: {name} was displaced, and goes on: {after:?}");
        }
    }
}

fn is_out(report: &StatusReport) -> bool {
    matches!(report.state, LoopState::StoodDown | LoopState::Stopped | LoopState::Failed)
}
