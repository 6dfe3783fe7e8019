//! The commands `relay` and `bus`: asked of the running service, which is the only one that can tell.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use factum_http::operator::{Request, ask};

use crate::options::PORT_DEFAULT;

/// What operators ask the running service.
#[derive(Debug, Subcommand)]
pub(crate) enum Operate {
    /// Show how far the running service is with publishing, or let it publish again.
    #[command(subcommand)]
    Relay(Relay),
    /// Show what the running service has to do with the bus.
    #[command(subcommand)]
    Bus(Topics),
}

/// About what it publishes.
#[derive(Debug, Subcommand)]
pub(crate) enum Relay {
    /// Each topic that it publishes: how far, and what was sent again.
    Status(At),
    /// Publish again on a topic what was published there of events after a position; readers drop what they have.
    Rewind(RewindArgs),
}

/// About what is on the bus.
#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// Each of its consumers: how many records behind, and what it must be helped with.
    Lag(At),
    /// Each topic that it publishes or hears, as it is on the bus.
    Topics(At),
}

/// From where on, on which topic.
#[derive(Debug, Args)]
pub(crate) struct RewindArgs {
    /// The topic, as `relay status` shows it
    topic: String,
    /// The position, as the alarm about a gap names it; 0 for everything
    #[arg(long, value_name = "POSITION")]
    to: u64,
    #[command(flatten)]
    at: At,
}

/// Whom to ask, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The port of 127.0.0.1 that the running service listens on
    #[arg(long, value_name = "PORT", env = "ACCOUNTS_PORT", default_value_t = PORT_DEFAULT)]
    port: u16,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Asks the running service, and prints what it says.
pub(crate) fn run(operate: Operate) -> anyhow::Result<()> {
    let (request, At { port, json }) = match operate {
        Operate::Relay(Relay::Status(at)) => (Request::RelayStatus, at),
        Operate::Relay(Relay::Rewind(RewindArgs { topic, to, at })) => (Request::RelayRewind { topic, to }, at),
        Operate::Bus(Topics::Lag(at)) => (Request::BusLag, at),
        Operate::Bus(Topics::Topics(at)) => (Request::BusTopics, at),
    };
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = tokio.block_on(ask(port, &request, json))?;
    match io::stdout().lock().write_all(told.as_bytes()) {
        // Whoever read us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
