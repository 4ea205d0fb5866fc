//! Why a packet went nowhere: a closed list, counted with atomics.
//!
//! Every packet or datagram that is not carried has exactly one reason. Counting never blocks and
//! never allocates. Does not log: rates are for the metrics, single packets for a capture.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)+) => {
        /// Why a packet or datagram was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Dropped {
            $($(#[$doc])* $name,)+
        }

        impl Dropped {
            /// All reasons, in the order in which they are reported.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name of the reason, as metrics and `zonemesh status` show it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// Outward: not an IPv4 or IPv6 packet, or its length fields are wrong.
    NotIp => "not_ip",
    /// Outward: no zone has the destination among its allowed IPs.
    NoPeer => "no_peer",
    /// Outward: the peer's endpoint is not known yet.
    NoEndpoint => "no_endpoint",
    /// Outward: a datagram of this tunnel that the routes led back into it.
    Loop => "loop",
    /// Outward: the socket refused the datagram.
    SendFailed => "send_failed",
    /// Either way: no session can be made while the clock stands before 1970.
    ClockUnset => "clock_unset",
    /// Inward: not a WireGuard message.
    NotWireGuard => "not_wireguard",
    /// Inward: data for a session index that is not in use.
    UnknownSession => "unknown_session",
    /// Inward: data that fails authentication.
    Unauthentic => "unauthentic",
    /// Inward: a counter that was seen already or is too old.
    Replayed => "replayed",
    /// Inward: a counter beyond the last that a session may use.
    CounterSpent => "counter_spent",
    /// Inward: authentic, but what was inside is no valid IP packet.
    InnerMalformed => "inner_malformed",
    /// Inward: the inner source address does not belong to the zone of the peer that sent it.
    InnerSource => "inner_source",
    /// Inward: the inner destination address is not this end's.
    InnerDestination => "inner_destination",
    /// Inward: congestion on the way that the packet cannot tell its receiver of (RFC 6040).
    Congested => "congested",
    /// Inward: the TUN device did not take the packet.
    TunRefused => "tun_refused",
    /// Handshake: the queue to the slow path is full.
    HandshakeQueue => "handshake_queue",
    /// Handshake: made for another public key than ours (MAC1).
    HandshakeMac => "handshake_mac",
    /// Handshake: too many at once, answered with a cookie.
    HandshakeCookie => "handshake_cookie",
    /// Handshake: under load, more from one source than its share.
    HandshakeSource => "handshake_source",
    /// Handshake: from a public key that is no peer.
    HandshakeUnknownPeer => "handshake_unknown_peer",
    /// Handshake: replayed, with a wrong preshared key, or answering nothing.
    HandshakeInvalid => "handshake_invalid",
    /// An ICMP error or another passing fault that a socket reported on receive.
    SocketError => "socket_error",
}

/// One counter per reason.
#[derive(Debug)]
pub(crate) struct DropCounters([AtomicU64; Dropped::ALL.len()]);

impl DropCounters {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn count(&self, reason: Dropped) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&self, reason: Dropped, packets: u64) {
        self.0[reason as usize].fetch_add(packets, Ordering::Relaxed);
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn get(&self, reason: Dropped) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    /// Name and value of each counter, zeros included.
    pub(crate) fn snapshot(&self) -> Vec<(&'static str, u64)> {
        let value = |reason: &Dropped| self.0[*reason as usize].load(Ordering::Relaxed);
        Dropped::ALL.iter().map(|reason| (reason.as_str(), value(reason))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_counter_and_name() {
        let counters = DropCounters::new();
        for (times, reason) in Dropped::ALL.iter().enumerate() {
            counters.add(*reason, times as u64);
        }
        let shown = counters.snapshot();
        let names: std::collections::BTreeSet<_> = shown.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), Dropped::ALL.len());
        for (times, reason) in Dropped::ALL.iter().enumerate() {
            assert_eq!(shown[times], (reason.as_str(), times as u64));
        }
    }
}
