//! From what is known of peers, mesh and machine to findings: a pure decision, made at each look.
//!
//! One root cause is one finding: a peer whose tunnel is down is not blamed for its stream as well,
//! and a peer that rests is missed by nobody.

mod kernel;
mod machine;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use zonemesh_config::Config;
use zonemesh_core::exit::error_line;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::member::Member;
use zonemesh_core::membership::{Alarm, KnownSet, Membership};
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::path::{PathReason, PathState};
use zonemesh_core::registry::{Registry, SignedRevocation, Standing};

use crate::plan::MeshPlan;
use crate::plan::announcement::{Beyond, bounds};
use crate::plan::peers::{AddressOwner, CoveredAddress, TakenKey};

pub(crate) use kernel::of_kernel;
pub(crate) use machine::{EtcdSight, FolderSight, MachineSight, of_machine};

/// What is decided here and by nobody else.
pub(crate) const CODES: &[Code] = &[
    Code::KeepaliveMismatch,
    Code::TunnelSilent,
    Code::HandshakesUnanswered,
    Code::NoEndpoint,
    Code::PathLoses,
    Code::BlackHole,
    Code::LaneUnanswered,
    Code::StreamBroken,
    Code::EtcdOutOfReach,
    Code::ForwardingOff,
    Code::BulkWorkRefused,
    Code::TooManyRequests,
    Code::FederationClaimedTwice,
    Code::GrantsContradict,
    Code::GrantReserved,
    Code::NotAMember,
    Code::ZoneBlocked,
    Code::ZoneLeft,
    Code::KeyRevoked,
    Code::GrantedOtherKey,
    Code::ClonedGateway,
    Code::StreamRefused,
    Code::ClockWentBack,
    Code::PeerClockOff,
    Code::FederationCaUnusable,
    Code::AuthorityConflict,
    Code::AuthorityPinned,
    Code::AuthorityAwaited,
    Code::GrantNotListed,
    Code::RevocationOvertaken,
    Code::BeyondGrant,
    Code::HostingNotGranted,
    Code::NoMesh,
    Code::StateFolderUnwritable,
    Code::StateFolderOpen,
];

/// A clock that is further off than this is worth a line: Flower bears 5 s.
const CLOCK_OFF_MS: i64 = 5_000;
/// Unanswered handshakes after which a lane is in trouble.
const LANE_SILENT: u64 = 3;

/// What is seen of a peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerSight {
    /// Its zone, or which of the zone's gateways it is.
    pub(crate) subject: Subject,
    /// True if nobody keeps the tunnel up while it is not used.
    pub(crate) rests: bool,
    pub(crate) state: PathState,
    pub(crate) reason: Option<PathReason>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) unanswered: u64,
    pub(crate) mtu: u16,
    pub(crate) black_hole: bool,
    pub(crate) underlay_mtu: Option<u16>,
    pub(crate) stream: StreamSight,
    pub(crate) clock_offset_ms: Option<i64>,
    /// Handshakes that each lane beside the first has not been answered.
    pub(crate) lanes: Vec<u64>,
}

/// What is seen of the registry's stream to a peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamSight {
    /// False if others are this gateway's neighbours.
    pub(crate) is_wanted: bool,
    pub(crate) is_open: bool,
    /// True if the neighbour was reached and refused.
    pub(crate) is_refused: bool,
    /// Why the last attempt failed; empty if none did.
    pub(crate) error: String,
}

/// What is wrong with a peer.
pub(crate) fn of_peer(peer: &PeerSight) -> Vec<Finding> {
    let mut found = Vec::new();
    if peer.black_hole {
        let hole = about(peer, Code::BlackHole).with(Evidence::Bytes(u64::from(peer.mtu)));
        found.push(match peer.underlay_mtu {
            Some(underlay) => hole.with(Evidence::Expected(underlay.to_string())),
            None => hole,
        });
    }
    match peer.state {
        PathState::Degraded => found.push(lossy(peer)),
        PathState::Up => {
            found.extend(broken_stream(peer));
            found.extend(silent_lanes(peer));
        }
        PathState::Down | PathState::Never if peer.rests && peer.unanswered == 0 => {}
        PathState::Down | PathState::Never => found.push(silent(peer)),
    }
    if let Some(offset) = peer.clock_offset_ms.filter(|offset| offset.abs() >= CLOCK_OFF_MS) {
        found.push(about(peer, Code::PeerClockOff).with(Evidence::ClockAheadMs(offset)));
    }
    found
}

fn about(peer: &PeerSight, code: Code) -> Finding {
    Finding::new(code, peer.subject.clone())
}

fn at_endpoint(finding: Finding, peer: &PeerSight) -> Finding {
    match peer.endpoint {
        Some(endpoint) => finding.with(Evidence::Address(endpoint.to_string())),
        None => finding,
    }
}

fn lossy(peer: &PeerSight) -> Finding {
    let reason = peer.reason.map_or_else(|| "too many packets are lost".into(), |r| r.to_string());
    let finding = about(peer, Code::PathLoses).with(Evidence::Reason(reason));
    let finding = match peer.reason {
        Some(PathReason::Loss(permille)) => {
            finding.with(Evidence::LossPermille(u64::from(permille)))
        }
        _ => finding,
    };
    at_endpoint(finding, peer)
}

/// Of a tunnel that should be up and is not.
fn silent(peer: &PeerSight) -> Finding {
    let finding = match (peer.endpoint, peer.unanswered) {
        (None, _) => about(peer, Code::NoEndpoint),
        (Some(_), 0) => {
            let untried = || "no handshake was tried".to_owned();
            let reason = peer.reason.map_or_else(untried, |reason| reason.to_string());
            about(peer, Code::TunnelSilent).with(Evidence::Reason(reason))
        }
        (Some(_), count) => about(peer, Code::HandshakesUnanswered).with(Evidence::Count(count)),
    };
    at_endpoint(finding, peer)
}

fn broken_stream(peer: &PeerSight) -> Option<Finding> {
    let StreamSight { is_wanted, is_open, is_refused, error } = &peer.stream;
    if !is_wanted || *is_open || error.is_empty() {
        return None;
    }
    let code = if *is_refused { Code::StreamRefused } else { Code::StreamBroken };
    Some(about(peer, code).with(Evidence::Reason(error.clone())))
}

fn silent_lanes(peer: &PeerSight) -> Option<Finding> {
    let numbered = (1..).zip(&peer.lanes);
    let silent: Vec<u64> =
        numbered.filter(|(_, unanswered)| **unanswered >= LANE_SILENT).map(|(n, _)| n).collect();
    let finding = about(peer, Code::LaneUnanswered);
    let finding = silent.iter().fold(finding, |one, lane| one.with(Evidence::Lane(*lane)));
    (!silent.is_empty()).then_some(finding)
}

/// What the plan leaves out, as a key is another's or not proved: one finding for each zone.
pub(crate) fn of_plan(plan: &MeshPlan) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for TakenKey { zone, what, why } in &plan.taken {
        let subject = Subject::Zone(zone.clone());
        let reason = Evidence::Reason(format!("{what} {why}"));
        match found.iter_mut().find(|finding| finding.subject == subject) {
            Some(finding) => finding.evidence.push(reason),
            None => found.push(Finding::new(Code::WireGuardKeyTaken, subject).with(reason)),
        }
    }
    found.extend(of_covered(&plan.covered));
    found
}

/// What holds an address outside: one finding for each zone that has such a network, with the first.
fn of_covered(covered: &[CoveredAddress]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for CoveredAddress { zone, net, address, of } in covered {
        let subject = Subject::Zone(zone.clone());
        if found.iter().any(|finding| finding.subject == subject) {
            continue;
        }
        let reason = match of {
            AddressOwner::Here => {
                "which this gateway has outside: it is not routed here".to_owned()
            }
            AddressOwner::HereTwice => {
                "which this gateway has outside: it is no tunnel address here".to_owned()
            }
            AddressOwner::Zone(of) => {
                format!("which zone {of}'s gateway has outside: its tunnel goes around")
            }
        };
        let about = Finding::new(Code::OuterAddressCovered, subject).with(Evidence::Prefix(*net));
        let about = about.with(Evidence::Address(address.to_string()));
        found.push(about.with(Evidence::Reason(reason)));
    }
    found
}

/// What is wrong with the mesh, as this gateway's registry has it.
pub(crate) fn of_mesh(registry: &Registry, config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(membership) = registry.membership() {
        found.extend(bounds(registry).and_then(|granted| beyond(config, granted)));
        found.extend(of_own_zone(registry));
        found.extend(of_hosting(registry));
        found.extend(membership.alarms().iter().map(contradiction));
        found.extend(of_authorities(membership));
    }
    if registry.membership().is_none() && config.peers.is_empty() {
        found.push(Finding::new(Code::NoMesh, Subject::Here));
    }
    if let Some(since) = registry.left_since(registry.zone()) {
        found.push(Finding::new(Code::ZoneLeft, Subject::Here).with(Evidence::Time(since)));
    }
    for zone in registry.blocked() {
        found.push(Finding::new(Code::ZoneBlocked, Subject::Zone(zone.clone())));
    }
    for federation in registry.federations() {
        if let Some(used) = registry.find_superlink(federation).filter(|found| found.conflict) {
            let subject = Subject::Federation(federation.clone());
            let twice = Finding::new(Code::FederationClaimedTwice, subject);
            found.push(twice.with(Evidence::Zone(used.zone.clone())));
        }
    }
    match registry.counters().clone_alarms() {
        0 => {}
        count => {
            let cloned = Finding::new(Code::ClonedGateway, Subject::Here);
            found.push(cloned.with(Evidence::Count(count)));
        }
    }
    found
}

/// Members that have said nothing and have not called: no tunnel is there for them.
pub(crate) fn silent_members(registry: &Registry) -> BTreeSet<ZoneName> {
    let granted = registry.membership().into_iter().flat_map(Membership::members);
    let silent = granted.map(|member| &member.zone).filter(|zone| {
        let is_asked = *zone != registry.zone() && !registry.is_blocked(zone);
        is_asked && registry.of_zone(zone).next().is_none()
    });
    silent.cloned().collect()
}

/// What the authority sets leave open.
fn of_authorities(membership: &Membership) -> Vec<Finding> {
    let here = |code| Finding::new(code, Subject::Here);
    let zone = |code, zone: &ZoneName| Finding::new(code, Subject::Zone(zone.clone()));
    let conflicts = membership.conflicts().map(|(one, other)| {
        let reason = Evidence::Reason(KnownSet::contradiction(one, other));
        here(Code::AuthorityConflict).with(reason)
    });
    let mut found: Vec<_> = conflicts.collect();
    if membership.pinned().head {
        found.push(here(Code::AuthorityPinned));
    }
    if let Some((_, missing @ 1..)) = membership.awaited() {
        let count = Evidence::Count(missing as u64);
        found.push(here(Code::AuthorityAwaited).with(count));
    }
    let not_listed = membership.not_listed().map(|grant| zone(Code::GrantNotListed, &grant.zone));
    found.extend(not_listed);
    let overtaken = membership.overtaken();
    found.extend(overtaken.map(|one| zone(Code::RevocationOvertaken, &one.revocation.zone)));
    found
}

/// What the configuration has beside what is granted, and the command that grants all of it.
fn beyond(config: &Config, granted: &Member) -> Option<Finding> {
    let Beyond { prefixes, tunnel_ips } = Beyond::of(config, Some(granted));
    if prefixes.is_empty() && tunnel_ips.is_empty() {
        return None;
    }
    let mut command = format!("zonemesh zone grant {} --zone-key {}", granted.zone, granted.key);
    for net in granted.prefixes.iter().chain(&prefixes) {
        command.push_str(&format!(" --prefix {net}"));
    }
    if !tunnel_ips.is_empty() {
        for ip in granted.tunnel_ips.iter().chain(&tunnel_ips) {
            command.push_str(&format!(" --tunnel-ip {ip}"));
        }
    }
    let nets = prefixes.into_iter().chain(tunnel_ips.into_iter().map(IpNet::from));
    let found = Finding::new(Code::BeyondGrant, Subject::Here);
    let found = nets.map(Evidence::Prefix).fold(found, Finding::with);
    Some(found.with(Evidence::Expected(format!("`{command}`"))))
}

const fn standing(standing: Standing) -> Option<Code> {
    match standing {
        Standing::Member => None,
        Standing::Stranger => Some(Code::NotAMember),
        Standing::Revoked => Some(Code::KeyRevoked),
        Standing::OtherKey => Some(Code::GrantedOtherKey),
    }
}

/// What this gateway's own zone is, unless it is a member.
fn of_own_zone(registry: &Registry) -> Option<Finding> {
    let code = standing(registry.standing())?;
    let found = Finding::new(code, Subject::Here);
    let revoked = registry.own_revocation().filter(|_| code == Code::KeyRevoked);
    Some(revoked.into_iter().fold(found, revoked_by))
}

/// Federations that this zone's record says it hosts, and that its grant does not let it host.
fn of_hosting(registry: &Registry) -> Vec<Finding> {
    let own = registry.zone();
    let lost = registry.hosted_by(own).into_iter().filter(|one| !registry.may_host(own, one));
    let about = |federation: &FederationName| {
        Finding::new(Code::HostingNotGranted, Subject::Federation(federation.clone()))
    };
    lost.map(about).collect()
}

fn revoked_by(found: Finding, by: SignedRevocation) -> Finding {
    let SignedRevocation { revocation, signers } = by;
    let keys = signers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let found = found.with(Evidence::Key(keys)).with(Evidence::Time(revocation.issued_at));
    match revocation.reason.is_empty() {
        true => found,
        false => found.with(Evidence::Reason(revocation.reason)),
    }
}

fn contradiction(alarm: &Alarm) -> Finding {
    let about = |code| Finding::new(code, Subject::Zone(alarm.refused().clone()));
    let found = match alarm {
        Alarm::Overlap { kept, .. } | Alarm::SameKey { kept, .. } => {
            about(Code::GrantsContradict).with(Evidence::Zone(kept.clone()))
        }
        Alarm::SameSerial { .. } => about(Code::GrantsContradict),
        Alarm::Reserved { reserved, .. } => {
            about(Code::GrantReserved).with(Evidence::Prefix(reserved.prefix))
        }
    };
    found.with(Evidence::Reason(error_line(alarm)))
}

#[cfg(test)]
mod tests;
