//! `cargo xtask services`: a Kafka that stays on this machine until it is ended, for tests and trials.

use std::{
    fs::{File, OpenOptions},
    process::Command,
};

use anyhow::Context as _;
use local_services::{KAFKA_VARIABLE, Kafka, KafkaOptions, Left, REQUIRED_VARIABLE, home};

/// Starts Kafka unless it runs, and prints where it is.
///
/// # Errors
/// Without Java or Maven; when it does not start.
pub fn up() -> anyhow::Result<()> {
    let _turn = turn()?;
    let left = match Left::find()? {
        Some(left) => left,
        None => start()?,
    };
    println!("Kafka is at {}: process {}, {}", left.bootstrap, left.pid, left.folder.display());
    println!("export {KAFKA_VARIABLE}={}", left.bootstrap);
    Ok(())
}

/// Starts one with nothing in it: what an earlier one knew is of no use to tests.
fn start() -> anyhow::Result<Left> {
    down_quietly()?;
    let folder = home()?.join("shared-kafka");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let started = Kafka::prepare(KafkaOptions::new(folder))?.start_and_leave(Left::tell);
    if started.is_err() {
        // What went wrong says more than that this did, too.
        let _ = Left::forget();
    }
    Ok(started?)
}

/// Those who start or end it take turns: two that found nothing running would start two, and lose one.
fn turn() -> anyhow::Result<File> {
    let home = home()?;
    let path = home.join("services.lock");
    let lock = || {
        std::fs::create_dir_all(&home)?;
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.lock().map(|()| file)
    };
    lock().with_context(|| path.display().to_string())
}

/// Ends what [`up`] started.
///
/// # Errors
/// When it does not end.
pub fn down() -> anyhow::Result<()> {
    let _turn = turn()?;
    println!("{}", if down_quietly()? { "Kafka has ended" } else { "nothing ran" });
    Ok(())
}

fn down_quietly() -> anyhow::Result<bool> {
    let Some(left) = Left::told()? else { return Ok(false) };
    let ran = left.end()?;
    Left::forget()?;
    Ok(ran)
}

/// Prints what runs; `json` for scripts.
///
/// # Errors
/// When what tells of it cannot be read.
pub fn status(json: bool) -> anyhow::Result<()> {
    let kafka = Left::find()?;
    if json {
        println!("{}", serde_json::json!({ "kafka": kafka }));
    } else {
        match kafka {
            Some(left) => println!("Kafka is at {}: process {}, {}", left.bootstrap, left.pid, left.folder.display()),
            None => println!("Kafka does not run: `cargo xtask services up` starts it"),
        }
    }
    Ok(())
}

/// The services that tests need, for as long as they run.
#[derive(Debug)]
pub struct ForTests {
    kafka: Option<Kafka>,
    bootstrap: Option<String>,
    // Dropped after the broker, which is in it.
    folder: tempfile::TempDir,
}

impl ForTests {
    /// Finds what runs, and starts what does not. What the machine has no way to start is left out: its tests are skipped.
    ///
    /// # Errors
    /// When something cannot be started although it could be fetched, or is required.
    pub fn get() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("factum-services-").tempdir()?;
        let mut services = Self { kafka: None, bootstrap: None, folder };
        let named = std::env::var(KAFKA_VARIABLE).ok().filter(|broker| !broker.is_empty());
        let found = match named {
            Some(named) => Some(named),
            None => Left::find()?.map(|left| left.bootstrap),
        };
        if found.is_some() {
            services.bootstrap = found;
            return Ok(services);
        }
        match Kafka::prepare(KafkaOptions::new(services.folder.path().join("kafka"))) {
            Ok(mut kafka) => {
                kafka.start()?;
                services.bootstrap = Some(kafka.bootstrap());
                services.kafka = Some(kafka);
            }
            Err(error @ local_services::Error::Missing { .. }) if !is_required() => println!("    {error}"),
            Err(error) => return Err(error.into()),
        }
        Ok(services)
    }

    /// Tells a command where they are.
    pub fn tell(&self, command: &mut Command) {
        if let Some(bootstrap) = &self.bootstrap {
            command.env(KAFKA_VARIABLE, bootstrap);
        }
    }
}

fn is_required() -> bool {
    std::env::var(REQUIRED_VARIABLE).is_ok_and(|required| required == "1")
}
