//! What belongs together in `[registry.etcd]`.

use crate::draft::{Draft, EtcdDraft};
use crate::reader::{Complaint, Mistakes, Placed};

pub(super) fn is_complete(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    let Some(etcd) = &draft.registry.etcd else { return };
    let EtcdDraft { certificate_file, key_file, user, password_file, .. } = etcd;
    pair(
        mistakes,
        (certificate_file.as_ref(), "certificate_file"),
        (key_file.as_ref(), "key_file"),
    );
    pair(mistakes, (user.as_ref(), "user"), (password_file.as_ref(), "password_file"));
    for endpoint in &etcd.endpoints {
        let is_secure = endpoint.value.starts_with("https://");
        let found = format!("found {:?}", endpoint.value);
        if is_secure && etcd.ca_file.is_none() {
            let expected = "a ca_file that says whose certificates are good";
            let fix = "add ca_file = \"/etc/zonemesh/etcd-ca.pem\"";
            mistakes.report_at(endpoint, Complaint::new(found, expected, fix));
        } else if !is_secure && (etcd.user.is_some() || etcd.key_file.is_some()) {
            let expected = "https where a password or a certificate is to be shown";
            let fix =
                "write https://, or take user, password_file, certificate_file and key_file out";
            mistakes.report_at(endpoint, Complaint::new(found, expected, fix));
        }
    }
}

/// Two keys of which one alone is of no use.
fn pair<A, B>(
    mistakes: &mut Mistakes<'_>,
    (a, a_name): (Option<&Placed<A>>, &str),
    (b, b_name): (Option<&Placed<B>>, &str),
) {
    let alone = |missing: &str| {
        let found = format!("found it without {missing}");
        Complaint::new(found, "both or neither", format!("add {missing}, or take this out"))
    };
    match (a, b) {
        (Some(a), None) => mistakes.report_at(a, alone(b_name)),
        (None, Some(b)) => mistakes.report_at(b, alone(a_name)),
        _ => {}
    }
}
