//! The local API's leaf, pinned by the zone's key: exactly that zone, whatever name or clock.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::pipe::handshake;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, sign};
use zonemesh_pki::local::pin_mismatch;
use zonemesh_pki::{
    CurrentLeaf, ZoneAuthority, asking_client_config, local_server_config, pinned_client_config,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn zone(name: &str, seed: u8) -> ZoneAuthority {
    ZoneAuthority::from_seed(name, &[seed; 32]).unwrap()
}

fn server(zone: &ZoneAuthority, at: SystemTime) -> Arc<ServerConfig> {
    let leaf = zone.issue_leaf(&[IpAddr::from([10, 255, 0, 1])], at).unwrap();
    local_server_config(&CurrentLeaf::new(&leaf).unwrap()).unwrap()
}

#[test]
fn a_leaf_of_the_pinned_zone_passes_under_any_name_and_clock() {
    let berlin = zone("berlin", 1);
    let client = pinned_client_config(berlin.public_key()).unwrap();
    let now = SystemTime::now();
    for at in [now, now - 400 * DAY, now + 400 * DAY] {
        for name in ["10.10.10.1", "fd00::1", "gateway.berlin.example"] {
            let pair = handshake(&client, &server(&berlin, at), name).unwrap();
            assert_eq!(pair.client.alpn_protocol(), Some(b"h2".as_slice()));
        }
    }
}

#[test]
fn a_zone_of_the_same_name_with_another_key_is_refused() {
    let client = pinned_client_config(zone("berlin", 1).public_key()).unwrap();
    let refused = handshake(&client, &server(&zone("berlin", 2), SystemTime::now()), "10.10.10.1");
    let error = refused.err().unwrap().client.unwrap();
    let error = io::Error::new(io::ErrorKind::InvalidData, error);
    let text = pin_mismatch(&error).unwrap().to_string();
    assert!(text.contains("said to be of the zone berlin"), "{text}");
}

#[test]
fn a_certificate_that_no_zone_has_signed_is_refused() {
    let berlin = zone("berlin", 1);
    let client = pinned_client_config(berlin.public_key()).unwrap();
    let own = rcgen::generate_simple_self_signed(["berlin".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let refused = handshake(&client, &Arc::new(server), "10.10.10.1").err().unwrap();
    let error = refused.client.unwrap();
    assert!(pin_mismatch(&error).unwrap().to_string().contains("of no zone"));
}

#[test]
fn who_has_no_key_to_pin_may_ask_anybody() {
    let client = asking_client_config().unwrap();
    for seed in [1, 2] {
        let server = server(&zone("berlin", seed), SystemTime::now());
        assert!(handshake(&client, &server, "10.10.10.1").is_ok());
    }
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
    let berlin = zone("berlin", 1);
    let client = pinned_client_config(berlin.public_key()).unwrap();
    let pair = handshake(&client, &server(&berlin, SystemTime::now()), "10.10.10.1").unwrap();
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
