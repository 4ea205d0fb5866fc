//! The certificates that this gateway holds or has issued, for `zonemesh cert show`.

use zonemesh_api::v1::{CertificateKind, CertificateView};

use crate::serve::sources::SnapshotSources;

/// All of them, the gateway's own first.
pub(super) fn all(sources: &SnapshotSources) -> Vec<CertificateView> {
    let zone = sources.config.now().zone.name.to_string();
    let view = |kind: CertificateKind, name: &str, pem: String| CertificateView {
        kind: kind.into(),
        name: name.to_owned(),
        pem,
    };
    let mut views = vec![view(CertificateKind::ZoneLeaf, &zone, sources.leaf.certificate_pem())];
    for (federation, pem) in sources.cas.certificates() {
        let name = federation.as_str();
        views.push(view(CertificateKind::FederationCa, name, pem));
        if let Some(pem) = sources.cas.last_issued(&federation) {
            views.push(view(CertificateKind::Superlink, name, pem));
        }
    }
    views
}
