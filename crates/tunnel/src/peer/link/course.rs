//! Where datagrams to a gateway go, and from which address and port of ours.
//!
//! Pure. The endpoint follows what proves to come from the gateway; our address and port are those
//! that the gateway speaks to, until the routes lead elsewhere. While handshakes stay unanswered
//! they leave from our other port as well: a NAT's entry that leads nowhere is kept by what we send
//! through it, and a fresh port gets one of its own. Promises that datagrams which were on their way
//! to the old address do not bring it back, and that nothing leaves from the present port less often
//! because of the other. Refuses to know sessions and sockets.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::edge::{OwnPort, UdpPath};

/// After this time a gateway that still speaks to the address that the routes have left wants its
/// answers from there: it may know no other.
const LATE: Duration = Duration::from_secs(10);

/// Initiations in a row, some 20 s, after which the others leave from our other port as well.
const PATIENCE: u32 = 4;

/// What there is to tell of our ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortNews {
    /// Handshakes stay unanswered: they leave from both ports now.
    BothTried,
    /// The gateway has answered, and is spoken to from this port.
    AnsweredAt(OwnPort),
}

/// The way to one gateway.
#[derive(Debug, Default)]
pub(super) struct Course {
    path: Option<UdpPath>,
    /// What the routes chose as our address towards this endpoint when last asked.
    route: Option<(SocketAddr, IpAddr)>,
    /// The address that they have left, and when.
    left: Option<(IpAddr, Instant)>,
    /// Initiations since the gateway has last shown that it hears us.
    unanswered: u32,
    /// It was told that both ports are tried.
    both_told: bool,
}

impl Course {
    pub(super) fn to(endpoint: Option<SocketAddr>) -> Self {
        Self { path: endpoint.map(unbound), ..Self::default() }
    }

    pub(super) fn path(&self) -> Option<UdpPath> {
        self.path
    }

    /// Goes to `endpoint` from now on. False if that is where it went.
    pub(super) fn set_endpoint(&mut self, endpoint: SocketAddr) -> bool {
        let is_new = self.path.is_none_or(|path| path.remote != endpoint);
        if is_new {
            self.path = Some(unbound(endpoint));
        }
        is_new
    }

    /// Goes where another one to the same gateway goes.
    pub(super) fn follow(&mut self, other: Option<UdpPath>) {
        self.path = other.or(self.path);
    }

    /// An initiation was sent.
    pub(super) fn asked(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// The gateway has shown that it hears us.
    pub(super) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// The way beside [`Self::path`] that initiations take as well now.
    pub(super) fn detour(&self) -> Option<UdpPath> {
        let path = self.path.filter(|_| self.unanswered >= PATIENCE)?;
        Some(UdpPath { from: path.from.other(), ..path })
    }

    /// What has changed since the last call, if both ports can be sent from.
    pub(super) fn news(&mut self) -> Option<PortNews> {
        let path = self.path?;
        let are_both_tried = self.unanswered >= PATIENCE;
        let told = std::mem::replace(&mut self.both_told, are_both_tried);
        match (told, are_both_tried) {
            (false, true) => Some(PortNews::BothTried),
            (true, false) => Some(PortNews::AnsweredAt(path.from)),
            _ => None,
        }
    }

    /// The gateway was heard there.
    pub(super) fn heard(&mut self, path: UdpPath, now: Instant) {
        let is_late = |(left, at): (IpAddr, Instant)| {
            path.local == Some(left) && now.saturating_duration_since(at) < LATE
        };
        let local = path.local.filter(|_| !self.left.is_some_and(is_late));
        self.path = Some(UdpPath { local, ..path });
    }

    /// Takes what the routes choose as our address towards `remote` now. Another choice than before
    /// means that they lead elsewhere: the address that the gateway spoke to is given up for it, and
    /// the gateway is to hear from the new one. True if so.
    pub(super) fn follow_route(
        &mut self,
        remote: SocketAddr,
        chosen: IpAddr,
        now: Instant,
    ) -> bool {
        let before = self.route.replace((remote, chosen));
        let Some((_, old)) = before.filter(|(to, source)| *to == remote && *source != chosen)
        else {
            return false;
        };
        let Some(path) = self.path.as_mut().filter(|path| path.remote == remote) else {
            return false;
        };
        self.left = Some((path.local.unwrap_or(old), now));
        path.local = None;
        true
    }
}

fn unbound(remote: SocketAddr) -> UdpPath {
    UdpPath { remote, local: None, from: OwnPort::Listen }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn path(local: &str) -> UdpPath {
        let remote = "203.0.113.1:51820".parse().unwrap();
        UdpPath { remote, local: Some(ip(local)), from: OwnPort::Listen }
    }

    /// A course whose routes have led from .1 to .7 at `now`.
    fn elsewhere(now: Instant) -> Course {
        let mut course = Course::to(Some(path("192.0.2.1").remote));
        let remote = path("192.0.2.1").remote;
        assert!(!course.follow_route(remote, ip("192.0.2.1"), now), "the first look");
        course.heard(path("192.0.2.1"), now);
        assert!(!course.follow_route(remote, ip("192.0.2.1"), now), "the same routes");
        assert_eq!(course.path(), Some(path("192.0.2.1")));
        assert!(course.follow_route(remote, ip("192.0.2.7"), now));
        course
    }

    fn local(course: &Course) -> Option<IpAddr> {
        course.path().unwrap().local
    }

    #[test]
    fn routes_that_lead_elsewhere_take_the_source_along() {
        let now = Instant::now();
        let mut course = elsewhere(now);
        assert_eq!(local(&course), None);
        course.heard(path("192.0.2.7"), now);
        assert_eq!(local(&course), Some(ip("192.0.2.7")));
    }

    #[test]
    fn what_was_on_its_way_to_the_old_address_does_not_bring_it_back() {
        let now = Instant::now();
        let mut course = elsewhere(now);
        course.heard(path("192.0.2.1"), now + Duration::from_secs(1));
        assert_eq!(local(&course), None);
        course.heard(path("192.0.2.7"), now + Duration::from_secs(2));
        course.heard(path("192.0.2.1"), now + Duration::from_secs(3));
        assert_eq!(local(&course), None, "overtaken on the way");
    }

    #[test]
    fn a_gateway_that_goes_on_speaking_to_the_old_address_is_answered_from_it() {
        let now = Instant::now();
        let mut course = elsewhere(now);
        course.heard(path("192.0.2.1"), now + LATE);
        assert_eq!(local(&course), Some(ip("192.0.2.1")));
    }

    /// Asks so many times in a row; returns from which ports the last time.
    fn asked(course: &mut Course, times: u32) -> Vec<OwnPort> {
        (0..times).for_each(|_| course.asked());
        course.path().into_iter().chain(course.detour()).map(|path| path.from).collect()
    }

    #[test]
    fn a_few_unanswered_handshakes_leave_from_the_listen_port_alone_the_others_from_both() {
        let mut course = Course::to(Some(path("192.0.2.1").remote));
        assert_eq!(asked(&mut course, PATIENCE - 1), [OwnPort::Listen]);
        assert_eq!(course.news(), None);
        for _ in 0..100 {
            assert_eq!(asked(&mut course, 1), [OwnPort::Listen, OwnPort::Fresh]);
        }
        assert_eq!(course.news(), Some(PortNews::BothTried));
        assert_eq!(course.news(), None, "once");
    }

    #[test]
    fn the_port_that_was_answered_is_used_until_it_is_answered_no_more_or_another_is() {
        let now = Instant::now();
        let mut course = Course::to(Some(path("192.0.2.1").remote));
        asked(&mut course, PATIENCE);
        course.news();
        let fresh = UdpPath { from: OwnPort::Fresh, ..path("192.0.2.1") };
        course.heard(fresh, now);
        course.answered();
        assert_eq!(course.news(), Some(PortNews::AnsweredAt(OwnPort::Fresh)));
        assert_eq!(asked(&mut course, PATIENCE - 1), [OwnPort::Fresh]);
        assert_eq!(asked(&mut course, 1), [OwnPort::Fresh, OwnPort::Listen]);
        course.heard(path("192.0.2.1"), now);
        course.answered();
        assert_eq!(asked(&mut course, 1), [OwnPort::Listen]);
        assert_eq!(course.path(), Some(path("192.0.2.1")));
    }

    #[test]
    fn a_gateway_that_calls_and_does_not_hear_us_is_asked_from_both_ports() {
        let mut course = Course::to(Some(path("192.0.2.1").remote));
        for _ in 0..PATIENCE {
            course.heard(path("192.0.2.1"), Instant::now());
            course.asked();
        }
        assert_eq!(asked(&mut course, 1), [OwnPort::Listen, OwnPort::Fresh]);
    }

    #[test]
    fn another_endpoint_is_asked_from_both_ports_as_long_as_nobody_answers() {
        let mut course = Course::to(Some(path("192.0.2.1").remote));
        asked(&mut course, PATIENCE);
        assert!(course.set_endpoint("203.0.113.2:51820".parse().unwrap()));
        assert_eq!(asked(&mut course, 1), [OwnPort::Listen, OwnPort::Fresh]);
        assert_eq!(course.detour().unwrap().remote, "203.0.113.2:51820".parse().unwrap());
    }

    #[test]
    fn an_address_that_the_routes_would_not_choose_is_kept_as_long_as_they_stay() {
        let now = Instant::now();
        let mut course = Course::default();
        course.heard(path("192.0.2.9"), now);
        for _ in 0..3 {
            assert!(!course.follow_route(path("192.0.2.9").remote, ip("192.0.2.1"), now));
        }
        assert_eq!(local(&course), Some(ip("192.0.2.9")));
    }
}
