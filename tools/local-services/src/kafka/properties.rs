//! A broker's configuration.

use std::{fmt::Write as _, path::Path};

/// What every broker has: one node that is also its own controller, no topics but those that are made, nothing that
/// waits for other brokers or other members of a group.
const ALWAYS: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    // A broker that was killed may come back once its former self is taken for dead: after 9 s by default.
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "200"),
    // Buffers and files as a small machine has room for: by default 128 MiB of heap and 20 MiB for each partition.
    ("log.cleaner.dedupe.buffer.size", "4194304"),
    ("log.index.size.max.bytes", "262144"),
];

/// A listener for clients.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub port: u16,
    /// What clients that come by it are told.
    pub advertised: u16,
}

impl Listener {
    /// The one that every broker has.
    pub fn plain(port: u16) -> Self {
        Self { name: "PLAINTEXT".into(), port, advertised: port }
    }

    /// For clients on this machine.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// The configuration, with `own` settings last: they win.
pub fn of(listeners: &[Listener], controller: u16, log: &Path, own: &[(String, String)]) -> String {
    let each = |value: &dyn Fn(&Listener) -> String| listeners.iter().map(value).collect::<Vec<_>>().join(",");
    let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let mut all: Vec<(&str, String)> = ALWAYS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    all.push(("controller.quorum.voters", format!("1@127.0.0.1:{controller}")));
    let listening = each(&|one| at(&one.name, one.port));
    all.push(("listeners", format!("{listening},{}", at("CONTROLLER", controller))));
    all.push(("advertised.listeners", each(&|one| at(&one.name, one.advertised))));
    let protocols = each(&|one| format!("{}:PLAINTEXT", one.name));
    all.push(("listener.security.protocol.map", format!("{protocols},CONTROLLER:PLAINTEXT")));
    all.push(("log.dirs", log.to_string_lossy().into_owned()));
    let own = own.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let mut text = String::new();
    for (name, value) in all.into_iter().chain(own) {
        // A backslash is an escape in these files.
        let _ = writeln!(text, "{name}={}", value.replace('\\', "\\\\"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = include_str!("../../../../compose.yaml");
    const POM: &str = include_str!("../../../kafka/pom.xml");

    #[test]
    fn with_docker_it_is_the_same_version_with_the_same_settings() {
        for (name, value) in ALWAYS {
            let line = format!("KAFKA_{}: \"{value}\"", name.to_uppercase().replace('.', "_"));
            assert!(COMPOSE.lines().any(|one| one.trim() == line), "{line}");
        }
        let image = COMPOSE.split("image: apache/kafka:").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let (_, kafka) = POM.split_once("<artifactId>kafka_2.13</artifactId>").unwrap();
        let version = kafka.split("<version>").nth(1).and_then(|rest| rest.split('<').next());
        assert_eq!(version, Some(image));
    }

    #[test]
    fn what_is_said_last_wins_and_ports_are_told_apart() {
        let mut way = Listener { name: "WAY".into(), ..Listener::plain(3) };
        way.advertised = 4;
        let own = [("num.partitions".to_owned(), "7".to_owned())];
        let text = of(&[Listener::plain(1), way], 2, Path::new("/a/log"), &own);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.contains(&"listeners=PLAINTEXT://127.0.0.1:1,WAY://127.0.0.1:3,CONTROLLER://127.0.0.1:2"),
            "{text}"
        );
        assert!(lines.contains(&"advertised.listeners=PLAINTEXT://127.0.0.1:1,WAY://127.0.0.1:4"), "{text}");
        assert_eq!(lines.last(), Some(&"num.partitions=7"));
    }
}
