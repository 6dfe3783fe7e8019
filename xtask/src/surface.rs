//! Whether a service's surface is ready.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// How long one look at a surface may take.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Whether a surface answers 200 on `/readyz`.
pub fn is_ready(port: u16) -> bool {
    let look = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LOOK_MAX)?;
        stream.set_read_timeout(Some(LOOK_MAX))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    look().unwrap_or(false)
}
