//! Which zones are trusted, and mutual TLS 1.3 between gateways.
//!
//! Promises: a handshake passes only for a leaf signed directly by a trusted zone's key; a change
//! of trust holds from the next handshake on; no session is ever resumed, because a resumed session
//! never asks the verifier again. A client says which zone it dials and accepts no other.
//! Refuses to know who grants trust: it is told a set of names and keys.
//! Specification: docs/ARCHITECTURE.md, RFC 8446, RFC 8410.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DistinguishedName, Error as TlsError, OtherError,
    RootCertStore, ServerConfig,
};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use crate::crypto::{self, HandshakeSignatures};
use crate::zone::{self, CurrentLeaf, ZONE_ORGANISATION};

/// Why a set of zones cannot be trusted, or a configuration not be built.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The name does not fit into a certificate.
    #[error("{0:?} is no zone name: 1 to 63 characters of a-z, 0-9 and '-'")]
    Name(String),
    /// One name, two keys.
    #[error("zone {0} is listed twice: keep one zone_key per zone")]
    DuplicateZone(String),
    /// One key, two names: the holder could pass as either.
    #[error("zones {0} and {1} have the same zone_key: each zone makes its own")]
    DuplicateKey(String, String),
    /// rustls refused to build the verifier.
    #[error("cannot build the verifier of zone certificates")]
    Verifier(#[from] VerifierBuilderError),
    /// rustls refused the configuration.
    #[error("cannot build the TLS configuration between zones")]
    Tls(#[from] TlsError),
}

/// The leaf's zone is not (or no longer) trusted.
#[derive(Debug, thiserror::Error)]
#[error("zone {0} is not trusted here")]
struct Untrusted(String);

#[derive(Debug)]
pub(crate) struct Zone {
    key: [u8; 32],
    subject: Vec<u8>,
    pub(crate) roots: RootCertStore,
}

#[derive(Debug)]
struct Zones {
    by_name: BTreeMap<String, Zone>,
    /// Verifies clients against all zones; absent while no zone is trusted.
    any: Option<Arc<dyn ClientCertVerifier>>,
}

/// The set of trusted zones: cheap to clone, all clones see each change.
#[derive(Debug, Clone)]
pub struct ZoneTrust(Arc<ArcSwap<Zones>>);

impl ZoneTrust {
    /// Trusts these zones, given by name and Ed25519 public key. An empty set refuses everyone.
    ///
    /// # Errors
    /// [`TrustError`] for a bad name or for a name or key that occurs twice.
    pub fn new(zones: &[(String, [u8; 32])]) -> Result<Self, TrustError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Zones::of(zones)?))))
    }

    /// Replaces the set: holds from the next handshake on. Open connections stay open; close those
    /// of a removed zone yourself.
    ///
    /// # Errors
    /// As [`ZoneTrust::new`]; then the old set stays.
    pub fn replace(&self, zones: &[(String, [u8; 32])]) -> Result<(), TrustError> {
        self.0.store(Arc::new(Zones::of(zones)?));
        Ok(())
    }

    /// The names of the trusted zones, sorted.
    #[must_use]
    pub fn zones(&self) -> Vec<String> {
        self.0.load().by_name.keys().cloned().collect()
    }

    /// The zone whose key signed the first certificate of a peer's chain; `None` if no trusted
    /// zone did. Says nothing about validity in time: the handshake did that.
    #[must_use]
    pub fn zone_of(&self, chain: &[CertificateDer<'_>]) -> Option<String> {
        let (_rest, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
        let zones = self.0.load();
        let signed_by = |zone: &Zone| {
            let spki = spki(&zone.key);
            SubjectPublicKeyInfo::from_der(&spki)
                .is_ok_and(|(_rest, key)| leaf.verify_signature(Some(&key)).is_ok())
        };
        let issuer = leaf.issuer().as_raw();
        let (name, _zone) = (zones.by_name.iter())
            .find(|(_name, zone)| issuer == sequence(&zone.subject) && signed_by(zone))?;
        Some(name.clone())
    }
}

impl Zones {
    fn of(zones: &[(String, [u8; 32])]) -> Result<Self, TrustError> {
        let mut by_name = BTreeMap::new();
        let mut by_key = BTreeMap::<[u8; 32], &String>::new();
        let mut all = RootCertStore::empty();
        for (name, key) in zones {
            if !zone::is_zone_name(name) {
                return Err(TrustError::Name(name.clone()));
            }
            if by_name.contains_key(name) {
                return Err(TrustError::DuplicateZone(name.clone()));
            }
            if let Some(other) = by_key.insert(*key, name) {
                return Err(TrustError::DuplicateKey(other.clone(), name.clone()));
            }
            let zone = Zone::of(name, *key);
            all.roots.extend(zone.roots.roots.iter().cloned());
            by_name.insert(name.clone(), zone);
        }
        let any = if by_name.is_empty() {
            None
        } else {
            let roots = Arc::new(all);
            Some(WebPkiClientVerifier::builder_with_provider(roots, crypto::provider()).build()?)
        };
        Ok(Self { by_name, any })
    }
}

impl Zone {
    /// `name` is a zone's name: others do not fit.
    pub(crate) fn of(name: &str, key: [u8; 32]) -> Self {
        let subject = subject(name);
        let full_spki = spki(&key);
        // webpki wants both fields without their outer SEQUENCE header.
        let anchor = TrustAnchor {
            subject: Der::from(subject.clone()),
            subject_public_key_info: Der::from(full_spki[2..].to_vec()),
            name_constraints: None,
        };
        Self { key, subject, roots: RootCertStore { roots: vec![anchor] } }
    }
}

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 section 4).
pub(crate) fn spki(key: &[u8; 32]) -> Vec<u8> {
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend_from_slice(key);
    der
}

/// The issuer name that [`zone::ZoneAuthority`] writes, without its outer SEQUENCE header.
fn subject(name: &str) -> Vec<u8> {
    const COMMON_NAME: u8 = 3;
    const ORGANISATION: u8 = 10;
    let mut der = attribute(COMMON_NAME, name);
    der.extend(attribute(ORGANISATION, ZONE_ORGANISATION));
    der
}

/// One relative distinguished name: SET { SEQUENCE { 2.5.4.`id`, UTF8String } }.
fn attribute(id: u8, value: &str) -> Vec<u8> {
    let mut inner = vec![0x06, 0x03, 0x55, 0x04, id];
    inner.extend(tagged(0x0c, value.as_bytes()));
    tagged(0x31, &sequence(&inner))
}

fn sequence(content: &[u8]) -> Vec<u8> {
    tagged(0x30, content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("names of zones fit into 127 bytes");
    assert!(length < 0x80, "names of zones fit into 127 bytes");
    let mut der = vec![tag, length];
    der.extend_from_slice(content);
    der
}

/// TLS of the registry's server: mutual, TLS 1.3, HTTP/2, no resumption.
///
/// # Errors
/// [`TrustError::Tls`] if rustls refuses the combination.
pub fn zone_server_config(
    trust: &ZoneTrust,
    leaf: &CurrentLeaf,
) -> Result<Arc<ServerConfig>, TrustError> {
    let provider = crypto::provider();
    let verifier =
        ClientZones { trust: trust.clone(), signatures: HandshakeSignatures::of(&provider) };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(leaf.clone()));
    config.alpn_protocols = vec![crypto::ALPN_H2.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// TLS of the join service: this zone's certificate is shown, none is asked for. TLS 1.3, HTTP/2, no
/// resumption. The caller pins the zone with [`zone_client_config`] and proves itself inside.
///
/// # Errors
/// [`TrustError::Tls`] if rustls refuses the combination.
pub fn join_server_config(leaf: &CurrentLeaf) -> Result<Arc<ServerConfig>, TrustError> {
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(leaf.clone()));
    config.alpn_protocols = vec![crypto::ALPN_H2.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// TLS of a registry client that dials a gateway of `server_zone` and accepts no other zone.
///
/// # Errors
/// [`TrustError::Tls`] if rustls refuses the combination.
pub fn zone_client_config(
    trust: &ZoneTrust,
    leaf: &CurrentLeaf,
    server_zone: &str,
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = crypto::provider();
    let verifier = ServerOfZone {
        trust: trust.clone(),
        zone: server_zone.to_owned(),
        signatures: HandshakeSignatures::of(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(leaf.clone()));
    config.alpn_protocols = vec![crypto::ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// True if a handshake failed as a certificate does not hold yet, or no more, by this machine's clock.
#[must_use]
pub fn is_about_time(error: &TlsError) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let TlsError::InvalidCertificate(error) = error else { return false };
    matches!(error, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

/// The server's side: any trusted zone may connect. Intermediates are not passed on, so a zone
/// cannot certify a sub-authority that carries another zone's name.
#[derive(Debug)]
struct ClientZones {
    trust: ZoneTrust,
    signatures: HandshakeSignatures,
}

impl ClientCertVerifier for ClientZones {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let zones = self.trust.0.load();
        let any = (zones.any.as_ref()).ok_or(CertificateError::UnknownIssuer)?;
        any.verify_client_cert(end_entity, &[], now)
    }

    crypto::verifies_handshake_signatures!();
}

/// The client's side: only the dialled zone, at the dialled tunnel IP.
#[derive(Debug)]
struct ServerOfZone {
    trust: ZoneTrust,
    zone: String,
    signatures: HandshakeSignatures,
}

impl ServerCertVerifier for ServerOfZone {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let zones = self.trust.0.load();
        let zone = zones.by_name.get(&self.zone).ok_or_else(|| {
            CertificateError::Other(OtherError(Arc::new(Untrusted(self.zone.clone()))))
        })?;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.signatures.0.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &zone.roots, &[], now, algorithms)?;
        verify_server_name(&leaf, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    crypto::verifies_handshake_signatures!();
}
