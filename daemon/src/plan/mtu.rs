//! Which MTU the tunnel and each peer get, as pure decisions.
//!
//! A tunnel packet travels in a WireGuard message (32 bytes more) in UDP (8) in IPv4 (20) or IPv6
//! (40). Without `tunnel.mtu` the device takes what the narrowest underlay leaves, at most 1420, and
//! at least 1280, below which the kernel switches IPv6 off. What a single peer takes less is its
//! routes' business.

use std::net::IpAddr;

/// More is asked for in the configuration: a path of 1500 bytes carries it over IPv4 and IPv6.
const USUAL: u16 = 1420;
/// Every link of IPv6 takes so much.
const LEAST: u16 = 1280;

/// What an underlay of this MTU leaves for packets in the tunnel.
pub(crate) fn inside(underlay: u16, endpoint: IpAddr) -> u16 {
    let headers = if endpoint.is_ipv4() { 60 } else { 80 };
    underlay.saturating_sub(headers)
}

/// The MTU of the tunnel device.
pub(crate) fn of_device(configured: Option<u16>, inside: impl Iterator<Item = u16>) -> u16 {
    configured.unwrap_or_else(|| inside.min().unwrap_or(USUAL).clamp(LEAST, USUAL))
}

/// The largest packet that is worth a probe towards a peer.
pub(crate) fn ceiling(of_device: u16, inside: Option<u16>) -> u16 {
    inside.map_or(of_device, |inside| inside.min(of_device))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(configured: Option<u16>, inside: &[u16]) -> u16 {
        of_device(configured, inside.iter().copied())
    }

    #[test]
    fn the_headers_of_either_family_are_taken_off() {
        assert_eq!(inside(1500, "203.0.113.1".parse().unwrap()), 1440);
        assert_eq!(inside(1500, "2001:db8::1".parse().unwrap()), 1420);
        assert_eq!(inside(40, "2001:db8::1".parse().unwrap()), 0);
    }

    #[test]
    fn the_device_follows_the_narrowest_path_within_bounds() {
        assert_eq!(device(None, &[]), 1420);
        assert_eq!(device(None, &[1440, 1440]), 1420);
        assert_eq!(device(None, &[1440, 1390]), 1390);
        assert_eq!(device(None, &[8940]), 1420, "more is asked for by tunnel.mtu");
        assert_eq!(device(None, &[600]), 1280);
    }

    #[test]
    fn what_is_configured_is_kept_and_a_narrower_peer_gets_less() {
        assert_eq!(device(Some(8920), &[1440]), 8920);
        assert_eq!(ceiling(8920, Some(1440)), 1440);
        assert_eq!(ceiling(1420, Some(1440)), 1420);
        assert_eq!(ceiling(1420, None), 1420);
    }
}
