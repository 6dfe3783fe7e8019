//! What the system tests stand on: a bank in a process of its own, with data and ports of its own, driven as a user
//! drives it.
//!
//! Nothing of ours is linked: the tests see binaries, HTTP and files, and would notice if those changed. The binaries
//! are those beside the test's own; `cargo xtask test` builds both.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! let site = system_tests::Site::new()?;
//! let bank = site.start().await?;
//! let summary = bank.surfaces().query("/queries/account-summary?account_id=…", &[]).await?;
//! assert_eq!(summary.status, 404);
//! bank.kill()?;
//! # Ok(())
//! # }
//! ```

mod process;
mod python;
mod site;
mod surfaces;

pub use local_services::{PortBase, skipped};
pub use process::{Ended, Process, binary};
pub use python::{python, tools};
pub use site::{Bank, Site};
pub use surfaces::{Answer, Side, Surfaces};
