//! More of a thing than a zone's record has room for.

use zonemesh_config::Config;

use crate::{VALID, messages, mistake};

/// A list in TOML of so many texts.
fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    let items: Vec<String> = (0..count).map(|n| format!("{:?}", item(n))).collect();
    items.join(", ")
}

fn addresses(count: usize) -> String {
    list(count, |n| format!("10.255.1.{n}"))
}

fn prefixes(count: usize) -> String {
    list(count, |n| format!("172.{}.{}.0/24", 16 + n / 256, n % 256))
}

fn federations(count: usize) -> String {
    let more = (1..count).map(|n| format!("[[federation]]\nname = \"f{n}\"\n"));
    format!("{}[log]", more.collect::<String>())
}

#[test]
fn a_gateway_has_8_tunnel_addresses() {
    mistake(
        "\"10.255.0.1\"",
        &addresses(9),
        "zm.toml:7:126: tunnel.addresses[8]: this is one of 9 tunnel addresses of one gateway; expected at most 8; one of each family is enough: keep those that are in use",
    );
    mistake(
        "\"10.255.0.2\"",
        &addresses(12),
        "zm.toml:28:133: peer[0].tunnel_addresses[8]: this is one of 12 tunnel addresses of one gateway; expected at most 8; one of each family is enough: keep those that are in use",
    );
}

#[test]
fn a_zone_has_1024_prefixes_and_64_federations() {
    let found = |from: &str, to: &str, start: &str, end: &str| {
        let said = messages(&VALID.replacen(from, to, 1));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(start) && said[0].contains(end), "{said:?}");
    };
    let many =
        "this is one of 1025 prefixes of one zone; expected at most 1024; write neighbouring";
    // VMs of the zone are then in one of these.
    let own = |count| {
        VALID
            .replace("10.10.10.1:51822", "172.16.0.1:51822")
            .replace("\"10.10.10.0/24\"", &prefixes(count))
    };
    let said = messages(&own(1025));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("zone.prefixes[1024]: ") && said[0].contains(many), "{said:?}");
    found("\"10.10.11.0/24\"", &prefixes(1025), "zm.toml:27:", many);
    let many =
        "federation[64].name: this is one of 65 federations of one zone; expected at most 64;";
    found("[log]", &federations(65), "zm.toml:156:8: ", many);

    Config::parse(&own(1024), "zm.toml").unwrap();
    for (from, to) in [
        ("\"10.255.0.1\"", addresses(8)),
        ("\"10.10.11.0/24\"", prefixes(1024)),
        ("[log]", federations(64)),
    ] {
        Config::parse(&VALID.replacen(from, &to, 1), "zm.toml").unwrap();
    }
}

#[test]
fn the_ports_of_lanes_end_where_ports_end() {
    let with = |lanes: &str, port: u16| {
        let keys = format!("[tunnel]\nlanes = {lanes}\nlisten_port = {port}\n");
        VALID.replace("[tunnel]\n", &keys)
    };
    assert_eq!(
        messages(&with("8", 65_530)),
        [
            "zm.toml:8:15: tunnel.listen_port: the ports of tunnel.lanes would end at 65547, beyond 65535; expected at most 65518 with these lanes; 51820 is usual; or take tunnel.lanes out"
        ]
    );
    for (lanes, most) in [("8", 65_518), ("2", 65_524), ("1", 65_535), ("\"auto\"", 65_518)] {
        Config::parse(&with(lanes, most), "zm.toml").unwrap();
        if let Some(beyond) = most.checked_add(1) {
            let said = messages(&with(lanes, beyond));
            assert!(said.len() == 1 && said[0].contains(", beyond 65535; "), "{said:?}");
        }
    }
}
