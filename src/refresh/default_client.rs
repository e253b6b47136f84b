//! The client that sends refresh requests when a program gives none.

use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::Full;

use super::transport::Transport;
use crate::client::{HyperClient, HyperClientBuilder};

/// The one client of the process; a clone of it costs a credential one pointer.
///
/// It speaks HTTP/1.1 and keeps no connection: refreshes are hours apart, and a connection that has
/// been idle for so long may be dead without a sign. Without connections it is bound to no runtime,
/// so it may outlive the one that first used it.
pub(crate) fn default_refresh_client() -> Transport {
    static CLIENT: OnceLock<Transport> = OnceLock::new();
    CLIENT
        .get_or_init(|| {
            let client: HyperClient<Full<Bytes>> = HyperClientBuilder::new()
                .build_for_refresh()
                .expect("the defaults hold nothing that could be wrong");
            Transport::over(client)
        })
        .clone()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use http::Request;

    use super::*;

    /// Answers as many requests as come on each connection; the counter tells how many connections
    /// there were.
    fn server() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for socket in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                let mut socket = socket.unwrap();
                thread::spawn(move || {
                    let mut seen = Vec::new();
                    let mut buffer = [0; 512];
                    while let Ok(length @ 1..) = socket.read(&mut buffer) {
                        seen.extend_from_slice(&buffer[..length]);
                        if seen.ends_with(b"refresh") {
                            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                            socket.write_all(response).unwrap();
                        }
                    }
                });
            }
        });
        (url, connections)
    }

    #[test]
    fn one_client_works_from_one_runtime_after_another_and_keeps_no_connection() {
        let (url, connections) = server();
        let client = default_refresh_client();
        for flavor in 0..4 {
            let mut builder = if flavor % 2 == 0 {
                tokio::runtime::Builder::new_current_thread()
            } else {
                tokio::runtime::Builder::new_multi_thread()
            };
            let runtime = builder.enable_all().build().unwrap();
            for _ in 0..2 {
                let request = Request::post(&url).body(Bytes::from_static(b"refresh")).unwrap();
                let response = runtime.block_on(client.send(request));
                assert_eq!(**response.ok().expect("a response").body, *b"{}");
            }
        }
        assert_eq!(connections.load(Ordering::SeqCst), 8, "one for each request");
    }

    #[test]
    fn there_is_one_client_for_the_whole_process() {
        assert!(default_refresh_client().is_the_same_as(&default_refresh_client()));
    }
}
