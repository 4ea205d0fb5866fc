//! Mistakes between values: who owns addresses, names, keys and tokens.

use zonemesh_config::Config;
use zonemesh_core::token::VmRole;

use crate::{VALID, messages, mistake, peer_mistake};

#[test]
fn overlapping_prefixes_name_both_owners() {
    mistake(
        "10.10.11.0/24",
        "10.10.0.0/16",
        "zm.toml:27:13: peer[0].prefixes[0]: 10.10.0.0/16 of zone \"madrid\" overlaps 10.10.10.0/24 of this zone \"berlin\" in line 3; expected subnets that belong to one zone only; renumber one of the zones, or name only the subnets that are shared across zones",
    );
    peer_mistake(
        "10.10.12.0/24",
        "10.10.11.128/25",
        "zm.toml:35:13: peer[1].prefixes[0]: 10.10.11.128/25 of zone \"paris\" overlaps 10.10.11.0/24 of zone \"madrid\" in line 27; expected subnets that belong to one zone only; renumber one of the zones, or name only the subnets that are shared across zones",
    );
    mistake(
        "\"10.10.10.0/24\"",
        "\"10.10.10.0/24\", \"10.10.10.0/25\"",
        "zm.toml:3:30: zone.prefixes[1]: 10.10.10.0/25 of this zone \"berlin\" overlaps 10.10.10.0/24 of this zone \"berlin\" in line 3; expected each subnet once; keep the wider of the two",
    );
}

#[test]
fn a_tunnel_address_has_one_owner() {
    mistake(
        "10.255.0.2",
        "10.255.0.1",
        "zm.toml:28:21: peer[0].tunnel_addresses[0]: 10.255.0.1 of zone \"madrid\" is also the address of this zone \"berlin\" in line 7; expected each tunnel address once; give every gateway tunnel addresses of its own",
    );
    mistake(
        "10.255.0.2",
        "10.10.10.9",
        "zm.toml:28:21: peer[0].tunnel_addresses[0]: 10.10.10.9 of zone \"madrid\" lies in 10.10.10.0/24 of this zone \"berlin\" (line 3); expected an address outside the other zones' prefixes; take tunnel addresses from a range that no zone uses, such as 10.255.0.0/24",
    );
    mistake(
        "10.255.0.1",
        "10.10.11.1",
        "zm.toml:7:14: tunnel.addresses[0]: 10.10.11.1 of this zone \"berlin\" lies in 10.10.11.0/24 of zone \"madrid\" (line 27); expected an address outside the other zones' prefixes; take tunnel addresses from a range that no zone uses, such as 10.255.0.0/24",
    );
    mistake(
        "10.255.0.1",
        "10.255.0.1/24",
        "zm.toml:7:14: tunnel.addresses[0]: found \"10.255.0.1/24\"; expected an IP address such as \"10.255.0.1\"; write \"10.255.0.1\", without a length",
    );
    mistake(
        "10.255.0.1",
        "0.0.0.0",
        "zm.toml:7:14: tunnel.addresses[0]: found \"0.0.0.0\", which holds the unspecified address; expected an IP address such as \"10.255.0.1\"; choose an address that belongs to one gateway",
    );
    mistake(
        "10.255.0.1",
        "127.0.0.1",
        "zm.toml:7:14: tunnel.addresses[0]: found \"127.0.0.1\", which holds loopback addresses; expected an IP address such as \"10.255.0.1\"; choose an address that belongs to one gateway",
    );
    mistake(
        "10.255.0.1",
        "tunnel",
        "zm.toml:7:14: tunnel.addresses[0]: found \"tunnel\"; expected an IP address such as \"10.255.0.1\"; give one address, without port or length",
    );
}

#[test]
fn an_endpoint_is_somebody_elses() {
    mistake(
        "203.0.113.50:51820",
        "203.0.113.1:51820",
        "zm.toml:26:14: peer[0].endpoints[0]: 203.0.113.1:51820 is this gateway's own endpoint (line 5); expected the endpoint of the peer's gateway; ask the peer for its public address and port",
    );
    mistake(
        "203.0.113.50:51820",
        "10.10.11.1:51820",
        "zm.toml:26:14: peer[0].endpoints[0]: 10.10.11.1:51820 lies in 10.10.11.0/24 of zone \"madrid\" (line 27), which is reached through a tunnel; expected an address outside the peers' prefixes; give the gateway's outer address, or a narrower prefix",
    );
    mistake(
        "203.0.113.50:51820",
        "203.0.113.50",
        "zm.toml:26:14: peer[0].endpoints[0]: found \"203.0.113.50\": the port is missing; expected an address or DNS name with a port, such as \"203.0.113.1:51820\"; write \"203.0.113.50:51820\"",
    );
    mistake(
        "203.0.113.50:51820",
        "gw.example.org:0",
        "zm.toml:26:14: peer[0].endpoints[0]: found \"gw.example.org:0\": \"0\" is no port; expected an address or DNS name with a port, such as \"203.0.113.1:51820\"; give a port from 1 to 65535",
    );
    mistake(
        "203.0.113.50:51820",
        "2001:db8::1",
        "zm.toml:26:14: peer[0].endpoints[0]: found \"2001:db8::1\": an IPv6 address needs brackets; expected an address or DNS name with a port, such as \"203.0.113.1:51820\"; write \"[2001:db8::1]:51820\"",
    );
    mistake(
        "203.0.113.50:51820",
        "2001:db8::1:51820",
        "zm.toml:26:14: peer[0].endpoints[0]: found \"2001:db8::1:51820\": an IPv6 address needs brackets; expected an address or DNS name with a port, such as \"203.0.113.1:51820\"; write \"[2001:db8::1]:51820\"",
    );
    mistake(
        "203.0.113.50:51820",
        "a_b:1",
        "zm.toml:26:14: peer[0].endpoints[0]: found \"a_b:1\": \"a_b\" is neither an IP address nor a DNS name; expected an address or DNS name with a port, such as \"203.0.113.1:51820\"; give the address at which the gateway is reached",
    );
    peer_mistake(
        "prefixes",
        "endpoints = [\"203.0.113.50:51820\"]\nprefixes",
        "zm.toml:35:14: peer[1].endpoints[0]: found the same as peer[0].endpoints[0] in line 26; expected each endpoint once; two gateways cannot be reached at one endpoint: correct one of the two",
    );
}

#[test]
fn a_gateway_has_sixteen_endpoints_at_most() {
    let list = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("\"gw{n:02}.example:1\"")).collect();
        names.join(", ")
    };
    for own in ["\"203.0.113.1:51820\"", "\"203.0.113.50:51820\""] {
        Config::parse(&VALID.replace(own, &list(16)), "zm.toml").unwrap();
    }
    mistake(
        "\"203.0.113.1:51820\"",
        &list(17),
        "zm.toml:5:302: gateway.endpoints[16]: this is one of 17 endpoints of one gateway; expected at most 16; keep those that are reached best; one name may stand for many addresses",
    );
    mistake(
        "\"203.0.113.50:51820\"",
        &list(40),
        "zm.toml:26:302: peer[0].endpoints[16]: this is one of 40 endpoints of one gateway; expected at most 16; keep those that are reached best; one name may stand for many addresses",
    );
}

#[test]
fn a_peer_is_another_zone_and_stands_once() {
    mistake(
        "\"madrid\"",
        "\"berlin\"",
        "zm.toml:23:8: peer[0].zone: \"berlin\" is this zone itself (line 2); expected the name of another zone; remove this [[peer]], or correct one of the names",
    );
    peer_mistake(
        "paris",
        "madrid",
        "zm.toml:32:8: peer[1].zone: found the same as peer[0].zone in line 23; expected each zone once; merge the two [[peer]] sections, or correct the name",
    );
    peer_mistake(
        "VI/UIripDSWOUs98L2VJZG4ABLzugVw7wPhVDKEwxUc=",
        "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=",
        "zm.toml:33:17: peer[1].wireguard_key: found the same as peer[0].wireguard_key in line 24; expected a WireGuard key of its own for each peer; ask the peer for its public key",
    );
    peer_mistake(
        "KVNVkjqvVVT2Xny25RMyHw3C0zC1l+yLvsgDuBFCiAI=",
        "hhnCHgFEc5VhZi03nYYZ2cEP7KChNxVrVkqvrcLieTI=",
        "zm.toml:34:12: peer[1].zone_key: found the same as peer[0].zone_key in line 25; expected a zone key of its own for each peer; ask the peer for its public key",
    );
}

#[test]
fn the_local_api_listens_on_the_lan() {
    mistake(
        "10.10.10.1:51822",
        "10.10.20.1:51822",
        "zm.toml:13:10: local_api.listen: 10.10.20.1 is not on the zone's LAN; expected an address in 10.10.10.0/24, loopback, 0.0.0.0 or [::]; give this gateway's LAN address: only the zone's own VMs may use the local API",
    );
    mistake(
        "10.10.10.1:51822",
        "10.10.10.1",
        "zm.toml:13:10: local_api.listen: found \"10.10.10.1\"; expected an IP address with a port, such as \"10.10.10.1:51822\"; give the gateway's address on the zone's LAN and a port",
    );
    for anywhere in ["127.0.0.1:", "0.0.0.0:", "[::]:"] {
        Config::parse(&VALID.replace("10.10.10.1:", anywhere), "zm.toml").unwrap();
    }
}

#[test]
fn the_view_for_scripts_listens_on_the_lan_only_and_has_a_port_of_its_own() {
    let listen = "listen = \"10.10.10.1:51822\"";
    let with = |at: &str| format!("{listen}\nonegate_view = \"{at}\"");
    for at in ["0.0.0.0", "203.0.113.1"] {
        let message = format!(
            "zm.toml:14:16: local_api.onegate_view: {at} is not on the zone's LAN; expected an address in 10.10.10.0/24 or loopback; give this gateway's LAN address: only the zone's own VMs may use the local API"
        );
        mistake(listen, &with(&format!("{at}:5030")), &message);
    }
    mistake(
        listen,
        &with("10.10.10.1:51822"),
        "zm.toml:14:16: local_api.onegate_view: port 51822 is that of local_api.listen too; expected a port of its own for each; 51820 to 51823, and 51831 and up for lanes, are usual",
    );
    for at in ["10.10.10.1:5030", "127.0.0.1:5030"] {
        let config = Config::parse(&VALID.replace(listen, &with(at)), "zm.toml").unwrap();
        assert_eq!(config.local_api.unwrap().onegate_view, at.parse().ok());
    }
}

#[test]
fn tokens_are_hashed_and_belong_to_a_federation() {
    let hash = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    mistake(
        &format!("zmt1:{hash}"),
        "the-token-itself",
        "zm.toml:17:10: local_api.token[0].sha256: found 16 other characters; expected the token's SHA-256, \"zmt1:\" and 64 hexadecimal digits; `zonemesh key generate token` prints both the token and its SHA-256",
    );
    mistake(
        &format!("zmt1:{hash}"),
        hash,
        "zm.toml:17:10: local_api.token[0].sha256: found the hash of a token of 0.1.0, which pins no zone and is taken no more; expected the token's SHA-256, \"zmt1:\" and 64 hexadecimal digits; make a new token with `zonemesh key generate token`, for the VM's CONTEXT too",
    );
    mistake(
        "role = \"superlink\"",
        "role = \"server\"",
        "zm.toml:16:8: local_api.token[0].role: found \"server\"; expected \"superlink\" or \"supernode\"; name what runs in the VM that has the token",
    );
    mistake(
        "2027-01-01T00:00:00Z",
        "2027-01-01",
        "zm.toml:19:11: local_api.token[0].expires: found \"2027-01-01\"; expected a time of RFC 3339 in quotes, such as \"2027-01-01T00:00:00Z\"; write date, 'T', time and zone (the 'separator' component could not be parsed)",
    );
    mistake(
        "federation = \"health-eu\"",
        "federation = \"health-us\"",
        "zm.toml:18:14: local_api.token[0].federation: found \"health-us\"; expected one of this zone's federations: health-eu; did you mean \"health-eu\"?",
    );
    mistake(
        "federation = \"health-eu\"",
        "federation = \"zzz\"",
        "zm.toml:18:14: local_api.token[0].federation: found \"zzz\"; expected one of this zone's federations: health-eu; add [[federation]] with name = \"zzz\"",
    );
    mistake(
        "[[federation]]\nname = \"health-eu\"\n",
        "",
        "zm.toml:18:14: local_api.token[0].federation: found \"health-eu\"; expected a federation of this zone, which has none; add [[federation]] with name = \"health-eu\"",
    );
    let twin = format!(
        "[[local_api.token]]\nname = \"vm\"\nrole = \"superlink\"\nsha256 = \"zmt1:{hash}\"\nfederation = \"health-eu\"\n\
         expires = \"2027-01-01T00:00:00Z\"\n[[federation]]"
    );
    assert_eq!(
        messages(&VALID.replace("[[federation]]", &twin)),
        [
            "zm.toml:21:8: local_api.token[1].name: found the same as local_api.token[0].name in line 15; expected a name of its own for each token; rename one of the two: logs tell tokens apart by their names",
            "zm.toml:23:10: local_api.token[1].sha256: found the same as local_api.token[0].sha256 in line 17; expected each token once; make another with `zonemesh key generate token`"
        ]
    );
}

#[test]
fn a_supernodes_federation_may_live_in_any_zone_and_its_token_needs_no_end() {
    let token = "[[local_api.token]]\nname = \"node\"\nrole = \"supernode\"\n\
                 sha256 = \"zmt1:0000000000000000000000000000000000000000000000000000000000000000\"\n";
    let elsewhere = format!("{token}federation = \"zzz\"\n[[federation]]");
    for text in [format!("{token}[[federation]]"), elsewhere] {
        let config = Config::parse(&VALID.replace("[[federation]]", &text), "zm.toml").unwrap();
        let tokens = config.local_api.unwrap().tokens;
        assert_eq!((tokens[1].role, tokens[1].expires), (VmRole::SuperNode, None));
    }
}

#[test]
fn federations_are_unique_and_their_names_valid() {
    mistake(
        "[[peer]]",
        "[[federation]]\nname = \"health-eu\"\n[[peer]]",
        "zm.toml:23:8: federation[1].name: found the same as federation[0].name in line 21; expected each federation once; merge the two [[federation]] sections",
    );
    mistake(
        "name = \"health-eu\"",
        "name = \"health-eu\"\nextra_sans = [\"*.example.org\"]",
        "zm.toml:22:15: federation[0].extra_sans[0]: found \"*.example.org\"; expected a DNS name or an IP address; write it without scheme, port, length and wildcard",
    );
    mistake(
        "name = \"health-eu\"",
        "name = \"health-eu\"\nextra_sans = [\"a.b\", \"A.B\"]",
        "zm.toml:22:22: federation[0].extra_sans[1]: found the same as federation[0].extra_sans[0] in line 22; expected each name once; remove one of the two",
    );
}

#[test]
fn each_port_has_one_use_where_it_is_open() {
    let found = |old: &str, new: &str, what: &str| {
        let said = messages(&VALID.replace(old, new));
        assert!(said.len() == 1 && said[0].contains(what), "{new:?}: {said:?}");
    };
    let own = "expected a port of its own for each";
    let join = |listen: &str| format!("[join]\nlisten = \"{listen}\"\n[log]");
    found(
        "port = 51821",
        "port = 51820",
        "registry.port: port 51820 is that of tunnel.listen_port",
    );
    found("port = 51821", "port = 51823", "registry.port: port 51823 is that of join.listen too");
    for listen in ["0.0.0.0:51821", "[::]:51821"] {
        let what = format!("join.listen: port 51821 is that of registry.port too; {own}");
        found("[log]", &join(listen), &what);
    }
    found("[log]", &join("0.0.0.0:51822"), "port 51822 is that of join.listen too");
    found(
        "[tunnel]\n",
        "[tunnel]\nlanes = 4\nlisten_port = 51808\n",
        "port 51821 is that of the ports of tunnel.lanes too",
    );
    found(
        "[tunnel]\n",
        "[tunnel]\nlanes = \"auto\"\nlisten_port = 51804\n",
        "port 51821 is that of the ports of tunnel.lanes too",
    );
    for fine in [join("192.0.2.1:51821"), join("0.0.0.0:51831")] {
        Config::parse(&VALID.replace("[log]", &fine), "zm.toml").unwrap();
    }
}
