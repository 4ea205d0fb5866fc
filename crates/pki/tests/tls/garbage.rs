//! Bytes from outside: every parser answers with an error, none panics.

use std::sync::LazyLock;
use std::time::SystemTime;

use crate::pipe::pem_of;
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};
use zonemesh_pki::{
    CertificateRequest, FederationCa, Probe, San, ZoneAuthority, ZoneTrust, describe_all,
};

struct Genuine {
    ca: FederationCa,
    key_pem: String,
    csr_pem: String,
    trust: ZoneTrust,
    zone_leaf: Vec<u8>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let now = SystemTime::now();
    let zone = ZoneAuthority::from_seed("berlin", &[1; 32]).unwrap();
    let lan = ["10.10.10.5".parse().unwrap()];
    let request = CertificateRequest::generate("superlink", &[San::Ip(lan[0])]).unwrap();
    Genuine {
        ca: FederationCa::generate("health-eu", now).unwrap(),
        key_pem: request.key_pem.to_string(),
        csr_pem: request.csr_pem,
        trust: ZoneTrust::new(&[("berlin".to_owned(), zone.public_key())]).unwrap(),
        zone_leaf: zone.issue_leaf(&lan, now).unwrap().certificate().to_vec(),
    }
});

fn read_everything(text: &str) {
    let genuine = &*GENUINE;
    let _ = describe_all(text);
    let _ = text.parse::<San>();
    let _ = Probe::new(&[text]);
    let _ = genuine.ca.sign(text, &[San::Dns("a.example".into())], SystemTime::now());
    let _ = FederationCa::from_pem(text, &genuine.key_pem);
    let _ = FederationCa::from_pem(genuine.ca.certificate_pem(), text);
    let _ = CertificateRequest::with_key(text, "superlink", &[]);
}

/// A genuine text with some bytes changed.
fn damaged(text: &str, changes: &[(prop::sample::Index, u8)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A position in the signed part; the parser is lenient about the few bytes of wrapping around it.
fn within(whole: &[u8], part: &[u8], at: prop::sample::Index) -> usize {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start + at.index(part.len())
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4)
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,400}") {
        read_everything(&text);
    }

    #[test]
    fn any_bytes_in_pem_are_answered(body in "[A-Za-z0-9+/]{0,400}", kind in 0..3usize) {
        let label = ["CERTIFICATE", "CERTIFICATE REQUEST", "PRIVATE KEY"][kind];
        read_everything(&format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"));
    }

    #[test]
    fn damaged_texts_are_answered(changes in changes()) {
        let genuine = &*GENUINE;
        for text in [genuine.ca.certificate_pem(), &genuine.csr_pem, &genuine.key_pem] {
            read_everything(&damaged(text, &changes));
        }
    }

    #[test]
    fn a_request_with_a_damaged_body_is_never_signed(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let genuine = &*GENUINE;
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(
            genuine.csr_pem.as_bytes(),
        ).unwrap();
        let mut der = der.as_ref().to_vec();
        let body = X509CertificationRequest::from_der(&der).unwrap().1;
        let at = within(&der, body.certification_request_info.raw, at);
        der[at] ^= flip;
        let text = pem_of("CERTIFICATE REQUEST", &der);
        let sans = [San::Ip([10, 10, 10, 5].into())];
        prop_assert!(genuine.ca.sign(&text, &sans, SystemTime::now()).is_err());
    }

    #[test]
    fn a_leaf_with_a_damaged_body_belongs_to_no_zone(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let genuine = &*GENUINE;
        let mut der = genuine.zone_leaf.clone();
        let body = X509Certificate::from_der(&der).unwrap().1;
        let at = within(&der, body.tbs_certificate.as_ref(), at);
        der[at] ^= flip;
        prop_assert_eq!(genuine.trust.zone_of(&[CertificateDer::from(der.clone())]), None);
        let probe = Probe::new(&[genuine.ca.certificate_pem()]).unwrap();
        let lan = San::Ip([10, 10, 10, 5].into());
        prop_assert!(probe.check(&lan, &[CertificateDer::from(der)], SystemTime::now()).is_err());
    }
}

#[test]
fn the_genuine_forms_are_accepted() {
    let genuine = &*GENUINE;
    let sans = [San::Ip([10, 10, 10, 5].into())];
    assert!(genuine.ca.sign(&genuine.csr_pem, &sans, SystemTime::now()).is_ok());
    let leaf = CertificateDer::from(genuine.zone_leaf.clone());
    assert_eq!(genuine.trust.zone_of(&[leaf]).as_deref(), Some("berlin"));
}
