//! TLS of a gateway's local API: one long-lived key, pinned by its fingerprint.
//!
//! Promises that a pinned client accepts exactly the key whose SHA-256 it was given and still
//! verifies the handshake's signature; names and dates of the certificate are not looked at, so a
//! wrong clock or a new address never locks a VM out.
//! Knows nothing of tokens or of who may write.
//! Specification: docs/ARCHITECTURE.md; the fingerprint is SHA-256 over SubjectPublicKeyInfo (RFC 7469).

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rcgen::{
    Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, Error as TlsError, OtherError, ServerConfig};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::{self, HandshakeSignatures};

/// What can go wrong with the local API's key.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The PEM holds no P-256 key in PKCS#8.
    #[error("the local API key is no ECDSA P-256 key in PKCS#8 PEM")]
    Key(#[source] rcgen::Error),
    /// The self-signed certificate could not be made.
    #[error("cannot make the local API's certificate")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused the configuration.
    #[error("cannot build the TLS configuration of the local API")]
    Tls(#[from] TlsError),
}

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fingerprint: expected \"sha256:\" and 64 hexadecimal digits")]
pub struct FingerprintError(pub String);

/// SHA-256 of a key's SubjectPublicKeyInfo; not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of_spki(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let refused = || FingerprintError(text.to_owned());
        let digits = text.strip_prefix("sha256:").ok_or_else(refused)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(refused());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or_else(refused)?;
            let low = char::from(pair[1]).to_digit(16).ok_or_else(refused)?;
            *byte = u8::try_from(high * 16 + low).expect("two hexadecimal digits are one byte");
        }
        Ok(Self(bytes))
    }
}

/// The gateway shows another key than the pinned one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the gateway shows key {presented}, but {expected} is pinned: \
     compare ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT with the gateway's own fingerprint"
)]
pub struct PinMismatch {
    /// The pinned fingerprint.
    pub expected: Fingerprint,
    /// What the server showed.
    pub presented: Fingerprint,
}

/// Finds a [`PinMismatch`] among the causes of a failed connection.
#[must_use]
pub fn pin_mismatch<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a PinMismatch> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(TlsError::InvalidCertificate(CertificateError::Other(other))) =
            error.downcast_ref::<TlsError>()
        {
            return other.0.downcast_ref::<PinMismatch>();
        }
        // An io::Error hides its payload from source(): it answers with the payload's own source.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// The key of a gateway's local API, in the certificate that TLS needs around it.
pub struct LocalApiKey {
    key: Zeroizing<KeyPair>,
    certificate: Certificate,
}

impl LocalApiKey {
    /// A new ECDSA P-256 key.
    ///
    /// # Errors
    /// [`LocalError::Certificate`] if the system has no randomness.
    pub fn generate() -> Result<Self, LocalError> {
        Self::certified(crypto::new_p256_key()?)
    }

    /// The key from the PEM that [`LocalApiKey::key_pem`] gave.
    ///
    /// # Errors
    /// [`LocalError::Key`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, LocalError> {
        Self::certified(crypto::p256_key_from_pem(pem).map_err(LocalError::Key)?)
    }

    /// The secret key in PKCS#8 PEM, for a file of mode 0600.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }

    /// The certificate that VMs are shown, in PEM. It differs after each start; its key does not.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// What VMs pin.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_spki(&self.key.subject_public_key_info())
    }

    /// Self-signed, without meaning beyond its key.
    fn certified(key: Zeroizing<KeyPair>) -> Result<Self, LocalError> {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2000, 1, 1);
        // RFC 5280 section 4.1.2.5: a certificate without a well-defined end.
        params.not_after = date_time_ymd(9999, 12, 31);
        params.serial_number = Some(crypto::random_serial()?);
        let name = &mut params.distinguished_name;
        name.remove(DnType::CommonName);
        name.push(DnType::CommonName, "zonemesh local API");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&*key)?;
        Ok(Self { key, certificate })
    }
}

/// TLS of the local API's server: TLS 1.3, HTTP/2, no client certificate.
///
/// # Errors
/// [`LocalError`] if the configuration cannot be made.
pub fn local_server_config(key: &LocalApiKey) -> Result<Arc<ServerConfig>, LocalError> {
    let secret = PrivatePkcs8KeyDer::from(key.key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![key.certificate.der().clone()], secret.into())?;
    config.alpn_protocols = vec![crypto::ALPN_H2.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// TLS of a client that accepts exactly the key with this fingerprint.
///
/// # Errors
/// [`LocalError::Tls`] if rustls refuses the configuration.
pub fn pinned_client_config(fingerprint: Fingerprint) -> Result<Arc<ClientConfig>, LocalError> {
    let provider = crypto::provider();
    let verifier = Pinned { expected: fingerprint, signatures: HandshakeSignatures::of(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![crypto::ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Pinned {
    expected: Fingerprint,
    signatures: HandshakeSignatures,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let presented = Fingerprint::of_spki(&leaf.subject_public_key_info());
        if presented != self.expected {
            let expected = self.expected;
            let mismatch = PinMismatch { expected, presented };
            return Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    crypto::verifies_handshake_signatures!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_survives_its_text_form() {
        let fingerprint = LocalApiKey::generate().unwrap().fingerprint();
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.to_string().len(), "sha256:".len() + 64);
        let upper = fingerprint.to_string()[7..].to_ascii_uppercase();
        assert_eq!(format!("sha256:{upper}").parse(), Ok(fingerprint));
    }

    #[test]
    fn other_texts_are_no_fingerprints() {
        let long = "0".repeat(64);
        for text in ["", "sha256:", &long, "sha1:00", &format!("sha256:{}+f", "0".repeat(62))] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_key_file_gives_the_same_fingerprint_again() {
        let key = LocalApiKey::generate().unwrap();
        let again = LocalApiKey::from_pem(&key.key_pem()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert!(LocalApiKey::from_pem("-----BEGIN PRIVATE KEY-----").is_err());
    }
}
