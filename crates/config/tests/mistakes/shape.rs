//! Mistakes in the shape of the file: syntax, keys, kinds of values.

use crate::mistake;

#[test]
fn an_unknown_key_gets_a_suggestion() {
    mistake(
        "[tunnel]",
        "[tunnel]\nadresses = []",
        "zm.toml:7:1: tunnel.adresses: unknown key \"adresses\"; expected one of <keys of tunnel>; did you mean \"addresses\"?",
    );
    mistake(
        "[tunnel]",
        "[tunnel]\nlisten-port = 1",
        "zm.toml:7:1: tunnel.listen-port: unknown key \"listen-port\"; expected one of <keys of tunnel>; did you mean \"listen_port\"?",
    );
    mistake(
        "[gateway]",
        "[gateway]\nmtu = 1420",
        "zm.toml:5:1: gateway.mtu: unknown key \"mtu\"; expected one of <keys of gateway>; move it to [tunnel]",
    );
    mistake(
        "[tunnel]",
        "[tunnel]\nqqq = 1",
        "zm.toml:7:1: tunnel.qqq: unknown key \"qqq\"; expected one of <keys of tunnel>; remove it",
    );
    mistake(
        "[log]",
        "[logs]",
        "zm.toml:29:2: logs: unknown section \"logs\"; expected one of zone, gateway, tunnel, keepalive, probes, registry, mesh, join, local_api, federation, peer, wireguard_peer, log, http; did you mean \"log\"?",
    );
    mistake(
        "wireguard = \"25s\"",
        "wiregard = \"25s\"",
        "zm.toml:9:1: keepalive.wiregard: unknown key \"wiregard\"; expected one of <keys of keepalive>; did you mean \"wireguard\"?",
    );
}

#[test]
fn what_is_missing_is_named() {
    mistake(
        "name = \"berlin\"\n",
        "",
        "zm.toml:1:1: zone.name: the key is missing; expected name in [zone]; add a line such as name = \"berlin\"",
    );
    mistake(
        "prefixes = [\"10.10.10.0/24\"]\n",
        "",
        "zm.toml:1:1: zone.prefixes: the key is missing; expected prefixes in [zone]; add a line such as prefixes = [\"10.10.10.0/24\"]",
    );
    mistake(
        "prefixes = [\"10.10.11.0/24\"]",
        "prefixes = []",
        "zm.toml:27:12: peer[0].prefixes: found an empty list; expected at least one item; write for example prefixes = [\"10.10.11.0/24\"]",
    );
    mistake(
        "addresses = [\"10.255.0.1\"]\n",
        "",
        "zm.toml:22:8: tunnel.addresses: nothing is written, and a mesh by hand grants no address; expected this gateway's address inside the tunnels; add addresses = [\"10.255.0.1\"] to [tunnel]",
    );
    mistake(
        "[tunnel]\naddresses = [\"10.255.0.1\"]\n",
        "",
        "zm.toml:21:8: tunnel.addresses: nothing is written, and a mesh by hand grants no address; expected this gateway's address inside the tunnels; add addresses = [\"10.255.0.1\"] to [tunnel]",
    );
    mistake(
        "listen = \"10.10.10.1:51822\"\n",
        "",
        "zm.toml:12:1: local_api.listen: the key is missing; expected listen in [local_api]; add a line such as listen = \"10.10.10.1:51822\"",
    );
    mistake(
        "zone_key = \"ed25519:hhnCHgFEc5VhZi03nYYZ2cEP7KChNxVrVkqvrcLieTI=\"\n",
        "",
        "zm.toml:22:1: peer[0].zone_key: the key is missing; expected zone_key in [[peer]]; add a line such as zone_key = \"ed25519:...\", the public key that the peer gives you",
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_named() {
    mistake(
        "name = \"berlin\"",
        "name = 7",
        "zm.toml:2:8: zone.name: found the number 7; expected a zone name of 1 to 63 characters a-z, 0-9 and '-'; write it in quotes",
    );
    mistake(
        "prefixes = [\"10.10.10.0/24\"]",
        "prefixes = \"10.10.10.0/24\"",
        "zm.toml:3:12: zone.prefixes: found a text; expected a list in brackets; write prefixes = [\"...\"]",
    );
    mistake(
        "port = 51821",
        "port = \"51821\"",
        "zm.toml:11:8: registry.port: found a text; expected a port from 1 to 65535; write a number without quotes",
    );
    mistake(
        "[registry]\nport = 51821",
        "registry = 3",
        "zm.toml:10:1: keepalive.registry: unknown key \"registry\"; expected one of <keys of keepalive>; remove it",
    );
    mistake(
        "[[peer]]",
        "[peer]",
        "zm.toml:22:1: peer: found a table; expected sections [[peer]]; write [[peer]], with two brackets, for each",
    );
    mistake(
        "[registry]",
        "[[registry]]",
        "zm.toml:10:1: registry: found a list; expected one section; write [registry], with one bracket, once",
    );
    mistake(
        "expires = \"2027-01-01T00:00:00Z\"",
        "expires = 2027-01-01T00:00:00Z",
        "zm.toml:19:11: local_api.token[0].expires: found the date-time 2027-01-01T00:00:00Z without quotes; expected a time of RFC 3339 in quotes, such as \"2027-01-01T00:00:00Z\"; write it in quotes",
    );
}
