//! `bank rebuild`, `verify`, `roll-back` and `discard`: what can be done with read models while they answer.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    client::{BankAddress, Generation, ReadModel},
    print::HowFar,
};

/// How often it is asked how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A service with read models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Owner {
    /// Summaries, statements, totals, transfers.
    Statements,
}

/// Whose read models.
#[derive(Debug, clap::Args)]
pub struct ModelsArgs {
    /// Whose read models.
    #[arg(value_enum)]
    of: Owner,
    /// Only that of this projection.
    #[arg(long, value_name = "NAME")]
    projection: Option<String>,
    #[command(flatten)]
    bank: BankAddress,
}

/// The options of `bank rebuild`.
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    models: ModelsArgs,
    /// Let the new read model answer without comparing it: for one that is known to be wrong or cannot go on.
    #[arg(long)]
    replace: bool,
}

/// Rebuilds, and shows how far it is. Success when every read model was rebuilt.
///
/// # Errors
/// The bank does not answer or refuses, or standard output fails.
pub async fn rebuild(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    run(args.models, if args.replace { "replace" } else { "rebuild" }).await
}

/// Does something else with read models: `verify`, `roll-back`, `discard`. Success when all of them did.
///
/// # Errors
/// The bank does not answer or refuses, or standard output fails.
pub async fn run(args: ModelsArgs, operation: &'static str) -> anyhow::Result<ExitCode> {
    let Owner::Statements = args.of;
    let client = args.bank.client();
    let projection = args.projection.as_deref();
    let begun = client.begin_on_read_models(operation, projection).await;
    let meant = |model: &ReadModel| projection.is_none_or(|name| model.projection == name);
    let mut models = begun.with_context(|| format!("beginning to {operation}"))?;
    let mut how_far = HowFar::default();
    loop {
        models.retain(meant);
        if models.iter().all(|model| model.operation.is_none()) {
            break;
        }
        how_far.show(under_way(&models))?;
        tokio::time::sleep(LOOK_INTERVAL).await;
        models = client.read_models().await.context("asking how far it is")?;
    }
    how_far.end()?;
    let mut out = io::stdout().lock();
    let mut ok = true;
    for model in &models {
        let ReadModel { projection, version, generations, last, .. } = model;
        match last {
            Some(done) => {
                ok &= done.ok;
                let checksum = done.checksum.as_ref().map_or_else(String::new, |checksum| format!(" [{checksum}]"));
                writeln!(out, "{projection}@{version}: {}{checksum}", done.text)?;
            }
            None => {
                ok = false;
                writeln!(out, "{projection}@{version}: the service was started again meanwhile")?;
            }
        }
        for Generation { generation, trouble, .. } in generations {
            if let Some(trouble) = trouble {
                writeln!(io::stderr(), "{projection}@{version} generation {generation}: {trouble}")?;
            }
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn under_way(models: &[ReadModel]) -> String {
    let terminal = io::stderr().is_terminal();
    let parts = models.iter().filter(|model| model.operation.is_some());
    parts.map(|model| told(model, terminal)).collect::<Vec<_>>().join("; ")
}

fn told(model: &ReadModel, in_detail: bool) -> String {
    let ReadModel { projection, generations, step, progress, trouble, .. } = model;
    let mut text = format!("{projection} {step}");
    if let Some(progress) = progress.as_ref().filter(|_| step == "filling") {
        text.push_str(&if in_detail { progress.to_string() } else { format!(" {} positions", progress.total) });
    }
    // What is kept is fed for good, and no part of this.
    let share = generations.iter().filter(|one| one.role != "kept").find_map(|one| one.share_percent);
    if let Some(share) = share {
        text.push_str(&format!(", {share} % of the time"));
    }
    if let Some(trouble) = trouble {
        text.push_str(&format!(" ({trouble})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_under_way_is_told_with_how_far_it_is() {
        let model: ReadModel = serde_json::from_value(json!({
            "projection": "totals", "version": 1, "generations": [
                { "generation": 1, "role": "kept", "trouble": null, "share_percent": 75 },
                { "generation": 2, "role": "live", "trouble": null, "share_percent": null },
                { "generation": 3, "role": "filling", "trouble": null, "share_percent": 50 },
            ], "operation": "rebuild", "step": "filling", "trouble": null,
            "progress": { "done": 1_500, "total": 6_000, "per_second": 900, "seconds_left": 5 }, "last": null,
        }))
        .expect("a read model");
        assert_eq!(told(&model, true), "totals filling 1500 of 6000 (25 %), 900/s, 5 s left, 50 % of the time");
        assert_eq!(told(&model, false), "totals filling 6000 positions, 50 % of the time");
        let stuck = ReadModel { trouble: Some("no space".to_owned()), step: "aligning".to_owned(), ..model };
        assert_eq!(told(&stuck, true), "totals aligning, 50 % of the time (no space)");
    }
}
