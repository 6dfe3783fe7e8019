//! `bank dead-letters`: what came to accounts as a command and is none, and acknowledging it.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    client::{Acknowledged, DeadLetter, DeadLetters},
    print::{Common, line, print},
};

/// What to do about records on a topic of commands that are no commands.
#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what nobody has acknowledged yet, and why it is no command.
    List(Common),
    /// Say that a letter, and those before it on its partition, are dealt with: the alarm about them ends.
    Acknowledge(AcknowledgeArgs),
}

#[derive(Debug, Args)]
struct AcknowledgeArgs {
    /// The event id of the last letter that is dealt with, as `list` shows it
    #[arg(value_name = "ID")]
    event: String,
    /// What became of them, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides, for the record: visible ASCII
    #[arg(long, value_name = "WHO", default_value = "bank-dead-letters")]
    actor: String,
    #[command(flatten)]
    common: Common,
}

/// Asks the bank, and prints what it says.
///
/// # Errors
/// The bank does not answer or refuses, or standard output fails.
pub async fn run(DeadLettersArgs { what }: DeadLettersArgs) -> anyhow::Result<ExitCode> {
    match what {
        What::List(Common { json, bank }) => {
            let letters = bank.client().dead_letters().await.context("listing dead letters")?;
            print(json, &letters, || listed(&letters))?;
        }
        What::Acknowledge(AcknowledgeArgs { event, reason, actor, common: Common { json, bank } }) => {
            let body = json!({ "event_id": event, "reason": reason, "actor": actor });
            let acknowledged = bank.client().acknowledge_dead_letters(&body).await;
            let acknowledged = acknowledged.with_context(|| format!("to acknowledge `{event}`"))?;
            print(json, &acknowledged, || outcome(&acknowledged))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(DeadLetters { open, letters }: &DeadLetters) -> String {
    let told: String = letters.iter().map(told).collect();
    match open.saturating_sub(letters.len() as u64) {
        _ if *open == 0 => "no dead letters\n".to_owned(),
        0 => told,
        more => format!("{told}and {more} more\n"),
    }
}

fn told(letter: &DeadLetter) -> String {
    let DeadLetter { event_id, received_at, topic, partition, offset, reason, text, value_bytes, .. } = letter;
    let value = text.as_ref().map_or_else(String::new, |text| format!(": {text:?}"));
    format!(
        "{event_id} {received_at} {topic}/{partition} at {offset}\n  why     {}\n  value   {value_bytes} \
         bytes{value}\n",
        line(reason),
    )
}

fn outcome(Acknowledged { done, left }: &Acknowledged) -> String {
    match left {
        0 => format!("acknowledged {done}, nothing left\n"),
        left => format!("acknowledged {done}, {left} left\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(open: u64, count: u64) -> DeadLetters {
        let letter = json!({
            "event_id": "6f1a7c1e-0000-4000-8000-000000000007", "received_at": "2026-01-01T00:00:00Z", "topic": "t",
            "partition": 3, "offset": 9, "reason": "it has no command id", "text": "what\n?", "value_bytes": 6,
        });
        let letters: Vec<_> = (0..count).map(|_| &letter).collect();
        serde_json::from_value(json!({ "open": open, "letters": letters })).unwrap()
    }

    #[test]
    fn a_letter_is_told_in_lines_of_its_own_with_what_an_acknowledgement_names() {
        let one = "6f1a7c1e-0000-4000-8000-000000000007 2026-01-01T00:00:00Z t/3 at 9\n  why     it has no command id\n  \
                   value   6 bytes: \"what\\n?\"\n";
        assert_eq!(listed(&letters(1, 1)), one);
        assert_eq!(listed(&letters(5, 1)), format!("{one}and 4 more\n"));
        assert_eq!(listed(&letters(0, 0)), "no dead letters\n");
    }

    #[test]
    fn what_is_left_is_told() {
        assert_eq!(outcome(&Acknowledged { done: 2, left: 0 }), "acknowledged 2, nothing left\n");
        assert_eq!(outcome(&Acknowledged { done: 2, left: 3 }), "acknowledged 2, 3 left\n");
    }
}
