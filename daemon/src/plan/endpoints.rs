//! Which of a peer's endpoints to try, as pure decisions.
//!
//! A peer that answers is left alone, wherever it roamed to. One that does not is tried at its
//! configured endpoints in turn, names with all their addresses; where this machine has no way to one,
//! the next is tried at once. Knows neither DNS nor sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use zonemesh_config::Endpoint;

/// Unanswered handshake initiations (about 5 s each) before the next endpoint is tried.
const PATIENCE: u64 = 2;

/// What the tunnel says of the peer now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerSeen {
    pub(crate) endpoint: Option<SocketAddr>,
    /// Handshake initiations since the last answer.
    pub(crate) unanswered: u64,
    /// True if this machine has no way there: no route, or no address of that family.
    pub(crate) has_no_way: bool,
}

/// The endpoints of one peer.
pub(crate) struct Candidates {
    configured: Vec<Endpoint>,
    resolved: BTreeMap<String, Vec<IpAddr>>,
    /// The count of unanswered initiations when the endpoint in use was chosen.
    chosen_at: u64,
}

impl Candidates {
    pub(crate) fn new(configured: Vec<Endpoint>) -> Self {
        Self { configured, resolved: BTreeMap::new(), chosen_at: 0 }
    }

    /// The first endpoint that needs no name to be resolved.
    pub(crate) fn first_address(&self) -> Option<SocketAddr> {
        self.addresses().into_iter().next()
    }

    /// The names among the endpoints.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.configured.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Name { host, .. } => Some(host.as_str()),
            Endpoint::Address(_) => None,
        })
    }

    /// Takes what a name resolves to now.
    pub(crate) fn set_resolved(&mut self, name: &str, addresses: Vec<IpAddr>) {
        self.resolved.insert(name.to_owned(), addresses);
    }

    /// The endpoint to switch to now, if any.
    pub(crate) fn choose(&mut self, seen: PeerSeen) -> Option<SocketAddr> {
        let addresses = self.addresses();
        self.chosen_at = self.chosen_at.min(seen.unanswered);
        let Some(in_use) = seen.endpoint else {
            return addresses.first().copied();
        };
        let position = addresses.iter().position(|address| *address == in_use);
        let next = match position {
            Some(index) if seen.has_no_way || seen.unanswered >= self.chosen_at + PATIENCE => {
                addresses[(index + 1) % addresses.len()]
            }
            None if seen.unanswered > 0 => *addresses.first()?,
            _ => return None,
        };
        self.chosen_at = seen.unanswered;
        (next != in_use).then_some(next)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let of = |endpoint: &Endpoint| match endpoint {
            Endpoint::Address(address) => vec![*address],
            Endpoint::Name { host, port } => {
                let resolved = self.resolved.get(host).map_or(&[][..], Vec::as_slice);
                resolved.iter().map(|ip| SocketAddr::new(*ip, *port)).collect()
            }
        };
        self.configured.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Candidates {
        let name = Endpoint::Name { host: "gw.madrid.example".into(), port: 51820 };
        Candidates::new(vec![name, Endpoint::Address("192.0.2.9:51820".parse().unwrap())])
    }

    fn seen(endpoint: &str, unanswered: u64) -> PeerSeen {
        PeerSeen { endpoint: endpoint.parse().ok(), unanswered, has_no_way: false }
    }

    #[test]
    fn addresses_that_this_machine_has_no_way_to_cost_no_patience() {
        let mut candidates = named();
        let addresses = (1..=8).map(|n| format!("2001:db8::{n}").parse().unwrap()).collect();
        candidates.set_resolved("gw.madrid.example", addresses);
        let mut endpoint = "[2001:db8::1]:51820".to_owned();
        for _ in 0..8 {
            let no_way = PeerSeen { has_no_way: true, ..seen(&endpoint, 1) };
            endpoint = candidates.choose(no_way).unwrap().to_string();
        }
        assert_eq!(endpoint, "192.0.2.9:51820");
        // The only one stays, whether there is a way or not.
        let mut alone = Candidates::new(vec!["192.0.2.9:51820".parse().unwrap()]);
        let no_way = PeerSeen { has_no_way: true, ..seen("192.0.2.9:51820", 1) };
        assert_eq!(alone.choose(no_way), None);
    }

    #[test]
    fn before_the_name_resolves_the_address_is_used() {
        let mut candidates = named();
        assert_eq!(candidates.choose(seen("", 0)).unwrap().to_string(), "192.0.2.9:51820");
    }

    #[test]
    fn a_silent_peer_is_tried_at_all_addresses_in_turn() {
        let mut candidates = named();
        let addresses = ["2001:db8::1", "198.51.100.7"].map(|ip| ip.parse().unwrap());
        candidates.set_resolved("gw.madrid.example", addresses.to_vec());
        let (mut endpoint, mut tried) = ("192.0.2.9:51820".to_owned(), Vec::new());
        for unanswered in 0..=6 {
            if let Some(next) = candidates.choose(seen(&endpoint, unanswered)) {
                endpoint = next.to_string();
                tried.push(endpoint.clone());
            }
        }
        assert_eq!(tried, ["[2001:db8::1]:51820", "198.51.100.7:51820", "192.0.2.9:51820"]);
    }

    #[test]
    fn a_peer_that_answers_keeps_the_endpoint_it_roamed_to() {
        let mut candidates = named();
        assert_eq!(candidates.choose(seen("203.0.113.99:4242", 0)), None);
    }

    #[test]
    fn a_silent_peer_is_tried_at_once_where_its_name_points_now() {
        let mut candidates = named();
        candidates.set_resolved("gw.madrid.example", vec!["198.51.100.8".parse().unwrap()]);
        let next = candidates.choose(seen("198.51.100.7:51820", 1)).unwrap();
        assert_eq!(next.to_string(), "198.51.100.8:51820");
    }

    #[test]
    fn patience_starts_anew_after_an_answer() {
        let mut candidates = named();
        candidates.set_resolved("gw.madrid.example", vec!["198.51.100.8".parse().unwrap()]);
        assert!(candidates.choose(seen("192.0.2.9:51820", 7)).is_some());
        assert_eq!(candidates.choose(seen("198.51.100.8:51820", 0)), None);
        assert_eq!(candidates.choose(seen("198.51.100.8:51820", 1)), None);
        assert!(candidates.choose(seen("198.51.100.8:51820", 2)).is_some());
    }
}
