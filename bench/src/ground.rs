//! What every benchmark stands on: a folder of its own, and a runtime with two threads.

use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Where it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Ground {
    /// Where the data is kept, in a folder that goes with the run; a temporary directory by default.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl Ground {
    /// An empty folder, there until it is dropped.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self) -> Result<TempDir> {
        Ok(match &self.directory {
            Some(parent) => tempfile::tempdir_in(parent)?,
            None => tempfile::tempdir()?,
        })
    }
}

/// As many threads as the figures speak of.
///
/// # Errors
/// They cannot be started.
pub fn two_threads() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
