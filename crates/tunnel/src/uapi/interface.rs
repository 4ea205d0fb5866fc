//! A tunnel as the WireGuard UAPI sees it: settings that are changed and shown piece by piece.
//!
//! Keeps what was asked for and puts it into the tunnel as a whole. A change that is refused leaves
//! everything as it was. Allowed IPs that are given to one peer leave the other.

use std::collections::BTreeMap;
use std::path::Path;

use ipnet::IpNet;
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};

use super::answer;
use super::clients::UapiDevice;
use super::request::{Errno, INVALID, PeerChange, SetRequest};
use crate::config::{TunnelConfig, TunnelPeer, TunnelZone};
use crate::error::StartError;
use crate::pace;
use crate::tunnel::Tunnel;

type Peers = BTreeMap<WireGuardPublicKey, WireGuardPeer>;

/// A peer as WireGuard knows it, with its allowed IPs: a zone with one gateway.
#[derive(Clone)]
struct WireGuardPeer {
    gateway: TunnelPeer,
    allowed_ips: Vec<IpNet>,
}

impl WireGuardPeer {
    fn new(public_key: WireGuardPublicKey) -> Self {
        let gateway = TunnelPeer {
            public_key,
            next_key: None,
            lanes: Vec::new(),
            preshared_key: None,
            endpoint: None,
            keepalive: None,
        };
        Self { gateway, allowed_ips: Vec::new() }
    }

    fn zone(&self) -> TunnelZone {
        TunnelZone {
            name: format!("{:?}", self.gateway.public_key),
            allowed_ips: self.allowed_ips.clone(),
            gateways: vec![self.gateway.clone()],
        }
    }
}

/// A tunnel whose settings come by UAPI.
pub(crate) struct WireGuardInterface {
    tunnel: Tunnel,
    config: TunnelConfig,
    /// Without one, the tunnel runs under a random key that nobody knows.
    has_private_key: bool,
    peers: Peers,
}

impl WireGuardInterface {
    /// Creates the device `name` with a random key, a free port and no peers.
    pub(crate) fn create(
        name: &str,
        mtu: u16,
        clock_file: Option<&Path>,
    ) -> Result<Self, StartError> {
        let config = TunnelConfig {
            waits_for_port: false,
            outlives_device: false,
            fresh_ports: false,
            interface: name.to_owned(),
            mtu,
            listen_port: 0,
            lanes: 1,
            realtime: pace::may_be_realtime(),
            private_key: random_key()?,
            inner_destinations: None,
            fwmark: None,
        };
        let mut tunnel = Tunnel::start(config.clone(), Vec::new())?;
        if let Some(file) = clock_file {
            let no_thread = |source| StartError::System { action: "start a thread", source };
            tunnel.keep_clock(file).map_err(no_thread)?;
        }
        Ok(Self { tunnel, config, has_private_key: false, peers: Peers::new() })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.tunnel.is_running()
    }

    /// Why packets went nowhere so far, as `reason=count` with spaces between.
    pub(crate) fn dropped(&self) -> String {
        let dropped = self.tunnel.status().dropped.into_iter();
        let counted = dropped.filter(|(_, count)| *count > 0);
        counted.map(|(reason, count)| format!("{reason}={count}")).collect::<Vec<_>>().join(" ")
    }
}

impl UapiDevice for WireGuardInterface {
    fn get(&self) -> Result<String, Errno> {
        Ok(answer::of(&self.tunnel, self.has_private_key))
    }

    fn set(&mut self, request: SetRequest) -> Result<(), Errno> {
        let mut config = self.config.clone();
        let mut has_private_key = self.has_private_key;
        if let Some(key) = request.private_key {
            has_private_key = *key.to_bytes() != [0; 32];
            config.private_key = if has_private_key {
                clamped(&key)
            } else {
                random_key().map_err(|e| errno(&e))?
            };
        }
        config.listen_port = request.listen_port.unwrap_or(config.listen_port);
        config.fwmark = request.fwmark.map_or(config.fwmark, |mark| (mark != 0).then_some(mark));
        let mut peers = if request.replace_peers { Peers::new() } else { self.peers.clone() };
        let mut owners = owners(&peers);
        // As the kernel does it: nobody is a peer of itself, and a key that becomes ours is no peer's.
        let own = config.private_key.public_key();
        remove(&own, &mut peers, &mut owners);
        for change in request.peers.into_iter().filter(|change| change.public_key != own) {
            apply(change, &mut peers, &mut owners);
        }
        let zones = peers.values().map(WireGuardPeer::zone).collect();
        self.tunnel.reconfigure(config.clone(), zones).map_err(|error| {
            tracing::warn!(%error, "a setting was refused");
            errno(&error)
        })?;
        (self.config, self.has_private_key, self.peers) = (config, has_private_key, peers);
        Ok(())
    }
}

fn owners(peers: &Peers) -> BTreeMap<IpNet, WireGuardPublicKey> {
    let all = |peer: &WireGuardPeer| {
        let key = peer.gateway.public_key;
        peer.allowed_ips.clone().into_iter().map(move |prefix| (prefix, key))
    };
    peers.values().flat_map(all).collect()
}

fn apply(change: PeerChange, peers: &mut Peers, owners: &mut BTreeMap<IpNet, WireGuardPublicKey>) {
    let key = change.public_key;
    if change.remove || (change.update_only && !peers.contains_key(&key)) {
        return remove(&key, peers, owners);
    }
    let peer = peers.entry(key).or_insert_with(|| WireGuardPeer::new(key));
    if let Some(preshared_key) = change.preshared_key {
        peer.gateway.preshared_key = preshared_key;
    }
    if change.endpoint.is_some() {
        peer.gateway.endpoint = change.endpoint;
    }
    if let Some(keepalive) = change.keepalive {
        peer.gateway.keepalive = keepalive;
    }
    if change.replace_allowed_ips {
        for prefix in peer.allowed_ips.drain(..) {
            owners.remove(&prefix);
        }
    }
    for (prefix, add) in change.allowed_ips {
        let prefix = prefix.trunc();
        // Only its owner gives a prefix away for nothing.
        if add || owners.get(&prefix) == Some(&key) {
            move_prefix(prefix, add.then_some(key), peers, owners);
        }
    }
}

fn remove(
    key: &WireGuardPublicKey,
    peers: &mut Peers,
    owners: &mut BTreeMap<IpNet, WireGuardPublicKey>,
) {
    let removed = peers.remove(key).map(|peer| peer.allowed_ips);
    for prefix in removed.unwrap_or_default() {
        owners.remove(&prefix);
    }
}

/// Takes `prefix` from its owner and gives it to another peer, or to none.
fn move_prefix(
    prefix: IpNet,
    to: Option<WireGuardPublicKey>,
    peers: &mut Peers,
    owners: &mut BTreeMap<IpNet, WireGuardPublicKey>,
) {
    let from = owners.get(&prefix).copied();
    if from == to {
        return;
    }
    owners.remove(&prefix);
    if let Some(loser) = from.and_then(|from| peers.get_mut(&from)) {
        loser.allowed_ips.retain(|held| *held != prefix);
    }
    if let Some((key, winner)) = to.and_then(|to| Some((to, peers.get_mut(&to)?))) {
        winner.allowed_ips.push(prefix);
        owners.insert(prefix, key);
    }
}

fn random_key() -> Result<WireGuardPrivateKey, StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|source| StartError::System {
        action: "draw a random key",
        source: source.into(),
    })?;
    Ok(clamped(&WireGuardPrivateKey::from_bytes(bytes)))
}

/// The key as it is used: what `wg show` prints is what was put to work (RFC 7748, section 5).
fn clamped(key: &WireGuardPrivateKey) -> WireGuardPrivateKey {
    let mut bytes = key.to_bytes();
    bytes[0] &= 248;
    bytes[31] = bytes[31] & 127 | 64;
    WireGuardPrivateKey::from_bytes(*bytes)
}

fn errno(error: &StartError) -> Errno {
    match error {
        StartError::PortInUse { .. } => Errno(libc::EADDRINUSE),
        StartError::NotPermitted { .. } | StartError::FirewallMark { .. } => Errno(libc::EPERM),
        StartError::System { source, .. } => Errno(source.raw_os_error().unwrap_or(libc::EIO)),
        _ => INVALID,
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::hex;
    use super::*;

    fn key(n: u8) -> WireGuardPublicKey {
        WireGuardPublicKey([n; 32])
    }

    fn change(peers: &mut Peers, lines: &[&str]) {
        let mut request = SetRequest::default();
        for line in lines {
            request.take_line(line).map_err(|errno| errno.0).unwrap();
        }
        let mut owners = owners(peers);
        for change in request.peers {
            apply(change, peers, &mut owners);
        }
    }

    #[test]
    fn an_allowed_ip_given_to_another_peer_leaves_the_first() {
        let (a, b) =
            (format!("public_key={}", hex(&[1; 32])), format!("public_key={}", hex(&[2; 32])));
        let mut peers = Peers::new();
        change(&mut peers, &[&a, "allowed_ip=10.1.0.0/16", "allowed_ip=10.2.0.0/16"]);
        change(&mut peers, &[&b, "allowed_ip=10.2.3.4/16"]);
        let of = |n| peers[&key(n)].allowed_ips.iter().map(IpNet::to_string).collect::<Vec<_>>();
        assert_eq!((of(1), of(2)), (vec!["10.1.0.0/16".into()], vec!["10.2.0.0/16".into()]));
        change(&mut peers, &[&a, "allowed_ip=-10.1.0.0/16", "allowed_ip=-10.2.0.0/16"]);
        let of = |n| peers[&key(n)].allowed_ips.len();
        assert_eq!((of(1), of(2)), (0, 1), "nobody takes away what another has");
    }

    #[test]
    fn update_only_makes_no_peer_and_remove_takes_one_away() {
        let a = format!("public_key={}", hex(&[1; 32]));
        let mut peers = Peers::new();
        change(&mut peers, &[&a, "update_only=true", "allowed_ip=10.1.0.0/16"]);
        assert!(peers.is_empty());
        change(&mut peers, &[&a, "allowed_ip=10.1.0.0/16", "allowed_ip=10.1.0.0/16"]);
        assert_eq!(peers[&key(1)].allowed_ips.len(), 1, "a prefix is held once");
        change(&mut peers, &[&a, "remove=true"]);
        assert!(peers.is_empty());
    }
}
