//! TLS towards a gateway whose zone's key is not known yet, and the check of what it has shown.
//!
//! Promises: the handshake passes for whoever holds the key of the certificate that it shows, and says
//! nothing else; [`check_shown`] says afterwards, once the zone's key is known from elsewhere, what a
//! pinned handshake would have said. Nothing secret may be told before. Refuses to know where the key
//! is from.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, Error as TlsError};

use crate::crypto::{self, HandshakeSignatures};
use crate::trust::{TrustError, Zone};
use crate::zone::is_zone_name;

/// TLS of a joiner whose invitation was written before the inviter's zone had a key. No certificate of
/// its own is shown, as the other end may be anybody.
///
/// # Errors
/// [`TrustError::Tls`] if rustls refuses the combination.
pub fn unpinned_client_config() -> Result<Arc<ClientConfig>, TrustError> {
    let provider = crypto::provider();
    let verifier = AnyHolder { signatures: HandshakeSignatures::of(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![crypto::ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Checks that what was shown in an unpinned handshake is a leaf of the zone `name` with this key, for
/// one of its tunnel IPs, and holds now.
///
/// # Errors
/// What a pinned handshake would have said.
pub fn check_shown(
    name: &str,
    key: [u8; 32],
    tunnel_ips: &[IpAddr],
    shown: &[CertificateDer<'_>],
) -> Result<(), TlsError> {
    if !is_zone_name(name) {
        return Err(CertificateError::UnknownIssuer.into());
    }
    let zone = Zone::of(name, key);
    let leaf = shown.first().ok_or(TlsError::NoCertificatesPresented)?;
    let leaf = ParsedCertificate::try_from(leaf)?;
    let algorithms = HandshakeSignatures::of(&crypto::provider()).0.all;
    let now = UnixTime::now();
    verify_server_cert_signed_by_trust_anchor(&leaf, &zone.roots, &[], now, algorithms)?;
    let is_named = |ip: &IpAddr| verify_server_name(&leaf, &ServerName::IpAddress((*ip).into()));
    match tunnel_ips.iter().any(|ip| is_named(ip).is_ok()) {
        true => Ok(()),
        false => Err(CertificateError::NotValidForName.into()),
    }
}

/// Whoever holds the key of the certificate.
#[derive(Debug)]
struct AnyHolder {
    signatures: HandshakeSignatures,
}

impl ServerCertVerifier for AnyHolder {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    crypto::verifies_handshake_signatures!();
}
