//! `[[peer]]` and `[[wireguard_peer]]` sections that this gateway cannot use: the others run without
//! them.
//!
//! The reading of the file has left out what is wrong in itself; here comes what only this machine can
//! say: a preshared key that is not there, a key of this gateway's own. Promises that a peer never runs
//! with less protection than its section asks for, and that what it owns stays barred in the clear. Of a
//! file without one good `[[peer]]` of those it has nothing is left out: the start is refused.

use std::path::Path;

use zonemesh_config::{Config, LeftOutPeer, PeerSettings, WireGuardPeerSettings};
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};

use crate::facts::disk::{barred, keys};
use crate::facts::ledger::Ledger;

/// This gateway's own keys, as far as they are made already.
struct PresentKeys {
    wireguard: Option<WireGuardPublicKey>,
    zone: Option<ZonePublicKey>,
}

impl PresentKeys {
    fn of(config: &Config) -> Self {
        let (wireguard, zone) =
            (&config.tunnel.private_key_file, &config.registry.identity_key_file);
        let wireguard = wireguard.exists().then(|| keys::wireguard(wireguard).ok()).flatten();
        let zone = zone.exists().then(|| keys::zone_identity(zone).ok()).flatten();
        Self {
            wireguard: wireguard.map(|key| key.public_key()),
            zone: zone.map(|key| key.public_key()),
        }
    }

    /// The key of its section at which something stands that cannot be used, and what.
    fn trouble_of(&self, peer: &PeerSettings) -> Option<(&'static str, String)> {
        if self.wireguard == Some(peer.wireguard_key) {
            return Some(("wireguard_key", "found this gateway's own WireGuard key".to_owned()));
        }
        if self.zone == Some(peer.zone_key) {
            return Some(("zone_key", "found this gateway's own zone key".to_owned()));
        }
        preshared_trouble(peer.preshared_key_file.as_deref())
    }

    /// The same of a plain peer.
    fn trouble_of_plain(&self, peer: &WireGuardPeerSettings) -> Option<(&'static str, String)> {
        if self.wireguard == Some(peer.public_key) {
            return Some(("public_key", "found this gateway's own WireGuard key".to_owned()));
        }
        preshared_trouble(peer.preshared_key_file.as_deref())
    }
}

fn preshared_trouble(file: Option<&Path>) -> Option<(&'static str, String)> {
    let unreadable = keys::preshared(file?).err()?;
    Some(("preshared_key_file", format!("{:#}", unreadable.into_error())))
}

/// Leaves out what cannot be used, and has what was barred last stay so while a section is.
pub(crate) fn settle(config: &mut Config) {
    let own = PresentKeys::of(config);
    let troubles: Vec<_> = config.peers.iter().map(|peer| own.trouble_of(peer)).collect();
    if troubles.iter().any(Option::is_none) {
        // From the end, so that the numbers of the others stay.
        for (index, trouble) in troubles.into_iter().enumerate().rev() {
            if let Some((key, found)) = trouble {
                config.leave_out(index, key, &found);
            }
        }
    }
    let troubles: Vec<_> =
        config.wireguard_peers.iter().map(|peer| own.trouble_of_plain(peer)).collect();
    for (index, trouble) in troubles.into_iter().enumerate().rev() {
        if let Some((key, found)) = trouble {
            config.leave_out_wireguard_peer(index, key, &found);
        }
    }
    // What a section owns may be what cannot be read in it.
    let kept = barred::read(&config.gateway.state_dir).unwrap_or_default();
    if let Some(first) = config.left_out.iter_mut().find(|peer| peer.is_zone()) {
        first.networks.extend(kept.lasting);
    }
    if let Some(first) = config.left_out.iter_mut().find(|peer| !peer.is_zone()) {
        first.networks.extend(kept.written);
    }
}

/// Says what is left out. What neighbours bring of those zones is no fault of theirs.
pub(crate) fn tell(config: &Config, ledger: &Ledger) {
    if config.left_out.iter().any(LeftOutPeer::is_zone) {
        ledger.expect_strangers();
    }
    let findings = ledger.findings();
    for finding in config.left_out.iter().filter_map(LeftOutPeer::finding) {
        tracing::error!("{finding}; {}", finding.fix.spelled());
        findings.raise(finding);
    }
}
