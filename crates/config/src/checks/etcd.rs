//! What belongs together in `[registry.etcd]`.

use crate::complaint::Complaint;
use crate::draft::ConfigDraft;
use crate::mistakes::{Mistakes, Placed};

pub(super) fn is_complete(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let Some(etcd) = &draft.registry.etcd else { return };
    let certificate =
        HalfOfPair { name: "certificate_file", given: etcd.certificate_file.as_ref() };
    let key = HalfOfPair { name: "key_file", given: etcd.key_file.as_ref() };
    certificate.report_without(&key, mistakes);
    key.report_without(&certificate, mistakes);
    let user = HalfOfPair { name: "user", given: etcd.user.as_ref() };
    let password = HalfOfPair { name: "password_file", given: etcd.password_file.as_ref() };
    user.report_without(&password, mistakes);
    password.report_without(&user, mistakes);
    for endpoint in &etcd.endpoints {
        let is_secure = endpoint.value.starts_with("https://");
        let found = format!("found {:?}", endpoint.value);
        if is_secure && etcd.ca_file.is_none() {
            let expected = "a ca_file that says whose certificates are good";
            let fix = "add ca_file = \"/etc/zonemesh/etcd-ca.pem\"";
            mistakes.report_conflict(endpoint, Complaint::new(found, expected, fix));
        } else if !is_secure && (etcd.user.is_some() || etcd.key_file.is_some()) {
            let expected = "https where a password or a certificate is to be shown";
            let fix =
                "write https://, or take user, password_file, certificate_file and key_file out";
            mistakes.report_conflict(endpoint, Complaint::new(found, expected, fix));
        }
    }
}

/// One of two keys that are of no use alone.
struct HalfOfPair<'d, T> {
    name: &'static str,
    given: Option<&'d Placed<T>>,
}

impl<T> HalfOfPair<'_, T> {
    fn report_without<U>(&self, other: &HalfOfPair<'_, U>, mistakes: &mut Mistakes<'_>) {
        let (Some(given), None) = (self.given, other.given) else {
            return;
        };
        let missing = other.name;
        let found = format!("found it without {missing}");
        let fix = format!("add {missing}, or take this out");
        mistakes.report_conflict(given, Complaint::new(found, "both or neither", fix));
    }
}
