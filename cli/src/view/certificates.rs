//! `zonemesh cert show`: certificates in words.

use std::time::Duration;

use serde::Serialize;
use zonemesh_api::v1::{CertificateKind, CertificateView as Reply, CertificatesReply};
use zonemesh_api::view::{Timestamp, known, rfc3339};
use zonemesh_core::time::UnixMillis;

use crate::certificate::{CertificateError, DescribedCertificate, describe};
use crate::output::{Page, Rendered};
use crate::quantity::span;
use crate::table::plain;

/// The certificates of a daemon or of a file.
#[derive(Debug, Serialize)]
pub(crate) struct CertificatesView {
    schema: &'static str,
    certificates: Vec<Certificate>,
}

/// One certificate.
#[derive(Debug, Serialize)]
struct Certificate {
    kind: Option<&'static str>,
    name: Option<String>,
    subject: String,
    issuer: String,
    sans: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    key_algorithm: String,
    is_ca: bool,
    sha256: String,
}

impl CertificatesView {
    /// What the daemon holds.
    pub(crate) fn of_daemon(reply: CertificatesReply) -> Result<Self, CertificateError> {
        let mut certificates = Vec::new();
        for one in reply.certificates {
            for summary in describe(one.pem.as_bytes())? {
                certificates.push(Certificate::of(summary, Some(&one)));
            }
        }
        Ok(Self::new(certificates))
    }

    /// What a file holds.
    pub(crate) fn of_file(summaries: Vec<DescribedCertificate>) -> Self {
        Self::new(summaries.into_iter().map(|summary| Certificate::of(summary, None)).collect())
    }

    fn new(certificates: Vec<Certificate>) -> Self {
        Self { schema: "zonemesh/certificates/v1", certificates }
    }
}

impl Certificate {
    fn of(summary: DescribedCertificate, reply: Option<&Reply>) -> Self {
        Self {
            kind: reply.map(|reply| kind(reply.kind())),
            name: reply.and_then(|reply| known(reply.name.clone())),
            subject: summary.subject,
            issuer: summary.issuer,
            sans: summary.sans,
            not_before: Timestamp(summary.not_before),
            not_after: Timestamp(summary.not_after),
            key_algorithm: summary.key_algorithm,
            is_ca: summary.is_ca,
            sha256: summary.sha256,
        }
    }

    fn text(&self, now: UnixMillis) -> String {
        let title = match (self.kind, &self.name) {
            (Some(kind), Some(name)) => format!("{kind} of {name}"),
            (Some(kind), None) => kind.to_owned(),
            (None, _) => self.subject.clone(),
        };
        let ca = if self.is_ca { " (CA)" } else { "" };
        let [from, to] = [self.not_before, self.not_after]
            .map(|moment| rfc3339(moment.0).unwrap_or_else(|| "an unknown time".to_owned()));
        let lines = [
            ("subject", self.subject.clone()),
            ("issuer", self.issuer.clone()),
            ("names", self.sans.join(", ")),
            ("valid", format!("{from} to {to} ({})", self.rest(now))),
            ("key", format!("{}{ca}", self.key_algorithm)),
            ("sha256", self.sha256.clone()),
        ];
        let lines = lines.iter().filter(|(_, value)| !value.is_empty());
        let lines = lines.map(|(name, value)| format!("  {name:<8} {}\n", plain(value)));
        format!("{}\n{}", plain(&title), lines.collect::<String>())
    }

    /// How much of its life is left.
    fn rest(&self, now: UnixMillis) -> String {
        let (start, end) = (self.not_before.0, self.not_after.0);
        if now < start {
            format!("not valid for another {}", span(Duration::from_millis(start.since(now))))
        } else if now > end {
            format!("EXPIRED {} ago", span(Duration::from_millis(now.since(end))))
        } else {
            format!("{} left", span(Duration::from_millis(end.since(now))))
        }
    }
}

fn kind(kind: CertificateKind) -> &'static str {
    match kind {
        CertificateKind::Unspecified => "certificate",
        CertificateKind::ZoneLeaf => "zone leaf",
        CertificateKind::FederationCa => "federation CA",
        CertificateKind::Superlink => "SuperLink",
    }
}

impl Rendered for CertificatesView {
    fn text(&self, page: Page) -> String {
        let texts: Vec<String> = self.certificates.iter().map(|one| one.text(page.now)).collect();
        texts.join("\n")
    }
}
