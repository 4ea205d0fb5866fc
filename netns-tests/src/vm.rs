//! The TLS of a VM that talks to its gateway: exactly one zone is accepted.
//!
//! Owns a verifier that holds the gateway's certificate against its zone's key. Written anew here,
//! from the documentation: the scenarios trust nothing of the binaries.

use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

/// Everything of an Ed25519 SubjectPublicKeyInfo before the key (RFC 8410 section 4).
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Debug)]
struct PinnedGateway {
    zone_key: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

/// A client configuration that accepts the gateway of the zone with this key, `ed25519:<base64>`, only.
///
/// # Errors
/// When it is no key, or rustls refuses the configuration.
pub fn pinned(zone_key: &str) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let key = zone_key.strip_prefix("ed25519:").context("no zone key")?;
    let zone_key = [ED25519.as_slice(), &STANDARD.decode(key)?].concat();
    let verifier = Arc::new(PinnedGateway { zone_key, provider: provider.clone() });
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
        let refused = CertificateError::ApplicationVerificationFailure;
        let (Ok((_, leaf)), Ok((_, key))) =
            (X509Certificate::from_der(end_entity), SubjectPublicKeyInfo::from_der(&self.zone_key))
        else {
            return Err(refused.into());
        };
        match leaf.verify_signature(Some(&key)) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(_) => Err(refused.into()),
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
