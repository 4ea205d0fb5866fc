//! The SuperLink's key and certificate, together in one file.
//!
//! It promises that key and certificate on disk always belong together (one atomic file), and that
//! the key is made here and leaves this machine by no way of this code. It refuses to know the
//! gateway. Specification: PEM blocks in the order key, certificate, federation CA.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;
use zonemesh_api::wire::local::TrustedCa;
use zonemesh_appliance::files::{FileError, write_atomic};
use zonemesh_appliance::gateway::IssuedCertificate;
use zonemesh_core::name::FederationName;
use zonemesh_core::record::CaState;
use zonemesh_pki::describe::{DescribeError, describe};
use zonemesh_pki::{CertificateRequest, RequestError, San};

const FILE: &str = "identity.pem";
const BEGIN_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate(#[source] DescribeError),
    /// It has no end, or none that fits a clock.
    #[error("the certificate has no usable dates")]
    Dates,
    /// The stored file has not the three parts.
    #[error("{}: expected a key, a certificate and a CA", file.display())]
    Parts {
        /// The stored file.
        file: PathBuf,
    },
    /// The stored file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The stored file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The stored certificate is over, or for another address.
    #[error("the stored certificate is not for {address} at this time")]
    Unusable {
        /// This VM's address.
        address: IpAddr,
    },
}

/// A key with its certificate.
pub(crate) struct SuperLinkIdentity {
    /// PKCS#8, PEM.
    pub(crate) key_pem: Zeroizing<String>,
    /// The SuperLink's certificate, PEM.
    pub(crate) certificate_pem: String,
    /// The federation's CA, PEM.
    pub(crate) ca_pem: String,
    /// When a new one is due: after two thirds of its life.
    pub(crate) renew_at: SystemTime,
    /// The gateway names the SuperNodes: they can be admitted by their keys.
    pub(crate) names_supernodes: bool,
    not_after: SystemTime,
}

impl SuperLinkIdentity {
    /// What the gateway issued for this key.
    pub(crate) fn new(
        key_pem: Zeroizing<String>,
        issued: IssuedCertificate,
    ) -> Result<Self, IdentityError> {
        let summary = describe(&issued.certificate_pem).map_err(IdentityError::Certificate)?;
        describe(&issued.ca_pem).map_err(IdentityError::Certificate)?;
        let (Some(from), Some(not_after)) = (summary.not_before, summary.not_after) else {
            return Err(IdentityError::Dates);
        };
        let life = not_after.duration_since(from).unwrap_or_default();
        let IssuedCertificate { certificate_pem, ca_pem, names_supernodes } = issued;
        let renew_at = from + life.mul_f64(2.0 / 3.0);
        Ok(Self { key_pem, certificate_pem, ca_pem, renew_at, names_supernodes, not_after })
    }

    /// The CA that signed it.
    pub(crate) fn ca(&self) -> TrustedCa {
        TrustedCa { pem: self.ca_pem.clone(), state: CaState::Active }
    }

    /// How long until a new one is due.
    pub(crate) fn renewal_in(&self, now: SystemTime) -> Duration {
        self.renew_at.duration_since(now).unwrap_or_default()
    }

    /// Keeps it for a start without the gateway.
    pub(crate) fn store(&self, folder: &Path) -> Result<(), FileError> {
        let parts = [self.key_pem.as_str(), &self.certificate_pem, &self.ca_pem];
        let text = Zeroizing::new(parts.map(|part| format!("{}\n", part.trim())).concat());
        write_atomic(&folder.join(FILE), text.as_bytes(), 0o600, None)
    }

    /// The kept one, if it can be used at this address now.
    pub(crate) fn load(
        folder: &Path,
        address: IpAddr,
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file)
            .map(Zeroizing::new)
            .map_err(|source| IdentityError::Unreadable { file: file.clone(), source })?;
        let (key, rest) =
            split_at_certificate(&text, 0).ok_or(IdentityError::Parts { file: file.clone() })?;
        let (certificate, ca) =
            split_at_certificate(rest, 1).ok_or(IdentityError::Parts { file })?;
        let issued = IssuedCertificate {
            certificate_pem: certificate.to_owned(),
            ca_pem: ca.to_owned(),
            // Who is away does not say that it cannot: fail closed until it is back.
            names_supernodes: true,
        };
        let identity = Self::new(Zeroizing::new(key.to_owned()), issued)?;
        let sans = describe(&identity.certificate_pem).map_err(IdentityError::Certificate)?.sans;
        if identity.not_after <= now || !sans.contains(&San::Ip(address).to_string()) {
            return Err(IdentityError::Unusable { address });
        }
        Ok(identity)
    }
}

/// A new key and the request for its certificate.
pub(crate) fn new_request(
    federation: &FederationName,
    address: IpAddr,
) -> Result<CertificateRequest, RequestError> {
    CertificateRequest::generate(&federation.superlink_tls_name(), &[San::Ip(address)])
}

/// A request for a key that is in use.
pub(crate) fn request_again(
    identity: &SuperLinkIdentity,
    federation: &FederationName,
    address: IpAddr,
) -> Result<CertificateRequest, RequestError> {
    let name = federation.superlink_tls_name();
    CertificateRequest::with_key(&identity.key_pem, &name, &[San::Ip(address)])
}

/// Splits before the certificate that follows `skip` others.
fn split_at_certificate(text: &str, skip: usize) -> Option<(&str, &str)> {
    let (at, _) = text.match_indices(BEGIN_CERTIFICATE).nth(skip)?;
    Some(text.split_at(at))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use zonemesh_pki::FederationCa;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn issue(address: &str) -> SuperLinkIdentity {
        let address: IpAddr = address.parse().unwrap();
        let ca = FederationCa::generate("health-eu", SystemTime::now()).unwrap();
        let request = new_request(&"health-eu".parse().unwrap(), address).unwrap();
        let sans = [San::Ip(address)];
        let certificate_pem = ca.sign(&request.csr_pem, &sans, SystemTime::now()).unwrap();
        let ca_pem = ca.certificate_pem().to_owned();
        let issued = IssuedCertificate { certificate_pem, ca_pem, names_supernodes: true };
        SuperLinkIdentity::new(request.key_pem, issued).unwrap()
    }

    #[test]
    fn what_was_stored_is_loaded_at_the_same_address_only() {
        let folder = tempfile::tempdir().unwrap();
        let identity = issue("10.10.10.5");
        identity.store(folder.path()).unwrap();
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let load = |address: &str, now| {
            SuperLinkIdentity::load(folder.path(), address.parse().unwrap(), now)
        };
        let loaded = load("10.10.10.5", SystemTime::now()).unwrap();
        assert_eq!(loaded.key_pem.trim(), identity.key_pem.trim());
        assert_eq!(loaded.certificate_pem.trim(), identity.certificate_pem.trim());
        assert_eq!(loaded.ca_pem.trim(), identity.ca_pem.trim());
        assert!(matches!(
            load("10.10.10.6", SystemTime::now()),
            Err(IdentityError::Unusable { .. })
        ));
        assert!(matches!(
            load("10.10.10.5", identity.not_after),
            Err(IdentityError::Unusable { .. })
        ));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let load =
            || SuperLinkIdentity::load(folder.path(), [10, 10, 10, 5].into(), SystemTime::now());
        assert!(matches!(load(), Err(IdentityError::Unreadable { .. })));
        for text in ["", "-----BEGIN PRIVATE KEY-----", "x -----BEGIN CERTIFICATE----- y"] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert!(matches!(load(), Err(IdentityError::Parts { .. })), "{text:?}");
        }
    }

    #[test]
    fn renewal_is_due_after_two_thirds_of_the_life() {
        let identity = issue("10.10.10.5");
        assert!(identity.renewal_in(SystemTime::now()) > DAY);
        assert_eq!(identity.renewal_in(identity.not_after), Duration::ZERO);
        let left = identity.not_after.duration_since(identity.renew_at).unwrap();
        assert!(left > DAY, "{left:?} are left when renewal is due");
    }
}
