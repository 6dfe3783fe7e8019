//! Which bank a tool speaks to.

use std::net::{Ipv4Addr, SocketAddr};

use super::{BankClient, Surfaces};

/// Where the accounts service listens, above the port base.
const ACCOUNTS_PORT: u16 = 1;
/// Where the transfers service listens, above the port base.
const TRANSFERS_PORT: u16 = 2;
/// Where the statements service listens, above the port base.
const STATEMENTS_PORT: u16 = 3;
/// The highest port base that leaves room for every surface.
const PORT_BASE_MAX: i64 = 65_535 - STATEMENTS_PORT as i64;

/// The option that every tool has.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct BankAddress {
    /// The bank's surfaces listen on 127.0.0.1 above this port.
    #[arg(long, value_name = "PORT", env = "BANK_PORT_BASE", default_value_t = 7000)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=PORT_BASE_MAX))]
    port_base: u16,
}

impl BankAddress {
    /// A client for this bank. Connects when it is first used.
    pub fn client(self) -> BankClient {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, self.port_base + port));
        BankClient::at(Surfaces {
            accounts: at(ACCOUNTS_PORT),
            transfers: at(TRANSFERS_PORT),
            statements: at(STATEMENTS_PORT),
        })
    }

    /// The bank above a port base, for tests.
    #[cfg(test)]
    pub fn above(port_base: u16) -> Self {
        Self { port_base }
    }
}

/// A service of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    /// Accounts.
    Accounts,
    /// Transfers between them.
    Transfers,
    /// What queries read.
    Statements,
}

impl Service {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Accounts, Self::Transfers, Self::Statements];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => accounts::NAME,
            Self::Transfers => transfers::NAME,
            Self::Statements => statements::NAME,
        }
    }
}
