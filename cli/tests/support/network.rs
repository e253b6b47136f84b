//! A company's network: the API behind TLS with a root of its own, reached through an HTTP proxy alone.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A name that no resolver knows: only the proxy can reach it.
pub(crate) const HOST: &str = "teamup.test";

/// Both servers run until it is dropped.
pub(crate) struct Network {
    /// What `HTTPS_PROXY` names.
    pub(crate) proxy_url: String,
    /// The API's certificate, which is its own root.
    root: String,
    /// The heads that the proxy was sent.
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Network {
    /// `api` is the address of a server that takes plain HTTP.
    pub(crate) fn before(api: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (tls, proxy) = (listen(), listen());
        let tls_address = tls.local_addr().unwrap();
        let proxy_url = format!("http://{}", proxy.local_addr().unwrap());

        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn(async move {
            while let Ok((socket, _)) = tls.accept().await {
                tokio::spawn(decrypt(acceptor.clone(), socket, api.clone()));
            }
        });
        let heads = Arc::clone(&asked);
        runtime.spawn(async move {
            while let Ok((client, _)) = proxy.accept().await {
                let server = TcpStream::connect(tls_address).await.unwrap();
                tokio::spawn(tunnel(client, server, Arc::clone(&heads)));
            }
        });
        Network { proxy_url, root: cert.pem(), asked, _runtime: runtime }
    }

    pub(crate) fn write_root(&self, path: &Path) {
        std::fs::write(path, &self.root).unwrap();
    }

    pub(crate) fn tunnels(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn decrypt(acceptor: TlsAcceptor, socket: TcpStream, api: String) -> io::Result<()> {
    let mut client = acceptor.accept(socket).await?;
    let mut server = TcpStream::connect(api).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn tunnel(
    mut client: TcpStream,
    mut server: TcpStream,
    heads: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    heads.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
