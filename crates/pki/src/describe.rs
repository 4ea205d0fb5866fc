//! Certificates in words: who, by whom, for which names, until when.
//!
//! Promises never to panic on any bytes and to say which certificate of a file is broken.
//! Judges nothing: `probe` does. Specification: RFC 5280.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::san::San;
use crate::validity;

/// Why a text could not be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// Not one `BEGIN CERTIFICATE` block.
    #[error("no certificate found: expected PEM with -----BEGIN CERTIFICATE-----")]
    Empty,
    /// Broken PEM.
    #[error("certificate {index} is broken PEM")]
    Pem {
        /// Counted from 1.
        index: usize,
        /// What is wrong.
        #[source]
        source: PemError,
    },
    /// PEM around something that is no certificate.
    #[error("certificate {index} is no X.509 certificate")]
    Der {
        /// Counted from 1.
        index: usize,
        /// What is wrong.
        #[source]
        source: x509_parser::nom::Err<x509_parser::error::X509Error>,
    },
}

/// What people want to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Subject, for example `CN=superlink, O=health-eu`.
    pub subject: String,
    /// Issuer in the same form.
    pub issuer: String,
    /// Subject alternative names, for example `IP:10.0.0.1`, `DNS:a.example`.
    pub sans: Vec<String>,
    /// Start of its life; `None` if this system cannot express it.
    pub not_before: Option<SystemTime>,
    /// End of its life; `None` if this system cannot express it.
    pub not_after: Option<SystemTime>,
    /// For example `ECDSA P-256`, `Ed25519`, `RSA 2048`.
    pub key_algorithm: String,
    /// SHA-256 of the DER, 64 hexadecimal digits.
    pub sha256: String,
    /// True if it may sign other certificates.
    pub is_ca: bool,
}

/// The first certificate of a PEM text.
///
/// # Errors
/// [`DescribeError`] if there is none or it is broken.
pub fn describe(pem: &str) -> Result<CertificateSummary, DescribeError> {
    let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next();
    match first.ok_or(DescribeError::Empty)? {
        Ok(der) => describe_der(&der, 1),
        Err(source) => Err(DescribeError::Pem { index: 1, source }),
    }
}

/// SHA-256 of the first certificate of a PEM text, in DER.
///
/// # Errors
/// [`DescribeError`] if there is none or it is broken.
pub fn fingerprint(pem: &str) -> Result<[u8; 32], DescribeError> {
    let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next();
    match first.ok_or(DescribeError::Empty)? {
        Ok(der) => Ok(Sha256::digest(der).into()),
        Err(source) => Err(DescribeError::Pem { index: 1, source }),
    }
}

/// All certificates of a PEM text, in order, at least one.
///
/// # Errors
/// [`DescribeError`] if there is none or one is broken.
pub fn describe_all(pem: &str) -> Result<Vec<CertificateSummary>, DescribeError> {
    let ders = certificates(pem)?;
    let numbered = ders.iter().zip(1..);
    numbered.map(|(der, index)| describe_der(der, index)).collect()
}

/// All certificates of a PEM text as DER, at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, DescribeError> {
    let parsed = CertificateDer::pem_slice_iter(pem.as_bytes()).zip(1..);
    let ders: Vec<_> = parsed
        .map(|(der, index)| der.map_err(|source| DescribeError::Pem { index, source }))
        .collect::<Result<_, _>>()?;
    if ders.is_empty() {
        return Err(DescribeError::Empty);
    }
    Ok(ders)
}

/// One certificate in DER; `index` counts from 1 and only serves the error.
pub(crate) fn describe_der(der: &[u8], index: usize) -> Result<CertificateSummary, DescribeError> {
    let parsed = X509Certificate::from_der(der);
    let (_rest, certificate) = parsed.map_err(|source| DescribeError::Der { index, source })?;
    let digest = Sha256::digest(der);
    Ok(CertificateSummary {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        sans: sans(&certificate),
        not_before: validity::from_x509(certificate.validity().not_before),
        not_after: validity::from_x509(certificate.validity().not_after),
        key_algorithm: key_algorithm(certificate.public_key()),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        is_ca: certificate.is_ca(),
    })
}

fn sans(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension.value.general_names.iter().map(san_text).collect()
}

/// One general name as people write it; also kinds that Zonemesh never issues.
pub(crate) fn san_text(name: &GeneralName<'_>) -> String {
    match known_san(name) {
        Some(san) => san.to_string(),
        None => name.to_string(),
    }
}

/// The entry as [`San`], if it is a DNS name or an address.
pub(crate) fn known_san(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(name) => Some(San::Dns(name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => San::from_ip_bytes(bytes),
        _ => None,
    }
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
