//! Who may have a connection to the local API, before anything is read.
//!
//! Whoever could not be answered gets no place: otherwise another zone's idle connections would keep
//! this zone's VMs out. Who is of the zone is `authority`'s to say.

use std::net::IpAddr;
use std::sync::Arc;

use zonemesh_api::serve::Door;

use super::authority::VmPermissions;
use crate::facts::rate_limits::{
    ConnectionLimiter, LimitedCall, Rate, RateLimiter, RefusedCalls, Slots,
};

/// Most connections of one VM, and of all; and new ones of one VM.
const CONNECTIONS: (usize, usize) = (32, 4096);
const NEW_CONNECTIONS: Rate = Rate { burst: 60.0, per_second: 5.0 };

/// A door for VMs of this zone.
pub(crate) struct VmDoor {
    authority: Arc<VmPermissions>,
    inside: ConnectionLimiter,
}

impl VmDoor {
    /// That of the local API.
    pub(super) fn new(authority: Arc<VmPermissions>, refusals: Arc<RefusedCalls>) -> Self {
        let inside = ConnectionLimiter {
            rate: RateLimiter::new(NEW_CONNECTIONS),
            slots: Slots::new(CONNECTIONS.0, CONNECTIONS.1),
            refusals,
            counted_as: LimitedCall::VmConnections,
        };
        Self::into(inside, authority)
    }

    /// One into a place of its own, which has other bounds.
    pub(crate) fn into(inside: ConnectionLimiter, authority: Arc<VmPermissions>) -> Self {
        Self { authority, inside }
    }
}

impl Door for VmDoor {
    fn enter(&self, caller: IpAddr) -> Option<Box<dyn Send>> {
        if self.authority.is_of_this_zone(caller) {
            return self.inside.enter(caller);
        }
        self.inside.refusals.count(LimitedCall::ForeignConnections, &caller.to_canonical());
        None
    }

    fn ended(&self, caller: IpAddr) {
        self.inside.ended(caller);
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_config::Config;

    use super::*;
    use crate::facts::in_force::ConfigInForce;
    use crate::facts::tokens::TokenBoard;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn another_zones_idle_connections_keep_no_vm_out() {
        let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\", \"fd10::/64\"]\n";
        let config = ConfigInForce::of(Config::parse(text, "test").unwrap());
        let authority = Arc::new(VmPermissions::new(config, TokenBoard::default()));
        let refusals = Arc::new(RefusedCalls::default());
        let door = VmDoor::new(authority, refusals.clone());
        let foreign = (0..5000_u32).map(|n| IpAddr::from((0x0a0a_1400 + n).to_be_bytes()));
        assert_eq!(foreign.filter_map(|caller| door.enter(caller)).count(), 0);
        assert_eq!(refusals.counters(), [("foreign_connections", 5000)]);
        for own in ["10.10.10.5", "::ffff:10.10.10.6", "fd10::5", "127.0.0.1", "::1"] {
            assert!(door.enter(address(own)).is_some(), "{own}");
        }
        let vm = address("10.10.10.7");
        assert_eq!((0..100).filter_map(|_| door.enter(vm)).count(), 60, "places are given back");
        let held: Vec<_> = (0..100).filter_map(|_| door.enter(address("10.10.10.8"))).collect();
        assert_eq!(held.len(), CONNECTIONS.0);
    }
}
