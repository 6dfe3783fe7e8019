//! Ports that nobody else uses.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::Error;

/// Below the range from which systems take ports for outgoing connections: there, a test's own requests could take
/// the port of a service that is just being restarted.
const FIRST: u16 = 15_000;
/// The end of the range.
const END: u16 = 32_000;
/// How many ports belong to a base, with itself.
const STRIDE: u16 = 10;

/// A port base: the nine ports above it are free. The base itself is listened on as long as this lives, so that nobody
/// else, in this process or another, takes the same.
#[derive(Debug)]
pub struct PortBase {
    base: u16,
    _reserved: TcpListener,
}

impl PortBase {
    /// Takes a free one.
    ///
    /// # Errors
    /// When there is none.
    pub fn take() -> Result<Self, Error> {
        static TAKEN: AtomicU16 = AtomicU16::new(0);
        let slots = (END - FIRST) / STRIDE;
        // Several test processes begin at different places.
        let begin = u16::try_from(std::process::id() % u32::from(slots)).unwrap_or_default();
        for _ in 0..slots {
            let slot = (begin + TAKEN.fetch_add(1, Ordering::Relaxed)) % slots;
            let base = FIRST + slot * STRIDE;
            let Ok(reserved) = listen(base) else { continue };
            if (1..STRIDE).all(|offset| is_free(base + offset)) {
                return Ok(Self { base, _reserved: reserved });
            }
        }
        Err(Error::Ports(FIRST, END))
    }

    /// The base itself.
    pub fn get(&self) -> u16 {
        self.base
    }
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Whether nobody listens on it. Listening on it to find out would take it for longer than that: a process that another test
/// starts at this moment has it, too, until it runs its own program.
fn is_free(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_nobody_elses_and_its_surfaces_are_free() {
        let taken: Vec<PortBase> = (0..20).map(|_| PortBase::take().unwrap()).collect();
        for (index, one) in taken.iter().enumerate() {
            assert!(listen(one.get()).is_err(), "the base is reserved");
            assert!(listen(one.get() + 1).is_ok(), "a surface is free");
            assert!(taken[..index].iter().all(|other| other.get().abs_diff(one.get()) >= STRIDE));
        }
    }

    #[test]
    fn a_port_is_free_when_nobody_listens_on_it() {
        let ports = PortBase::take().unwrap();
        assert!(!is_free(ports.get()), "the base is reserved");
        assert!((1..STRIDE).all(|offset| is_free(ports.get() + offset)));
    }
}
