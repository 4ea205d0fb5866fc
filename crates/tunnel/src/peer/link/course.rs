//! Where datagrams to a gateway go, and from which address of ours.
//!
//! Pure. The endpoint follows what proves to come from the gateway; our address is the one that the
//! gateway speaks to, until the routes lead elsewhere. Promises that datagrams which were on their way to
//! the old address do not bring it back. Refuses to know sessions.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::edge::UdpPath;

/// After this time a gateway that still speaks to the address that the routes have left wants its
/// answers from there: it may know no other.
const LATE: Duration = Duration::from_secs(10);

/// The way to one gateway.
#[derive(Debug, Default)]
pub(super) struct Course {
    path: Option<UdpPath>,
    /// What the routes chose as our address towards this endpoint when last asked.
    route: Option<(SocketAddr, IpAddr)>,
    /// The address that they have left, and when.
    left: Option<(IpAddr, Instant)>,
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
    UdpPath { remote, local: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn path(local: &str) -> UdpPath {
        UdpPath { remote: "203.0.113.1:51820".parse().unwrap(), local: Some(ip(local)) }
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
