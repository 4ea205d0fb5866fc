//! What stands at Flower's port, played: TLS with a certificate of the federation's CA, and below it
//! nothing, or answers over HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zonemesh_pki::{CertificateRequest, FederationCa, San};

use crate::LOOPBACK;

/// Paths with what is answered to `GET`, head and body.
pub type Answers = &'static [(&'static str, &'static str)];

/// A certificate and its key for these names, issued at `now`.
pub fn leaf(ca: &FederationCa, sans: &[San], now: SystemTime) -> (String, String) {
    let request = CertificateRequest::generate("superlink", sans).unwrap();
    let certificate = ca.sign(&request.csr_pem, sans, now).unwrap();
    (certificate, request.key_pem.to_string())
}

/// A TLS server that does nothing after the handshake, as a port of Flower's looks to a probe.
pub struct TlsServer {
    /// Where it listens.
    pub address: SocketAddr,
    accepting: JoinSet<()>,
}

impl TlsServer {
    /// Listens on `port`, with these protocols.
    pub async fn start(port: u16, leaf: (String, String), alpn: &[&str]) -> Self {
        Self::begin(port, leaf, alpn, None).await
    }

    /// Negotiates no protocol, and answers one question of each connection.
    pub async fn answering(port: u16, leaf: (String, String), answers: Answers) -> Self {
        Self::begin(port, leaf, &[], Some(answers)).await
    }

    async fn begin(
        port: u16,
        (certificate, key): (String, String),
        alpn: &[&str],
        answers: Option<Answers>,
    ) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                chain.collect(),
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((LOOPBACK, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let accepted = acceptor.accept(stream).await;
                if let (Ok(stream), Some(answers)) = (accepted, answers) {
                    answer(stream, answers).await;
                }
            }
        });
        Self { address, accepting }
    }

    /// Ends it, its connections too.
    pub async fn stop(mut self) {
        self.accepting.shutdown().await;
    }
}

async fn answer(mut stream: TlsStream<TcpStream>, answers: Answers) {
    let mut asked = [0; 4096];
    let Ok(length) = stream.read(&mut asked).await else { return };
    let asked = String::from_utf8_lossy(&asked[..length]);
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let known = answers.iter().find(|(known, _)| *known == path).map(|(_, answer)| *answer);
    let text = known.unwrap_or("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    // As uvicorn does, it ends without a close_notify.
    let _gone = stream.write_all(text.as_bytes()).await;
    let _gone = stream.flush().await;
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port()
}
