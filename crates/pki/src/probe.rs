//! Why a TLS connection to a SuperLink fails, in words.
//!
//! Promises one cause, the one to repair first: wrong CA before dates before names. Flower 1.25
//! says nothing at all about a missing name, so the companion probes before it starts Flower.
//! A probe never weakens a connection: its verifier records the chain, then decides as webpki does.
//! Specification: RFC 5280 section 6, RFC 9525 (names).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    Resumption, VerifierBuilderError, WebPkiServerVerifier,
    verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

use crate::crypto::{self, HandshakeSignatures};
use crate::describe::{self, CertificateSummary, DescribeError};
use crate::san::{San, listed};
use crate::validity::rfc3339;

/// Why a probe cannot even begin.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The CA certificates cannot be read.
    #[error("the federation's CA certificates cannot be read")]
    Ca(#[from] DescribeError),
    /// webpki refuses one of them.
    #[error("the federation's CA certificate {0} cannot be trusted")]
    Anchor(String, #[source] TlsError),
    /// rustls refused to build the verifier.
    #[error("cannot build the verifier of the probe")]
    Verifier(#[from] VerifierBuilderError),
    /// rustls refused the configuration.
    #[error("cannot build the TLS configuration of the probe")]
    Tls(#[from] TlsError),
}

/// The one thing to repair first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailure {
    /// TLS ended before a certificate was shown: not TLS at all, or another protocol.
    #[error("the SuperLink showed no certificate: does it run with TLS?")]
    NoCertificate,
    /// Signed by someone else.
    #[error(
        "wrong CA: the SuperLink's certificate was issued by \"{issuer}\", trusted is {trusted}"
    )]
    WrongCa {
        /// Issuer of the shown certificate.
        issuer: String,
        /// Subjects of the trusted CAs.
        trusted: String,
    },
    /// The dialled address is not in the certificate.
    #[error(
        "SAN mismatch: dialled {dialled}, the certificate is for {sans}: \
         add the address to extra_sans of the federation and register the SuperLink again"
    )]
    SanMismatch {
        /// What was dialled, for example `IP:10.0.0.1`.
        dialled: String,
        /// The names in the certificate.
        sans: String,
    },
    /// Past its end.
    #[error("expired: \"{subject}\" ended {since}, it is now {now}: renew it or set the clock")]
    Expired {
        /// The certificate that ended: the SuperLink's or its CA's.
        subject: String,
        /// When it ended, RFC 3339.
        since: String,
        /// The clock of this machine, RFC 3339.
        now: String,
    },
    /// Before its start: nearly always a wrong clock.
    #[error("not yet valid: \"{subject}\" begins {from}, it is now {now}: check this VM's clock")]
    NotYetValid {
        /// The certificate that has not begun.
        subject: String,
        /// When it begins, RFC 3339.
        from: String,
        /// The clock of this machine, RFC 3339.
        now: String,
    },
    /// Anything else, in rustls' words.
    #[error("certificate refused: {0}")]
    Other(String),
}

/// What a probe offers by ALPN (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferedProtocol {
    /// `h2`, as gRPC does.
    Http2,
    /// Nothing, as a client of HTTP/1.1 may: many servers then negotiate none.
    None,
}

/// What a probe trusts.
#[derive(Debug, Clone)]
pub struct Probe {
    roots: Arc<RootCertStore>,
    authorities: Vec<CertificateSummary>,
}

/// The chain that a server showed during one handshake.
#[derive(Debug, Clone, Default)]
pub struct ShownChain(Arc<Mutex<Vec<CertificateDer<'static>>>>);

impl ShownChain {
    /// The certificates as shown, the server's own first; empty before a handshake got that far.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Probe {
    /// Trusts the CAs in these PEM texts, each with one or more certificates.
    ///
    /// # Errors
    /// [`ProbeError`] if one cannot be read, or there is none.
    pub fn new<T: AsRef<str>>(ca_pems: &[T]) -> Result<Self, ProbeError> {
        let mut roots = RootCertStore::empty();
        let mut authorities = Vec::new();
        for pem in ca_pems {
            for (der, index) in describe::certificates(pem.as_ref())?.into_iter().zip(1..) {
                let summary = describe::describe_der(&der, index)?;
                let refused = |source| ProbeError::Anchor(summary.subject.clone(), source);
                roots.add(der).map_err(refused)?;
                authorities.push(summary);
            }
        }
        if authorities.is_empty() {
            return Err(DescribeError::Empty.into());
        }
        let roots = Arc::new(roots);
        Ok(Self { roots, authorities })
    }

    /// A configuration for one handshake, TLS 1.2 or 1.3, and where it records the chain, also if
    /// verification fails.
    ///
    /// # Errors
    /// [`ProbeError`] if rustls refuses the configuration.
    pub fn client_config(
        &self,
        offered: OfferedProtocol,
    ) -> Result<(Arc<ClientConfig>, ShownChain), ProbeError> {
        let provider = crypto::provider();
        let roots = Arc::clone(&self.roots);
        let shown = ShownChain::default();
        let verifier = Recording {
            webpki: WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()?,
            shown: shown.clone(),
            signatures: HandshakeSignatures::of(&provider),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = match offered {
            OfferedProtocol::Http2 => vec![crypto::ALPN_H2.to_vec()],
            OfferedProtocol::None => Vec::new(),
        };
        config.resumption = Resumption::disabled();
        Ok((Arc::new(config), shown))
    }

    /// Judges a chain as Flower would if it dialled `dialled` at `now`.
    ///
    /// # Errors
    /// The [`ProbeFailure`] to repair first.
    pub fn check(
        &self,
        dialled: &San,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), ProbeFailure> {
        let other = |error: &dyn ToString| ProbeFailure::Other(error.to_string());
        let (leaf, intermediates) = chain.split_first().ok_or(ProbeFailure::NoCertificate)?;
        let summary = describe::describe_der(leaf, 1).map_err(|error| other(&error))?;
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| other(&error))?;
        self.check_issuer(&parsed, intermediates, &summary)?;
        check_dates(&summary, now)?;
        self.check_authority_dates(&summary, now)?;
        let name = dialled.to_server_name().map_err(|error| other(&error))?;
        verify_server_name(&parsed, &name).map_err(|_mismatch| ProbeFailure::SanMismatch {
            dialled: dialled.to_string(),
            sans: listed(&summary.sans),
        })
    }

    /// Looks at signatures only: the time is set inside the leaf's life.
    fn check_issuer(
        &self,
        leaf: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        summary: &CertificateSummary,
    ) -> Result<(), ProbeFailure> {
        let inside = summary.not_after.unwrap_or(UNIX_EPOCH);
        let at = UnixTime::since_unix_epoch(inside.duration_since(UNIX_EPOCH).unwrap_or_default());
        let algorithms = crypto::provider().signature_verification_algorithms.all;
        let verdict = verify_server_cert_signed_by_trust_anchor(
            leaf,
            &self.roots,
            intermediates,
            at,
            algorithms,
        );
        match verdict {
            Ok(()) => Ok(()),
            Err(TlsError::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Err(ProbeFailure::WrongCa {
                issuer: summary.issuer.clone(),
                trusted: self.trusted(),
            }),
            Err(error) => Err(ProbeFailure::Other(error.to_string())),
        }
    }

    fn trusted(&self) -> String {
        let names: Vec<_> = (self.authorities.iter())
            .map(|authority| format!("\"{}\"", authority.subject))
            .collect();
        listed(&names)
    }

    /// webpki never looks at the dates of a trusted CA; BoringSSL and OpenSSL, so Flower, do.
    fn check_authority_dates(
        &self,
        leaf: &CertificateSummary,
        now: SystemTime,
    ) -> Result<(), ProbeFailure> {
        let mut issuers = (self.authorities.iter())
            .filter(|authority| authority.subject == leaf.issuer)
            .map(|authority| check_dates(authority, now))
            .peekable();
        if issuers.peek().is_none() {
            return Ok(());
        }
        issuers.reduce(Result::or).unwrap_or(Ok(()))
    }
}

fn check_dates(certificate: &CertificateSummary, now: SystemTime) -> Result<(), ProbeFailure> {
    let subject = || certificate.subject.clone();
    if let Some(since) = certificate.not_after.filter(|end| *end < now) {
        return Err(ProbeFailure::Expired {
            subject: subject(),
            since: rfc3339(since),
            now: rfc3339(now),
        });
    }
    if let Some(from) = certificate.not_before.filter(|start| *start > now) {
        return Err(ProbeFailure::NotYetValid {
            subject: subject(),
            from: rfc3339(from),
            now: rfc3339(now),
        });
    }
    Ok(())
}

/// Records what was shown, then decides as webpki does.
#[derive(Debug)]
struct Recording {
    webpki: Arc<WebPkiServerVerifier>,
    shown: ShownChain,
    signatures: HandshakeSignatures,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let owned = chain.map(|der| der.clone().into_owned()).collect();
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = owned;
        self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    crypto::verifies_handshake_signatures!();
}
