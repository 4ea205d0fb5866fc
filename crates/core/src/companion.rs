//! What a companion reports to its gateway of the Flower beside it.
//!
//! Promises bounds for all of it: a report that was read fits in memory and on a screen. Refuses to
//! know who reports, and whether that is believed.

use std::net::IpAddr;
use std::time::Duration;

use crate::name::FederationName;
use crate::record::{AdmittedNode, HeldCa, Readiness};
use crate::time::UnixMillis;
use crate::token::VmRole;

/// Most findings in a report.
pub const MAX_FINDINGS: usize = 16;
/// Longest code of a finding in bytes.
pub const MAX_FINDING_CODE: usize = 16;
/// Longest text of a finding in bytes.
pub const MAX_FINDING_TEXT: usize = 512;
/// Longest text of a version in bytes.
pub const MAX_VERSION: usize = 64;

/// Whose companion it is: a VM has one for each federation and role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompanionId {
    /// Its VM.
    pub vm: IpAddr,
    /// What runs in it.
    pub role: VmRole,
    /// For which federation.
    pub federation: FederationName,
}

/// Where a SuperNode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuperNodeState {
    /// Flower does not run.
    Waiting,
    /// Flower was started and is not known to work yet.
    Connecting,
    /// Flower runs.
    Running,
    /// Stopped on purpose.
    Stopped,
    /// What a later release knows, by its number.
    Other(i32),
}

impl SuperNodeState {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Other(_) => "unknown",
        }
    }

    /// What stands for it in messages.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Waiting => 1,
            Self::Connecting => 2,
            Self::Running => 3,
            Self::Stopped => 4,
            Self::Other(number) => number,
        }
    }

    /// The one that a number stands for.
    #[must_use]
    pub fn of(number: i32) -> Self {
        let known = [Self::Waiting, Self::Connecting, Self::Running, Self::Stopped];
        let mut known = known.into_iter();
        known.find(|state| state.number() == number).unwrap_or(Self::Other(number))
    }
}

/// What Flower is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowerActivity {
    /// It waits for work.
    Idle,
    /// An app runs.
    Training,
}

impl FlowerActivity {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Training => "training",
        }
    }
}

/// Where what runs in the VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedState {
    /// Of a SuperLink: whether SuperNodes may connect.
    SuperLink(Readiness),
    /// Of a SuperNode.
    SuperNode(SuperNodeState),
}

impl ReportedState {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SuperLink(readiness) => readiness.as_str(),
            Self::SuperNode(state) => state.as_str(),
        }
    }

    /// What says so.
    #[must_use]
    pub fn role(self) -> VmRole {
        match self {
            Self::SuperLink(_) => VmRole::SuperLink,
            Self::SuperNode(_) => VmRole::SuperNode,
        }
    }

    /// True if it was stopped on purpose: it will not be missed.
    #[must_use]
    pub fn is_goodbye(self) -> bool {
        let stopped = Self::SuperNode(SuperNodeState::Stopped);
        self == Self::SuperLink(Readiness::Stopped) || self == stopped
    }
}

/// Something that is wrong in a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFinding {
    /// Its code; a later release has more of them.
    pub code: String,
    /// What was seen, in one line.
    pub text: String,
}

/// How it goes in a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionReport {
    /// Where it is.
    pub state: ReportedState,
    /// What is wrong.
    pub findings: Vec<ReportedFinding>,
    /// Flower's version; empty if it is not known.
    pub flower_version: String,
    /// The number that Flower knows this node by.
    pub node_id: Option<u64>,
    /// The key that Flower knows this node by (SubjectPublicKeyInfo in DER); empty if it is not known.
    pub public_key: Vec<u8>,
    /// The CA certificates that Flower trusts here.
    pub cas: Vec<HeldCa>,
    /// What Flower is doing, if that is known.
    pub activity: Option<FlowerActivity>,
    /// The VM's clock, if it was told.
    pub clock: Option<UnixMillis>,
    /// How soon it is said again, whether it is another or not, if that was told: who has said so and
    /// is silent for much longer does not live.
    pub again_after: Option<Duration>,
    /// The UDP port at which the VM echoes what its gateway asks, if it does.
    pub echo_port: Option<u16>,
    /// Of a SuperLink that admits SuperNodes by their keys: Flower's list. Without one, the list that
    /// was reported before holds.
    pub nodes: Option<Vec<AdmittedNode>>,
}

impl CompanionReport {
    /// That, and no more.
    #[must_use]
    pub fn of(state: ReportedState) -> Self {
        Self {
            state,
            findings: Vec::new(),
            flower_version: String::new(),
            node_id: None,
            public_key: Vec::new(),
            cas: Vec::new(),
            activity: None,
            clock: None,
            again_after: None,
            echo_port: None,
            nodes: None,
        }
    }

    /// True if it says the same; the clock is another each time.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let timeless = Self { clock: self.clock, ..other.clone() };
        *self == timeless
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_by_its_number_and_one_of_a_later_release_is_kept() {
        for number in 1..=9 {
            assert_eq!(SuperNodeState::of(number).number(), number);
        }
        assert_eq!(SuperNodeState::of(9), SuperNodeState::Other(9));
        assert_eq!(SuperNodeState::of(9).as_str(), "unknown");
    }

    #[test]
    fn a_report_says_the_same_whatever_the_clock() {
        let report = CompanionReport::of(ReportedState::SuperNode(SuperNodeState::Running));
        let later = CompanionReport { clock: Some(UnixMillis(7)), ..report.clone() };
        assert!(report.says_the_same(&later));
        let other = CompanionReport { flower_version: "1.25.0".to_owned(), ..later };
        assert!(!report.says_the_same(&other));
    }
}
