//! The pinned key of the local API: exactly that key, whatever name or clock.

use std::io;
use std::sync::Arc;

use crate::pipe::handshake;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, sign};
use zonemesh_pki::local::pin_mismatch;
use zonemesh_pki::{LocalApiKey, local_server_config, pinned_client_config};

#[test]
fn the_pinned_key_passes_under_any_name() {
    let key = LocalApiKey::generate().unwrap();
    let server = local_server_config(&key).unwrap();
    let client = pinned_client_config(key.fingerprint()).unwrap();
    for name in ["10.10.10.1", "fd00::1", "gateway.berlin.example"] {
        let pair = handshake(&client, &server, name).unwrap();
        assert_eq!(pair.client.alpn_protocol(), Some(b"h2".as_slice()));
    }
}

#[test]
fn the_key_file_of_a_restarted_gateway_still_fits_the_pin() {
    let key = LocalApiKey::generate().unwrap();
    let restarted = LocalApiKey::from_pem(&key.key_pem()).unwrap();
    let server = local_server_config(&restarted).unwrap();
    let client = pinned_client_config(key.fingerprint()).unwrap();
    assert!(handshake(&client, &server, "10.10.10.1").is_ok());
}

#[test]
fn another_key_is_refused_and_the_error_names_both() {
    let expected = LocalApiKey::generate().unwrap().fingerprint();
    let other = LocalApiKey::generate().unwrap();
    let server = local_server_config(&other).unwrap();
    let client = pinned_client_config(expected).unwrap();
    let refused = handshake(&client, &server, "10.10.10.1").err().unwrap();
    let error = io::Error::new(io::ErrorKind::InvalidData, refused.client.unwrap());
    let mismatch = pin_mismatch(&error).unwrap();
    assert_eq!(mismatch.expected, expected);
    assert_eq!(mismatch.presented, other.fingerprint());
    assert!(mismatch.to_string().contains("ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT"));
}

#[test]
fn an_unrelated_error_is_no_pin_mismatch() {
    assert!(pin_mismatch(&io::Error::other("refused")).is_none());
    assert!(pin_mismatch(&rustls::Error::DecryptError).is_none());
}

/// Shows a stolen certificate but signs with a key of its own.
#[derive(Debug)]
struct Stolen(Arc<sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Stolen {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn the_right_certificate_without_its_key_is_refused() {
    let key = LocalApiKey::generate().unwrap();
    let client = pinned_client_config(key.fingerprint()).unwrap();
    let pair = handshake(&client, &local_server_config(&key).unwrap(), "10.10.10.1").unwrap();
    let shown = pair.client.peer_certificates().unwrap().to_vec();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = rcgen::KeyPair::generate().unwrap().serialize_der();
    let own = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(own).into());
    let stolen = Stolen(Arc::new(sign::CertifiedKey::new(shown, own.unwrap())));
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(stolen));
    let refused = handshake(&client, &Arc::new(server), "10.10.10.1").err().unwrap();
    assert!(refused.text().contains("BadSignature"), "{}", refused.text());
}
