//! The SuperLink VM's side of a certificate: its key and its request.
//!
//! Promises an ECDSA P-256 key in PKCS#8 (Flower 1.25 refuses Ed25519) that never leaves the VM
//! by way of this code: only the request is meant to travel.
//! Specification: RFC 2986 (PKCS#10).

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use zeroize::Zeroizing;

use crate::crypto;
use crate::san::San;

/// Why no request could be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not a key that [`CertificateRequest::generate`] made.
    #[error("the key is no ECDSA P-256 key in PKCS#8 PEM")]
    Key(#[source] rcgen::Error),
    /// rcgen refused, for example a DNS name outside ASCII.
    #[error("cannot make the certificate request")]
    Request(#[from] rcgen::Error),
}

/// A secret key and the request for its certificate.
pub struct CertificateRequest {
    /// PKCS#8 PEM, secret: a file of mode 0600.
    pub key_pem: Zeroizing<String>,
    /// PKCS#10 PEM, for the gateway.
    pub csr_pem: String,
}

impl CertificateRequest {
    /// Makes a new key and asks for these names.
    ///
    /// # Errors
    /// [`RequestError::Request`] if a name does not fit into a certificate.
    pub fn generate(common_name: &str, sans: &[San]) -> Result<Self, RequestError> {
        let key = crypto::new_p256_key()?;
        Self::signed(&key, common_name, sans)
    }

    /// Asks again with a key that exists, for renewal.
    ///
    /// # Errors
    /// [`RequestError::Key`] if the PEM holds no P-256 key.
    pub fn with_key(key_pem: &str, common_name: &str, sans: &[San]) -> Result<Self, RequestError> {
        let key = crypto::p256_key_from_pem(key_pem).map_err(RequestError::Key)?;
        Self::signed(&key, common_name, sans)
    }

    fn signed(key: &KeyPair, common_name: &str, sans: &[San]) -> Result<Self, RequestError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let names: Result<_, _> = sans.iter().map(San::to_rcgen).collect();
        params.subject_alt_names = names?;
        Ok(Self {
            key_pem: Zeroizing::new(key.serialize_pem()),
            csr_pem: params.serialize_request(key)?.pem()?,
        })
    }
}
