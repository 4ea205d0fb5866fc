//! What the companions in this zone's VMs say is wrong there, as far as somebody has to act.
//!
//! Promises that what only takes time, or is told of the mesh itself, is not told again of each VM.

use std::net::IpAddr;

use zonemesh_core::companion::ReportedFinding;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

/// VMs that are told of: one cause in more of them is one cause.
const MOST: usize = 64;
/// A companion waits for somebody else: told of the federation, of the zone or of the session, or
/// over by itself.
const WAITS: [Code; 12] = [
    Code::NoSuperLink,
    Code::SuperLinkNotReady,
    Code::NodeNotRegistered,
    Code::NotServing,
    Code::ZoneUnreachable,
    Code::GatewayUnreachable,
    Code::GatewayNotFound,
    Code::OwnGatewayAway,
    Code::FederationClaimedTwice,
    Code::KeepaliveMismatch,
    Code::KeyRevoked,
    Code::ZoneLeft,
];

/// What a companion says is wrong.
#[derive(Debug, Clone)]
pub(crate) struct CompanionSight {
    pub(crate) vm: IpAddr,
    pub(crate) said: ReportedFinding,
}

impl CompanionSight {
    /// What is to be told of it. A code of a later release is told without advice of its own.
    fn finding(&self) -> Option<Finding> {
        let code = Code::of(&self.said.code);
        if code.is_some_and(|code| WAITS.contains(&code) || !code.severity().is_alarming()) {
            return None;
        }
        let about = Finding::new(Code::CompanionBlocked, Subject::Vm(self.vm));
        let about = about.with(Evidence::Found(self.said.code.clone()));
        let about = about.with(Evidence::Reason(self.said.text.clone()));
        Some(match code {
            Some(code) => about.fix(code.fix()),
            None => about,
        })
    }
}

/// One for each VM whose companion does not get on.
pub(crate) fn of_companions(sights: &[CompanionSight]) -> Vec<Finding> {
    sights.iter().filter_map(CompanionSight::finding).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str) -> CompanionSight {
        let text = "the SuperLink 10.10.10.5:9092 does not answer: timed out".to_owned();
        let vm = [10, 10, 11, 5].into();
        CompanionSight { vm, said: ReportedFinding { code: code.to_owned(), text } }
    }

    #[test]
    fn what_a_companion_says_is_told_with_the_advice_of_its_code() {
        let found = of_companions(&[said("N202")]);
        let line = "F512 VM 10.10.11.5: its companion does not get on: \
            N202: the SuperLink 10.10.10.5:9092 does not answer: timed out";
        assert_eq!(found[0].to_string(), line);
        assert_eq!(found[0].fix.as_str(), Code::SuperLinkUnreachable.fix());
        let later = of_companions(&[said("N999")]);
        assert!(!later[0].has_own_fix(), "{later:?}");
    }

    #[test]
    fn who_waits_for_somebody_else_is_no_trouble_of_its_own() {
        for code in WAITS {
            assert!(of_companions(&[said(code.as_str())]).is_empty(), "{code}");
        }
    }
}
