//! Environments of Python, each of a locked set of other people's packages, for checks by programs that are not ours.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use local_services::lacking;

use crate::{Process, binary};

/// How long packages may take to be installed, once: longer than `tools/python/install.py` tries.
const INSTALL_MAX: Duration = Duration::from_secs(400);
/// What `tools/python/install.py` says when an environment cannot be had.
const UNAVAILABLE: i32 = 75;

/// The repository's folder of what is needed besides Rust.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools")
}

/// The interpreter of an environment with the packages of a file below `tools/`, installed once below the build's folder;
/// `folder` takes what the installation says. `None`: it cannot be had on this machine, and the story was skipped in so
/// many words.
///
/// # Errors
/// When it cannot be had for another reason than a lack of the machine's.
///
/// # Panics
/// When the machine lacks it although `FACTUM_REQUIRE_SERVICES` says that nothing may be lacking.
pub async fn python(story: &str, requirements: &str, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let bank = binary("bank")?;
    let environments = bank.ancestors().nth(2).context("the build's folder")?.join("python");
    let environment = environments.join(requirements).with_extension("");
    let mut install = Command::new("python3");
    install.arg(tools().join("python/install.py")).arg(tools().join(requirements)).arg(environment);
    let reason = match Process::start(install, folder, "install") {
        Err(error) => format!("{error:#}"),
        Ok(process) => {
            let ended = process.end_within(INSTALL_MAX).await?;
            match ended.status.code() {
                Some(0) => return Ok(Some(PathBuf::from(ended.stdout.trim()))),
                Some(UNAVAILABLE) => ended.stderr,
                _ => bail!("{story}: its Python packages are not installed: {}", ended.stderr),
            }
        }
    };
    Ok(lacking(story, &format!("its Python packages are not there: {reason}")))
}
