//! TLS of a gateway's local API: the leaf of its zone, which a VM pins by the zone's key.
//!
//! Promises that a pinned client accepts a leaf that this key has signed and no other, and that it
//! says nothing before; names and dates of the leaf are not looked at, so a wrong clock or a new
//! address never locks a VM out. What the client of [`asking_client_config`] has asked is believed
//! for its own signatures only: nothing secret may go that way.
//! Knows nothing of tokens, of meshes, or of who may write.
//! Specification: docs/ARCHITECTURE.md, RFC 8410.

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, Error as TlsError, OtherError, ServerConfig};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use crate::crypto::{self, HandshakeSignatures};
use crate::trust::{self, TrustError};
use crate::zone::{CurrentLeaf, ZONE_ORGANISATION, is_zone_name};

/// The gateway shows a certificate that the pinned key has not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate that it shows, {shown}, was not signed by the zone key that is pinned")]
pub struct PinMismatch {
    /// What the certificate says of itself; nobody has proved it.
    shown: String,
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

/// TLS of the local API's server: the zone's leaf, TLS 1.3, HTTP/2, no client certificate.
///
/// # Errors
/// [`TrustError::Tls`] if rustls refuses the combination.
pub fn local_server_config(leaf: &CurrentLeaf) -> Result<Arc<ServerConfig>, TrustError> {
    trust::join_server_config(leaf)
}

/// TLS of a client that accepts only what the zone with this Ed25519 key has signed.
///
/// # Errors
/// [`TrustError::Tls`] if rustls refuses the configuration.
pub fn pinned_client_config(zone_key: [u8; 32]) -> Result<Arc<ClientConfig>, TrustError> {
    client_config(Some(zone_key))
}

/// TLS of a client that has no key to pin yet, and asks for one. Whoever answers may be anybody.
///
/// # Errors
/// [`TrustError::Tls`] if rustls refuses the configuration.
pub fn asking_client_config() -> Result<Arc<ClientConfig>, TrustError> {
    client_config(None)
}

fn client_config(zone_key: Option<[u8; 32]>) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = crypto::provider();
    let verifier = ZoneLeafOf { zone_key, signatures: HandshakeSignatures::of(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![crypto::ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Accepts a leaf of the zone with this key; any certificate while there is none.
#[derive(Debug)]
struct ZoneLeafOf {
    zone_key: Option<[u8; 32]>,
    signatures: HandshakeSignatures,
}

impl ServerCertVerifier for ZoneLeafOf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(zone_key) = self.zone_key else {
            return Ok(ServerCertVerified::assertion());
        };
        let Ok((_rest, leaf)) = X509Certificate::from_der(end_entity) else {
            return Err(CertificateError::BadEncoding.into());
        };
        if is_leaf_of(&leaf, &zone_key) {
            return Ok(ServerCertVerified::assertion());
        }
        let mismatch = PinMismatch { shown: shown(&leaf) };
        Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
    }

    crypto::verifies_handshake_signatures!();
}

/// Signed by this key, and meant for a server.
fn is_leaf_of(leaf: &X509Certificate<'_>, zone_key: &[u8; 32]) -> bool {
    let usage = leaf.extended_key_usage().ok().flatten();
    let serves = usage.is_some_and(|usage| usage.value.server_auth) && !leaf.is_ca();
    let spki = trust::spki(zone_key);
    serves
        && SubjectPublicKeyInfo::from_der(&spki)
            .is_ok_and(|(_rest, key)| leaf.verify_signature(Some(&key)).is_ok())
}

/// Whose it says to be, fit for a log: nothing of it is proved.
fn shown(leaf: &X509Certificate<'_>) -> String {
    let issuer = leaf.issuer();
    let organisation = issuer.iter_organization().next().and_then(|name| name.as_str().ok());
    let name = issuer.iter_common_name().next().and_then(|name| name.as_str().ok());
    match (organisation, name) {
        (Some(ZONE_ORGANISATION), Some(name)) if is_zone_name(name) => {
            format!("said to be of the zone {name}")
        }
        _ => "of no zone".to_owned(),
    }
}
