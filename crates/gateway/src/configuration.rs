//! The configuration that follows from CONTEXT. Pure.
//!
//! It promises a text that the daemon takes, and that whatever CONTEXT says comes before what OneGate
//! says. It refuses to write files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use zonemesh_config::{Config, ConfigErrors, Endpoint};

use crate::settings::{ContextWireGuardPeer, WantedGateway, ZoneValues};
use crate::written::{WantedFile, WantedSecret};

/// What people read below the first line.
const NOTE: &str = "# Whoever edits this file is its source from then on, and CONTEXT counts no more; \
                    without it,\n# or with the edit undone, CONTEXT counts again: zonemesh-gateway(8).\n";

/// What the peer that CONTEXT gives is called.
const WIREGUARD_PEER: &str = "wg-peer";

/// Above endpoints that CONTEXT does not say.
const HINTED: &str = "# As OneGate knows this VM; ONEAPP_ZONEMESH_ENDPOINT says it for certain.\n";

/// What CONTEXT asks for, to stand in `file`. `hint` is what OneGate knows of this VM's outer addresses,
/// which counts where nobody else says any.
///
/// # Errors
/// The daemon would not take it.
pub(crate) fn wanted(
    wanted: &WantedGateway,
    hint: &[Endpoint],
    file: &Path,
) -> Result<WantedFile, ConfigErrors> {
    let place = secret_file(file);
    let (key, text, contents) = match wanted {
        WantedGateway::Whole(text) => ("ONEAPP_ZONEMESH_CONFIG", text.clone(), None),
        WantedGateway::Values(values) => {
            let mut text = format!("{NOTE}\n{}", from_values(values, hint));
            if let Some(peer) = &values.wireguard_peer {
                text.push_str(&peer_section(peer, &place));
            }
            let secret = values.wireguard_peer.as_ref().and_then(|peer| peer.preshared_key.clone());
            ("ONEAPP_ZONEMESH_INVITATION", text, secret)
        }
    };
    Config::parse(&text, "the configuration that follows from CONTEXT")?;
    Ok(WantedFile { key, text, secret: WantedSecret { place, contents } })
}

/// Where the secret of a WireGuard peer from CONTEXT lies: beside the configuration.
fn secret_file(file: &Path) -> PathBuf {
    let beside = file.with_file_name(format!("{WIREGUARD_PEER}.psk"));
    std::path::absolute(&beside).unwrap_or(beside)
}

fn peer_section(peer: &ContextWireGuardPeer, secret: &Path) -> String {
    let mut text = format!(
        "\n[[wireguard_peer]]\nname = \"{WIREGUARD_PEER}\"\npublic_key = \"{}\"\nallowed_ips = {:?}\n",
        peer.public_key,
        texts(&peer.allowed_ips)
    );
    // Writing into a String does not fail.
    if let Some(endpoint) = &peer.endpoint {
        let _ = writeln!(text, "endpoint = \"{endpoint}\"");
    }
    if peer.preshared_key.is_some() {
        let _ = writeln!(text, "preshared_key_file = {:?}", secret.display().to_string());
    }
    if let Some(seconds) = peer.persistent_keepalive {
        let _ = writeln!(text, "persistent_keepalive = \"{seconds}s\"");
    }
    text
}

/// What OneGate has said once, as a text of ours has it: it counts until OneGate says something
/// else.
pub(crate) fn hinted(text: &str) -> Vec<Endpoint> {
    if !text.contains(HINTED) {
        return Vec::new();
    }
    let config = Config::parse(text, "the configuration from CONTEXT");
    config.map(|config| config.gateway.endpoints).unwrap_or_default()
}

fn from_values(values: &ZoneValues, hint: &[Endpoint]) -> String {
    let ZoneValues { given, endpoints, listen, .. } = values;
    let is_hinted = endpoints.is_empty();
    let endpoints = if is_hinted { hint } else { endpoints };
    let mut text = format!(
        "[zone]\nname = \"{}\"\nprefixes = {:?}\n\n[tunnel]\naddresses = {:?}\n",
        given.zone,
        texts(&given.prefixes),
        texts(&given.tunnel_ips)
    );
    if !endpoints.is_empty() {
        // Writing into a String does not fail.
        let source = if is_hinted { HINTED } else { "" };
        let _ = write!(text, "\n[gateway]\n{source}endpoints = {:?}\n", texts(endpoints));
    }
    let _ = write!(text, "\n[local_api]\nlisten = \"{listen}\"\n");
    for federation in &given.hosts {
        let _ = write!(text, "\n[[federation]]\nname = \"{federation}\"\n");
    }
    text
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{told, usual};

    const FILE: &str = "/etc/zonemesh/zonemesh.toml";

    #[test]
    fn a_wireguard_peer_is_a_section_and_its_secret_a_file_beside() {
        let [_, invitation] = usual();
        let secret = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";
        let values = [
            ("ONEAPP_ZONEMESH_INVITATION", invitation.as_str()),
            ("ETH0_IP", "10.10.11.1"),
            ("ONEAPP_WG_PEER_PUBLIC_KEY", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="),
            ("ONEAPP_WG_PEER_ALLOWED_IPS", "10.10.20.0/24,fd00:20::/64"),
            ("ONEAPP_WG_PEER_ENDPOINT", "[2001:db8::9]:51820"),
            ("ONEAPP_WG_PEER_PERSISTENT_KEEPALIVE", "25"),
            ("ONEAPP_WG_PEER_PRESHARED_KEY", secret),
        ];
        let wanted_of = |values: &[(&str, &str)]| {
            wanted(&told(values).unwrap().wanted.unwrap(), &[], Path::new(FILE)).unwrap()
        };
        let all = wanted_of(&values);
        let config = Config::parse(&all.text, "test").unwrap();
        let [peer] = &config.wireguard_peers[..] else { panic!("{config:?}") };
        assert_eq!((peer.name.as_str(), peer.allowed_ips.len()), (WIREGUARD_PEER, 2));
        assert_eq!(peer.endpoint, Some("[2001:db8::9]:51820".parse().unwrap()));
        assert_eq!(peer.persistent_keepalive, Some(std::time::Duration::from_secs(25)));
        let file = Path::new("/etc/zonemesh/wg-peer.psk");
        assert_eq!(peer.preshared_key_file.as_deref(), Some(file));
        assert_eq!(all.secret.place, file);
        assert_eq!(all.secret.contents.as_ref().map(|text| text.as_str()), Some(secret));
        assert!(!all.text.contains(secret));
        let without = wanted_of(&values[..2]);
        assert!(Config::parse(&without.text, "test").unwrap().wireguard_peers.is_empty());
        assert!(without.secret.contents.is_none());
    }

    fn text(values: &[(&str, &str)], hint: &[Endpoint]) -> String {
        let wanted = wanted(&told(values).unwrap().wanted.unwrap(), hint, Path::new(FILE)).unwrap();
        wanted.text
    }

    #[test]
    fn the_founder_has_its_federation_its_lan_and_its_tunnel_addresses() {
        let [bundle, invitation] = usual();
        let endpoint = ("ONEAPP_ZONEMESH_ENDPOINT", "gw.berlin.example");
        let lan = ("ETH0_IP", "10.10.10.7");
        let text = text(&[("ONEAPP_ZONEMESH_INVITATION", &bundle), endpoint, lan], &[]);
        let config = Config::parse(&text, "test").unwrap();
        assert_eq!(config.zone.name.as_str(), "berlin");
        assert_eq!(config.zone.prefixes, ["10.10.10.0/24".parse().unwrap()]);
        assert_eq!(config.gateway.endpoints, ["gw.berlin.example:51820".parse().unwrap()]);
        assert_eq!(config.local_api.unwrap().listen.to_string(), "10.10.10.7:51822");
        assert_eq!(config.federations.len(), 1);
        // Known before the first start: a founder is asked as soon as it has founded.
        assert_eq!(config.tunnel.addresses, ["10.255.0.1".parse::<std::net::IpAddr>().unwrap()]);
        assert!(!text.contains(&bundle[60..90]) && !text.contains(&invitation[60..90]));
    }

    #[test]
    fn what_onegate_knows_counts_where_context_says_nothing() {
        let [_, invitation] = usual();
        let invitation = ("ONEAPP_ZONEMESH_INVITATION", invitation.as_str());
        let hint = ["203.0.113.9:51820".parse().unwrap()];
        let lan = ("ETH0_IP", "10.10.11.1");
        let endpoints = |text: &str| Config::parse(text, "test").unwrap().gateway.endpoints;
        let with_hint = text(&[invitation, lan], &hint);
        assert_eq!((endpoints(&with_hint), hinted(&with_hint)), (hint.to_vec(), hint.to_vec()));
        assert!(endpoints(&text(&[invitation, lan], &[])).is_empty());
        let public = text(&[invitation, lan, ("ETH1_IP", "203.0.113.2")], &hint);
        assert_eq!(endpoints(&public), ["203.0.113.2:51820".parse().unwrap()]);
        assert!(hinted(&public).is_empty(), "that is no hint");
    }

    #[test]
    fn a_whole_configuration_is_not_touched() {
        let toml = "zone.name = 'berlin'\nzone.prefixes = ['10.10.10.0/24']\n[local_api]\n  listen = '0.0.0.0:51822'\n";
        assert_eq!(text(&[("ONEAPP_ZONEMESH_CONFIG", toml)], &[]), toml);
    }
}
