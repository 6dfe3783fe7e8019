//! A bank in a process of its own.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(20);
/// Where port bases are looked for: where no other test does.
const PORT_BASES: std::ops::Range<u16> = 12_000..13_000;
/// The ports of its surfaces above the base.
const SURFACES: [u16; 3] = [1, 2, 3];

/// Where a bank runs, ends, and runs again on what it left.
pub struct Site {
    folder: TempDir,
    port_base: u16,
    /// Listened on, so that no other test takes the same.
    _reserved: TcpListener,
}

/// A running bank; killed when dropped.
pub struct Bank {
    process: Child,
}

impl Drop for Bank {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Site {
    pub fn new() -> Self {
        let listen = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        let mut free = PORT_BASES.step_by(10).filter_map(|base| Some((base, listen(base)?)));
        let fits = |base: &u16| SURFACES.iter().all(|port| listen(base + port).is_some());
        let (port_base, _reserved) = free.find(|(base, _)| fits(base)).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), port_base, _reserved }
    }

    /// The folder of all data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the bank, and waits until it is ready.
    pub fn start(&self) -> Bank {
        let log = self.log();
        let mut command = self.command();
        command.arg("--data").arg(self.data()).stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        let bank = Bank { process: command.args(["--port-base", &self.port_base.to_string()]).spawn().unwrap() };
        self.until("is ready", || SURFACES.iter().all(|port| self.readiness(*port).starts_with("HTTP/1.1 200")));
        bank
    }

    /// Runs a tool of the bank.
    pub fn tool(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).args(["--port-base", &self.port_base.to_string()]).output().unwrap()
    }

    /// What `/readyz` of a surface answers, whole; nothing when nobody is there.
    pub fn readiness(&self, port: u16) -> String {
        let ask = || -> std::io::Result<String> {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port_base + port));
            let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_default()
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let log = || std::fs::read_to_string(self.folder.path().join("bank.log")).unwrap_or_default();
            assert!(begun.elapsed() < LIMIT, "the bank never {what}: {}", log());
            thread::sleep(POLL);
        }
    }

    /// What it says goes there, made anew.
    fn log(&self) -> File {
        let path = self.folder.path().join("bank.log");
        OpenOptions::new().create(true).write(true).truncate(true).open(path).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bank"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BANK_")) {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path());
        command
    }
}
