//! What a valid file becomes: values, defaults and derived values.

use std::path::Path;
use std::time::{Duration, SystemTime};

use zonemesh_config::{
    Config, Endpoint, Lanes, LogFormat, LogLevel, SECTIONS, SubjectName, TakesEffect,
};
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::token::VmRole;

const SMALLEST: &str = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\", \"fd00:10::/64\"]\n\
                        [tunnel]\naddresses = [\"10.255.0.1\", \"fd00:ff::1\"]\n";

fn parse(text: &str) -> Config {
    Config::parse(text, "zm.toml").expect("the file is valid")
}

#[test]
fn the_smallest_file_has_every_default() {
    let config = parse(SMALLEST);
    assert_eq!(config.gateway.name, "berlin-gw1");
    assert_eq!(config.gateway.state_dir, Path::new("/var/lib/zonemesh"));
    assert_eq!(config.gateway.admin_socket, Path::new("/run/zonemesh/admin.sock"));
    assert_eq!(config.gateway.endpoints, []);
    assert_eq!((config.tunnel.interface.as_str(), config.tunnel.mtu), ("zm0", None));
    assert_eq!(config.probes.interval, Duration::from_secs(1));
    assert_eq!((config.tunnel.listen_port, config.registry.port), (51820, 51821));
    assert_eq!(config.tunnel.private_key_file, Path::new("/var/lib/zonemesh/wireguard.key"));
    assert_eq!(config.registry.identity_key_file, Path::new("/var/lib/zonemesh/zone.key"));
    assert_eq!(config.keepalive.wireguard, Duration::from_secs(25));
    assert_eq!(config.keepalive.grpc_interval, Duration::from_secs(60));
    assert_eq!(config.keepalive.grpc_timeout, Duration::from_secs(20));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    assert!(config.local_api.is_none() && config.peers.is_empty() && config.federations.is_empty());
}

#[test]
fn the_smallest_section_of_etcd_has_every_default() {
    let text = format!("{SMALLEST}[registry.etcd]\nendpoints = [\"http://10.10.10.9:2379\"]\n");
    let etcd = parse(&text).registry.etcd.expect("the section is there");
    assert_eq!((etcd.prefix.as_str(), etcd.streams), ("/zonemesh", true));
    assert!(etcd.ca_file.is_none() && etcd.key_file.is_none() && etcd.user.is_none());
}

#[test]
fn the_default_keepalives_are_those_of_the_law() {
    assert_eq!(parse(SMALLEST).keepalive, Keepalive::DEFAULT);
}

#[test]
fn a_reload_takes_every_key_but_who_the_gateway_is_and_what_is_opened_once() {
    let keys = SECTIONS.into_iter().flat_map(|section| {
        section.keys.iter().map(move |key| (format!("{}.{}", section.name, key.name), key.effect))
    });
    let (mut refused, mut anew) = (Vec::new(), Vec::new());
    for (key, effect) in keys {
        match effect {
            TakesEffect::OnRestart => refused.push(key),
            TakesEffect::Anew => anew.push(key),
            TakesEffect::OnReload => {}
        }
    }
    assert_eq!(
        refused,
        [
            "zone.name",
            "gateway.name",
            "gateway.state_dir",
            "tunnel.interface",
            "tunnel.private_key_file",
            "registry.identity_key_file",
        ]
    );
    assert_eq!(
        anew,
        [
            "gateway.wg_sockets",
            "tunnel.addresses",
            "tunnel.listen_port",
            "tunnel.lanes",
            "tunnel.realtime",
            "registry.port",
            "http.listen",
        ]
    );
}

#[test]
fn key_files_follow_the_state_folder() {
    let config = parse(&format!("{SMALLEST}[gateway]\nstate_dir = \"/srv/zm\"\n"));
    assert_eq!(config.tunnel.private_key_file, Path::new("/srv/zm/wireguard.key"));
    assert_eq!(config.registry.identity_key_file, Path::new("/srv/zm/zone.key"));
}

#[test]
fn every_value_of_the_example_arrives() {
    let config = parse(include_str!("../../../configs/zonemesh.example.toml"));
    let api = config.local_api.as_ref().unwrap();
    assert_eq!(api.listen.to_string(), "10.10.10.1:51822");
    assert_eq!(api.tokens[0].sha256.as_bytes()[..2], [0x14, 0x80]);
    assert_eq!(api.tokens[0].role, VmRole::SuperLink);
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600);
    assert_eq!(api.tokens[0].expires, Some(end));
    let sans = &config.federations[0].extra_sans;
    assert_eq!(sans[0], SubjectName::Dns("superlink.example.org".to_owned()));
    assert_eq!(sans[1], SubjectName::Ip("198.51.100.20".parse().unwrap()));
    let peer = &config.peers[0];
    assert_eq!(peer.endpoints[0], Endpoint::Address("203.0.113.50:51820".parse().unwrap()));
    let name = Endpoint::Name { host: "gw.madrid.example.org".to_owned(), port: 51820 };
    assert_eq!(peer.endpoints[1], name);
    assert_eq!(peer.preshared_key_file.as_deref(), Some(Path::new("/etc/zonemesh/madrid.psk")));
}

#[test]
fn a_number_may_be_written_in_every_way_that_toml_has() {
    for number in ["0xca6c", "51_820", "+51820"] {
        let config = parse(&format!("{SMALLEST}listen_port = {number}\n"));
        assert_eq!(config.tunnel.listen_port, 51820, "{number}");
    }
}

#[test]
fn automatic_lanes_are_one_below_four_cores_and_then_half_the_cores_up_to_four() {
    let auto = |cores| parse(&format!("{SMALLEST}lanes = \"auto\"\n")).tunnel.lanes.count(cores);
    let counts: Vec<_> = [1, 2, 3, 4, 5, 6, 8, 64].map(auto).to_vec();
    assert_eq!(counts, [1, 1, 1, 2, 2, 3, 4, 4]);
    assert_eq!(parse(&format!("{SMALLEST}lanes = 8\n")).tunnel.lanes.count(2), 8);
}

#[test]
fn a_tunnel_has_one_lane_on_any_machine_unless_more_are_asked_for() {
    assert_eq!(parse(SMALLEST).tunnel.lanes, Lanes::Count(1));
    assert_eq!(parse(SMALLEST).tunnel.lanes.count(64), 1);
}

#[test]
fn every_value_knows_its_place_and_a_default_says_so() {
    let config = parse(SMALLEST);
    assert_eq!(config.describe_place("tunnel.addresses[1]"), "zm.toml:5:28: tunnel.addresses[1]");
    let default = config.describe_place("tunnel.private_key_file");
    assert_eq!(default, "zm.toml: tunnel.private_key_file (its default)");
}

#[test]
fn what_is_valid_and_rarely_meant_is_noted() {
    assert!(parse(SMALLEST).notes().is_empty());
    let peer = "[[peer]]\nzone = \"madrid\"\n\
        wireguard_key = \"wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=\"\n\
        zone_key = \"ed25519:hhnCHgFEc5VhZi03nYYZ2cEP7KChNxVrVkqvrcLieTI=\"\n\
        prefixes = [\"10.10.11.0/24\"]\ntunnel_addresses = [\"10.255.0.2\"]\n";
    let endpoints =
        "endpoints = [\"127.0.0.1:1\", \"203.0.113.1:1\", \"localhost:1\", \"[::1]:1\"]\n";
    let notes = parse(&format!("{SMALLEST}mtu = 9000\n{peer}{endpoints}")).notes();
    assert_eq!(
        notes,
        [
            "peer[0].endpoints[0]: 127.0.0.1:1 is the machine itself for whoever dials it",
            "peer[0].endpoints[2]: localhost:1 is the machine itself for whoever dials it",
            "peer[0].endpoints[3]: [::1]:1 is the machine itself for whoever dials it",
            "tunnel.mtu: 9000 bytes pass only where the underlay carries more than 1500; \
             each path is probed and cut to what it carries",
        ]
    );
}

#[test]
fn a_gateway_of_a_managed_mesh_may_leave_its_tunnel_addresses_to_the_grant() {
    let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n";
    let config = Config::parse(text, "zm.toml").unwrap();
    assert!(config.tunnel.addresses.is_empty());
}
