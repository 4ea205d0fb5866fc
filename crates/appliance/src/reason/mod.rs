//! Why a companion is not where it should be: a closed list with stable codes.
//!
//! Each reason is one line of evidence and one thing to do next; the codes are the ones of the
//! whole product (C context, N network, P policy, T trust, F Flower) and never change their
//! meaning. It refuses to know who prints it or how often: that is `progress.rs`.

mod finding;

use std::net::SocketAddr;
use std::path::PathBuf;

use zonemesh_api::keepalive::KeepaliveMismatch;
use zonemesh_api::wire::local::ToldRevocation;
use zonemesh_core::finding::{Code, Finding};
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::record::Readiness;
use zonemesh_core::time::UnixMillis;
use zonemesh_pki::ProbeFailure;

use crate::flower::{FlowerVersion, supported_lines};

/// Why Flower is not started, or why what runs is in danger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The gateway found a field of the request wrong.
    #[error("the gateway refuses the request: {message}")]
    RequestRefused {
        /// The gateway's own words.
        message: String,
    },
    /// A file of the companion's cannot be written or read.
    #[error("{problem}")]
    Files {
        /// Which, and what the system said.
        problem: String,
    },
    /// The local gateway does not answer.
    #[error("the gateway {gateway} does not answer: {problem}")]
    GatewayUnreachable {
        /// Its local API.
        gateway: SocketAddr,
        /// What happened instead.
        problem: String,
    },
    /// As before, of one that CONTEXT does not name: OneGate did.
    #[error("the gateway {gateway} does not answer: {problem}")]
    FoundGatewayUnreachable {
        /// Its local API.
        gateway: SocketAddr,
        /// What happened instead.
        problem: String,
    },
    /// CONTEXT does not name the gateway, and whoever OneGate names is another zone's.
    #[error(
        "the gateway {gateway} does not prove to be of the zone that the token pins: {problem}"
    )]
    GatewaysOfOthers {
        /// Where the first one is.
        gateway: SocketAddr,
        /// What they have shown.
        problem: String,
    },
    /// CONTEXT does not name the gateway, and nobody whom OneGate names is it.
    #[error("no gateway of this zone is found through OneGate yet: {problem}")]
    GatewayNotFound {
        /// What OneGate said, or who answered at the addresses that it named.
        problem: String,
    },
    /// The gateway is to be in this VM, and its companion does not say where.
    #[error("the gateway of this VM is not there yet: {problem}")]
    OwnGatewayAway {
        /// What its status file says, or why it cannot be read.
        problem: String,
    },
    /// Nothing accepts connections at the SuperLink's Fleet port.
    #[error("the SuperLink {endpoint} does not answer: {problem}")]
    SuperLinkUnreachable {
        /// What was dialled.
        endpoint: SocketAddr,
        /// What happened instead.
        problem: String,
    },
    /// As before, and the gateway says that it does not reach that zone at all.
    #[error(
        "the SuperLink {endpoint} does not answer, and the gateway does not reach its zone {zone}"
    )]
    ZoneUnreachable {
        /// The SuperLink's zone.
        zone: ZoneName,
        /// What was dialled.
        endpoint: SocketAddr,
    },
    /// The keepalives of this VM do not fit those in force at the gateway.
    #[error("keepalives of {whose} do not fit the gateway's: {mismatch}")]
    Keepalive {
        /// Whose they are here.
        whose: &'static str,
        /// What does not fit.
        mismatch: KeepaliveMismatch,
    },
    /// The gateway will not let this VM take part.
    #[error("the gateway refuses this VM: {message}")]
    RegistrationRefused {
        /// The gateway's own words.
        message: String,
        /// What it says is to be done.
        next: Option<String>,
    },
    /// More than one zone has registered a SuperLink for this federation.
    #[error("more than one zone has registered a SuperLink for this federation; {zone}'s is used")]
    Conflict {
        /// The zone whose SuperLink is used.
        zone: ZoneName,
    },
    /// Flower would not accept the certificate that the SuperLink shows.
    #[error("the SuperLink {endpoint}: {failure}")]
    Certificate {
        /// What was dialled.
        endpoint: SocketAddr,
        /// The one thing to repair first.
        failure: ProbeFailure,
    },
    /// The CA certificates that came from the gateway cannot be used.
    #[error("this federation's CA certificates are not usable: {problem}")]
    CaSet {
        /// What is wrong with them.
        problem: String,
    },
    /// This machine's clock is outside the window that Flower accepts.
    #[error("{}", clock(*ahead_seconds))]
    ClockSkew {
        /// This clock minus the SuperLink's, in seconds.
        ahead_seconds: i64,
    },
    /// The gateway is of another zone than the one that the token pins.
    #[error(
        "the gateway {gateway} does not prove to be of the zone that the token pins: {problem}"
    )]
    GatewayKey {
        /// Its local API.
        gateway: SocketAddr,
        /// What the TLS library said.
        problem: String,
    },
    /// The gateway does not show yet that it is of the zone that the token pins.
    #[error(
        "the gateway {gateway} does not prove to be of the zone that the token pins: {problem}"
    )]
    GatewayUnproven {
        /// Its local API.
        gateway: SocketAddr,
        /// What it lacks.
        problem: String,
        /// True if it shows to be another mesh's or zone's, and is not only behind.
        is_other: bool,
    },
    /// The gateway does not accept the token.
    #[error("the gateway refuses the token: {message}")]
    TokenRefused {
        /// The gateway's own words.
        message: String,
    },
    /// The key of this VM's zone was revoked: no other zone talks to its gateway.
    #[error("{}", revoked(.0))]
    ZoneRevoked(ToldRevocation),
    /// This VM's zone has left its mesh: no other zone talks to its gateway.
    #[error("this zone has left the mesh, at {}", at.to_calendar())]
    ZoneLeft {
        /// When, by its gateway's clock.
        at: UnixMillis,
    },
    /// What answers at the Fleet port does not do so as Flower does.
    #[error("{endpoint} does not answer as Flower does with TLS: {problem}")]
    NotTls {
        /// What was dialled.
        endpoint: SocketAddr,
        /// What happened instead.
        problem: String,
    },
    /// The two Flowers cannot work together.
    #[error("Flower is {ours} here and {superlinks} in the SuperLink: they cannot connect")]
    VersionMismatch {
        /// Flower on this machine, with how it talks.
        ours: String,
        /// Flower of the SuperLink, with how it talks.
        superlinks: String,
        /// The SuperLink's version.
        install: String,
    },
    /// Flower's programs are missing, do not run, or are not the ones asked for.
    #[error("{problem}")]
    FlowerPrograms {
        /// What was found instead.
        problem: String,
    },
    /// Flower's programs are there and do not answer: a busy machine starts Python slowly.
    #[error("{problem}")]
    FlowerSilent {
        /// What was asked, and for how long.
        problem: String,
    },
    /// Flower ended by itself.
    #[error("Flower ended: {exit}")]
    FlowerEnded {
        /// How.
        exit: String,
        /// Where it has written what went wrong.
        log: PathBuf,
    },
    /// This companion does not know how to run this Flower.
    #[error(
        "Flower {version} is installed here, and this companion runs {} only",
        supported_lines()
    )]
    FlowerUnsupported {
        /// Flower on this machine.
        version: FlowerVersion,
    },
    /// The SuperLink was started and does not serve yet.
    #[error("the SuperLink does not serve on {endpoint} yet: {problem}")]
    NotServing {
        /// What is probed.
        endpoint: SocketAddr,
        /// What the probe saw.
        problem: String,
    },
    /// Another key stands in the place of the one that Flower knew this SuperNode by.
    #[error(
        "the key that Flower knew this SuperNode by is set aside, and there is a new one: {problem}"
    )]
    NodeKeyReplaced {
        /// What was the matter with it.
        problem: String,
    },
    /// Flower has had the key before its owner was registered with it.
    #[error(
        "the SuperLink in zone {zone} does not take this SuperNode's key, and never had it: somebody else has registered it there before; another one is made within {within_s} s"
    )]
    NodeKeyTaken {
        /// The SuperLink's zone.
        zone: ZoneName,
        /// How long until there is another one, at most.
        within_s: u64,
    },
    /// The SuperLink admits by keys, and not this one yet.
    #[error("the SuperLink in zone {zone} has not registered this SuperNode's key yet")]
    NodeNotRegistered {
        /// The SuperLink's zone.
        zone: ZoneName,
    },
    /// Flower runs, and its SuperLink does not have it online.
    #[error("Flower runs here, and the SuperLink in zone {zone} does not have it online")]
    NodeNotOnline {
        /// The SuperLink's zone.
        zone: ZoneName,
    },
    /// Flower does not do, or say, which SuperNodes take part.
    #[error("this SuperLink cannot be told or asked which SuperNodes take part: {problem}")]
    ControlRefused {
        /// What came instead.
        problem: String,
    },
    /// CONTEXT has no node config, and OneGate does not say which part of its role's data this VM has.
    #[error("this VM's partition is not known yet: {problem}")]
    PartitionUnknown {
        /// What OneGate said, or did not.
        problem: String,
    },
    /// This VM has no route of its own to what lies behind its gateway, or another's stands against it.
    #[error("{problem}")]
    RouteNotSet {
        /// Which, and why.
        problem: String,
    },
    /// The SuperLink that CONTEXT names cannot be used.
    #[error("the SuperLink at {address}: {problem}")]
    FixedSuperLink {
        /// Where it is said to be.
        address: String,
        /// What is the matter, in the product's one list.
        code: Code,
        /// What was seen.
        problem: String,
        /// What to do where no gateway certifies.
        fix: &'static str,
        /// Waiting is of no use: this VM's CONTEXT must change.
        is_refused: bool,
    },
    /// No zone has registered a SuperLink for this federation.
    #[error("no zone has registered a SuperLink for the federation {federation} yet")]
    NoSuperLink {
        /// The federation.
        federation: FederationName,
    },
    /// A SuperLink is registered and says that it is not ready.
    #[error("the SuperLink in zone {zone} is {}", readiness_text(*readiness))]
    SuperLinkNotReady {
        /// Its zone.
        zone: ZoneName,
        /// What it says.
        readiness: Readiness,
    },
}

impl Reason {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.listed().as_str()
    }

    /// The code in the product's one list.
    #[must_use]
    pub const fn listed(&self) -> Code {
        match self {
            Self::RequestRefused { .. } => Code::RequestRefused,
            Self::Files { .. } => Code::FileUnusable,
            Self::GatewayUnreachable { .. } | Self::FoundGatewayUnreachable { .. } => {
                Code::GatewayUnreachable
            }
            Self::GatewayNotFound { .. } => Code::GatewayNotFound,
            Self::OwnGatewayAway { .. } => Code::OwnGatewayAway,
            Self::SuperLinkUnreachable { .. } => Code::SuperLinkUnreachable,
            Self::ZoneUnreachable { .. } => Code::ZoneUnreachable,
            Self::Keepalive { .. } => Code::KeepaliveMismatch,
            Self::RegistrationRefused { .. } => Code::RegistrationRefused,
            Self::Conflict { .. } => Code::FederationClaimedTwice,
            Self::CaSet { .. } => Code::WrongCa,
            Self::ClockSkew { .. } => Code::ClockSkew,
            Self::GatewayKey { .. }
            | Self::GatewayUnproven { .. }
            | Self::GatewaysOfOthers { .. } => Code::OtherGatewayKey,
            Self::TokenRefused { .. } => Code::TokenRefused,
            Self::ZoneRevoked(_) => Code::KeyRevoked,
            Self::ZoneLeft { .. } => Code::ZoneLeft,
            Self::NotTls { .. } => Code::NotTls,
            Self::VersionMismatch { .. } => Code::OtherFlower,
            Self::FlowerEnded { .. } => Code::FlowerEnded,
            Self::FlowerUnsupported { .. } => Code::FlowerUnsupported,
            Self::NotServing { .. } => Code::NotServing,
            Self::PartitionUnknown { .. } => Code::PartitionUnknown,
            Self::RouteNotSet { .. } => Code::RouteNotSet,
            Self::FixedSuperLink { code, .. } => *code,
            Self::NodeKeyReplaced { .. } => Code::NodeKeyReplaced,
            Self::NodeKeyTaken { .. } => Code::NodeKeyTaken,
            Self::NodeNotRegistered { .. } => Code::NodeNotRegistered,
            Self::NodeNotOnline { .. } => Code::NodeNotOnline,
            Self::ControlRefused { .. } => Code::ControlRefused,
            Self::NoSuperLink { .. } => Code::NoSuperLink,
            Self::SuperLinkNotReady { .. } => Code::SuperLinkNotReady,
            Self::FlowerPrograms { .. } => Code::FlowerPrograms,
            Self::FlowerSilent { .. } => Code::FlowerSilent,
            Self::Certificate { failure, .. } => certificate_code(failure),
        }
    }

    /// Whether waiting is of no use: the settings, the image or a policy must change. All else may
    /// pass, or is put right in another VM.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::RequestRefused { .. }
            | Self::Files { .. }
            | Self::RegistrationRefused { .. }
            | Self::GatewayKey { .. }
            | Self::GatewaysOfOthers { .. }
            | Self::TokenRefused { .. }
            | Self::FlowerPrograms { .. }
            | Self::FlowerUnsupported { .. } => true,
            Self::GatewayUnproven { is_other, .. } => *is_other,
            Self::FixedSuperLink { is_refused, .. } => *is_refused,
            Self::GatewayUnreachable { .. }
            | Self::FoundGatewayUnreachable { .. }
            | Self::GatewayNotFound { .. }
            | Self::OwnGatewayAway { .. }
            | Self::SuperLinkUnreachable { .. }
            | Self::ZoneUnreachable { .. }
            | Self::Keepalive { .. }
            | Self::Conflict { .. }
            | Self::ZoneRevoked(_)
            | Self::ZoneLeft { .. }
            | Self::Certificate { .. }
            | Self::CaSet { .. }
            | Self::ClockSkew { .. }
            | Self::NotTls { .. }
            | Self::VersionMismatch { .. }
            | Self::FlowerSilent { .. }
            | Self::FlowerEnded { .. }
            | Self::NotServing { .. }
            | Self::PartitionUnknown { .. }
            | Self::RouteNotSet { .. }
            | Self::NodeKeyReplaced { .. }
            | Self::NodeKeyTaken { .. }
            | Self::NodeNotRegistered { .. }
            | Self::NodeNotOnline { .. }
            | Self::ControlRefused { .. }
            | Self::NoSuperLink { .. }
            | Self::SuperLinkNotReady { .. } => false,
        }
    }

    /// What to do next, as this platform spells it.
    #[must_use]
    pub fn fix(&self) -> String {
        Finding::from(self).fix.spelled()
    }
}

fn revoked(told: &ToldRevocation) -> String {
    let ToldRevocation { by, at, reason } = told;
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("this zone's key was revoked by {by} at {}{why}", at.to_calendar())
}

/// A readiness, for people.
#[must_use]
pub const fn readiness_text(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Starting => "starting",
        Readiness::Ready => "ready",
        Readiness::Stopped => "stopped",
        Readiness::Lost => "lost",
        Readiness::Other(_) => "in a state that this version does not know",
    }
}

fn clock(ahead_seconds: i64) -> String {
    if ahead_seconds > 0 {
        return format!(
            "this clock is {ahead_seconds} s ahead of the SuperLink's; Flower accepts at most 5 s"
        );
    }
    format!(
        "this clock is {} s behind the SuperLink's; Flower accepts at most 300 s",
        -ahead_seconds
    )
}

const fn certificate_code(failure: &ProbeFailure) -> Code {
    match failure {
        ProbeFailure::WrongCa { .. } => Code::WrongCa,
        ProbeFailure::SanMismatch { .. } => Code::OtherName,
        ProbeFailure::Expired { .. } | ProbeFailure::NotYetValid { .. } => Code::CertificateOver,
        ProbeFailure::NoCertificate => Code::NotTls,
        ProbeFailure::Other(_) => Code::CertificateRefused,
    }
}

/// The clock window of Flower (its `node_auth_server_interceptor.py`): a signed request may be from
/// 5 s in the future and up to 305 s old; the last 5 s are left for the way.
///
/// # Errors
/// [`Reason::ClockSkew`] outside the window. `ahead_ms` is this clock minus the SuperLink's.
pub const fn check_clock(ahead_ms: i64) -> Result<(), Reason> {
    if ahead_ms > 5_000 || ahead_ms < -300_000 {
        return Err(Reason::ClockSkew { ahead_seconds: ahead_ms / 1000 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_window_is_flowers() {
        for within in [0, 5_000, -5_000, -300_000] {
            assert_eq!(check_clock(within), Ok(()), "{within} ms");
        }
        assert_eq!(check_clock(20_400), Err(Reason::ClockSkew { ahead_seconds: 20 }));
        assert_eq!(check_clock(-400_000), Err(Reason::ClockSkew { ahead_seconds: -400 }));
        assert_eq!(check_clock(5_001).unwrap_err().code(), "T404");
    }

    #[test]
    fn a_san_mismatch_names_what_was_dialled_and_what_the_certificate_is_for() {
        let reason = Reason::Certificate {
            endpoint: "10.10.10.5:9092".parse().unwrap(),
            failure: ProbeFailure::SanMismatch {
                dialled: "IP:10.10.10.5".into(),
                sans: "IP:10.10.10.6, IP:127.0.0.1".into(),
            },
        };
        let text = reason.to_string();
        for part in ["10.10.10.5:9092", "dialled IP:10.10.10.5", "IP:10.10.10.6, IP:127.0.0.1"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(reason.fix().contains("ONEAPP_ZONEMESH_ADDRESS=10.10.10.5"));
    }
}
