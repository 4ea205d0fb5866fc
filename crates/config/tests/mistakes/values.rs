//! Mistakes in single values: names, prefixes, keys, numbers, paths, durations, words.

use crate::{VALID, messages, mistake};

#[test]
fn a_name_that_is_no_dns_label_gets_a_suggestion() {
    mistake(
        "\"berlin\"",
        "\"Berlin_1\"",
        "zm.toml:2:8: zone.name: found \"Berlin_1\"; expected a zone name of 1 to 63 characters a-z, 0-9 and '-'; write \"berlin-1\"",
    );
    mistake(
        "\"berlin\"",
        "\"\"",
        "zm.toml:2:8: zone.name: found \"\"; expected a zone name of 1 to 63 characters a-z, 0-9 and '-'; a name has 1 to 63 characters, this one has 0",
    );
    mistake(
        "[gateway]",
        "[gateway]\nname = \"gw.1\"",
        "zm.toml:5:8: gateway.name: found \"gw.1\"; expected a gateway name of 1 to 63 characters a-z, 0-9 and '-'; write \"gw-1\"",
    );
    let long = "x".repeat(63);
    let message = format!(
        "zm.toml:2:8: gateway.name: the default \"{long}-gw1\" has 67 characters; expected a gateway name \
         of 1 to 63 characters; add name = \"gw1\" to [gateway]"
    );
    mistake("\"berlin\"", &format!("\"{long}\""), &message);
    mistake(
        "name = \"vm\"",
        "name = \"\"",
        "zm.toml:15:8: local_api.token[0].name: found \"\"; expected a name of 1 to 64 printable characters; name the VM or its owner",
    );
}

#[test]
fn a_prefix_with_host_bits_is_shown_masked() {
    mistake(
        "10.10.10.0/24",
        "10.010.10.0/24",
        "zm.toml:3:13: zone.prefixes[0]: found \"10.010.10.0/24\", where a zero leads; expected a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"; write \"10.10.10.0/24\" if that is meant",
    );
    mistake(
        "10.10.10.0/24",
        "10.10.10.7/24",
        "zm.toml:3:13: zone.prefixes[0]: found \"10.10.10.7/24\", which has host bits set; expected a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"; write \"10.10.10.0/24\"",
    );
    mistake(
        "10.10.10.0/24",
        "0.0.0.0/0",
        "zm.toml:3:13: zone.prefixes[0]: found \"0.0.0.0/0\"; expected a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"; name the zone's own subnets: this would take every packet",
    );
    mistake(
        "10.10.10.0/24",
        "169.254.0.0/16",
        "zm.toml:3:13: zone.prefixes[0]: found \"169.254.0.0/16\", which holds link-local addresses; expected a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"; name the zone's own subnets",
    );
    mistake(
        "10.10.10.0/24",
        "10.10.10.0",
        "zm.toml:3:13: zone.prefixes[0]: found \"10.10.10.0\"; expected a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"; add the length after a '/'",
    );
    mistake(
        "10.10.10.0/24",
        "10.10.10.0/33",
        "zm.toml:3:13: zone.prefixes[0]: found \"10.10.10.0/33\"; expected a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"; write the address, a '/' and a length of at most 32 (IPv4) or 128 (IPv6)",
    );
}

#[test]
fn a_bad_key_is_described_but_not_repeated() {
    mistake(
        "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=",
        "wN48",
        "zm.toml:24:17: peer[0].wireguard_key: found 4 characters: a key has 32 bytes (44 characters of base64), this one has 3; expected the peer's WireGuard public key, 44 characters of base64; ask the peer for what `zonemesh key public /var/lib/zonemesh/wireguard.key` prints",
    );
    mistake(
        "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=",
        "not base64",
        "zm.toml:24:17: peer[0].wireguard_key: found 10 characters: a key is 44 characters of base64; expected the peer's WireGuard public key, 44 characters of base64; ask the peer for what `zonemesh key public /var/lib/zonemesh/wireguard.key` prints",
    );
    mistake(
        "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "zm.toml:24:17: peer[0].wireguard_key: found 32 zero bytes: the key is a placeholder; expected the peer's WireGuard public key, 44 characters of base64; ask the peer for what `zonemesh key public /var/lib/zonemesh/wireguard.key` prints",
    );
    mistake(
        "ed25519:hhnC",
        "hhnC",
        "zm.toml:25:12: peer[0].zone_key: found 44 characters: a zone key starts with \"ed25519:\" (is this a WireGuard key?); expected the peer's zone public key, \"ed25519:\" and 44 characters of base64; ask the peer for what `zonemesh key public /var/lib/zonemesh/zone.key` prints",
    );
}

#[test]
fn numbers_have_their_ranges() {
    mistake(
        "port = 51821",
        "port = 0",
        "zm.toml:11:8: registry.port: found the number 0; expected a port from 1 to 65535; leave it out for the default",
    );
    mistake(
        "port = 51821",
        "port = 65536",
        "zm.toml:11:8: registry.port: found the number 65536; expected a port from 1 to 65535; leave it out for the default",
    );
    mistake(
        "[tunnel]",
        "[tunnel]\nmtu = 1279",
        "zm.toml:7:7: tunnel.mtu: found the number 1279; expected 1280 to 65455 bytes; leave it out, or take the path's MTU less 80 (1420 on Ethernet); IPv6 needs at least 1280",
    );
    mistake(
        "[tunnel]",
        "[tunnel]\nmtu = 65456",
        "zm.toml:7:7: tunnel.mtu: found the number 65456; expected 1280 to 65455 bytes; leave it out, or take the path's MTU less 80 (1420 on Ethernet); IPv6 needs at least 1280",
    );
    mistake(
        "[tunnel]",
        "[tunnel]\nlisten_port = -1",
        "zm.toml:7:15: tunnel.listen_port: found the number -1; expected a port from 1 to 65535; leave it out for the default",
    );
    for (lanes, found) in [("0", "the number 0"), ("9", "the number 9"), ("\"all\"", "a text")] {
        let expected = format!(
            "zm.toml:7:9: tunnel.lanes: found {found}; expected \"auto\" or 1 to 8 lanes; leave it out: each lane needs a core of its own on both gateways"
        );
        mistake("[tunnel]", &format!("[tunnel]\nlanes = {lanes}"), &expected);
    }
    mistake(
        "10.10.10.1:51822",
        "10.10.10.1:0",
        "zm.toml:13:10: local_api.listen: found \"10.10.10.1:0\"; expected an IP address with a port, such as \"10.10.10.1:51822\"; give a port from 1 to 65535: VMs must know it beforehand",
    );
}

#[test]
fn probes_are_neither_a_flood_nor_too_rare_to_tell() {
    for (interval, found) in [("99ms", "99ms"), ("6s", "6s")] {
        let expected = format!(
            "zm.toml:7:12: probes.interval: found {found}; expected 100ms to 5s; \"1s\" is usual: a cut is then seen after 6s"
        );
        let section = format!("[probes]\ninterval = \"{interval}\"\n[tunnel]");
        mistake("[tunnel]", &section, &expected);
    }
}

#[test]
fn an_interface_name_fits_the_kernel() {
    for name in ["sixteen-letters-", "a/b", "a b", "", "%d", "zm%d", "zm%", "zm\u{e0}"] {
        let text = VALID.replace("[tunnel]", &format!("[tunnel]\ninterface = \"{name}\""));
        assert_eq!(
            messages(&text),
            [format!(
                "zm.toml:7:13: tunnel.interface: found \"{name}\"; expected an interface name of 1 to 15 \
                 bytes without '/', ':', '%' and spaces; \"zm0\" is usual"
            )]
        );
    }
    for name in ["all", "default", "lo", ".", ".."] {
        let said =
            messages(&VALID.replace("[tunnel]", &format!("[tunnel]\ninterface = \"{name}\"")));
        let kept =
            format!("found \"{name}\", which the kernel keeps for itself; expected an inter");
        assert!(said.len() == 1 && said[0].contains(&kept), "{said:?}");
    }
}

#[test]
fn paths_are_absolute_and_sockets_short() {
    mistake(
        "[gateway]",
        "[gateway]\nstate_dir = \"state\"",
        "zm.toml:5:13: gateway.state_dir: found \"state\"; expected an absolute path; begin it with '/': a service starts in a folder of the system's choice",
    );
    let long = format!("[gateway]\nadmin_socket = \"/{}\"", "x".repeat(107));
    mistake(
        "[gateway]",
        &long,
        "zm.toml:5:16: gateway.admin_socket: found a path of 108 bytes; expected at most 107 bytes, the limit of unix sockets; choose a shorter folder, such as /run/zonemesh",
    );
}

#[test]
fn durations_carry_units_and_keepalives_have_limits() {
    mistake(
        "wireguard = \"25s\"",
        "wireguard = 25",
        "zm.toml:9:13: keepalive.wireguard: found the number 25; expected a duration with its unit, such as \"25s\"; write \"25s\" if seconds are meant",
    );
    mistake(
        "wireguard = \"25s\"",
        "wireguard = \"25\"",
        "zm.toml:9:13: keepalive.wireguard: found \"25\"; expected a duration with its unit, such as \"25s\"; time unit needed, for example 25sec or 25ms",
    );
    mistake(
        "wireguard = \"25s\"",
        "wireguard = \"0s\"",
        "zm.toml:9:13: keepalive.wireguard: found 0s; expected 1s to 29s; a NAT forgets an idle mapping after 30s: \"25s\" is usual",
    );
    mistake(
        "wireguard = \"25s\"",
        "wireguard = \"4m\"",
        "zm.toml:9:13: keepalive.wireguard: found 4m; expected 1s to 29s; a NAT forgets an idle mapping after 30s: \"25s\" is usual",
    );
    mistake(
        "wireguard = \"25s\"",
        "grpc_interval = \"2s\"",
        "zm.toml:9:17: keepalive.grpc_interval: found 2s; expected at least 30s; servers cut connections that ping more often (too_many_pings)",
    );
    mistake(
        "wireguard = \"25s\"",
        "grpc_timeout = \"61s\"",
        "zm.toml:9:16: keepalive.grpc_timeout: found 1m 1s; expected less than grpc_interval, 1m; a PING is given up before the next is due: \"20s\" is usual",
    );
}

#[test]
fn log_settings_are_words_of_a_list() {
    mistake(
        "\"info\"",
        "\"inof\"",
        "zm.toml:30:9: log.level: found \"inof\"; expected one of error, warn, info, debug, trace; did you mean \"info\"?",
    );
    mistake(
        "level = \"info\"",
        "level = \"Verbose\"",
        "zm.toml:30:9: log.level: found \"Verbose\"; expected one of error, warn, info, debug, trace; write \"debug\"",
    );
    mistake(
        "level = \"info\"",
        "format = \"xml\"",
        "zm.toml:30:10: log.format: found \"xml\"; expected one of text, json; write \"text\"",
    );
}

#[test]
fn states_are_shown_on_loopback_alone() {
    mistake(
        "[log]",
        "[http]\nlisten = \"10.10.10.1:9824\"\n[log]",
        "zm.toml:30:10: http.listen: 10.10.10.1 is reached from outside this machine; expected a loopback address; write \"127.0.0.1:9824\"; a probe from outside runs: zonemesh health",
    );
    mistake(
        "[log]",
        "[http]\nlisten = \"[::]:9824\"\n[log]",
        "zm.toml:30:10: http.listen: :: is reached from outside this machine; expected a loopback address; write \"127.0.0.1:9824\"; a probe from outside runs: zonemesh health",
    );
}

#[test]
fn the_sockets_of_wg_are_in_a_folder_or_off() {
    mistake(
        "[gateway]",
        "[gateway]\nwg_sockets = \"none\"",
        "zm.toml:5:14: gateway.wg_sockets: found \"none\"; expected an absolute path, or \"off\"; begin it with '/': a service starts in a folder of the system's choice",
    );
    let long = format!("/{}", "x".repeat(86));
    mistake(
        "[gateway]",
        &format!("[gateway]\nwg_sockets = \"{long}\""),
        "zm.toml:5:14: gateway.wg_sockets: found a path of 87 bytes; expected at most 86 bytes, so that a unix socket in it has a name; leave it out: `wg` looks in /var/run/wireguard",
    );
}
