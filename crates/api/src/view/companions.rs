//! The companions in a zone's VMs, as `zonemesh status` shows them.

use serde::Serialize;

use super::{Timestamp, known};
use crate::v1::{CaState, CompanionFinding, CompanionView, HeldCaCertificate};

/// One companion, and what it has reported last.
#[derive(Debug, Serialize)]
pub struct CompanionEntry {
    pub vm: String,
    pub role: String,
    pub federation: String,
    pub connected: bool,
    pub since: Timestamp,
    pub release: String,
    pub reported_at: Timestamp,
    pub state: Option<String>,
    pub activity: Option<String>,
    pub flower_version: Option<String>,
    pub findings: Vec<CompanionFindingEntry>,
    /// A number of 64 bits, which JSON readers would round.
    pub node_id: Option<String>,
    pub public_key: Option<String>,
    pub cas: Vec<HeldCaEntry>,
}

/// Something that is wrong in a VM.
#[derive(Debug, Serialize)]
pub struct CompanionFindingEntry {
    pub code: String,
    pub text: String,
}

/// A CA certificate that Flower trusts in a VM.
#[derive(Debug, Serialize)]
pub struct HeldCaEntry {
    pub state: &'static str,
    pub fingerprint: String,
}

impl From<CompanionView> for CompanionEntry {
    fn from(reply: CompanionView) -> Self {
        Self {
            vm: reply.vm,
            role: reply.role,
            federation: reply.federation,
            connected: reply.connected,
            since: reply.since_unix_ms.into(),
            release: reply.release,
            reported_at: reply.reported_at_unix_ms.into(),
            state: known(reply.state),
            activity: known(reply.activity),
            flower_version: known(reply.flower_version),
            findings: reply.findings.into_iter().map(CompanionFindingEntry::from).collect(),
            node_id: Some(reply.node_id).filter(|id| *id != 0).map(|id| id.to_string()),
            public_key: known(hex(&reply.public_key)),
            cas: reply.cas.into_iter().map(HeldCaEntry::from).collect(),
        }
    }
}

impl From<CompanionFinding> for CompanionFindingEntry {
    fn from(reply: CompanionFinding) -> Self {
        Self { code: reply.code, text: reply.text }
    }
}

impl From<HeldCaCertificate> for HeldCaEntry {
    fn from(reply: HeldCaCertificate) -> Self {
        let state = match reply.state() {
            CaState::Unspecified => "unknown",
            CaState::Next => "next",
            CaState::Active => "active",
            CaState::Retiring => "retiring",
        };
        Self { state, fingerprint: hex(&reply.sha256) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
