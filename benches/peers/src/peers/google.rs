//! google-cloud-auth's `Credentials::headers`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use google_cloud_auth::credentials::{CacheableResource, Credentials, mds};
use http::{Extensions, HeaderMap};
use tokio::runtime::Runtime;

use super::Peer;
use crate::drive::{self, Authorize, Run, Workload};
use crate::workloads::ACCESS_TOKEN;

pub(crate) const HEADERS: Peer = Peer {
    name: "google",
    title: "google-cloud-auth `headers()`",
    package: Some("google-cloud-auth"),
    over: Some("bare"),
    headers: 1,
    on_401: "no part in it",
    driven: "Credentials of the metadata service, which is played on loopback and asked once, before \
             the measurement; `headers()` for each request, and the map that it returns is merged \
             into the request's.",
    lacks: "One header (a second one where a quota project is set). It is no middleware: a 401 never \
            reaches it, nothing is repeated, and the caller decides which origin gets the token. \
            Callers who keep the map and ask with its entity tag pay less.",
    workloads: &Workload::ALL,
    build,
};

#[derive(Clone)]
struct Google(Credentials);

impl Authorize for Google {
    async fn authorize(&self, headers: &mut HeaderMap) {
        match self.0.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => headers.extend(data),
            Ok(CacheableResource::NotModified) => panic!("no entity tag was sent"),
            Err(error) => panic!("no token from loopback, is there a proxy in between? {error}"),
        }
    }
}

fn build() -> Run {
    // Its HTTP client wants a provider before it is built, though no TLS is used here. If another
    // candidate has installed one already, that one does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let service = metadata_service().expect("a listener on loopback");
    let runtime = runtime();
    let credentials = runtime.block_on(async {
        let credentials = mds::Builder::default().with_endpoint(format!("http://{service}"));
        let google = Google(credentials.build().expect("good credentials"));
        // The first token is fetched here.
        google.authorize(&mut HeaderMap::new()).await;
        google
    });
    let run = drive::authorizer(credentials);
    Box::new(move |workload, calls| {
        let _entered = runtime.enter();
        run(workload, calls);
    })
}

/// Its task, which renews the token, lives on it and sleeps until then.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Answers one request with a token, as Google's metadata service would.
fn metadata_service() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let answer = move || -> io::Result<()> {
        let (mut connection, _) = listener.accept()?;
        let mut request = Vec::new();
        let mut part = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let length = connection.read(&mut part)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            request.extend_from_slice(&part[..length]);
        }
        let token = format!(
            r#"{{"access_token":"{ACCESS_TOKEN}","expires_in":7200,"token_type":"Bearer"}}"#
        );
        write!(
            connection,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{token}",
            token.len(),
        )
    };
    thread::spawn(move || answer().expect("the metadata service is asked once"));
    Ok(address)
}
