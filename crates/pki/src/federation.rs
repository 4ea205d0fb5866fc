//! The CA of one Flower federation: signs the SuperLink's requests.
//!
//! Promises ECDSA P-256 and PKCS#8 only (Flower 1.25 speaks no Ed25519), names chosen by the holder
//! of the CA and never by the request, and a request refused if it asks for more.
//! Refuses to know where the CA is stored and who may ask: the gateway does.
//! Specification: docs/ARCHITECTURE.md, RFC 5280, RFC 2986.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SubjectPublicKeyInfo,
};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use sha2::{Digest, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::crypto;
use crate::describe::{known_san, san_text};
use crate::san::{self, San};
use crate::validity::{self, DAY, HOUR};

/// A federation outlives its machines; rotation replaces the CA much earlier.
const CA_LIFE_DAYS: u32 = 3650;
const LEAF_LIFE_DAYS: u32 = 90;
/// A request with a P-256 key and a dozen names has about 1 kB.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Longest common name of RFC 5280 appendix A.1.
const MAX_COMMON_NAME: usize = 64;

/// What can go wrong with a federation's CA.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// Names of federations go into certificates.
    #[error("{0:?} is no federation name: 1 to 63 characters")]
    Name(String),
    /// Not the key of a CA of ours.
    #[error("the federation CA's key is no ECDSA P-256 key in PKCS#8 PEM")]
    Key(#[source] rcgen::Error),
    /// The PEM holds no certificate.
    #[error("the federation CA's certificate is broken PEM")]
    CertificatePem(#[source] PemError),
    /// The PEM holds something else.
    #[error("the federation CA's certificate is no X.509 certificate")]
    Certificate(#[source] x509_parser::nom::Err<X509Error>),
    /// A leaf in the place of a CA.
    #[error("the certificate {0} may not sign others: it is no CA")]
    NotCa(String),
    /// Two halves of different pairs.
    #[error("the federation CA's key does not belong to its certificate {0}")]
    KeyMismatch(String),
    /// The request is too long to be one.
    #[error("the certificate request has {0} bytes, more than {MAX_REQUEST_BYTES}")]
    RequestSize(usize),
    /// The request is broken PEM.
    #[error("the certificate request is broken PEM")]
    RequestPem(#[source] PemError),
    /// The request is no PKCS#10.
    #[error("the certificate request is no PKCS#10 request")]
    Request(#[source] x509_parser::nom::Err<X509Error>),
    /// The sender does not hold the key, or the request was changed on its way.
    #[error("the certificate request's own signature is wrong")]
    RequestSignature(#[source] X509Error),
    /// Flower would not speak with such a key.
    #[error("the certificate request's key is not ECDSA P-256, which Flower needs")]
    RequestKey,
    /// The request wants a name that is not on the gateway's list.
    #[error("the certificate request asks for {asked}, allowed are {allowed}")]
    SanNotAllowed {
        /// The first name beyond the list.
        asked: String,
        /// The whole list.
        allowed: String,
    },
    /// A certificate that fits no address is of no use.
    #[error("no subject alternative name is allowed: nothing to sign")]
    NoSan,
    /// rcgen refused.
    #[error("cannot issue the certificate")]
    Issue(#[from] rcgen::Error),
}

/// A federation's CA with its secret key.
pub struct FederationCa {
    certificate_pem: String,
    certificate_der: CertificateDer<'static>,
    key: Zeroizing<KeyPair>,
}

impl FederationCa {
    /// A new CA for `federation`, valid for ten years from an hour before `now`.
    ///
    /// # Errors
    /// [`FederationError::Name`] or [`FederationError::Issue`].
    pub fn generate(federation: &str, now: SystemTime) -> Result<Self, FederationError> {
        Self::certified(federation, crypto::new_p256_key()?, now)
    }

    /// The CA whose certificate is lost, with one made anew from its key, valid as a new CA's. Name
    /// and key are those of the lost one: whoever trusts either trusts what the CA signs.
    ///
    /// # Errors
    /// [`FederationError::Key`], [`FederationError::Name`] or [`FederationError::Issue`].
    pub fn from_key(
        federation: &str,
        key_pem: &str,
        now: SystemTime,
    ) -> Result<Self, FederationError> {
        let key = crypto::p256_key_from_pem(key_pem).map_err(FederationError::Key)?;
        Self::certified(federation, key, now)
    }

    fn certified(
        federation: &str,
        key: Zeroizing<KeyPair>,
        now: SystemTime,
    ) -> Result<Self, FederationError> {
        if federation.is_empty() || federation.len() > 63 {
            return Err(FederationError::Name(federation.to_owned()));
        }
        let mut params = CertificateParams::default();
        let until = now.checked_add(DAY * CA_LIFE_DAYS);
        validity::set_validity(&mut params, now.checked_sub(HOUR), until)?;
        params.serial_number = Some(crypto::random_serial()?);
        params.distinguished_name = ca_name(federation, &key);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&*key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().clone(),
            key,
        })
    }

    /// The CA from what [`FederationCa::certificate_pem`] and [`FederationCa::key_pem`] gave.
    ///
    /// # Errors
    /// [`FederationError`] if one is broken, they do not belong together, or it is no CA.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, FederationError> {
        let key = crypto::p256_key_from_pem(key_pem).map_err(FederationError::Key)?;
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(FederationError::CertificatePem)?;
        let (_rest, certificate) =
            X509Certificate::from_der(&der).map_err(FederationError::Certificate)?;
        let subject = certificate.subject().to_string();
        if !certificate.is_ca() {
            return Err(FederationError::NotCa(subject));
        }
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(FederationError::KeyMismatch(subject));
        }
        Ok(Self { certificate_pem: certificate_pem.to_owned(), certificate_der: der, key })
    }

    /// The CA's certificate: what SuperNodes trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The secret key in PKCS#8 PEM, for a file of mode 0600.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }

    /// Signs a request for the names in `allowed`, all of them: 90 days from an hour before `now`.
    ///
    /// # Errors
    /// [`FederationError`] if the request is broken, not signed by its own key, has no P-256 key or
    /// asks for a name outside `allowed`.
    pub fn sign(
        &self,
        request_pem: &str,
        allowed: &[San],
        now: SystemTime,
    ) -> Result<String, FederationError> {
        let first = allowed.first().ok_or(FederationError::NoSan)?;
        let key = checked_key(request_pem, allowed)?;
        let mut params = CertificateParams::default();
        let until = now.checked_add(DAY * LEAF_LIFE_DAYS);
        validity::set_validity(&mut params, now.checked_sub(HOUR), until)?;
        params.serial_number = Some(crypto::random_serial()?);
        params.distinguished_name = leaf_name(first, allowed);
        let names: Result<_, _> = allowed.iter().map(San::to_rcgen).collect();
        params.subject_alt_names = names?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate_der, &*self.key)?;
        Ok(params.signed_by(&key, &issuer)?.pem())
    }
}

/// Each CA generation has a name of its own: during a rotation a verifier that picks issuers by
/// name must not try the wrong key.
fn ca_name(federation: &str, key: &KeyPair) -> DistinguishedName {
    let digest = Sha256::digest(key.subject_public_key_info());
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, federation);
    name.push(DnType::CommonName, format!("zonemesh federation CA {short}"));
    name
}

/// The common name is for people only; a DNS name reads best.
fn leaf_name(first: &San, allowed: &[San]) -> DistinguishedName {
    let dns = allowed.iter().find(|san| matches!(san, San::Dns(_)));
    let common_name = dns.unwrap_or(first).value();
    let mut name = DistinguishedName::new();
    if common_name.len() <= MAX_COMMON_NAME {
        name.push(DnType::CommonName, common_name);
    } else {
        name.push(DnType::CommonName, "superlink");
    }
    name
}

/// The key of a request that is well formed, signed by that key, and modest.
fn checked_key(
    request_pem: &str,
    allowed: &[San],
) -> Result<SubjectPublicKeyInfo, FederationError> {
    if request_pem.len() > MAX_REQUEST_BYTES {
        return Err(FederationError::RequestSize(request_pem.len()));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes())
        .map_err(FederationError::RequestPem)?;
    let (_rest, request) =
        X509CertificationRequest::from_der(&der).map_err(FederationError::Request)?;
    request.verify_signature().map_err(FederationError::RequestSignature)?;
    check_names(&request, allowed)?;
    p256_key(&request)
}

fn check_names(
    request: &X509CertificationRequest<'_>,
    allowed: &[San],
) -> Result<(), FederationError> {
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else {
            continue;
        };
        for name in &names.general_names {
            if !known_san(name).is_some_and(|san| allowed.contains(&san)) {
                let texts: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                return Err(FederationError::SanNotAllowed {
                    asked: san_text(name),
                    allowed: san::listed(&texts),
                });
            }
        }
    }
    Ok(())
}

fn p256_key(
    request: &X509CertificationRequest<'_>,
) -> Result<SubjectPublicKeyInfo, FederationError> {
    let raw = request.certification_request_info.subject_pki.raw;
    match SubjectPublicKeyInfo::from_der(raw) {
        Ok(key) if key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 => Ok(key),
        _ => Err(FederationError::RequestKey),
    }
}
