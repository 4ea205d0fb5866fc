//! From what is known of peers, mesh and machine to findings: a pure decision, made at each look.
//!
//! Promises that what is seen no more is found no more. Refuses to know how it is seen
//! (`act::lookout`).

mod companions;
mod configuration;
mod kernel;
mod keys;
mod machine;
mod peer;

use std::collections::BTreeSet;

use ipnet::IpNet;
use zonemesh_config::Config;
use zonemesh_core::exit::error_line;
use zonemesh_core::finding::{Code, Evidence, Finding, Severity, Subject};
use zonemesh_core::kernel::KernelState;
use zonemesh_core::member::Member;
use zonemesh_core::membership::{Alarm, KnownSet, Membership};
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::record::Readiness;
use zonemesh_core::registry::{FoundSuperLink, Registry, SignedRevocation, Standing};

use crate::plan::MeshPlan;
use crate::plan::announcement::{Beyond, bounds};
use crate::plan::peers::{AddressOwner, CoveredAddress, RefusedShare, TakenKey};

pub(crate) use companions::{CompanionSight, of_companions};
pub(crate) use configuration::of_configuration;
pub(crate) use kernel::of_kernel;
pub(crate) use machine::{EtcdSight, FolderSight, Ipv6Sight, MachineSight, of_machine};
pub(crate) use peer::{PeerSight, StreamRefusal, StreamSight, of_peer};

/// What helps where nobody is heard of a SuperLink's VM.
const SUPERLINK_LOST: &str = "is its VM up, and does it reach its gateway? in it: \
    `systemctl restart zonemesh-superlink`";
/// What helps where it was stopped.
const SUPERLINK_STOPPED: &str = "nothing to do if that is meant (to forget it, take its \
    {federation} out on its gateway); else in its VM: `systemctl start zonemesh-superlink`";

/// What is decided here and by nobody else.
pub(crate) const CODES: &[Code] = &[
    Code::KeepaliveMismatch,
    Code::TunnelSilent,
    Code::HandshakesUnanswered,
    Code::HandshakesUnused,
    Code::NoEndpoint,
    Code::PathLoses,
    Code::BlackHole,
    Code::PeerStopped,
    Code::SendingRefused,
    Code::PassesOneWay,
    Code::KeyUsedTwice,
    Code::LaneUnanswered,
    Code::StreamBroken,
    Code::EtcdOutOfReach,
    Code::ForwardingOff,
    Code::Ipv6Off,
    Code::LanDown,
    Code::WanDown,
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
    Code::SuperLinkNotReady,
    Code::CompanionBlocked,
    Code::VmRefused,
    Code::NoMesh,
    Code::StateFolderUnwritable,
    Code::StateFolderOpen,
    Code::FileSetAside,
    Code::TrustSetAside,
    Code::ReloadRefused,
    Code::ConfigNotInForce,
    Code::ConfigOfBefore,
    Code::OtherKeyWritten,
];

/// What the plan leaves out, as a key is another's or not proved: one finding for each zone.
pub(crate) fn of_plan(plan: &MeshPlan, seen: &KernelState) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for TakenKey { zone, what, why } in &plan.taken {
        let subject = Subject::Zone(zone.clone());
        let reason = Evidence::Reason(format!("{what} {why}"));
        match found.iter_mut().find(|finding| finding.subject == subject) {
            Some(finding) => finding.evidence.push(reason),
            None => found.push(Finding::new(Code::WireGuardKeyTaken, subject).with(reason)),
        }
    }
    found.extend(of_refused(&plan.refused));
    // What lies in a network of this machine is told as that, and so is what its own table keeps.
    let local = seen.local.iter().map(|local| &local.net);
    let nets: Vec<_> = local.chain(seen.kept.keys()).chain(seen.foreign.keys()).collect();
    let is_told = |one: &CoveredAddress| {
        one.of == AddressOwner::Machine && nets.iter().any(|net| net.contains(&one.address))
    };
    found.extend(of_covered(plan.covered.iter().filter(|one| !is_told(one))));
    found
}

/// What plain peers do not get: one finding for each, with all of it.
fn of_refused(refused: &[RefusedShare]) -> Vec<Finding> {
    let of = |refused: &[RefusedShare]| {
        let subject = refused.first().map(|one| Subject::Gateway(one.peer.clone()))?;
        let reasons = refused.iter().map(|one| Evidence::Reason(one.what.to_string()));
        Some(reasons.fold(Finding::new(Code::WireGuardPeerRefused, subject), Finding::with))
    };
    refused.chunk_by(|one, next| one.peer == next.peer).filter_map(of).collect()
}

/// What holds an address outside: one finding for each zone that has such a network, with the
/// first.
fn of_covered<'a>(covered: impl Iterator<Item = &'a CoveredAddress>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for CoveredAddress { owner, net, address, of } in covered {
        let subject = owner.clone();
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
            AddressOwner::Machine => "which this machine has: what is for it stays here".to_owned(),
            AddressOwner::Other(Subject::Zone(of)) => {
                format!("which zone {of}'s gateway has outside: its tunnel goes around")
            }
            AddressOwner::Other(of) => {
                format!("which {of} has outside: its tunnel goes around")
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
    found.extend(keys::of_written_keys(registry, config));
    for zone in registry.blocked() {
        found.push(Finding::new(Code::ZoneBlocked, Subject::Zone(zone.clone())));
    }
    for federation in registry.federations() {
        let used = registry.find_superlink(federation);
        found.extend(used.into_iter().flat_map(|used| of_superlink(federation, &used)));
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

/// A SuperLink that another zone has as well, and one that nobody can connect to: lost, which
/// nobody wanted, or stopped, which somebody may have. One that starts is nobody's trouble.
fn of_superlink(federation: &FederationName, used: &FoundSuperLink<'_>) -> Vec<Finding> {
    let about = |code| {
        let found = Finding::new(code, Subject::Federation(federation.clone()));
        found.with(Evidence::Zone(used.zone.clone()))
    };
    let mut found = Vec::new();
    if used.conflict {
        found.push(about(Code::FederationClaimedTwice));
    }
    let readiness = used.superlink.readiness;
    let gone = about(Code::SuperLinkNotReady).with(Evidence::Found(readiness.as_str().to_owned()));
    found.extend(match readiness {
        Readiness::Lost => Some(gone.severity(Severity::Down).fix(SUPERLINK_LOST)),
        Readiness::Stopped => Some(gone.fix(SUPERLINK_STOPPED)),
        _ => None,
    });
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
