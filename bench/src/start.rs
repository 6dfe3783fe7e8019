//! From the start of the `bank` program to both services being ready.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::statistics::median;

/// Longer than any start that is still a result.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The program, built with `cargo build --release`.
    #[arg(long, default_value = "target/release/bank")]
    program: PathBuf,
    /// Rounds each figure is the median of.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Measures and prints: on no data, and again on what the first start left.
///
/// # Errors
/// The program does not start.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let directory = tempfile::tempdir()?;
        first.push(start(&arguments.program, directory.path())?.as_secs_f64() * 1e3);
        again.push(start(&arguments.program, directory.path())?.as_secs_f64() * 1e3);
    }
    println!("start of the bank until both services are ready, medians of {} rounds", arguments.rounds);
    println!("without data {:.0} ms   again, after SIGKILL {:.0} ms", median(&mut first), median(&mut again));
    Ok(())
}

fn start(program: &Path, data: &Path) -> Result<Duration> {
    let base = free_port_base()?;
    let begun = Instant::now();
    let child = Command::new(program)
        .args(["--port-base", &base.to_string(), "--log-level", "error", "--data"])
        .arg(data)
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("{}: run `cargo build --release` first", program.display()))?;
    let mut child = Killed(child);
    for port in [base + 1, base + 3] {
        while !ready(SocketAddr::from(([127, 0, 0, 1], port))) {
            if let Some(status) = child.0.try_wait()? {
                bail!("the bank ended: {status}");
            }
            anyhow::ensure!(begun.elapsed() < START_LIMIT, "the bank is not ready after {START_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(begun.elapsed())
}

/// Killed when dropped, so that an error leaves nothing running.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ready(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(addr) else { return false };
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bank\r\nconnection: close\r\n\r\n");
    let mut answer = [0; 15];
    asked.is_ok() && stream.read_exact(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

/// A base above which the bank's ports are free now.
fn free_port_base() -> Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let free = |offset: u16| TcpListener::bind(("127.0.0.1", port.wrapping_add(offset))).is_ok();
        if port < u16::MAX - 3 && free(1) && free(3) {
            return Ok(port);
        }
    }
    bail!("no free ports")
}
