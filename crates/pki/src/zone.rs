//! A zone as its own certificate authority: short-lived leaves signed by the zone's Ed25519 key.
//!
//! Promises P-256 leaves of 24 h, back-dated 24 h for wrong clocks, with the tunnel IPs as SANs.
//! No CA certificate exists or travels: trust is built from the key alone (see `trust`).
//! The zone's seed stays inside [`ZoneAuthority`], wiped on drop, never shown.
//! Specification: docs/ARCHITECTURE.md, RFC 8410 (Ed25519 in PKIX).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, SignatureScheme};
use zeroize::Zeroizing;

use crate::crypto;
use crate::validity::{self, DAY};

/// Organisation in the name of every zone authority.
pub(crate) const ZONE_ORGANISATION: &str = "zonemesh zone";

/// RFC 8410 section 7: everything of an Ed25519 PKCS#8 key before its 32 bytes of seed.
const ED25519_PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What can go wrong when a zone signs.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// The name does not fit into a certificate.
    #[error("{0:?} is no zone name: 1 to 63 characters of a-z, 0-9 and '-'")]
    Name(String),
    /// A leaf without an address could never be verified.
    #[error("a zone leaf needs at least one tunnel IP: set tunnel.addresses")]
    NoTunnelIp,
    /// rcgen refused.
    #[error("cannot issue the zone's certificate")]
    Issue(#[from] rcgen::Error),
    /// rustls refused the fresh leaf.
    #[error("cannot use the zone's certificate")]
    Use(#[from] TlsError),
}

/// True for a DNS label in lower case: short enough for single-byte DER lengths.
pub(crate) fn is_zone_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}

/// Signs the leaves of one zone.
pub struct ZoneAuthority {
    name: String,
    key: Zeroizing<KeyPair>,
}

impl ZoneAuthority {
    /// The authority of `zone_name`, whose Ed25519 secret is `seed`.
    ///
    /// # Errors
    /// [`ZoneError::Name`] if the name is no zone name.
    pub fn from_seed(zone_name: &str, seed: &[u8; 32]) -> Result<Self, ZoneError> {
        if !is_zone_name(zone_name) {
            return Err(ZoneError::Name(zone_name.to_owned()));
        }
        let mut pkcs8 = Zeroizing::new(Vec::with_capacity(48));
        pkcs8.extend_from_slice(&ED25519_PKCS8_PREFIX);
        pkcs8.extend_from_slice(seed);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(pkcs8.as_slice()),
            &rcgen::PKCS_ED25519,
        )?;
        Ok(Self { name: zone_name.to_owned(), key: Zeroizing::new(key) })
    }

    /// The Ed25519 public key that other zones trust.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        let bytes = self.key.der_bytes();
        bytes.try_into().expect("an Ed25519 public key has 32 bytes")
    }

    /// A leaf for mutual TLS, valid from 24 h before to 24 h after `now`.
    ///
    /// # Errors
    /// [`ZoneError::NoTunnelIp`] without an address, [`ZoneError::Issue`] if signing fails.
    pub fn issue_leaf(
        &self,
        tunnel_ips: &[IpAddr],
        now: SystemTime,
    ) -> Result<ZoneLeaf, ZoneError> {
        if tunnel_ips.is_empty() {
            return Err(ZoneError::NoTunnelIp);
        }
        let not_after = now.checked_add(DAY).ok_or(rcgen::Error::Time)?;
        let key = crypto::new_p256_key()?;
        let mut params = CertificateParams::default();
        validity::set_validity(&mut params, now.checked_sub(DAY), Some(not_after))?;
        params.serial_number = Some(crypto::random_serial()?);
        params.distinguished_name = name_of(&format!("{} gateway", self.name), "zonemesh gateway");
        params.subject_alt_names = tunnel_ips.iter().copied().map(SanType::IpAddress).collect();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut authority = CertificateParams::default();
        authority.distinguished_name = name_of(&self.name, ZONE_ORGANISATION);
        let issuer = Issuer::from_params(&authority, &*self.key);
        let certificate = params.signed_by(&*key, &issuer)?;
        Ok(ZoneLeaf {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key,
            renew_at: now + DAY / 3,
            not_after,
        })
    }
}

fn name_of(common_name: &str, organisation: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name.push(DnType::OrganizationName, organisation);
    name
}

/// A certificate of a gateway with its key, for about a day.
pub struct ZoneLeaf {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: Zeroizing<KeyPair>,
    renew_at: SystemTime,
    not_after: SystemTime,
}

impl ZoneLeaf {
    /// The certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate in PEM, for people.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    /// When the next leaf should take over: after a third of the time that is left.
    #[must_use]
    pub fn renew_at(&self) -> SystemTime {
        self.renew_at
    }

    /// When peers stop accepting it.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    fn certified(&self) -> Result<Arc<CertifiedKey>, ZoneError> {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let chain = vec![self.certificate.clone()];
        let certified = CertifiedKey::from_der(chain, key.into(), &crypto::provider())?;
        Ok(Arc::new(certified))
    }
}

/// The leaf that this gateway shows, as client and as server; swapped without a restart.
#[derive(Clone)]
pub struct CurrentLeaf(Arc<ArcSwap<CertifiedKey>>);

impl CurrentLeaf {
    /// Starts with `leaf`.
    ///
    /// # Errors
    /// [`ZoneError::Use`] if rustls cannot use the key.
    pub fn new(leaf: &ZoneLeaf) -> Result<Self, ZoneError> {
        Ok(Self(Arc::new(ArcSwap::new(leaf.certified()?))))
    }

    /// Shows `leaf` from the next handshake on; connections that are up stay up.
    ///
    /// # Errors
    /// [`ZoneError::Use`] if rustls cannot use the key; the old leaf stays.
    pub fn replace(&self, leaf: &ZoneLeaf) -> Result<(), ZoneError> {
        self.0.store(leaf.certified()?);
        Ok(())
    }
}

impl fmt::Debug for CurrentLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentLeaf")
    }
}

impl ResolvesServerCert for CurrentLeaf {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for CurrentLeaf {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
