//! The messages of a session between a companion and its gateway.
//!
//! Promises that what is too long or too many is refused with its field, and that a value of a later
//! release is passed on or left out, never a reason to refuse the rest.

use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;
use zonemesh_core::companion::{
    CompanionReport, FlowerActivity, MAX_FINDING_CODE, MAX_FINDING_TEXT, MAX_FINDINGS, MAX_VERSION,
    ReportedFinding, ReportedState, SuperNodeState,
};
use zonemesh_core::name::FederationName;
use zonemesh_core::record::{
    CaState, FlowerTransport, HeldCa, MAX_CAS, MAX_SUPERNODE_KEY, Readiness,
};
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{VmRole, VmToken};

use super::super::onegate::OneGateIdentity;
use super::super::{WireError, WireProblem, addresses, hash, name, port, transport};
use super::admission::{listed_nodes, node_list};
use super::{ShownToken, at_most, required};
use crate::v1;
use crate::v1::companion_message::Body as Said;

/// Who opens a session. Nothing is believed yet.
#[derive(Clone)]
pub struct CompanionHello {
    /// For which federation.
    pub federation: FederationName,
    /// Who it is; none is no better than a bad one.
    pub proof: Option<ShownToken>,
    /// The companion's version.
    pub release: String,
    /// What proves to OneGate which VM it is, if that is shown.
    pub onegate: Option<OneGateIdentity>,
}

impl CompanionHello {
    /// The hello of a companion of this build.
    #[must_use]
    pub fn by(federation: &FederationName, token: &VmToken, role: VmRole) -> Self {
        Self {
            federation: federation.clone(),
            proof: Some(ShownToken { token: Zeroizing::new(token.reveal().to_owned()), role }),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            onegate: None,
        }
    }
}

/// A SuperLink that asks to be registered and certified. Nothing is believed yet but its form.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its addresses, best first; at least one.
    pub addresses: Vec<IpAddr>,
    /// TCP port for SuperNodes.
    pub fleet_port: u16,
    /// TCP port for `flwr run`.
    pub control_port: u16,
    /// Flower's version.
    pub flower_version: String,
    /// How SuperNodes talk to it.
    pub transport: FlowerTransport,
    /// Certificate signing request (PEM).
    pub csr_pem: String,
    /// The VM's clock.
    pub clock: UnixMillis,
    /// It is to admit SuperNodes by their keys only.
    pub authenticates: bool,
}

impl TryFrom<v1::CompanionHello> for CompanionHello {
    type Error = WireError;

    fn try_from(wire: v1::CompanionHello) -> Result<Self, WireError> {
        at_most("release", wire.release.len(), MAX_VERSION)?;
        Ok(Self {
            federation: name("federation", &wire.federation)?,
            proof: wire.proof.map(ShownToken::try_from).transpose()?,
            release: wire.release,
            onegate: wire.onegate.map(OneGateIdentity::try_from).transpose()?,
        })
    }
}

impl From<CompanionHello> for Said {
    fn from(hello: CompanionHello) -> Self {
        Self::Hello(v1::CompanionHello {
            federation: hello.federation.to_string(),
            proof: hello.proof.map(v1::VmProof::from),
            release: hello.release,
            onegate: hello.onegate.map(v1::OneGateProof::from),
        })
    }
}

impl TryFrom<v1::SuperLinkRegistration> for Registration {
    type Error = WireError;

    fn try_from(wire: v1::SuperLinkRegistration) -> Result<Self, WireError> {
        required("flower_version", &wire.flower_version)?;
        required("csr_pem", &wire.csr_pem)?;
        let addresses = addresses("addresses", &wire.addresses)?;
        if addresses.is_empty() {
            return Err(WireError::new("addresses", WireProblem::Missing));
        }
        Ok(Self {
            addresses,
            fleet_port: port("fleet_port", wire.fleet_port)?,
            control_port: port("control_port", wire.control_port)?,
            flower_version: wire.flower_version,
            transport: transport("transport", wire.transport)?,
            csr_pem: wire.csr_pem,
            clock: UnixMillis(wire.clock_unix_ms),
            authenticates: wire.authenticates,
        })
    }
}

impl From<Registration> for Said {
    fn from(registration: Registration) -> Self {
        Self::Registration(v1::SuperLinkRegistration {
            addresses: registration.addresses.iter().map(IpAddr::to_string).collect(),
            fleet_port: registration.fleet_port.into(),
            control_port: registration.control_port.into(),
            flower_version: registration.flower_version,
            transport: registration.transport.number(),
            csr_pem: registration.csr_pem,
            clock_unix_ms: registration.clock.0,
            authenticates: registration.authenticates,
        })
    }
}

/// What somebody reports who runs a `role`.
///
/// # Errors
/// [`WireError`]: the state is not said, or something is too long or too many.
pub fn report(wire: v1::CompanionReport, role: VmRole) -> Result<CompanionReport, WireError> {
    let missing = |field| Err(WireError::new(field, WireProblem::Missing));
    let state = match (role, wire.readiness, wire.supernode) {
        (VmRole::SuperLink, 0, _) => return missing("readiness"),
        (VmRole::SuperNode, _, 0) => return missing("supernode"),
        (VmRole::SuperLink, number, _) => ReportedState::SuperLink(Readiness::of(number)),
        (VmRole::SuperNode, _, number) => ReportedState::SuperNode(SuperNodeState::of(number)),
    };
    at_most("findings", wire.findings.len(), MAX_FINDINGS)?;
    at_most("flower_version", wire.flower_version.len(), MAX_VERSION)?;
    at_most("public_key", wire.public_key.len(), MAX_SUPERNODE_KEY)?;
    at_most("cas", wire.cas.len(), MAX_CAS)?;
    let activity = v1::FlowerActivity::try_from(wire.activity).ok();
    Ok(CompanionReport {
        state,
        findings: wire.findings.into_iter().map(finding).collect::<Result<_, _>>()?,
        flower_version: wire.flower_version,
        node_id: Some(wire.node_id).filter(|id| *id != 0),
        public_key: wire.public_key,
        cas: wire.cas.iter().filter_map(|ca| held_ca(ca).transpose()).collect::<Result<_, _>>()?,
        activity: match activity {
            Some(v1::FlowerActivity::Idle) => Some(FlowerActivity::Idle),
            Some(v1::FlowerActivity::Training) => Some(FlowerActivity::Training),
            Some(v1::FlowerActivity::Unspecified) | None => None,
        },
        clock: Some(wire.clock_unix_ms).filter(|clock| *clock != 0).map(UnixMillis),
        again_after: Some(wire.again_after_s)
            .filter(|seconds| *seconds != 0)
            .map(|seconds| Duration::from_secs(seconds.into())),
        echo_port: u16::try_from(wire.echo_port).ok().filter(|port| *port != 0),
        nodes: wire.nodes.map(listed_nodes).transpose()?,
    })
}

impl From<CompanionReport> for Said {
    fn from(report: CompanionReport) -> Self {
        let (readiness, supernode) = match report.state {
            ReportedState::SuperLink(readiness) => (readiness.number(), 0),
            ReportedState::SuperNode(state) => (0, state.number()),
        };
        let activity = match report.activity {
            None => v1::FlowerActivity::Unspecified,
            Some(FlowerActivity::Idle) => v1::FlowerActivity::Idle,
            Some(FlowerActivity::Training) => v1::FlowerActivity::Training,
        };
        Self::Report(v1::CompanionReport {
            readiness,
            supernode,
            findings: report.findings.iter().map(v1::CompanionFinding::from).collect(),
            flower_version: report.flower_version,
            node_id: report.node_id.unwrap_or_default(),
            public_key: report.public_key,
            cas: report.cas.iter().map(v1::HeldCaCertificate::from).collect(),
            activity: activity.into(),
            clock_unix_ms: report.clock.map_or(0, |clock| clock.0),
            again_after_s: report
                .again_after
                .map_or(0, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
            echo_port: report.echo_port.map_or(0, u32::from),
            nodes: report.nodes.as_deref().map(node_list),
        })
    }
}

impl From<&ReportedFinding> for v1::CompanionFinding {
    fn from(found: &ReportedFinding) -> Self {
        Self { code: found.code.clone(), text: found.text.clone() }
    }
}

impl From<&HeldCa> for v1::HeldCaCertificate {
    fn from(ca: &HeldCa) -> Self {
        Self { sha256: ca.certificate.to_vec(), state: ca.state.number() }
    }
}

fn finding(wire: v1::CompanionFinding) -> Result<ReportedFinding, WireError> {
    required("findings.code", &wire.code)?;
    at_most("findings.code", wire.code.len(), MAX_FINDING_CODE)?;
    at_most("findings.text", wire.text.len(), MAX_FINDING_TEXT)?;
    Ok(ReportedFinding { code: wire.code, text: wire.text })
}

/// None in a state that this build does not know.
fn held_ca(wire: &v1::HeldCaCertificate) -> Result<Option<HeldCa>, WireError> {
    let certificate = hash("cas.sha256", &wire.sha256)?;
    Ok(CaState::of(wire.state).map(|state| HeldCa { certificate, state }))
}
