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
    Ok(Program::start(program, data)?.1)
}

/// A running bank. Killed when dropped, so that an error leaves nothing running.
pub struct Program {
    child: Child,
    port_base: u16,
}

impl Program {
    /// Starts it on free ports and waits until both services are ready; how long that took.
    ///
    /// # Errors
    /// It is not there, ends by itself, or takes too long.
    pub fn start(program: &Path, data: &Path) -> Result<(Self, Duration)> {
        let port_base = free_port_base()?;
        let begun = Instant::now();
        let child = Command::new(program)
            .args(["--port-base", &port_base.to_string(), "--log-level", "error", "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{}: run `cargo build --release` first", program.display()))?;
        let mut program = Self { child, port_base };
        for addr in [program.accounts_at(), program.statements_at()] {
            while !ready(addr) {
                if let Some(status) = program.child.try_wait()? {
                    bail!("the bank ended: {status}");
                }
                anyhow::ensure!(begun.elapsed() < START_LIMIT, "the bank is not ready after {START_LIMIT:?}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok((program, begun.elapsed()))
    }

    /// Where its write side listens.
    pub fn accounts_at(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port_base + 1))
    }

    /// Where its read side listens.
    pub fn statements_at(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port_base + 3))
    }

    /// The memory it has now, as the system counts it.
    ///
    /// # Errors
    /// The system does not say.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib << 10)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
        if port < u16::MAX - 3 && free(1) && free(2) && free(3) {
            return Ok(port);
        }
    }
    bail!("no free ports")
}
