//! Resident memory of the whole `bank` program after many commands by HTTP.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};

use crate::{
    bank,
    ground::Ground,
    load::{self, Connection},
    start::Program,
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The program, built with `cargo build --release`.
    #[arg(long, default_value = "target/release/bank")]
    program: PathBuf,
    #[command(flatten)]
    ground: Ground,
    /// Commands in all; memory is also looked at after half of them.
    #[arg(long, default_value_t = 1_000_000)]
    commands: usize,
    /// Accounts they go to in turn.
    #[arg(long, default_value_t = 6_400)]
    accounts: usize,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// Measures and prints.
///
/// # Errors
/// The program does not start, or refuses a command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let directory = arguments.ground.folder()?;
    let (program, _) = Program::start(&arguments.program, directory.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let accounts = bank::account_ids(arguments.accounts);
    let openings = accounts.iter().map(|account| load::post("/commands/open-account", &bank::opening(account)));
    let openings = Arc::new(openings.collect::<Vec<_>>());
    let half = arguments.commands.saturating_sub(arguments.accounts) / 2;
    let connections = arguments.connections;
    let send = |requests, count| runtime.block_on(send(&program, requests, connections, count));
    send(openings, arguments.accounts)?;
    let mut resident = Vec::new();
    for _ in 0..2 {
        send(bank::deposits(&accounts), half)?;
        resident.push(program.resident_bytes()? as f64 / f64::from(1 << 20));
    }
    let growth = 100.0 * (resident[1] / resident[0] - 1.0);
    println!("resident memory of the bank, {} accounts, when the read side shows everything", arguments.accounts);
    println!("after {:>9} commands {:>8.1} MiB", arguments.accounts + half, resident[0]);
    println!("after {:>9} commands {:>8.1} MiB   {growth:+.1} %", arguments.accounts + 2 * half, resident[1]);
    Ok(())
}

/// Sends so many requests, and waits until the read side shows the last of each connection.
async fn send(program: &Program, requests: Arc<Vec<Vec<u8>>>, connections: usize, count: usize) -> Result<()> {
    let senders: Vec<_> = (0..connections)
        .map(|number| {
            let (to, shown_at) = (program.accounts_at(), program.statements_at());
            tokio::spawn(sender(to, shown_at, Arc::clone(&requests), number, connections, count))
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    Ok(())
}

async fn sender(
    to: SocketAddr,
    shown_at: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    number: usize,
    connections: usize,
    count: usize,
) -> Result<()> {
    let mut connection = Connection::to(to).await?;
    let mine = requests.iter().cycle().take(count).skip(number).step_by(connections);
    let mut token = None;
    for request in mine {
        let answer = str::from_utf8(connection.ask(request).await?)?;
        token = Some(load::header(answer, "factum-token").context("an answer without a token")?.to_owned());
    }
    let Some(token) = token else { return Ok(()) };
    let path = "/queries/daily-totals?date=2026-01-01&currency=EUR";
    let query = format!("GET {path} HTTP/1.1\r\nhost: bank\r\nfactum-at-least: {token}\r\n\r\n");
    // Far behind, it says so after its own limit: asked again until it is there.
    let mut tries = SHOWN_TRIES_MAX;
    loop {
        tries -= 1;
        match Connection::to(shown_at).await?.ask(query.as_bytes()).await {
            Err(error) if tries == 0 => return Err(error.context("the read side does not catch up")),
            Err(_) => {}
            Ok(_) => return Ok(()),
        }
    }
}

/// How often the read side is asked whether it shows everything; each time it waits some seconds by itself.
const SHOWN_TRIES_MAX: usize = 60;
