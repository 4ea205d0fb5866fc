//! Mistakes in `[[wireguard_peer]]`: whose are its names, keys and addresses.

use zonemesh_config::Config;

use crate::{VALID, messages};

/// Follows the valid file, from line 31 on.
const OFFICE: &str = r#"[[wireguard_peer]]
name = "office"
public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
allowed_ips = ["10.10.20.0/24"]
endpoint = "203.0.113.70:51820"
persistent_keepalive = "25s"
"#;
const DEPOT: &str = r#"[[wireguard_peer]]
name = "depot"
public_key = "VI/UIripDSWOUs98L2VJZG4ABLzugVw7wPhVDKEwxUc="
allowed_ips = ["10.10.21.0/24", "fd00:21::/64"]
"#;

fn with(peers: &[&str]) -> String {
    format!("{VALID}{}", peers.concat())
}

/// The one message, with `from` replaced by `to` in the second of two peers.
#[track_caller]
fn depot_mistake(from: &str, to: &str, starts: &str, words: &str) {
    assert!(DEPOT.contains(from), "{from}");
    let said = messages(&with(&[OFFICE, &DEPOT.replacen(from, to, 1)]));
    assert_eq!(said.len(), 1, "{said:?}");
    let one = &said[0];
    assert!(one.starts_with(starts) && one.contains(words), "{one}");
}

#[test]
fn two_peers_are_read_with_all_that_they_have() {
    let config = Config::parse(&with(&[OFFICE, DEPOT]), "zm.toml").unwrap();
    let [office, depot] = &config.wireguard_peers[..] else { panic!("{config:?}") };
    assert_eq!((office.name.as_str(), depot.allowed_ips.len()), ("office", 2));
    assert_eq!(office.persistent_keepalive, Some(std::time::Duration::from_secs(25)));
    assert!(depot.endpoint.is_none() && depot.persistent_keepalive.is_none());
    // Alone, without any zone.
    let (alone, _) = VALID.split_once("[[peer]]").unwrap();
    let config = Config::parse(&format!("{alone}{OFFICE}"), "zm.toml").unwrap();
    assert_eq!((config.peers.len(), config.wireguard_peers.len()), (0, 1));
}

#[test]
fn its_addresses_are_nobody_elses() {
    let place = "zm.toml:40:16: wireguard_peer[1].allowed_ips[0]: ";
    for (net, whose) in [
        ("10.10.10.0/25", "overlaps 10.10.10.0/24 of this zone \"berlin\" in line 3"),
        ("10.10.0.0/16", "overlaps 10.10.10.0/24 of this zone \"berlin\" in line 3"),
        ("10.10.11.8/29", "overlaps 10.10.11.0/24 of zone \"madrid\" in line 27"),
        ("10.10.20.7/32", "overlaps 10.10.20.0/24 of the WireGuard peer \"office\" in line 34"),
    ] {
        let text = with(&[OFFICE, &DEPOT.replacen("10.10.21.0/24", net, 1)]);
        let said = messages(&text);
        assert!(said[0].starts_with(place) && said[0].contains(whose), "{said:?}");
        assert!(said[0].contains("of the WireGuard peer \"depot\""), "{said:?}");
    }
    // The tunnel addresses of this gateway and of others are found where those stand.
    for (net, key) in [
        ("10.255.0.1/32", "tunnel.addresses[0]"),
        ("10.255.0.0/24", "tunnel.addresses[0]"),
        ("10.255.0.2/32", "peer[0].tunnel_addresses[0]"),
    ] {
        let said = messages(&with(&[OFFICE, &DEPOT.replacen("10.10.21.0/24", net, 1)]));
        let is_told = |one: &String| one.contains(key) && one.contains("WireGuard peer \"depot\"");
        assert!(said.iter().any(is_told), "{net}: {said:?}");
    }
}

#[test]
fn a_default_route_and_what_is_no_subnet_are_refused_with_the_reason() {
    let at = "zm.toml:40:16: wireguard_peer[1].allowed_ips[0]: ";
    for (text, words) in [
        ("0.0.0.0/0", "name that peer's own addresses and subnets: this would take every packet"),
        ("::/0", "this would take every packet"),
        ("0.0.0.0/1", "holds the unspecified address"),
        ("128.0.0.0/1", "holds"),
        ("127.0.0.0/8", "holds loopback addresses"),
        ("10.10.21.1", "add the length after a '/'"),
        ("10.10.21.1/24", "write \"10.10.21.0/24\""),
        ("10.10.21.0/33", "a length of at most 32"),
    ] {
        depot_mistake("10.10.21.0/24", text, at, words);
    }
    depot_mistake(
        "[\"10.10.21.0/24\", \"fd00:21::/64\"]",
        "[]",
        "zm.toml:40:15: wireguard_peer[1].allowed_ips: ",
        "found an empty list",
    );
}

#[test]
fn its_key_its_name_and_its_endpoint_are_its_own() {
    let key = "VI/UIripDSWOUs98L2VJZG4ABLzugVw7wPhVDKEwxUc=";
    let at = "zm.toml:39:14: wireguard_peer[1].public_key: ";
    depot_mistake(
        key,
        "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=",
        at,
        "found the same as peer[0].wireguard_key in line 24",
    );
    depot_mistake(
        key,
        "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        at,
        "found the same as wireguard_peer[0].public_key in line 33",
    );
    depot_mistake(key, "hunter2", at, "wg show INTERFACE public-key");
    let at = "zm.toml:38:8: wireguard_peer[1].name: ";
    depot_mistake("depot", "office", at, "found the same as wireguard_peer[0].name in line 32");
    depot_mistake("depot", "berlin", at, "\"berlin\" is a zone's name (line 2)");
    depot_mistake("depot", "madrid", at, "\"madrid\" is a zone's name (line 23)");
    depot_mistake("\"depot\"", "\"The Depot\"", at, "write \"the-depot\"");
    let more = |line: &str| format!("{DEPOT}{line}\n");
    for (line, words) in [
        ("endpoint = \"203.0.113.70:51820\"", "found the same as wireguard_peer[0].endpoint"),
        ("endpoint = \"203.0.113.50:51820\"", "found the same as peer[0].endpoints[0]"),
        ("endpoint = \"203.0.113.1:51820\"", "is this gateway's own endpoint"),
        ("endpoint = \"10.10.21.9:51820\"", "which is reached through a tunnel"),
        ("endpoint = \"203.0.113.71\"", "the port is missing"),
        ("persistent_keepalive = 25", "write \"25s\" if seconds are meant"),
        ("persistent_keepalive = \"0s\"", "expected 1s to"),
        ("persistent_keepalive = \"65536s\"", "else leave it out"),
        ("presharedkey = \"x\"", "unknown key \"presharedkey\""),
    ] {
        let said = messages(&with(&[OFFICE, &more(line)]));
        let [one] = &said[..] else { panic!("{line}: {said:?}") };
        assert!(one.starts_with("zm.toml:41:") && one.contains(words), "{line}: {one}");
    }
}

#[test]
fn this_gateways_own_key_is_found_with_its_place() {
    let config = Config::parse(&with(&[OFFICE, DEPOT]), "zm.toml").unwrap();
    let (own_zone, own) = (config.peers[0].zone_key, config.wireguard_peers[1].public_key);
    let mut errors =
        config.check_keys(own, own_zone).unwrap_err().iter().cloned().collect::<Vec<_>>();
    errors.retain(|error| error.key.starts_with("wireguard_peer"));
    let [one] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!((one.line, one.key.as_str()), (39, "wireguard_peer[1].public_key"));
    assert_eq!(one.found, "found this gateway's own WireGuard key");
}
