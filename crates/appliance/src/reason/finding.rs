//! A companion's reasons as findings: the code of the product's one list, evidence and fix as data.
//!
//! It promises that a reason says the same as its finding, but where no gateway is. It refuses to know who shows it.

use std::net::SocketAddr;

use zonemesh_core::finding::{Evidence, Finding, Subject};
use zonemesh_pki::ProbeFailure;

use super::{Reason, readiness_text};
use crate::flower::{supported_instead_of, supported_lines};

impl From<&Reason> for Finding {
    fn from(reason: &Reason) -> Self {
        let mut finding = Self::new(reason.listed(), Subject::Here);
        finding.evidence = evidence(reason);
        match better_fix(reason) {
            Some(fix) => finding.fix(fix),
            None => finding,
        }
    }
}

fn because(reason: impl ToString) -> Evidence {
    Evidence::Reason(reason.to_string())
}

fn at(address: impl ToString) -> Evidence {
    Evidence::Address(address.to_string())
}

fn evidence(reason: &Reason) -> Vec<Evidence> {
    match reason {
        Reason::RequestRefused { message }
        | Reason::RegistrationRefused { message, .. }
        | Reason::TokenRefused { message } => vec![because(message)],
        Reason::Files { problem }
        | Reason::GatewayNotFound { problem }
        | Reason::OwnGatewayAway { problem }
        | Reason::PartitionUnknown { problem }
        | Reason::RouteNotSet { problem }
        | Reason::CaSet { problem }
        | Reason::NodeKeyReplaced { problem }
        | Reason::ControlRefused { problem }
        | Reason::FlowerPrograms { problem }
        | Reason::FlowerSilent { problem } => vec![because(problem)],
        Reason::GatewayUnreachable { gateway, problem }
        | Reason::FoundGatewayUnreachable { gateway, problem }
        | Reason::GatewaysOfOthers { gateway, problem }
        | Reason::GatewayKey { gateway, problem }
        | Reason::GatewayUnproven { gateway, problem, .. } => vec![at(gateway), because(problem)],
        Reason::SuperLinkUnreachable { endpoint, problem }
        | Reason::NotTls { endpoint, problem }
        | Reason::NotServing { endpoint, problem } => vec![at(endpoint), because(problem)],
        Reason::ZoneUnreachable { zone, endpoint } => {
            vec![Evidence::Zone(zone.clone()), at(endpoint)]
        }
        Reason::Keepalive { whose, mismatch } => {
            vec![Evidence::Kind((*whose).to_owned()), because(mismatch)]
        }
        Reason::ZoneRevoked(told) => {
            let reason = Some(&told.reason).filter(|reason| !reason.is_empty());
            let seen = [Evidence::Key(told.by.clone()), Evidence::Time(told.at)];
            seen.into_iter().chain(reason.map(because)).collect()
        }
        Reason::ZoneLeft { at } => vec![Evidence::Time(*at)],
        Reason::NodeKeyTaken { zone, within_s } => {
            vec![Evidence::Zone(zone.clone()), Evidence::Seconds(*within_s)]
        }
        Reason::Conflict { zone }
        | Reason::NodeNotRegistered { zone }
        | Reason::NodeNotOnline { zone } => vec![Evidence::Zone(zone.clone())],
        Reason::Certificate { endpoint, failure } => vec![at(endpoint), because(failure)],
        Reason::ClockSkew { ahead_seconds } => {
            vec![Evidence::ClockAheadMs(ahead_seconds.saturating_mul(1000))]
        }
        Reason::VersionMismatch { ours, superlinks, .. } => {
            vec![Evidence::Version(ours.clone()), Evidence::TheirVersion(superlinks.clone())]
        }
        Reason::FixedSuperLink { address, problem, .. } => vec![at(address), because(problem)],
        Reason::FlowerEnded { exit, .. } => vec![because(exit)],
        Reason::FlowerUnsupported { version } => {
            vec![Evidence::Version(version.to_string()), Evidence::Expected(supported_lines())]
        }
        Reason::NoSuperLink { federation } => vec![Evidence::Federation(federation.clone())],
        Reason::SuperLinkNotReady { zone, readiness } => {
            let found = readiness_text(*readiness).to_owned();
            vec![Evidence::Zone(zone.clone()), Evidence::Found(found)]
        }
    }
}

/// Where more is known than the list says for all.
fn better_fix(reason: &Reason) -> Option<String> {
    match reason {
        Reason::GatewayUnreachable { problem, .. }
        | Reason::FoundGatewayUnreachable { problem, .. }
            if is_turned_away(problem) =>
        {
            Some(
                "it closes what comes from outside its zone: is the address that this VM calls from ({vm:address}, or that of NIC 0) in {zone.prefixes} of the gateway, and {vm:gateway}, if set, the port of its local API?"
                    .to_owned(),
            )
        }
        Reason::GatewayUnreachable { gateway, .. } => Some(format!(
            "on the gateway: `zonemesh status`; here: check {{vm:gateway}}={gateway} and the route to it"
        )),
        Reason::FoundGatewayUnreachable { gateway, .. } => Some(format!(
            "on the gateway, which OneGate names: `zonemesh status`; here: the route to {gateway} (`ip route get {}`)",
            gateway.ip()
        )),
        Reason::GatewaysOfOthers { .. } => Some(
            "give {vm:token} of this zone, or have its own gateway in this service; a VM that is no gateway must not publish `ZONEMESH_GATEWAY`"
                .to_owned(),
        ),
        Reason::SuperLinkUnreachable { endpoint, problem } => {
            Some(not_reached(*endpoint, problem))
        }
        Reason::RegistrationRefused { next, .. } => next.clone(),
        Reason::FlowerEnded { log, .. } => {
            Some(format!("the last lines of {} in this VM say why", log.display()))
        }
        Reason::FixedSuperLink { fix, .. } => Some((*fix).to_owned()),
        Reason::ZoneLeft { .. } => Some(
            "nothing to do here; to come back, on the gateway: `zonemesh zone join` with a new invitation"
                .to_owned(),
        ),
        Reason::GatewayUnproven { is_other: false, .. } => Some(
            "on that gateway: `zonemesh status`. If it belongs to no mesh yet, `zonemesh zone join FILE` there; once it has joined and heard of the others this goes on by itself"
                .to_owned(),
        ),
        Reason::Certificate { endpoint, failure: ProbeFailure::SanMismatch { .. } } => {
            let dialled = endpoint.ip();
            Some(format!(
                "set {{vm:address}}={dialled} in the SuperLink's VM, or add {dialled} to extra_sans of the federation on its gateway"
            ))
        }
        Reason::CaSet { .. } => {
            Some("on the gateway of the SuperLink's zone: `zonemesh cert show`".to_owned())
        }
        Reason::NotTls { endpoint, .. } => Some(format!(
            "find out which program listens on {endpoint}: only the SuperLink's companion should start it"
        )),
        Reason::VersionMismatch { install, .. } => Some(format!(
            "install flwr=={install} here, or this VM's version in the SuperLink's VM"
        )),
        Reason::FlowerUnsupported { version } => {
            Some(format!("install flwr=={}", supported_instead_of(*version)))
        }
        _ => None,
    }
}

/// What helps where nobody accepts TCP.
fn not_reached(superlink: SocketAddr, problem: &str) -> String {
    let no_route = std::io::Error::from_raw_os_error(nix::libc::ENETUNREACH).to_string();
    match problem.contains(&no_route) {
        true => format!(
            "no route of this VM leads there: its companion sets one while it runs; `ip route get {}`",
            superlink.ip()
        ),
        false => format!(
            "in the SuperLink's VM: is flower-superlink listening on {superlink}? between: `zonemesh peers`, firewalls"
        ),
    }
}

/// A gateway says no word to whoever calls from outside its zone: TLS ends before it begins.
fn is_turned_away(problem: &str) -> bool {
    let problem = problem.to_ascii_lowercase();
    ["eof", "closed", "connection reset"].iter().any(|word| problem.contains(word))
}

#[cfg(test)]
mod tests {
    use zonemesh_api::wire::local::ToldRevocation;
    use zonemesh_core::time::UnixMillis;

    use super::*;

    fn revoked(reason: &str) -> Reason {
        Reason::ZoneRevoked(ToldRevocation {
            by: "authority:dRvv".to_owned(),
            at: UnixMillis(1_800_000_000_000),
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn what_to_do_follows_the_reason_of_the_gateway() {
        let refused = |next: Option<&str>| Reason::RegistrationRefused {
            message: "no".into(),
            next: next.map(str::to_owned),
        };
        let fix = refused(Some("set {vm:address}=10.10.10.5")).fix();
        assert_eq!(fix, "set ONEAPP_ZONEMESH_ADDRESS=10.10.10.5");
        // A SuperNode has none.
        assert!(!refused(None).fix().contains("ADDRESS"), "{}", refused(None).fix());
        let silent = |problem: &str| Reason::GatewayUnreachable {
            gateway: "10.10.10.1:51822".parse().unwrap(),
            problem: problem.to_owned(),
        };
        assert!(silent("refused").fix().contains("the route to it"), "{}", silent("x").fix());
        let closed = silent("tls handshake eof").fix();
        assert!(closed.contains("zone.prefixes of the gateway"), "{closed}");
        let unproven = |is_other| Reason::GatewayUnproven {
            gateway: "10.10.10.1:51822".parse().unwrap(),
            problem: "it belongs to no managed mesh yet".into(),
            is_other,
        };
        assert!(unproven(false).fix().contains("zonemesh zone join FILE"));
        assert!(unproven(true).fix().contains("ONEAPP_ZONEMESH_TOKEN one of this zone"));
    }

    #[test]
    fn a_reason_says_what_its_finding_says() {
        let reasons = [
            Reason::GatewayUnreachable {
                gateway: "10.10.10.1:51822".parse().unwrap(),
                problem: "refused".into(),
            },
            Reason::GatewayKey {
                gateway: "10.10.10.1:51822".parse().unwrap(),
                problem: "another".into(),
            },
            Reason::FoundGatewayUnreachable {
                gateway: "10.10.10.1:51822".parse().unwrap(),
                problem: "refused".into(),
            },
            Reason::GatewaysOfOthers {
                gateway: "10.10.10.1:51822".parse().unwrap(),
                problem: "each one that OneGate names is another zone's: no".into(),
            },
            Reason::GatewayNotFound { problem: "OneGate does not answer".into() },
            Reason::OwnGatewayAway { problem: "the daemon does not answer".into() },
            Reason::NoSuperLink { federation: "health-eu".parse().unwrap() },
            Reason::Conflict { zone: "berlin".parse().unwrap() },
            Reason::NodeKeyTaken { zone: "berlin".parse().unwrap(), within_s: 90 },
            Reason::FlowerSilent { problem: "it took longer".into() },
            Reason::NodeNotRegistered { zone: "berlin".parse().unwrap() },
            Reason::NodeNotOnline { zone: "berlin".parse().unwrap() },
            Reason::NodeKeyReplaced { problem: "it is no key".into() },
            Reason::ControlRefused { problem: "no answer".into() },
            Reason::RouteNotSet { problem: "cannot set the route to 10.10.11.0/24: no".into() },
            Reason::FlowerUnsupported { version: "1.33.0".parse().unwrap() },
            Reason::VersionMismatch {
                ours: "1.25.0 over gRPC".into(),
                superlinks: "1.42.0 over HTTP".into(),
                install: "1.42.0".into(),
            },
            Reason::NotTls { endpoint: "10.10.10.5:9092".parse().unwrap(), problem: "no".into() },
            revoked("stolen"),
            revoked(""),
            Reason::ZoneLeft { at: UnixMillis(1_800_000_000_000) },
            Reason::Files { problem: "cannot write /x".into() },
            Reason::FlowerEnded { exit: "by signal 9".into(), log: "/var/log/x.log".into() },
        ];
        for reason in reasons {
            let finding = Finding::from(&reason);
            assert_eq!(finding.sentence(), reason.to_string(), "{}", finding.code);
            assert_eq!(finding.code.as_str(), reason.code());
            assert!(!reason.fix().contains(['{', '}']), "{}", reason.fix());
        }
    }
}
