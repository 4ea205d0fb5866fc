//! A tunnel that belongs to a gateway agent, as the WireGuard UAPI sees it.
//!
//! Shown in full. Its key, port and peers come from the agent's configuration and registry, which
//! would put back at the next change whatever was set here: that is refused. Where a peer is, is
//! learnt from the peer in any case: that may be told.

use std::sync::{Arc, Weak};

use super::answer;
use super::clients::UapiDevice;
use super::request::{Errno, PeerChange, SetRequest};
use crate::tunnel::Tunnel;

const UNSUPPORTED: Errno = Errno(libc::EOPNOTSUPP);
const GONE: Errno = Errno(libc::ENODEV);

/// Somebody else's tunnel.
pub(super) struct ManagedInterface {
    tunnel: Weak<Tunnel>,
    instead: &'static str,
}

impl ManagedInterface {
    pub(super) fn new(tunnel: &Arc<Tunnel>, instead: &'static str) -> Self {
        Self { tunnel: Arc::downgrade(tunnel), instead }
    }
}

impl UapiDevice for ManagedInterface {
    fn get(&self) -> Result<String, Errno> {
        Ok(answer::of(&*self.tunnel.upgrade().ok_or(GONE)?, true))
    }

    fn set(&mut self, request: SetRequest) -> Result<(), Errno> {
        let tunnel = self.tunnel.upgrade().ok_or(GONE)?;
        let knows = |change: &PeerChange| tunnel.knows(&change.public_key);
        let setting = first_of_the_interface(&request)
            .or_else(|| request.peers.iter().find_map(|peer| first_of_a_peer(peer, knows(peer))));
        if let Some(setting) = setting {
            tracing::warn!(
                setting,
                "a setting by wg was refused: zonemeshd manages this interface; {}",
                self.instead
            );
            return Err(UNSUPPORTED);
        }
        for change in &request.peers {
            if let Some(endpoint) = change.endpoint {
                let known = tunnel.set_endpoint(&change.public_key, endpoint);
                tracing::info!(peer = ?change.public_key, %endpoint, known, "an endpoint was told by wg");
            }
        }
        Ok(())
    }
}

/// What a request would change of the interface, by its name in the UAPI.
fn first_of_the_interface(request: &SetRequest) -> Option<&'static str> {
    let asked = [
        ("private_key", request.private_key.is_some()),
        ("listen_port", request.listen_port.is_some()),
        ("fwmark", request.fwmark.is_some()),
        ("replace_peers", request.replace_peers),
    ];
    asked.into_iter().find_map(|(name, is_asked)| is_asked.then_some(name))
}

/// What a change would do to a peer beside telling where it is.
fn first_of_a_peer(change: &PeerChange, known: bool) -> Option<&'static str> {
    let asked = [
        ("remove", change.remove),
        ("preshared_key", change.preshared_key.is_some()),
        ("persistent_keepalive_interval", change.keepalive.is_some()),
        ("replace_allowed_ips", change.replace_allowed_ips),
        ("allowed_ip", !change.allowed_ips.is_empty()),
        ("public_key", !known && !change.update_only),
    ];
    asked.into_iter().find_map(|(name, is_asked)| is_asked.then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "public_key=00000000000000000000000000000000000000000000000000000000000000ab";

    fn refused(lines: &[&str], known: bool) -> Option<&'static str> {
        let mut request = SetRequest::default();
        for line in lines {
            request.take_line(line).map_err(|errno| errno.0).unwrap();
        }
        first_of_the_interface(&request)
            .or_else(|| request.peers.iter().find_map(|peer| first_of_a_peer(peer, known)))
    }

    #[test]
    fn where_a_peer_is_may_be_told() {
        assert_eq!(refused(&[KEY, "endpoint=192.0.2.1:51820"], true), None);
        assert_eq!(refused(&[KEY, "update_only=true", "endpoint=192.0.2.1:1"], false), None);
    }

    #[test]
    fn whatever_the_registry_decides_is_refused_by_its_name() {
        let zeros = format!("preshared_key={}", "0".repeat(64));
        let private = format!("private_key={}", "1".repeat(64));
        for line in [private.as_str(), "listen_port=1", "fwmark=1", "replace_peers=true"] {
            assert_eq!(refused(&[line], true), line.split('=').next());
        }
        for line in [
            "remove=true",
            zeros.as_str(),
            "persistent_keepalive_interval=25",
            "replace_allowed_ips=true",
            "allowed_ip=10.0.0.0/8",
        ] {
            assert_eq!(refused(&[KEY, line], true), line.split('=').next());
        }
        assert_eq!(refused(&[KEY], false), Some("public_key"), "a peer would be added");
    }
}
