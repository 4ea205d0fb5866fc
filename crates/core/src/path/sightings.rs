//! Where a peer was heard from: one that is here and there in turns is two hosts with one key.
//!
//! A peer that roams goes somewhere and stays for a while; a clone and its original take the peer's
//! place from each other with each packet. Promises that a peer which goes from one address to the
//! next, and one that comes back now and then, is taken for one. Refuses to know what was heard.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// So long ago counts no more.
const WINDOW: Duration = Duration::from_secs(60);
/// So many turns between the same two addresses are no roaming.
const TURNS: usize = 6;

/// The last places of one peer.
#[derive(Debug, Clone, Default)]
pub struct PeerSightings {
    at: Option<SocketAddr>,
    /// Each move: when, from where and to where.
    moves: VecDeque<PeerMove>,
}

#[derive(Debug, Clone, Copy)]
struct PeerMove {
    at: Duration,
    from: SocketAddr,
    to: SocketAddr,
}

impl PeerSightings {
    /// Something authentic has come from there.
    pub fn heard_from(&mut self, address: SocketAddr, now: Duration) {
        if let Some(from) = self.at.replace(address).filter(|from| *from != address) {
            self.moves.push_back(PeerMove { at: now, from, to: address });
        }
        while self.moves.len() > 3 * TURNS {
            self.moves.pop_front();
        }
    }

    /// The two places between which it goes to and fro.
    pub fn two_places(&mut self, now: Duration) -> Option<[SocketAddr; 2]> {
        self.moves.retain(|one| now.saturating_sub(one.at) < WINDOW);
        let last = self.moves.back()?;
        let mut two = [last.from, last.to];
        two.sort();
        let turns =
            self.moves.iter().filter(|one| two.contains(&one.from) && two.contains(&one.to));
        (turns.count() >= TURNS).then_some(two)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears from these hosts, one each second; returns whether two were seen at the end.
    fn heard(hosts: impl Iterator<Item = u8>) -> Option<[SocketAddr; 2]> {
        let (mut sightings, mut now) = (PeerSightings::default(), Duration::ZERO);
        for host in hosts {
            now += Duration::from_secs(1);
            sightings.heard_from(SocketAddr::from(([198, 51, 100, host], 51820)), now);
        }
        sightings.two_places(now)
    }

    #[test]
    fn two_hosts_in_turns_are_seen_within_a_minute() {
        let two = [7, 9].map(|host| SocketAddr::from(([198, 51, 100, host], 51820)));
        assert_eq!(heard((0..7).map(|n| if n % 2 == 0 { 9 } else { 7 })), Some(two));
        assert_eq!(heard([7, 7, 9, 9, 9, 7, 7, 9, 7, 7, 7, 9, 7].into_iter()), Some(two));
    }

    #[test]
    fn one_that_roams_or_comes_back_is_one() {
        assert_eq!(heard(1..200), None, "always somewhere else");
        assert_eq!(heard((0..200).map(|n| if n % 40 < 20 { 7 } else { 9 })), None, "now and then");
        assert_eq!(heard((0..6).map(|n| if n % 2 == 0 { 9 } else { 7 })), None, "too few turns");
        assert_eq!(heard(std::iter::repeat_n(7, 200)), None);
    }

    #[test]
    fn what_was_is_forgotten_after_a_minute() {
        let mut sightings = PeerSightings::default();
        let s = Duration::from_secs;
        for n in 0..20 {
            let host = if n % 2 == 0 { 7 } else { 9 };
            sightings.heard_from(SocketAddr::from(([198, 51, 100, host], 51820)), s(n));
        }
        assert!(sightings.two_places(s(60)).is_some());
        assert_eq!(sightings.two_places(s(80)), None);
    }
}
