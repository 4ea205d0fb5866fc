//! The TLS of a VM that talks to its gateway: exactly one key is accepted.
//!
//! Owns a verifier that holds the gateway's key against the fingerprint that `zonemesh cert show`
//! prints. Written anew here, from the documentation: the scenarios trust nothing of the binaries.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

#[derive(Debug)]
struct PinnedGateway {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

/// A client configuration that accepts the gateway with this fingerprint, `sha256:<hex>`, only.
///
/// # Errors
/// When rustls refuses the configuration.
pub fn pinned(fingerprint: &str) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let fingerprint = fingerprint.to_owned();
    let verifier = Arc::new(PinnedGateway { fingerprint, provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

impl ServerCertVerifier for PinnedGateway {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let mut found = "sha256:".to_owned();
        for byte in Sha256::digest(key.as_ref()) {
            // Writing to a text cannot fail.
            let _written = write!(found, "{byte:02x}");
        }
        if found == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
