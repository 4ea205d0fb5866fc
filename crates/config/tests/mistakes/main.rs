//! Every mistake that a configuration file can hold, and the message that it gets.
//!
//! Each case changes one thing of a valid file and asserts the whole message, place included.

mod bounds;
mod etcd;
mod owners;
mod shape;
mod syntax;
mod values;
mod wireguard_peers;

use zonemesh_config::{Config, SECTIONS};
use zonemesh_core::finding::{Code, Finding};

pub(crate) const VALID: &str = r#"[zone]
name = "berlin"
prefixes = ["10.10.10.0/24"]
[gateway]
endpoints = ["203.0.113.1:51820"]
[tunnel]
addresses = ["10.255.0.1"]
[keepalive]
wireguard = "25s"
[registry]
port = 51821
[local_api]
listen = "10.10.10.1:51822"
[[local_api.token]]
name = "vm"
role = "superlink"
sha256 = "zmt1:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
federation = "health-eu"
expires = "2027-01-01T00:00:00Z"
[[federation]]
name = "health-eu"
[[peer]]
zone = "madrid"
wireguard_key = "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY="
zone_key = "ed25519:hhnCHgFEc5VhZi03nYYZ2cEP7KChNxVrVkqvrcLieTI="
endpoints = ["203.0.113.50:51820"]
prefixes = ["10.10.11.0/24"]
tunnel_addresses = ["10.255.0.2"]
[log]
level = "info"
"#;

pub(crate) const PARIS: &str = r#"[[peer]]
zone = "paris"
wireguard_key = "VI/UIripDSWOUs98L2VJZG4ABLzugVw7wPhVDKEwxUc="
zone_key = "ed25519:KVNVkjqvVVT2Xny25RMyHw3C0zC1l+yLvsgDuBFCiAI="
prefixes = ["10.10.12.0/24"]
tunnel_addresses = ["10.255.0.3"]
"#;

pub(crate) fn messages(text: &str) -> Vec<String> {
    let errors = Config::parse(text, "zm.toml").expect_err("the text has a mistake");
    assert!(errors.count() > 0);
    errors.iter().map(ToString::to_string).collect()
}

/// The message with `<keys of tunnel>` replaced by these keys, so that a new key is no new message.
fn expected(message: &str) -> String {
    SECTIONS.iter().fold(message.to_owned(), |message, section| {
        message.replace(&format!("<keys of {}>", section.name), &section.key_names().join(", "))
    })
}

/// The one message that the valid file gets with `from` replaced by `to`.
#[track_caller]
pub(crate) fn mistake(from: &str, to: &str, message: &str) {
    assert!(VALID.contains(from), "{from} is in the valid file");
    assert_eq!(messages(&VALID.replacen(from, to, 1)), [expected(message)]);
}

/// The one message that the valid file gets with another peer, `from` replaced by `to` in it.
#[track_caller]
pub(crate) fn peer_mistake(from: &str, to: &str, message: &str) {
    assert!(PARIS.contains(from), "{from} is in the peer");
    assert_eq!(messages(&format!("{VALID}{}", PARIS.replacen(from, to, 1))), [message]);
}

#[test]
fn the_valid_files_are_valid() {
    Config::parse(VALID, "zm.toml").unwrap();
    Config::parse(&format!("{VALID}{PARIS}"), "zm.toml").unwrap();
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_file() {
    let text = VALID
        .replace("port = 51821", "port = 0")
        .replace("name = \"berlin\"", "name = \"Berlin\"")
        .replace("10.255.0.2", "10.255.0.1")
        .replace("10.10.11.0/24", "10.10.10.0/24")
        .replace("level = \"info\"", "levle = \"info\"");
    assert_eq!(
        messages(&text),
        [
            "zm.toml:2:8: zone.name: found \"Berlin\"; expected a zone name of 1 to 63 characters a-z, 0-9 and '-'; write \"berlin\"",
            "zm.toml:11:8: registry.port: found the number 0; expected a port from 1 to 65535; leave it out for the default",
            "zm.toml:27:13: peer[0].prefixes[0]: 10.10.10.0/24 of zone \"madrid\" overlaps 10.10.10.0/24 of this zone in line 3; expected subnets that belong to one zone only; renumber one of the zones, or name only the subnets that are shared across zones",
            "zm.toml:28:21: peer[0].tunnel_addresses[0]: 10.255.0.1 of zone \"madrid\" is also the address of this zone in line 7; expected each tunnel address once; give every gateway tunnel addresses of its own",
            &expected(
                "zm.toml:30:1: log.levle: unknown key \"levle\"; expected one of <keys of log>; did you mean \"level\"?"
            )
        ]
    );
}

#[test]
fn own_keys_as_a_peers_are_found_with_their_place() {
    let config = Config::parse(VALID, "zm.toml").unwrap();
    let peer = &config.peers[0];
    let other = Config::parse(
        &VALID.replace(
            "hhnCHgFEc5VhZi03nYYZ2cEP7KChNxVrVkqvrcLieTI=",
            "KVNVkjqvVVT2Xny25RMyHw3C0zC1l+yLvsgDuBFCiAI=",
        ),
        "zm.toml",
    )
    .unwrap()
    .peers[0]
        .zone_key;
    let mut other_wg = peer.wireguard_key;
    other_wg.0[0] ^= 1;
    config.check_keys(other_wg, other).unwrap();
    let errors = config.check_keys(peer.wireguard_key, peer.zone_key).unwrap_err();
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "zm.toml:24:17: peer[0].wireguard_key: found this gateway's own WireGuard key; expected the key of zone \"madrid\"; put the peer's public key here, or remove the peer: a zone is not its own peer",
            "zm.toml:25:12: peer[0].zone_key: found this gateway's own zone key; expected the key of zone \"madrid\"; put the peer's public key here, or remove the peer: a zone is not its own peer"
        ]
    );
    let errors = config.check_keys(other_wg, peer.zone_key).unwrap_err();
    assert_eq!((errors.count(), errors.iter().next().unwrap().line), (1, 25));
}

/// The codes of the mistakes of a text, in the order of the file.
fn codes(text: &str) -> Vec<Code> {
    let errors = Config::parse(text, "zm.toml").expect_err("the text has a mistake");
    errors.iter().map(|error| error.code).collect()
}

#[test]
fn every_kind_of_mistake_has_its_code() {
    let with = |from: &str, to: &str| codes(&VALID.replacen(from, to, 1));
    assert_eq!(with("\"berlin\"", "\"berlin"), [Code::ConfigSyntax]);
    assert_eq!(with("level = ", "levle = "), [Code::ConfigUnknownKey]);
    assert_eq!(with("name = \"berlin\"\n", ""), [Code::ConfigMissingKey]);
    assert_eq!(with("port = 51821", "port = 0"), [Code::ConfigValue]);
    assert_eq!(with("10.10.11.0/24", "10.10.10.0/24"), [Code::ConfigConflict]);
}

#[test]
fn a_mistake_is_a_finding_with_its_place_as_evidence() {
    let text = VALID.replacen("port = 51821", "port = 0", 1);
    let errors = Config::parse(&text, "zm.toml").expect_err("the port is none");
    let finding = Finding::from(errors.iter().next().expect("there is one"));
    assert_eq!(
        finding.to_string(),
        "C113 zm.toml:11:8: registry.port: found the number 0, expected a port from 1 to 65535"
    );
    assert_eq!(finding.fix.as_str(), "leave it out for the default");
}
