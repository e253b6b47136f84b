//! A relay before a server that counts round trips.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Counts how often a client has sent something after an answer, or first: each time it then waited
/// for the server. How many packets that took does not matter.
pub(crate) struct Relay {
    port: u16,
    round_trips: Arc<AtomicU64>,
}

impl Relay {
    /// Starts one before the server on this loopback port. It ends with the process.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let round_trips = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&round_trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, Arc::clone(&count)));
            }
        });
        Relay { port, round_trips }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }
}

async fn pass(mut client: TcpStream, server: u16, round_trips: Arc<AtomicU64>) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
    let (mut asks, mut answers) = ([0; 16 * 1024], [0; 16 * 1024]);
    let mut is_answered = true;
    loop {
        let passed = tokio::select! {
            Ok(length @ 1..) = client.read(&mut asks) => {
                round_trips.fetch_add(u64::from(is_answered), Ordering::Relaxed);
                is_answered = false;
                server.write_all(&asks[..length]).await
            }
            Ok(length @ 1..) = server.read(&mut answers) => {
                is_answered = true;
                client.write_all(&answers[..length]).await
            }
            else => return,
        };
        if passed.is_err() {
            return;
        }
    }
}
