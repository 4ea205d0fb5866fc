//! The one crypto provider (ring), fresh keys and serial numbers.
//!
//! Promises that no TLS configuration of this crate depends on a process-wide default provider and
//! that handshake signatures are always verified with the provider's own algorithms.
//! Knows nothing of names, trust or time.

use std::sync::Arc;

use rcgen::{KeyPair, SerialNumber};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use zeroize::Zeroizing;

/// HTTP/2 in ALPN: everything that speaks TLS here is gRPC.
pub(crate) const ALPN_H2: &[u8] = b"h2";

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A new ECDSA P-256 key; its serialised form is PKCS#8 and wiped on drop.
pub(crate) fn new_p256_key() -> Result<Zeroizing<KeyPair>, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map(Zeroizing::new)
}

/// A P-256 key from its PKCS#8 PEM.
pub(crate) fn p256_key_from_pem(pem: &str) -> Result<Zeroizing<KeyPair>, rcgen::Error> {
    KeyPair::from_pkcs8_pem_and_sign_algo(pem, &rcgen::PKCS_ECDSA_P256_SHA256).map(Zeroizing::new)
}

/// 127 random bits: unique without a counter on disk, positive in DER (RFC 5280 section 4.1.2.2).
pub(crate) fn random_serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return Err(rcgen::Error::RingUnspecified);
    }
    bytes[0] &= 0x7f;
    bytes[0] |= 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// Signature checks of a handshake, for verifiers that decide about certificates themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandshakeSignatures(pub(crate) WebPkiSupportedAlgorithms);

impl HandshakeSignatures {
    pub(crate) fn of(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

/// The methods about signatures of a rustls verifier that has a field
/// `signatures: HandshakeSignatures`; both verifier traits ask for the same three.
macro_rules! verifies_handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &rustls::pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.signatures.0;
            rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &rustls::pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.signatures.0;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.signatures.0.supported_schemes()
        }
    };
}
pub(crate) use verifies_handshake_signatures;
