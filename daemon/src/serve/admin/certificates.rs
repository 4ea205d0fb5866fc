//! The certificates that this gateway holds or has issued, for `zonemesh cert show`.

use zonemesh_api::v1::{CertificateKind, CertificateView};
use zonemesh_pki::LocalApiKey;

use crate::serve::sources::SnapshotSources;

/// All of them, the gateway's own first.
pub(super) fn all(
    sources: &SnapshotSources,
    local_api: Option<&LocalApiKey>,
) -> Vec<CertificateView> {
    let zone = sources.config.zone.name.to_string();
    let view = |kind: CertificateKind, name: &str, pem: String, pin: String| CertificateView {
        kind: kind.into(),
        name: name.to_owned(),
        pem,
        pin,
    };
    let mut views =
        vec![view(CertificateKind::ZoneLeaf, &zone, sources.leaf.certificate_pem(), String::new())];
    if let Some(key) = local_api {
        let pin = key.fingerprint().to_string();
        views.push(view(CertificateKind::LocalApi, &zone, key.certificate_pem(), pin));
    }
    for (federation, ca) in sources.cas.iter() {
        let (name, pem) = (federation.as_str(), ca.certificate_pem().to_owned());
        views.push(view(CertificateKind::FederationCa, name, pem, String::new()));
        if let Some(pem) = sources.cas.last_issued(federation) {
            views.push(view(CertificateKind::Superlink, name, pem, String::new()));
        }
    }
    views
}
