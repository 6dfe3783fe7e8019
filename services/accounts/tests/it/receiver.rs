//! Somebody on loopback who is told of withdrawals, and misbehaves as told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it does with a request it has read.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    Answers(u16),
    /// Ends the connection without a word.
    HangsUp,
    /// Ends the connection in the middle of its answer.
    HangsUpHalfway,
    /// Never says anything.
    IsSilent,
}

/// What it was told.
#[derive(Clone, Debug)]
pub struct Told {
    pub head: String,
    pub document: serde_json::Value,
}

#[derive(Default)]
struct Kept {
    told: Vec<Told>,
    next: VecDeque<Does>,
}

/// Listens until it is dropped, and can listen again at the same place.
pub struct Receiver {
    pub address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    listening: JoinHandle<()>,
}

impl Receiver {
    pub async fn listen() -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), Arc::default()).await
    }

    async fn at(address: SocketAddr, kept: Arc<Mutex<Kept>>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&kept);
        let listening = tokio::spawn(async move {
            // Dropped with their listener.
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, kept, listening }
    }

    /// Gone, with its connections; what it was told is kept.
    pub async fn goes(mut self) -> Gone {
        self.listening.abort();
        let _ = (&mut self.listening).await;
        Gone { address: self.address, kept: Arc::clone(&self.kept) }
    }

    /// What it does with the next requests; answers 200 to all others.
    pub fn does(&self, next: impl IntoIterator<Item = Does>) {
        self.kept.lock().unwrap().next.extend(next);
    }

    pub fn told(&self) -> Vec<Told> {
        self.kept.lock().unwrap().told.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A receiver that is away.
pub struct Gone {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Gone {
    pub async fn returns(self) -> Receiver {
        Receiver::at(self.address, self.kept).await
    }
}

async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Kept>>) {
    let mut read = Vec::new();
    while let Some(told) = request(&mut stream, &mut read).await {
        let does = {
            let mut kept = kept.lock().unwrap();
            kept.told.push(told);
            kept.next.pop_front().unwrap_or(Does::Answers(200))
        };
        let answer = match does {
            Does::Answers(status) => format!("HTTP/1.1 {status} \r\ncontent-length: 2\r\n\r\nno"),
            Does::HangsUpHalfway => {
                let _ = stream.write_all(b"HTTP/1.1 20").await;
                return;
            }
            Does::HangsUp => return,
            Does::IsSilent => std::future::pending().await,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Told> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            if let Some(body) = read.get(end + 4..end + 4 + length) {
                let document = serde_json::from_slice(body).unwrap();
                read.drain(..end + 4 + length);
                return Some(Told { head, document });
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
