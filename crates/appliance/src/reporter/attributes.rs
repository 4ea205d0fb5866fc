//! What OneGate is told of a companion, under the names that Flower's single-site appliances use. Pure.
//!
//! It promises that READY comes last and goes first, that no other name can open OneFlow's gate (which
//! looks for `READY=YES` at the end of any), and that nothing is told that OneGate would damage. It
//! refuses to tell a secret: whoever has a VM of the service reads these.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{CompanionState, CompanionStatus};
use crate::onegate::{READY, WantedAttributes, YES, is_plain};

/// In the order in which they are told.
pub(super) const OF_SUPERLINK: &[&str] =
    &["FL_ROLE", "FL_VERSION", "FL_ENDPOINT", "FL_CA_CERT", "FL_READY", READY];
/// The same of a SuperNode.
pub(super) const OF_SUPERNODE: &[&str] =
    &["FL_ROLE", "FL_VERSION", "FL_ENDPOINT", "FL_NODE_READY", READY];

/// Whichever OneFlow does not look for.
const TRUE: &str = "true";

/// The names of a role.
pub(super) fn names(role: &str) -> &'static [&'static str] {
    if role == "superlink" { OF_SUPERLINK } else { OF_SUPERNODE }
}

/// What is to stand there.
pub(super) fn attributes(status: &CompanionStatus, ca_pem: Option<&str>) -> WantedAttributes {
    let is_ready = status.state == CompanionState::Ready;
    let ready = |word: &str| is_ready.then(|| word.to_owned());
    let said = [
        ("FL_ROLE", Some(status.role.to_owned())),
        ("FL_VERSION", status.flower_version.clone()),
        ("FL_ENDPOINT", status.endpoint.clone()),
        ("FL_CA_CERT", ca_pem.map(|pem| STANDARD.encode(pem))),
        ("FL_READY", ready(TRUE)),
        ("FL_NODE_READY", ready(TRUE)),
        (READY, ready(YES)),
    ];
    let of_role = |name: &str| names(status.role).contains(&name);
    let said = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
    said.filter(|(name, value)| of_role(name) && is_plain(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(role: &'static str, state: CompanionState) -> CompanionStatus {
        CompanionStatus {
            schema: "zonemesh/companion/v1",
            role,
            federation: "health-eu".parse().unwrap(),
            state,
            since: String::new(),
            reason: None,
            endpoint: Some("10.10.10.5:9092".to_owned()),
            flower_version: Some("1.25.0".to_owned()),
            flower_group: None,
            flower_starts: 1,
        }
    }

    #[test]
    fn each_role_has_the_names_of_the_single_site_appliances_and_ready_is_the_last() {
        for (role, own) in [("superlink", "FL_READY"), ("supernode", "FL_NODE_READY")] {
            let told = attributes(&status(role, CompanionState::Ready), Some("PEM"));
            assert_eq!(told.get(READY).map(String::as_str), Some(YES));
            assert_eq!(told.get(own).map(String::as_str), Some("true"));
            assert_eq!(told.contains_key("FL_CA_CERT"), role == "superlink");
            assert_eq!(told["FL_ENDPOINT"], "10.10.10.5:9092");
            assert!(told.keys().all(|name| names(role).contains(name)), "{told:?}");
            assert_eq!(names(role).last(), Some(&READY));
            // OneFlow's gate looks for this in whatever was told, without quotes and spaces.
            let opens =
                |(name, value): (&&str, &String)| format!("{name}={value}").contains("READY=YES");
            assert_eq!(told.iter().filter(|told| opens(*told)).count(), 1, "{told:?}");
        }
    }

    #[test]
    fn who_is_not_ready_says_so_by_nothing_and_an_address_with_brackets_is_left_out() {
        let mut waiting = status("superlink", CompanionState::Starting);
        waiting.endpoint = Some("[fd00::5]:9092".to_owned());
        waiting.flower_version = None;
        let told = attributes(&waiting, None);
        assert_eq!(told.into_iter().collect::<Vec<_>>(), [("FL_ROLE", "superlink".to_owned())]);
    }
}
