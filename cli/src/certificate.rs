//! X.509 certificates in words: who, by whom, for which names, until when.
//!
//! Promises never to panic on any bytes and to say which certificate of a text is broken. Judges
//! nothing. Specification: RFC 5280; PEM: RFC 7468.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use x509_parser::error::{PEMError, X509Error};
use x509_parser::nom;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;
use zonemesh_core::time::UnixMillis;

use crate::quantity::hex;

/// Why a text could not be described.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("no certificate found: expected PEM with -----BEGIN CERTIFICATE-----")]
    None,
    #[error("block {index} is broken PEM")]
    Pem {
        index: usize,
        #[source]
        source: PEMError,
    },
    #[error("block {index} is a {label:?}, which is never shown; expected a CERTIFICATE")]
    Other { index: usize, label: String },
    #[error("certificate {index} is no X.509 certificate")]
    Der {
        index: usize,
        #[source]
        source: nom::Err<X509Error>,
    },
}

/// What people want to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedCertificate {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// For example `IP:10.0.0.1`, `DNS:a.example`.
    pub(crate) sans: Vec<String>,
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
    pub(crate) key_algorithm: String,
    /// Of the DER, 64 hexadecimal digits.
    pub(crate) sha256: String,
    /// True if it may sign other certificates.
    pub(crate) is_ca: bool,
}

/// All certificates of a PEM text, in order, at least one.
pub(crate) fn describe(pem: &[u8]) -> Result<Vec<DescribedCertificate>, CertificateError> {
    let mut summaries = Vec::new();
    for (block, index) in Pem::iter_from_buffer(pem).zip(1..) {
        let block = block.map_err(|source| CertificateError::Pem { index, source })?;
        if block.label != "CERTIFICATE" {
            return Err(CertificateError::Other { index, label: block.label });
        }
        summaries.push(describe_der(&block.contents, index)?);
    }
    if summaries.is_empty() {
        return Err(CertificateError::None);
    }
    Ok(summaries)
}

fn describe_der(der: &[u8], index: usize) -> Result<DescribedCertificate, CertificateError> {
    let parsed = X509Certificate::from_der(der);
    let (_rest, certificate) = parsed.map_err(|source| CertificateError::Der { index, source })?;
    Ok(DescribedCertificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        sans: sans(&certificate),
        not_before: millis(certificate.validity().not_before),
        not_after: millis(certificate.validity().not_after),
        key_algorithm: key_algorithm(certificate.public_key()),
        sha256: hex(&Sha256::digest(der)),
        is_ca: certificate.is_ca(),
    })
}

fn millis(time: ASN1Time) -> UnixMillis {
    UnixMillis(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000))
}

fn sans(certificate: &X509Certificate<'_>) -> Vec<String> {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().map(san).collect(),
        _ => Vec::new(),
    }
}

fn san(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::IPAddress(bytes) => match address(bytes) {
            Some(ip) => format!("IP:{ip}"),
            None => format!("IP of {} bytes", bytes.len()),
        },
        other => other.to_string(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok()
}

fn key_algorithm(key: &SubjectPublicKeyInfo<'_>) -> String {
    const ED25519: &str = "1.3.101.112";
    match key.parsed() {
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size()),
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        _ => match key.algorithm.algorithm.to_id_string().as_str() {
            ED25519 => "Ed25519".to_owned(),
            other => format!("algorithm {other}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256`, valid 2026 to 2126.
    pub(crate) const PEM: &str = include_str!("../tests/superlink.pem");

    #[test]
    fn a_certificate_is_described_in_words() {
        let all = describe(PEM.as_bytes()).unwrap();
        let [one] = all.as_slice() else { panic!("one certificate") };
        assert_eq!(one.subject, "CN=superlink, O=health-eu");
        assert_eq!(one.issuer, one.subject);
        assert_eq!(
            one.sans,
            ["DNS:superlink.health-eu.zonemesh.internal", "IP:10.10.10.5", "IP:fd00::5"]
        );
        assert_eq!(one.key_algorithm, "ECDSA P-256");
        assert!(one.is_ca);
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_its_reason() {
        let reason = |text: &str| describe(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            reason("hello"),
            "no certificate found: expected PEM with -----BEGIN CERTIFICATE-----"
        );
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(
            reason(key),
            "block 1 is a \"PRIVATE KEY\", which is never shown; expected a CERTIFICATE"
        );
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(reason(&format!("{PEM}{junk}")), "certificate 2 is no X.509 certificate");
        assert_eq!(reason(&PEM[..200]), "block 1 is broken PEM");
    }

    #[test]
    fn damaged_certificates_never_panic() {
        let block = Pem::iter_from_buffer(PEM.as_bytes()).next().unwrap().unwrap();
        for at in 0..block.contents.len() {
            let mut damaged = block.contents.clone();
            damaged[at] ^= 0x81;
            let _any_answer = describe_der(&damaged, 1);
            let _any_answer = describe_der(&block.contents[..at], 1);
        }
    }
}
