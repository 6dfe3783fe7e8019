//! `bank quarantine`: what the services could not take in, and what is decided about it.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    client::{BankClient, ClientError, Handled, ParkedKey, ParkedMessages, RetriedKey, RetriedKeys},
    print::{Common, HowFar, line, print},
};

/// Who decides, unless told otherwise.
const ACTOR: &str = "bank-quarantine";
/// How many keys that failed again are shown as text; JSON has all of them.
const SHOWN_MAX: usize = 20;

/// What to do about messages that could not be taken in.
#[derive(Debug, Args)]
pub struct QuarantineArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show which keys are parked, and why.
    List(Common),
    /// Show a parked key with its messages, in order.
    Show(ShowArgs),
    /// Try a key's messages again, in order, or those of every key; fails when one still cannot be taken in.
    Retry(RetryArgs),
    /// Drop a key's first message for good, also in every rebuild; then `retry` tries what stands behind it.
    Discard(DiscardArgs),
}

#[derive(Debug, Args)]
struct KeyArgs {
    /// What has it parked, as `list` shows it
    handler: String,
    /// The key, as `list` shows it
    key: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Only what stands behind the message of this event id: where `show` says the rest begins
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

#[derive(Debug, Args)]
struct DecideArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Who decides, for the record: visible ASCII
    #[arg(long, value_name = "WHO", default_value = ACTOR)]
    actor: String,
}

#[derive(Debug, Args)]
struct RetryArgs {
    /// What has it parked, as `list` shows it
    handler: String,
    /// The key, as `list` shows it
    #[arg(required_unless_present = "all")]
    key: Option<String>,
    /// Every key of the handler, one after the other: as after a build was fixed
    #[arg(long, conflicts_with = "key")]
    all: bool,
    /// Who decides, for the record: visible ASCII
    #[arg(long, value_name = "WHO", default_value = ACTOR)]
    actor: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct DiscardArgs {
    #[command(flatten)]
    decide: DecideArgs,
    /// The event id of the key's first message, as `list` and `show` have it: nothing else is dropped
    #[arg(long, value_name = "ID")]
    event: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Asks the bank, and prints what it says. Failure when what was tried again failed again.
///
/// # Errors
/// The bank does not answer or refuses, or standard output fails.
pub async fn run(QuarantineArgs { what }: QuarantineArgs) -> anyhow::Result<ExitCode> {
    match what {
        What::List(Common { json, bank }) => {
            let keys = bank.client().parked().await.context("listing what is quarantined")?;
            let text = || keys.iter().map(told).collect::<String>();
            let none = || "nothing is quarantined\n".to_owned();
            print(json, &keys, || if keys.is_empty() { none() } else { text() })?;
        }
        What::Show(ShowArgs { key: KeyArgs { handler, key, common: Common { json, bank } }, after }) => {
            let parked = bank.client().parked_messages(&handler, &key, after.as_deref()).await;
            let parked = parked.with_context(|| looking(&key))?;
            print(json, &parked, || parked.iter().map(shown).collect())?;
        }
        What::Retry(RetryArgs { handler, key: Some(key), actor, common, .. }) => {
            let body = json!({ "handler": handler, "key": key, "actor": actor });
            return decide(&common, ("retry", &handler, &key), &body).await;
        }
        What::Retry(RetryArgs { handler, key: None, actor, common, .. }) => {
            let all = every_key(&common.bank.client(), &handler, &actor).await?;
            print(common.json, &all, || all.told(&handler))?;
            return Ok(if all.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        What::Discard(DiscardArgs { decide: args, event, reason }) => {
            let DecideArgs { key: KeyArgs { handler, key, common }, actor } = args;
            let body = json!({ "handler": handler, "key": key, "event_id": event, "reason": reason, "actor": actor });
            return decide(&common, ("discard", &handler, &key), &body).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn looking(key: &str) -> String {
    format!("looking at `{key}`")
}

async fn decide(
    common: &Common,
    (decision, handler, key): (&str, &str, &str),
    body: &Value,
) -> anyhow::Result<ExitCode> {
    let client: BankClient = common.bank.client();
    let decided: Result<Handled, ClientError> = client.decide_about_parked(decision, (handler, key), body).await;
    let handled = decided.with_context(|| format!("to {decision} `{key}`"))?;
    print(common.json, &handled, || outcome(decision, &handled))?;
    Ok(if handled.failed.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of every key of a handler.
#[derive(Debug, Default, Serialize)]
struct All {
    /// How many keys were tried.
    keys: u64,
    /// How many messages are parked no longer.
    done: u64,
    /// How many of those keys still are.
    left: u64,
    /// The keys of which a message failed again, in order.
    failed: Vec<RetriedKey>,
}

/// Asks for some keys at a time until all were tried, and shows how far it is.
async fn every_key(client: &BankClient, handler: &str, actor: &str) -> anyhow::Result<All> {
    let (mut all, mut after, mut how_far) = (All::default(), None, HowFar::default());
    loop {
        let body = json!({ "handler": handler, "after": after, "actor": actor });
        let tried = client.retry_keys(&body).await;
        let RetriedKeys { keys, next } =
            tried.with_context(|| format!("to retry every key of {handler}, after {} of them", all.keys))?;
        keys.into_iter().for_each(|key| all.take(key));
        after = next;
        if after.is_none() {
            how_far.end()?;
            return Ok(all);
        }
        how_far.show(format!("{handler}: tried {} keys, took {} messages", all.keys, all.done))?;
    }
}

impl All {
    fn take(&mut self, key: RetriedKey) {
        self.keys += 1;
        self.done += key.handled.done;
        self.left += key.handled.left;
        self.failed.extend(key.handled.failed.is_some().then_some(key));
    }

    fn told(&self, handler: &str) -> String {
        let Self { keys, done, left, failed } = self;
        if *keys == 0 {
            return format!("nothing is quarantined of {handler}\n");
        }
        let mut text = match failed.len() {
            0 if *left == 0 => format!("took {done} messages of {keys} keys, nothing left\n"),
            0 => format!("took {done} messages of {keys} keys, {left} came meanwhile: try again\n"),
            count => format!("took {done} messages of {keys} keys, {left} still parked; {count} keys failed:\n"),
        };
        for RetriedKey { key, handled } in failed.iter().take(SHOWN_MAX) {
            text.push_str(&format!("  {}: {}\n", line(key), line(handled.failed.as_deref().unwrap_or_default())));
        }
        if failed.len() > SHOWN_MAX {
            text.push_str("  … --json shows all of them\n");
        }
        text
    }
}

fn told(parked: &ParkedKey) -> String {
    let ParkedKey { handler, version, key, messages, reason, event_id, name, attempts, since, .. } = parked;
    let version = version.map(|version| format!("@{version}")).unwrap_or_default();
    format!(
        "{handler}{version} {key}: {messages} messages since {since}\n  first   {name} {event_id}\n  tried   {attempts} \
         times: {}\n",
        line(reason),
    )
}

fn shown(parked: &ParkedMessages) -> String {
    let mut text = told(&parked.about);
    for message in &parked.messages {
        let document = message.data.as_deref().or(message.data_base64.as_deref()).unwrap_or_default();
        text.push_str(&format!(
            "  {} {} at {}, version {} of {}, {}\n    {}\n",
            message.event_id,
            message.name,
            message.position,
            message.version,
            message.stream,
            message.recorded_at,
            line(document),
        ));
    }
    if let Some(next) = &parked.next {
        text.push_str(&format!("  … the rest: --after {next}\n"));
    }
    text
}

fn outcome(decision: &str, handled: &Handled) -> String {
    let Handled { done, left, failed } = handled;
    let done = if decision == "retry" { format!("took {done}") } else { format!("dropped {done}") };
    match failed {
        Some(reason) => format!("{done}, {left} still parked: {}\n", line(reason)),
        None if *left > 0 => format!("{done}, {left} still parked: `bank quarantine retry` tries them again\n"),
        None => format!("{done}, nothing left\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_which_not_everything_is_shown_says_where_the_rest_begins() {
        let id = "6f1a7c1e-0000-4000-8000-000000000007";
        let parked = |next: Option<&str>| -> ParkedMessages {
            let about = json!({
                "handler": "totals", "version": 1, "key": "a-1", "reason": "no", "since": "then", "attempts": 1,
                "messages": 9, "event_id": id, "name": "told",
            });
            serde_json::from_value(json!({ "about": about, "messages": [], "next": next })).expect("it is parked")
        };
        assert!(shown(&parked(Some(id))).ends_with(&format!("  … the rest: --after {id}\n")));
        assert!(!shown(&parked(None)).contains("--after"));
    }

    #[test]
    fn what_became_of_every_key_is_told_with_those_that_failed() {
        let all = |keys: &[(u64, u64, Option<&str>)]| {
            let mut all = All::default();
            for (number, (done, left, failed)) in keys.iter().enumerate() {
                let handled = Handled { done: *done, left: *left, failed: failed.map(str::to_owned) };
                all.take(RetriedKey { key: format!("a-{number}"), handled });
            }
            all.told("totals")
        };
        assert_eq!(all(&[]), "nothing is quarantined of totals\n");
        assert_eq!(all(&[(3, 0, None), (2, 0, None)]), "took 5 messages of 2 keys, nothing left\n");
        assert_eq!(all(&[(3, 0, None), (0, 2, None)]), "took 3 messages of 2 keys, 2 came meanwhile: try again\n");
        let failed = "took 1 messages of 2 keys, 4 still parked; 1 keys failed:\n  a-1: no\n";
        assert_eq!(all(&[(1, 0, None), (0, 4, Some("no"))]), failed);
        let many: Vec<_> = (0..21).map(|_| (0, 1, Some("no"))).collect();
        assert!(all(&many).ends_with("  a-19: no\n  … --json shows all of them\n"));
    }

    #[test]
    fn what_became_of_it_is_told_with_what_to_do_next() {
        let handled = |done, left, failed: Option<&str>| Handled { done, left, failed: failed.map(str::to_owned) };
        assert_eq!(outcome("retry", &handled(3, 0, None)), "took 3, nothing left\n");
        assert_eq!(outcome("retry", &handled(1, 2, Some("no"))), "took 1, 2 still parked: no\n");
        let next = "dropped 1, 2 still parked: `bank quarantine retry` tries them again\n";
        assert_eq!(outcome("discard", &handled(1, 2, None)), next);
    }
}
