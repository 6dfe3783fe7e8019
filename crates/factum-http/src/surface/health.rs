//! `/healthz`, `/readyz`, `/metrics`: answered also when everything else is turned away.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    response::IntoResponse,
};
use factum::{
    runtime::{LoopState, StatusReport},
    store::Heads,
};
use http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Shared, admin::is_local, read_models};
use crate::meter::Page;

/// How long a scrape waits for the event store; without its answer the heads are left out.
const HEADS_WAIT_MAX: Duration = Duration::from_secs(1);

/// The most characters of an error or alarm that are shown: the log has all of it.
const TEXT_CHARACTERS_MAX: usize = 1_000;
/// What callers elsewhere are told instead of the texts of errors and alarms.
const WITHHELD: &str = "see the log, or ask on the same machine";

/// Every state a loop can be in, so that a state left behind is seen to be left.
const LOOP_STATES: [LoopState; 7] = [
    LoopState::Starting,
    LoopState::CatchingUp,
    LoopState::Live,
    LoopState::BackingOff,
    LoopState::StoodDown,
    LoopState::Failed,
    LoopState::Stopped,
];

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ReadyAnswer {
    /// Whether the service can be sent requests; the status is 200 or 503 accordingly.
    pub ready: bool,
    /// Why not, in a sentence; empty when it is ready.
    #[schemars(example = "")]
    pub reason: String,
    /// Its relays, projections and consumers.
    pub loops: Vec<LoopAnswer>,
}

/// A loop as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LoopAnswer {
    /// Its name.
    #[schemars(example = "relay bank.accounts.account.events")]
    pub name: String,
    /// What it is doing: `starting`, `catching-up`, `live`, `backing-off`, `stood-down`, `failed` or `stopped`.
    #[schemars(example = &"live")]
    pub state: String,
    /// The position it has reached.
    pub position: u64,
    /// The position it knows it will reach.
    pub target: u64,
    /// The last error, kept until it works again; its text is for callers on the same machine.
    pub last_error: Option<String>,
    /// What an operator must look at although the loop goes on, by what it is about; for callers on the same machine.
    /// Others are told how many there are.
    pub alarms: BTreeMap<String, String>,
}

impl LoopAnswer {
    /// Texts of errors may quote what a message says, name streams, files and brokers, or be those of a panic: none of it
    /// is for whoever happens to reach the surface.
    fn of(name: String, report: StatusReport, is_local: bool) -> Self {
        let (last_error, alarms) = if is_local {
            let alarms = report.alarms.into_iter().map(|(about, text)| (shown(about), shown(text)));
            (report.last_error.map(shown), alarms.collect())
        } else {
            let count = report.alarms.len();
            let alarms = (count > 0).then(|| (count.to_string(), WITHHELD.to_owned()));
            (report.last_error.map(|_| WITHHELD.to_owned()), alarms.into_iter().collect())
        };
        Self {
            name,
            state: report.state.as_str().to_owned(),
            position: report.position.get(),
            target: report.target.get(),
            last_error,
            alarms,
        }
    }
}

fn shown(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Alive as long as it can say so.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(
    State(shared): State<Arc<Shared>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let is_local = is_local(peer.map(|Extension(ConnectInfo(peer))| peer), &headers);
    let readiness = shared.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let loops = readiness.loops.into_iter().map(|(name, report)| LoopAnswer::of(name, report, is_local)).collect();
    (status, Json(ReadyAnswer { ready: readiness.ready, reason: readiness.reason, loops }))
}

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut page = Page::default();
    shared.meter.write(shared.surface, &mut page);
    if shared.prefix == super::QUERIES {
        page.family("factum_http_live_queries", "gauge", "Live queries that are open.");
        page.sample("", &[], shared.gate.subscribed());
    }
    page.family("factum_ready", "gauge", "Whether the service can be sent requests.");
    page.sample("", &[], u8::from(shared.health.readiness().ready));
    write_loops(&shared.health.loops(), &mut page);
    read_models::write_metrics(&shared.read_models, &mut page);
    if let Some(heads) = heads(&shared).await {
        page.family("factum_store_head", "gauge", "The last position written, and the last known durable.");
        page.sample("", &[("kind", "written")], heads.written);
        page.sample("", &[("kind", "synced")], heads.synced);
    }
    ([(header::CONTENT_TYPE, Page::CONTENT_TYPE)], page.into_text())
}

async fn heads(shared: &Shared) -> Option<Heads> {
    let store = shared.store.as_ref()?;
    timeout(HEADS_WAIT_MAX, store.heads()).await.ok()?.ok()
}

type Figure = (&'static str, &'static str, &'static str, fn(&StatusReport) -> u64);

fn write_loops(loops: &[(String, StatusReport)], page: &mut Page) {
    const FIGURES: [Figure; 8] = [
        ("factum_loop_position", "gauge", "The position a loop has reached.", |report| report.position.get()),
        ("factum_loop_target", "gauge", "The position a loop knows it will reach.", |report| report.target.get()),
        ("factum_loop_lag", "gauge", "Positions between the two.", |report| {
            report.target.get().saturating_sub(report.position.get())
        }),
        ("factum_loop_processed_total", "counter", "Events or messages dealt with.", |report| report.processed),
        ("factum_loop_alarms", "gauge", "What an operator must look at.", |report| report.alarms.len() as u64),
        ("factum_loop_parked_keys", "gauge", "Keys that are quarantined.", |report| report.parked_keys),
        ("factum_loop_parked_messages", "gauge", "Messages of those.", |report| report.parked_messages),
        ("factum_loop_dropped_total", "counter", "Re-sends dropped.", |report| report.dropped),
    ];
    for (family, kind, help, figure) in FIGURES {
        page.family(family, kind, help);
        for (name, report) in loops {
            page.sample("", &[("loop", name)], figure(report));
        }
    }
    page.family("factum_loop_state", "gauge", "1 for the state a loop is in, 0 for the others.");
    for (name, report) in loops {
        for state in LOOP_STATES {
            page.sample("", &[("loop", name), ("state", state.as_str())], u8::from(report.state == state));
        }
    }
}
