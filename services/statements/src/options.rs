//! What can be set, and from where: options over environment over a TOML file over defaults.

use std::{
    io::IsTerminal as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Parser, ValueEnum};
use factum::rebuild::FillingPace;
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::bus::{Cluster, KafkaOptions, KafkaTable};

pub(crate) const PORT_DEFAULT: u16 = 7003;

/// The bank's statements: answers queries from what other services published.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) tool: Option<crate::operate::Operate>,
}

/// What can be set.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A TOML file with any of the settings below (`port = 7003`); what is given here or in the environment wins.
    #[arg(long, value_name = "FILE", env = "STATEMENTS_CONFIG")]
    config: Option<PathBuf>,
    /// The port of the read surface [default: 7003]
    #[arg(long, value_name = "PORT", env = "STATEMENTS_PORT")]
    port: Option<u16>,
    /// The address to listen on; anything but loopback is reachable for others, without any authentication
    /// [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", env = "STATEMENTS_LISTEN")]
    listen: Option<IpAddr>,
    /// The folder of all data [default: ./data]
    #[arg(long, value_name = "DIR", env = "STATEMENTS_DATA")]
    data: Option<PathBuf>,
    /// While another process has the data open, wait, and take over when it ends
    #[arg(long, env = "STATEMENTS_STANDBY", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    standby: Option<bool>,
    /// How much of one processor's time, in percent, is given to filling read models beside those that answer, for a
    /// rebuild or a way back; while they come no nearer they take more by themselves, up to all of it. The more, the sooner
    /// a rebuild ends and the longer queries wait meanwhile [default: 33]
    #[arg(long, value_name = "PERCENT", env = "STATEMENTS_REBUILD_SHARE")]
    rebuild_share: Option<u32>,
    /// What is logged: error, warn, info, debug, trace, or filters such as `factum=debug` [default: info]
    #[arg(long, value_name = "LEVEL", env = "STATEMENTS_LOG_LEVEL")]
    log_level: Option<String>,
    /// How logs are written, to standard error [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", env = "STATEMENTS_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    #[command(flatten)]
    kafka: KafkaOptions,
}

/// The same settings in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    port: Option<u16>,
    listen: Option<IpAddr>,
    data: Option<PathBuf>,
    standby: Option<bool>,
    rebuild_share: Option<u32>,
    log_level: Option<String>,
    log_format: Option<LogFormat>,
    #[serde(default)]
    kafka: KafkaTable,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// A readable line each.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// What is in force.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Whether it waits for whoever has the data open.
    pub(crate) standby: bool,
    /// How much of the time read models are filled beside those that answer.
    pub(crate) pace: FillingPace,
    /// The cluster that the bus is on; none: the bus is in the data folder.
    pub(crate) cluster: Option<Cluster>,
}

/// What is logged, and how.
#[derive(Debug)]
pub(crate) struct Log {
    filter: EnvFilter,
    format: LogFormat,
}

impl Settings {
    pub(crate) fn of(options: Options) -> anyhow::Result<(Self, Log)> {
        let file = match &options.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let level = options.log_level.or(file.log_level).unwrap_or_else(|| "info".to_owned());
        let filter = filter_of(&level).with_context(|| format!("log level `{level}`"))?;
        let port = options.port.or(file.port).unwrap_or(PORT_DEFAULT);
        let share_percent = options.rebuild_share.or(file.rebuild_share).unwrap_or(FillingPace::SHARE_PERCENT_DEFAULT);
        anyhow::ensure!(
            (1..=100).contains(&share_percent),
            "rebuild share {share_percent} is no percentage from 1 to 100"
        );
        let log = Log { filter, format: options.log_format.or(file.log_format).unwrap_or_default() };
        let settings = Self {
            data: options.data.or(file.data).unwrap_or_else(|| PathBuf::from("data")),
            listen: SocketAddr::new(options.listen.or(file.listen).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port),
            standby: options.standby.or(file.standby).unwrap_or_default(),
            pace: FillingPace { share_percent, ..FillingPace::default() },
            cluster: Cluster::of(options.kafka, file.kafka)?,
        };
        Ok((settings, log))
    }
}

fn filter_of(level: &str) -> anyhow::Result<EnvFilter> {
    for part in level.split(',') {
        // A misspelt level would be taken for a module's name, and nothing be logged.
        let known = part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
        anyhow::ensure!(known, "`{part}` is neither a level nor a filter such as `factum=debug`");
    }
    Ok(EnvFilter::builder().parse(level)?)
}

// Read once, at the start.
#[allow(clippy::disallowed_methods)]
fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("configuration file {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("configuration file {}, line {line}: {}", path.display(), error.message())
    })
}

impl Log {
    /// Sends logs to standard error from now on.
    pub(crate) fn install(self) {
        let lines = tracing_subscriber::fmt().with_env_filter(self.filter).with_writer(std::io::stderr);
        // Colours are for people: in a file they are noise.
        let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
        match self.format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().init(),
        }
    }
}
