//! The gate of the slow path: which handshake messages may cost a curve operation.
//!
//! A message needs a good MAC1; under load also a cookie, which proves that its sender is at the
//! address and port it writes; and no source, however real, gets more than a share. Counts start
//! anew each second. Specification: WireGuard paper, section 5.3; the share is the kernel's.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, TunnResult};
use x25519_dalek::PublicKey;

use crate::dropped::Dropped;

/// Messages in a second, under load and with a cookie, from one IPv4 address or IPv6 /64.
const SHARE: u32 = 20;
/// Sources with a cookie that are told apart in one second; more are turned away.
const SOURCES: usize = 4096;

/// Why a message stays outside.
pub(crate) enum NotAdmitted {
    /// It is to be answered with the cookie of this length.
    Cookie(usize),
    Dropped(Dropped),
}

/// A key that this gateway answers to: the MACs of a message are made with it.
struct AnsweredKey {
    key: PublicKey,
    limiter: RateLimiter,
}

/// The counts of the present second.
pub(crate) struct HandshakeGate {
    answered: Vec<AnsweredKey>,
    /// Turns address and port into the one address that boringtun's cookies cover: with the address
    /// alone, all that stand behind one NAT would share a cookie.
    cookie_names: RandomState,
    limit: u64,
    counted: u64,
    sources: HashMap<IpAddr, u32>,
}

impl HandshakeGate {
    /// A gate without keys; the load begins beyond `limit` messages a second.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            answered: Vec::new(),
            cookie_names: RandomState::new(),
            limit,
            counted: 0,
            sources: HashMap::new(),
        }
    }

    /// Answers to exactly these keys from now on.
    pub(crate) fn serve(&mut self, keys: impl Iterator<Item = PublicKey> + Clone) {
        self.answered.retain(|served| keys.clone().any(|key| key == served.key));
        for key in keys {
            if !self.answered.iter().any(|served| served.key == key) {
                let limiter = RateLimiter::new(&key, self.limit);
                self.answered.push(AnsweredKey { key, limiter });
            }
        }
    }

    /// A new second begins.
    pub(crate) fn reset(&mut self) {
        self.answered.iter().for_each(|served| served.limiter.reset_count());
        self.counted = 0;
        self.sources.clear();
    }

    /// Lets a message of `remote` in and says for which key, or why not. `cookie` is room for one.
    pub(crate) fn admit<'m>(
        &mut self,
        remote: SocketAddr,
        message: &'m [u8],
        cookie: &mut [u8],
    ) -> Result<(Packet<'m>, PublicKey), NotAdmitted> {
        let name = self.cookie_name_of(remote);
        let mut refused = Dropped::HandshakeMac;
        let mut admitted = None;
        for served in &self.answered {
            match served.limiter.verify_packet(Some(name), message, cookie) {
                Ok(packet) => {
                    admitted = Some((packet, served.key));
                    break;
                }
                Err(TunnResult::WriteToNetwork(cookie)) => {
                    self.counted += 1;
                    return Err(NotAdmitted::Cookie(cookie.len()));
                }
                // For another key, or for none of ours.
                Err(TunnResult::Err(WireGuardError::InvalidMac)) => {}
                Err(_) => refused = Dropped::NotWireGuard,
            }
        }
        let Some((packet, key)) = admitted else { return Err(NotAdmitted::Dropped(refused)) };
        if matches!(packet, Packet::HandshakeInit(_) | Packet::HandshakeResponse(_)) {
            self.counted += 1;
            if self.counted > self.limit && !self.has_share_left(remote.ip()) {
                return Err(NotAdmitted::Dropped(Dropped::HandshakeSource));
            }
        }
        Ok((packet, key))
    }

    fn has_share_left(&mut self, source: IpAddr) -> bool {
        let source = match source {
            IpAddr::V4(_) => source,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        };
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            return false;
        }
        let count = self.sources.entry(source).or_default();
        *count += 1;
        *count <= SHARE
    }

    fn cookie_name_of(&self, remote: SocketAddr) -> IpAddr {
        let half = |n: u8| self.cookie_names.hash_one((n, remote.ip(), remote.port()));
        Ipv6Addr::from_bits(u128::from(half(0)) << 64 | u128::from(half(1))).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boringtun::noise::Tunn;
    use x25519_dalek::StaticSecret;

    const LIMIT: u64 = 3;

    struct Visitor {
        tunn: Tunn,
        buffer: [u8; 148],
    }

    impl Visitor {
        fn new(gateway: &PublicKey) -> Self {
            let secret = StaticSecret::from([7; 32]);
            Self { tunn: Tunn::new(secret, *gateway, None, None, 1, None), buffer: [0; 148] }
        }

        fn initiation(&mut self) -> [u8; 148] {
            match self.tunn.format_handshake_initiation(&mut self.buffer, true) {
                TunnResult::WriteToNetwork(message) => message.try_into().unwrap(),
                _ => panic!("no initiation"),
            }
        }

        fn take(&mut self, cookie: &[u8]) {
            let mut out = [0; 148];
            assert!(matches!(self.tunn.decapsulate(None, cookie, &mut out), TunnResult::Done));
        }
    }

    fn gateway() -> (HandshakeGate, PublicKey) {
        let key = PublicKey::from(&StaticSecret::from([1; 32]));
        let mut gate = HandshakeGate::new(LIMIT);
        gate.serve(std::iter::once(key));
        (gate, key)
    }

    fn under_load(gate: &mut HandshakeGate, visitor: &mut Visitor) {
        for _ in 0..LIMIT {
            let message = visitor.initiation();
            assert!(gate.admit(from("192.0.2.1:1"), &message, &mut [0; 148]).is_ok());
        }
    }

    fn from(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_cookie_is_good_for_the_address_and_port_it_was_sent_to() {
        let (mut gate, key) = gateway();
        let mut visitor = Visitor::new(&key);
        under_load(&mut gate, &mut visitor);
        let (mut room, message) = ([0; 148], visitor.initiation());
        let Err(NotAdmitted::Cookie(len)) = gate.admit(from("192.0.2.1:1"), &message, &mut room)
        else {
            panic!("no cookie under load");
        };
        visitor.take(&room[..len]);
        let message = visitor.initiation();
        for elsewhere in ["192.0.2.1:2", "192.0.2.2:1", "[::ffff:192.0.2.1]:1"] {
            let mut room = [0; 148];
            let refused = gate.admit(from(elsewhere), &message, &mut room).err();
            assert!(matches!(refused, Some(NotAdmitted::Cookie(_))), "{elsewhere}");
        }
        assert!(gate.admit(from("192.0.2.1:1"), &message, &mut [0; 148]).is_ok());
    }

    #[test]
    fn each_key_that_is_served_is_answered_to_and_no_other() {
        let (mut gate, old) = gateway();
        let new = PublicKey::from(&StaticSecret::from([2; 32]));
        let [to_old, to_new] = [old, new].map(|key| Visitor::new(&key).initiation());
        let for_whom = |gate: &mut HandshakeGate, message: &[u8]| {
            gate.admit(from("192.0.2.1:1"), message, &mut [0; 148]).ok().map(|(_, key)| key)
        };
        gate.serve([old, new].into_iter());
        assert_eq!(for_whom(&mut gate, &to_old), Some(old));
        assert_eq!(for_whom(&mut gate, &to_new), Some(new));
        gate.serve(std::iter::once(new));
        assert_eq!(for_whom(&mut gate, &to_old), None);
        assert_eq!(for_whom(&mut gate, &to_new), Some(new));
    }

    #[test]
    fn a_source_gets_its_share_and_no_more_and_another_still_has_its_own() {
        let (mut gate, _) = gateway();
        let admitted = (0..100).filter(|_| gate.has_share_left([192, 0, 2, 1].into())).count();
        assert_eq!(admitted, SHARE as usize);
        assert!(gate.has_share_left([192, 0, 2, 2].into()));
        let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
        for host in 0..SHARE {
            assert!(gate.has_share_left(v6(&format!("2001:db8::{host:x}"))));
        }
        assert!(!gate.has_share_left(v6("2001:db8::ffff")), "a /64 is one source");
        assert!(gate.has_share_left(v6("2001:db8:0:1::1")));
    }

    #[test]
    fn memory_is_bounded_however_many_sources_there_are() {
        let (mut gate, _) = gateway();
        for n in 0..2 * SOURCES as u32 {
            gate.has_share_left(std::net::Ipv4Addr::from_bits(n).into());
        }
        assert_eq!(gate.sources.len(), SOURCES);
    }
}
