//! The federation CA as rustls and OpenSSL see it, and what it refuses to sign.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::pipe::{handshake, pem_of};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zonemesh_pki::{
    CertificateRequest, FederationCa, FederationError, OfferedProtocol, Probe, ProbeFailure, San,
    describe, rfc3339,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn sans(names: &[&str]) -> Vec<San> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn usual() -> Vec<San> {
    sans(&["10.10.10.5", "10.255.0.1", "127.0.0.1", "superlink.health-eu.zonemesh.internal"])
}

struct SuperLink {
    ca: FederationCa,
    key_pem: String,
    certificate_pem: String,
}

fn superlink_at(now: SystemTime) -> SuperLink {
    let ca = FederationCa::generate("health-eu", now).unwrap();
    let request = CertificateRequest::generate("superlink", &sans(&["10.10.10.5"])).unwrap();
    SuperLink {
        certificate_pem: ca.sign(&request.csr_pem, &usual(), now).unwrap(),
        key_pem: request.key_pem.to_string(),
        ca,
    }
}

fn server(link: &SuperLink) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(link.certificate_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(link.key_pem.as_bytes()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
    Arc::new(config)
}

#[test]
fn a_supernode_that_trusts_the_ca_reaches_the_superlink_by_every_name() {
    let link = superlink_at(SystemTime::now());
    let probe = Probe::new(&[link.ca.certificate_pem()]).unwrap();
    for name in usual() {
        let (client, shown) = probe.client_config(OfferedProtocol::Http2).unwrap();
        assert!(handshake(&client, &server(&link), &name.value()).is_ok(), "{name}");
        assert_eq!(probe.check(&name, &shown.certificates(), SystemTime::now()), Ok(()));
    }
}

#[test]
fn the_names_come_from_the_gateway_and_keys_are_pkcs8() {
    let now = SystemTime::now();
    let link = superlink_at(now);
    let summary = describe(&link.certificate_pem).unwrap();
    let expected: Vec<_> = usual().iter().map(ToString::to_string).collect();
    assert_eq!(summary.sans, expected);
    assert_eq!(summary.key_algorithm, "ECDSA P-256");
    assert_eq!(summary.subject, "CN=superlink.health-eu.zonemesh.internal");
    assert!(summary.issuer.starts_with("O=health-eu, CN=zonemesh federation CA "));
    assert!(!summary.is_ca);
    let life = rfc3339(now - DAY / 24)..=rfc3339(now + DAY * 90);
    assert_eq!(rfc3339(summary.not_before.unwrap()), *life.start());
    assert_eq!(rfc3339(summary.not_after.unwrap()), *life.end());
    assert!(link.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(link.ca.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
    let ca = describe(link.ca.certificate_pem()).unwrap();
    assert_eq!((ca.is_ca, ca.key_algorithm.as_str()), (true, "ECDSA P-256"));
    assert_eq!(rfc3339(ca.not_after.unwrap()), rfc3339(now + DAY * 3650));
}

#[test]
fn the_ca_signs_on_after_a_restart() {
    let now = SystemTime::now();
    let link = superlink_at(now);
    let key = link.ca.key_pem();
    let restarted = FederationCa::from_pem(link.ca.certificate_pem(), &key).unwrap();
    let again = CertificateRequest::with_key(&link.key_pem, "superlink", &[]).unwrap();
    let renewed = SuperLink {
        certificate_pem: restarted.sign(&again.csr_pem, &usual(), now).unwrap(),
        key_pem: again.key_pem.to_string(),
        ca: restarted,
    };
    assert_ne!(renewed.certificate_pem, link.certificate_pem);
    let (client, _shown) = Probe::new(&[link.ca.certificate_pem()])
        .unwrap()
        .client_config(OfferedProtocol::Http2)
        .unwrap();
    assert!(handshake(&client, &server(&renewed), "10.10.10.5").is_ok());
}

#[test]
fn a_lost_certificate_is_made_anew_from_its_key_and_both_vouch_for_all_that_was_signed() {
    let now = SystemTime::now();
    let link = superlink_at(now);
    let anew = FederationCa::from_key("health-eu", &link.ca.key_pem(), now).unwrap();
    assert_ne!(anew.certificate_pem(), link.ca.certificate_pem());
    let request = CertificateRequest::with_key(&link.key_pem, "superlink", &[]).unwrap();
    let certificate_pem = anew.sign(&request.csr_pem, &usual(), now).unwrap();
    let renewed = SuperLink { certificate_pem, key_pem: link.key_pem.clone(), ca: anew };
    for trusted in [link.ca.certificate_pem(), renewed.ca.certificate_pem()] {
        let (client, _shown) =
            Probe::new(&[trusted]).unwrap().client_config(OfferedProtocol::Http2).unwrap();
        for served in [&link, &renewed] {
            assert!(handshake(&client, &server(served), "10.10.10.5").is_ok());
        }
    }
    let no_key = FederationCa::from_key("health-eu", "garbage", now).err().unwrap();
    assert!(matches!(no_key, FederationError::Key(_)), "{no_key}");
}

#[test]
fn openssl_accepts_the_chain_strictly() {
    let link = superlink_at(SystemTime::now());
    let folder = tempfile::tempdir().unwrap();
    let (ca, leaf) = (folder.path().join("ca.pem"), folder.path().join("leaf.pem"));
    std::fs::write(&ca, link.ca.certificate_pem()).unwrap();
    std::fs::write(&leaf, &link.certificate_pem).unwrap();
    for (flag, name) in [("-verify_ip", "10.10.10.5"), ("-verify_ip", "127.0.0.1")] {
        let output = Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", "sslserver", flag, name, "-CAfile"])
            .args([&ca, &leaf])
            .output()
            .expect("this test needs openssl: apt-get install openssl");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {text}");
    }
}

#[test]
fn a_request_for_a_name_beyond_the_list_is_refused_by_that_name() {
    let now = SystemTime::now();
    let ca = FederationCa::generate("health-eu", now).unwrap();
    for beyond in ["10.10.11.9", "superlink.other.zonemesh.internal", "10.10.10.50"] {
        let names = sans(&["10.10.10.5", beyond]);
        let request = CertificateRequest::generate("superlink", &names).unwrap();
        let error = ca.sign(&request.csr_pem, &usual(), now).err().unwrap();
        assert!(error.to_string().contains(beyond), "{error}");
        assert!(matches!(error, FederationError::SanNotAllowed { .. }));
    }
}

#[test]
fn a_request_with_a_mail_address_is_refused() {
    let now = SystemTime::now();
    let ca = FederationCa::generate("health-eu", now).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names =
        vec![rcgen::SanType::Rfc822Name("root@example.org".try_into().unwrap())];
    let key = rcgen::KeyPair::generate().unwrap();
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let error = ca.sign(&request, &usual(), now).err().unwrap();
    assert!(error.to_string().contains("root@example.org"), "{error}");
}

#[test]
fn a_request_changed_on_its_way_is_refused() {
    let now = SystemTime::now();
    let ca = FederationCa::generate("health-eu", now).unwrap();
    let genuine = CertificateRequest::generate("superlink", &usual()).unwrap();
    let der =
        rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(genuine.csr_pem.as_bytes())
            .unwrap();
    let mut der = der.as_ref().to_vec();
    let at = der.windows(9).position(|bytes| bytes == b"superlink").unwrap();
    der[at] = b'S';
    let pem = pem_of("CERTIFICATE REQUEST", &der);
    let error = ca.sign(&pem, &usual(), now).err().unwrap();
    assert!(matches!(error, FederationError::RequestSignature(_)), "{error}");
}

#[test]
fn keys_that_flower_does_not_speak_are_refused() {
    let now = SystemTime::now();
    let ca = FederationCa::generate("health-eu", now).unwrap();
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::default();
        let request = params.serialize_request(&key).unwrap().pem().unwrap();
        let error = ca.sign(&request, &usual(), now).err().unwrap();
        assert!(matches!(error, FederationError::RequestKey), "{error}");
    }
}

#[test]
fn a_certificate_for_no_name_is_not_made() {
    let now = SystemTime::now();
    let ca = FederationCa::generate("health-eu", now).unwrap();
    let request = CertificateRequest::generate("superlink", &[]).unwrap();
    let error = ca.sign(&request.csr_pem, &[], now).err().unwrap();
    assert!(matches!(error, FederationError::NoSan));
}

#[test]
fn a_ca_is_loaded_only_whole() {
    let now = SystemTime::now();
    let link = superlink_at(now);
    let other = FederationCa::generate("health-eu", now).unwrap();
    let key = link.ca.key_pem();
    let mismatch = FederationCa::from_pem(other.certificate_pem(), &key).err().unwrap();
    assert!(matches!(mismatch, FederationError::KeyMismatch(_)), "{mismatch}");
    let leaf = FederationCa::from_pem(&link.certificate_pem, &link.key_pem).err().unwrap();
    assert!(matches!(leaf, FederationError::NotCa(_)), "{leaf}");
    let swapped = FederationCa::from_pem(&key, link.ca.certificate_pem()).err().unwrap();
    assert!(matches!(swapped, FederationError::Key(_)), "{swapped}");
}

#[test]
fn long_federation_names_fit_and_longer_ones_are_refused() {
    let now = SystemTime::now();
    let ca = FederationCa::generate(&"f".repeat(63), now).unwrap();
    let name = format!("superlink.{}.zonemesh.internal", "f".repeat(63));
    let request = CertificateRequest::generate("superlink", &sans(&[&name])).unwrap();
    let leaf = ca.sign(&request.csr_pem, &sans(&[&name]), now).unwrap();
    assert_eq!(describe(&leaf).unwrap().subject, "CN=superlink");
    assert!(FederationCa::generate(&"f".repeat(64), now).is_err());
    assert!(FederationCa::generate("", now).is_err());
}

#[test]
fn each_trouble_has_its_own_words() {
    let now = SystemTime::now();
    let link = superlink_at(now);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(link.certificate_pem.as_bytes())
        .map(Result::unwrap)
        .collect();
    let probe = Probe::new(&[link.ca.certificate_pem()]).unwrap();
    let lan: San = "10.10.10.5".parse().unwrap();

    let other_ca = FederationCa::generate("health-eu", now).unwrap();
    let stranger = Probe::new(&[other_ca.certificate_pem()]).unwrap();
    let wrong = stranger.check(&lan, &chain, now).unwrap_err();
    let issuer = describe(&link.certificate_pem).unwrap().issuer;
    assert!(matches!(&wrong, ProbeFailure::WrongCa { issuer: shown, .. } if *shown == issuer));
    let wrong = stranger.check(&lan, &chain, now + DAY * 91).unwrap_err();
    assert!(matches!(wrong, ProbeFailure::WrongCa { .. }), "the CA comes first: {wrong}");

    let public: San = "198.51.100.7".parse().unwrap();
    let mismatch = probe.check(&public, &chain, now).unwrap_err().to_string();
    assert!(mismatch.contains("dialled IP:198.51.100.7"), "{mismatch}");
    assert!(mismatch.contains("IP:10.10.10.5, IP:10.255.0.1, IP:127.0.0.1, DNS:superlink."));

    let expired = probe.check(&lan, &chain, now + DAY * 91).unwrap_err();
    assert!(
        matches!(&expired, ProbeFailure::Expired { since, .. }
        if *since == rfc3339(now + DAY * 90)),
        "{expired}"
    );
    let early = probe.check(&lan, &chain, now - DAY).unwrap_err();
    assert!(matches!(early, ProbeFailure::NotYetValid { .. }), "{early}");
    assert_eq!(probe.check(&lan, &[], now), Err(ProbeFailure::NoCertificate));
    let garbage = CertificateDer::from(vec![0x30, 3, 2, 1, 1]);
    assert!(matches!(probe.check(&lan, &[garbage], now), Err(ProbeFailure::Other(_))));
}

#[test]
fn an_expired_ca_is_named_although_rustls_would_not_mind() {
    let then = SystemTime::now() - DAY * 3700;
    let now = SystemTime::now();
    let ca = FederationCa::generate("health-eu", then).unwrap();
    let request = CertificateRequest::generate("superlink", &[]).unwrap();
    let leaf = ca.sign(&request.csr_pem, &usual(), now).unwrap();
    let chain = [CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap()];
    let probe = Probe::new(&[ca.certificate_pem()]).unwrap();
    let verdict = probe.check(&"10.10.10.5".parse().unwrap(), &chain, now).unwrap_err();
    let subject = describe(ca.certificate_pem()).unwrap().subject;
    assert!(matches!(&verdict, ProbeFailure::Expired { subject: ended, .. } if *ended == subject));
}

#[test]
fn during_a_rotation_both_generations_are_trusted() {
    let now = SystemTime::now();
    let (old, new) = (superlink_at(now), superlink_at(now));
    let probe = Probe::new(&[old.ca.certificate_pem(), new.ca.certificate_pem()]).unwrap();
    for link in [&old, &new] {
        let (client, _shown) = probe.client_config(OfferedProtocol::Http2).unwrap();
        assert!(handshake(&client, &server(link), "10.10.10.5").is_ok());
    }
}

#[test]
fn the_chain_is_recorded_also_when_the_handshake_is_refused() {
    let now = SystemTime::now();
    let link = superlink_at(now);
    let other = FederationCa::generate("health-eu", now).unwrap();
    let probe = Probe::new(&[other.certificate_pem()]).unwrap();
    let (client, shown) = probe.client_config(OfferedProtocol::Http2).unwrap();
    assert!(shown.certificates().is_empty());
    assert!(handshake(&client, &server(&link), "10.10.10.5").is_err());
    let verdict = probe.check(&"10.10.10.5".parse().unwrap(), &shown.certificates(), now);
    assert!(matches!(verdict, Err(ProbeFailure::WrongCa { .. })), "{verdict:?}");
}

#[test]
fn a_probe_needs_a_ca() {
    assert!(Probe::new::<&str>(&[]).is_err());
    assert!(Probe::new(&["not PEM"]).is_err());
}
