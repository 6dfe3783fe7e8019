//! `bank forks`: who stands still because a service it hears was restored to before that, and how it goes on.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    client::{AcceptedFork, Fork, Service},
    print::{Common, line, print},
};

/// How many messages and processes of a fork are shown as text; JSON has all that the service tells.
const SHOWN_MAX: usize = 10;

/// What is said when nobody does.
const NOBODY: &str =
    "nobody stands at a fork; read models beyond one say so at /readyz of statements, and are rebuilt\n";

/// What to do about what was heard of a history that was left.
#[derive(Debug, Args)]
pub struct ForksArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show which consumers stand at a fork, and what they dealt with beyond it.
    List(Common),
    /// Let the consumers of a service go on from the forks they stand at; what they dealt with beyond them stays.
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
struct AcceptArgs {
    /// The service whose consumers go on
    service: Service,
    /// Only this consumer of it, as `list` shows it
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides, for the record: visible ASCII
    #[arg(long, value_name = "WHO", default_value = "bank-forks")]
    actor: String,
    #[command(flatten)]
    common: Common,
}

/// Asks the bank, and prints what it says. Failure when a consumer does not go on although that was accepted.
///
/// # Errors
/// The bank does not answer or refuses, or standard output fails.
pub async fn run(ForksArgs { what }: ForksArgs) -> anyhow::Result<ExitCode> {
    match what {
        What::List(Common { json, bank }) => {
            let client = bank.client();
            let mut all = Vec::new();
            for service in Service::ALL {
                let forks = client.forks(service).await.context("listing who stands at a fork")?;
                all.extend(forks.into_iter().map(|fork| (service.name(), fork)));
            }
            let document: Vec<_> =
                all.iter().map(|(service, fork)| json!({ "service": service, "fork": fork })).collect();
            let none = || NOBODY.to_owned();
            let text = || all.iter().map(|(service, fork)| told(service, fork)).collect();
            print(json, &document, || if all.is_empty() { none() } else { text() })?;
            Ok(ExitCode::SUCCESS)
        }
        What::Accept(AcceptArgs { service, consumer, reason, actor, common: Common { json, bank } }) => {
            let body = json!({ "consumer": consumer, "reason": reason, "actor": actor });
            let accepted = bank.client().accept_forks(service, &body).await.context("accepting forks")?;
            print(json, &accepted, || outcome(service.name(), &accepted))?;
            let all = accepted.iter().all(|accepted| accepted.goes_on);
            Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn told(service: &str, fork: &Fork) -> String {
    let Fork { consumer, topic, partition, fork, watermark, heard, .. } = fork;
    let more = if heard.all { "" } else { " or more" };
    let mut text = format!(
        "{service} {consumer} on {topic}/{partition}: its source goes on from {fork}, {watermark} was heard\n  \
         beyond  {}{more} messages, for {} processes\n",
        heard.count,
        heard.processes.len(),
    );
    for message in heard.messages.iter().take(SHOWN_MAX) {
        let process = message.process.as_ref().map(|process| format!(", heard by {process}")).unwrap_or_default();
        text.push_str(&format!("  {} {} of {}{process}\n", message.position, line(&message.name), message.stream));
    }
    if heard.count > SHOWN_MAX as u64 {
        text.push_str("  … --json shows more\n");
    }
    text
}

fn outcome(service: &str, accepted: &[AcceptedFork]) -> String {
    if accepted.is_empty() {
        return format!("nobody in {service} stands at a fork\n");
    }
    let mut text: String = accepted.iter().map(|accepted| told(service, &accepted.fork)).collect();
    let waiting = accepted.iter().filter(|accepted| !accepted.goes_on).count();
    text.push_str(&match waiting {
        0 => "accepted: they go on. What was heard beyond stays as it is: `bank audit` shows where accounts differ.\n"
            .to_owned(),
        waiting => format!("accepted; {waiting} do not go on yet: see why at /readyz\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork(count: u64, all: bool) -> Fork {
        serde_json::from_value(json!({
            "consumer": "process/transfer", "topic": "bank.accounts.account.events", "partition": 3,
            "source": "s", "left": "l", "history": "h", "fork": 40, "watermark": 61,
            "heard": {
                "count": count, "all": all, "processes": ["transfer-1"],
                "messages": [{
                    "position": 50, "event_id": "e", "name": "bank.accounts.funds-held.v1", "stream": "account-1",
                    "process": "transfer-1",
                }],
            },
        }))
        .expect("is a fork")
    }

    #[test]
    fn a_fork_is_told_with_what_was_heard_beyond_it_and_what_comes_next() {
        let text = "transfers process/transfer on bank.accounts.account.events/3: its source goes on from 40, 61 was heard\n  \
                    beyond  1 messages, for 1 processes\n  50 bank.accounts.funds-held.v1 of account-1, heard by transfer-1\n";
        assert_eq!(told("transfers", &fork(1, true)), text);
        assert!(told("transfers", &fork(1_000, false)).contains("1000 or more messages"));
        assert_eq!(outcome("transfers", &[]), "nobody in transfers stands at a fork\n");
        let accepted = |goes_on| outcome("transfers", &[AcceptedFork { fork: fork(1, true), goes_on }]);
        assert!(accepted(true).ends_with("shows where accounts differ.\n"));
        assert!(accepted(false).ends_with("accepted; 1 do not go on yet: see why at /readyz\n"));
    }
}
