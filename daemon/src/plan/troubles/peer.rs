//! What is wrong with a peer: its tunnel, its path, its stream, its lanes and its clock.
//!
//! One root cause is one finding: a peer whose tunnel is down is not blamed for its stream as well,
//! nor one for this machine's own link, and a peer that rests is missed by nobody.

use std::net::SocketAddr;
use std::time::Duration;

use zonemesh_core::finding::{Code, Evidence, Finding, Severity, Subject};
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::path::{PathReason, PathState, SendRefusal};

/// A clock that is further off than this is worth a line: Flower bears 5 s.
const CLOCK_OFF_MS: i64 = 5_000;
/// Unanswered handshakes after which a lane is in trouble.
const LANE_SILENT: u64 = 3;
/// Handshakes of a plain peer that come to nothing before that is told: one or two may be lost.
const MOST_UNUSED: u64 = 2;
/// What helps where one clock makes the other end's certificate one of another time.
const SET_THE_CLOCK: &str =
    "set the clock that is wrong: NTP (chrony) on both gateways; `timedatectl`";
/// How long a gateway that was stopped may take to be started again.
const STOPPED: Duration = Duration::from_secs(5);

/// What is seen of a peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerSight {
    /// Its zone, or which of the zone's gateways it is.
    pub(crate) subject: Subject,
    /// True if nobody keeps the tunnel up while it is not used.
    pub(crate) rests: bool,
    /// True of a plain WireGuard peer.
    pub(crate) is_plain: bool,
    /// True of a plain WireGuard peer that nobody has an endpoint of: it comes when it likes.
    pub(crate) calls: bool,
    pub(crate) state: PathState,
    pub(crate) reason: Option<PathReason>,
    /// How long it has been in this state.
    pub(crate) in_state_for: Duration,
    pub(crate) endpoint: Option<SocketAddr>,
    /// True if there would be an endpoint, and its name does not resolve: that is told.
    pub(crate) is_unresolved: bool,
    pub(crate) unanswered: u64,
    /// Its initiations that were answered since it has used a session.
    pub(crate) unused: u64,
    /// True if the interface that leads to it is down: that is told.
    pub(crate) is_link_down: bool,
    /// Why this machine refuses to send to it, if it does.
    pub(crate) refused: Option<SendRefusal>,
    pub(crate) mtu: u16,
    pub(crate) black_hole: bool,
    /// The largest packet that passes from it to here, if it says that less does than should.
    pub(crate) mtu_back: Option<u16>,
    /// The two places between which it goes to and fro.
    pub(crate) two_places: Option<[SocketAddr; 2]>,
    /// True if its packets arrive and it answers none.
    pub(crate) one_way: bool,
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
    /// Why one of the two refused the other, if the neighbour was reached.
    pub(crate) refusal: Option<StreamRefusal>,
    /// Why the last attempt failed; empty if none did.
    pub(crate) error: String,
}

/// Why one end of a stream refuses the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamRefusal {
    /// For what it says.
    Stated,
    /// One of the two clocks is wrong.
    Clock,
    /// Its zone key is another one here. What it said before was valid by `before`, if that is known.
    KeyHere { before: Option<ZonePublicKey> },
    /// This zone's key, which is `own`, is another one there.
    KeyThere { own: ZonePublicKey },
}

impl StreamRefusal {
    /// What helps, if that is known better than the list does: which end's file is to be mended.
    fn fix(&self) -> Option<String> {
        match self {
            Self::Stated => None,
            Self::Clock => Some(SET_THE_CLOCK.to_owned()),
            Self::KeyHere { before: Some(key) } => Some(format!(
                "the file here is wrong as it seems: what that zone said was valid by {key}; \
                 correct zone_key in its [[peer]] section here, then `zonemesh reload`"
            )),
            Self::KeyHere { before: None } => Some(
                "`zonemesh status -o json` there shows its zone_key: correct it in its [[peer]] \
                 section here, then `zonemesh reload`"
                    .to_owned(),
            ),
            Self::KeyThere { own } => Some(format!(
                "the file there is wrong: zone_key in this zone's [[peer]] section there is to be \
                 {own}, then `zonemesh reload` there"
            )),
        }
    }
}

/// What is wrong with a peer.
pub(crate) fn of_peer(peer: &PeerSight) -> Vec<Finding> {
    // Each of two hosts takes the other's packets: loss, holes and silence follow from that.
    if let Some(places) = peer.two_places {
        let places = places.map(|place| Evidence::Address(place.to_string()));
        return vec![places.into_iter().fold(about(peer, Code::KeyUsedTwice), Finding::with)];
    }
    let mut found = Vec::new();
    found.extend(hole(peer));
    match peer.state {
        PathState::Degraded => found.push(lossy(peer)),
        PathState::Up => {
            found.extend(broken_stream(peer));
            found.extend(silent_lanes(peer));
        }
        // It knows this gateway's key, so that it is one, and nobody else says what is wrong with it.
        PathState::Down | PathState::Never if peer.is_plain && peer.unused > MOST_UNUSED => {
            let unused = about(peer, Code::HandshakesUnused).with(Evidence::Count(peer.unused));
            found.push(at_endpoint(unused, peer));
        }
        PathState::Down | PathState::Never if peer.rests && peer.unanswered == 0 => {}
        PathState::Down | PathState::Never if peer.endpoint.is_none() && peer.is_unresolved => {}
        PathState::Down | PathState::Never if peer.is_link_down => {}
        PathState::Down | PathState::Never if peer.calls => found.push(away(peer)),
        PathState::Down | PathState::Never => found.push(silent(peer)),
        // One that is started again at once is missed by nobody, and is not up meanwhile.
        PathState::Stopped if peer.in_state_for < STOPPED => {
            found.push(about(peer, Code::PeerStopped).severity(Severity::Note));
        }
        PathState::Stopped => found.push(about(peer, Code::PeerStopped)),
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

/// Of long packets that do not pass: there, back, or either way. Both ends say it.
fn hole(peer: &PeerSight) -> Option<Finding> {
    let there = peer.black_hole.then_some(peer.mtu);
    let way = match (there, peer.mtu_back) {
        (None, None) => return None,
        (Some(there), Some(back)) if there == back => "either way".to_owned(),
        (Some(_), Some(back)) => format!("on the way there, {back} bytes on the way back"),
        (Some(_), None) => "on the way there".to_owned(),
        (None, Some(_)) => "on the way back".to_owned(),
    };
    let largest = u64::from(there.or(peer.mtu_back)?);
    let hole = about(peer, Code::BlackHole).with(Evidence::Bytes(largest));
    let hole = hole.with(Evidence::Found(way));
    Some(match peer.underlay_mtu.filter(|_| peer.black_hole) {
        Some(underlay) => hole.with(Evidence::Expected(underlay.to_string())),
        None => hole,
    })
}

fn lossy(peer: &PeerSight) -> Finding {
    let reason = peer.reason.map_or_else(|| "too many packets are lost".into(), |r| r.to_string());
    let finding = about(peer, Code::PathLoses).with(Evidence::Reason(reason));
    let finding = match peer.reason {
        Some(PathReason::Loss(permille, _)) => {
            finding.with(Evidence::LossPermille(u64::from(permille)))
        }
        _ => finding,
    };
    at_endpoint(finding, peer)
}

/// True of a path that was up, so that both keys were right: that its next handshakes are not answered
/// either is the same trouble.
fn fell_silent(peer: &PeerSight) -> bool {
    let silence = |reason| matches!(reason, PathReason::Silence { .. } | PathReason::Handshakes(_));
    peer.state == PathState::Down && peer.reason.is_some_and(silence)
}

/// Of a peer that calls, and is not there now, or has not been there yet.
fn away(peer: &PeerSight) -> Finding {
    let away = match peer.reason {
        Some(reason) => about(peer, Code::TunnelSilent).with(Evidence::Reason(reason.to_string())),
        None => about(peer, Code::NoEndpoint),
    };
    at_endpoint(away, peer).severity(Severity::Note).fix(
        "nothing to do where it comes and goes; else give it this gateway's {gateway.endpoints}, or \
         write its `endpoint` into its [[wireguard_peer]] section",
    )
}

/// Of a tunnel that should be up and is not.
fn silent(peer: &PeerSight) -> Finding {
    let finding = match (peer.endpoint, peer.refused, peer.unanswered) {
        (None, ..) => about(peer, Code::NoEndpoint),
        (Some(_), Some(refusal), _) => {
            about(peer, Code::SendingRefused).with(Evidence::Reason(refusal.to_string()))
        }
        (Some(_), None, _) if peer.one_way => about(peer, Code::PassesOneWay),
        (Some(_), None, count @ 1..) if !fell_silent(peer) => {
            about(peer, Code::HandshakesUnanswered).with(Evidence::Count(count))
        }
        (Some(_), None, _) => {
            let untried = || "no handshake was tried".to_owned();
            let reason = peer.reason.map_or_else(untried, |reason| reason.to_string());
            about(peer, Code::TunnelSilent).with(Evidence::Reason(reason))
        }
    };
    at_endpoint(finding, peer)
}

fn broken_stream(peer: &PeerSight) -> Option<Finding> {
    let StreamSight { is_wanted, is_open, refusal, error } = &peer.stream;
    if !is_wanted || *is_open || error.is_empty() {
        return None;
    }
    let code = if refusal.is_some() { Code::StreamRefused } else { Code::StreamBroken };
    let found = about(peer, code).with(Evidence::Reason(error.clone()));
    let fix = refusal.as_ref().and_then(StreamRefusal::fix);
    Some(fix.into_iter().fold(found, Finding::fix))
}

fn silent_lanes(peer: &PeerSight) -> Option<Finding> {
    let numbered = (1..).zip(&peer.lanes);
    let silent: Vec<u64> =
        numbered.filter(|(_, unanswered)| **unanswered >= LANE_SILENT).map(|(n, _)| n).collect();
    let finding = about(peer, Code::LaneUnanswered);
    let finding = silent.iter().fold(finding, |one, lane| one.with(Evidence::Lane(*lane)));
    (!silent.is_empty()).then_some(finding)
}
