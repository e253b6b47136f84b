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
    use std::thread;

    use http::Request;

    use super::*;

    /// Answers one request on each connection, and keeps all of them open.
    fn server(requests: usize) -> (String, thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let mut connections = Vec::new();
            for _ in 0..requests {
                let (mut socket, _) = listener.accept().unwrap();
                let mut seen = Vec::new();
                while !seen.ends_with(b"refresh") {
                    let mut buffer = [0; 512];
                    let length = socket.read(&mut buffer).unwrap();
                    assert_ne!(length, 0);
                    seen.extend_from_slice(&buffer[..length]);
                }
                socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
                connections.push(socket);
            }
            connections.len()
        });
        (url, server)
    }

    #[test]
    fn one_client_works_from_one_runtime_after_another() {
        let (url, server) = server(4);
        let client = default_refresh_client();
        for flavor in 0..4 {
            let mut builder = if flavor % 2 == 0 {
                tokio::runtime::Builder::new_current_thread()
            } else {
                tokio::runtime::Builder::new_multi_thread()
            };
            let runtime = builder.enable_all().build().unwrap();
            let request = Request::post(&url).body(Bytes::from_static(b"refresh")).unwrap();
            let response = runtime.block_on(client.send(request));
            assert_eq!(**response.ok().expect("an answer").body, *b"{}");
        }
        // Nobody took a connection that another runtime had left behind.
        assert_eq!(server.join().unwrap(), 4);
    }

    #[test]
    fn there_is_one_client_for_the_whole_process() {
        assert!(default_refresh_client().is_the_same_as(&default_refresh_client()));
    }
}
