//! Plain WireGuard peers beside zones: what they get, and what is never theirs.

use std::time::Duration;

use zonemesh_config::Config;

use super::*;
use crate::plan::peers::plain::{NetworkOwner, RefusedPart};

fn office(number: u8, allowed_ips: &[&str]) -> String {
    format!(
        "[[wireguard_peer]]\nname = \"office\"\npublic_key = \"{}\"\nallowed_ips = {allowed_ips:?}\n\
         endpoint = \"198.51.100.70:51820\"\npersistent_keepalive = \"7s\"\n",
        key(number)
    )
}

fn by_hand(config: &Config) -> Registry {
    let members = crate::plan::announcement::members(config, identity(1).public_key());
    Registry::new(name(1), identity(1), members, 1).unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn it_is_a_peer_with_routes_and_bars_and_nothing_of_the_mesh() {
    let config = config(&[peer(2, 2), office(70, &["10.10.20.0/24", "fd00:20::/64"])].concat());
    let plan = plan(&by_hand(&config), &config);
    let [zone, plain] = &plan.peers[..] else { panic!("{:?}", plan.peers) };
    assert!(!zone.is_plain() && plain.is_plain());
    assert_eq!(plain.id.to_string(), "office/wireguard_peer");
    assert_eq!((plain.wireguard_key, plain.endpoints.len()), (key(70), 1));
    assert!(!plain.is_neighbour && plain.tunnel_ips.is_empty() && plain.lanes.is_empty());
    assert_eq!(plain.keepalive(Duration::from_secs(25)), Some(Duration::from_secs(7)));
    assert_eq!(zone.keepalive(Duration::from_secs(25)), Some(Duration::from_secs(25)));
    assert!(plan.routed().contains(&net("10.10.20.0/24")));
    assert!(plan.routed().contains(&net("fd00:20::/64")));
    assert_eq!(plan.trusted.len(), 1, "nobody trusts it");
    assert_eq!(plan.written, [net("10.10.20.0/24"), net("fd00:20::/64")].into());
    assert!(plan.backstops.is_superset(&plan.written));
    assert!(plan.lasting_bars().is_disjoint(&plan.written));
    assert_eq!(plan.refused, []);
}

#[test]
fn what_is_granted_to_a_zone_is_the_zones_whichever_came_first_and_stays_barred() {
    for (text, shared) in [
        ("10.10.2.0/24", "10.10.2.0/24"),
        ("10.10.2.128/25", "10.10.2.0/24"),
        ("10.10.2.0/23", "10.10.2.0/24"),
        ("10.255.0.2/32", "10.255.0.2/32"),
    ] {
        let config = config(&office(70, &[text, "10.10.20.0/24"]));
        let mut registry = managed(2, &config);
        announce(&mut registry, 2, key(2), "198.51.100.2:51820");
        let plan = plan(&registry, &config);
        let plain = plan.peers.iter().find(|peer| peer.is_plain()).unwrap();
        assert_eq!(plain.prefixes, [net("10.10.20.0/24")], "{text}");
        let what = RefusedPart::Network {
            net: net(text),
            shared: net(shared),
            owner: NetworkOwner::Zone(name(2)),
        };
        assert_eq!(plan.refused.iter().map(|one| &one.what).collect::<Vec<_>>(), [&what]);
        let is_barred = |net: &IpNet| plan.backstops.iter().any(|barred| barred.contains(net));
        assert!(is_barred(&net(text)), "nothing of {text} leaves in the clear");
        assert!(plan.lasting_bars().contains(&prefix(2)), "as long as any zone's");
        let narrower = |bar: &&IpNet| prefix(2).contains(*bar) && **bar != prefix(2);
        assert_eq!(plan.backstops.iter().find(narrower), None, "a bar that the zone is cut off by");
        let found = crate::plan::troubles::of_plan(&plan, &Default::default());
        let told: Vec<_> = found.iter().map(ToString::to_string).collect();
        let line = format!(
            "N240 office/wireguard_peer: {text} of its allowed_ips overlaps zone z2's {shared}: \
             it does not get that"
        );
        assert_eq!(told, [line]);
    }
}

#[test]
fn a_blocked_zone_keeps_what_is_its_own_and_this_zone_too() {
    let config = config(&office(70, &["10.10.2.0/24"]));
    let mut registry = managed(2, &config);
    registry.set_blocked(&name(2), true);
    let blocked = plan(&registry, &config);
    assert!(blocked.routed().is_empty() && blocked.refused.len() == 1, "{blocked:?}");
    // What the grant of this zone has beside its configuration.
    let config = super::config(&office(70, &["10.77.0.0/24"]));
    let registry = managed_with(1, &config, |_| vec![prefix(1), net("10.77.0.0/16")]);
    let own = plan(&registry, &config);
    assert_eq!(
        own.refused[0].what.to_string(),
        "10.77.0.0/24 of its allowed_ips overlaps this zone's 10.77.0.0/16"
    );
}

#[test]
fn its_key_is_nobody_elses_unless_a_gateway_proves_it() {
    let config = config(&office(70, &["10.10.20.0/24"]));
    // Zone 2 proves key 2 and those from 20 on: 70 is its own.
    let mut registry = managed(2, &config);
    announce(&mut registry, 2, key(70), "198.51.100.2:51820");
    let proven = plan(&registry, &config);
    assert_eq!(zones(&proven), ["z2"]);
    assert_eq!(proven.refused[0].what, RefusedPart::Key(name(2)));
    assert!(proven.backstops.contains(&net("10.10.20.0/24")), "nothing leaves in the clear");
    // Key 9 it cannot prove, and has only said.
    let config = super::config(&office(9, &["10.10.20.0/24"]));
    let hint = GatewayHint {
        gateway: "z2-gw1".to_owned(),
        tunnel_ips: Vec::new(),
        wireguard_key: key(9),
        endpoints: vec!["192.0.2.7:51820".to_owned()],
    };
    let hints = BTreeMap::from([(identity(2).public_key(), vec![hint])]);
    let said = plan_with(&managed(2, &config), &config, &hints);
    assert_eq!(zones(&said), ["office"]);
    assert_eq!(said.taken.len(), 1);
}

#[test]
fn a_zone_of_its_name_is_another_peer() {
    let text = office(70, &["10.10.20.0/24"]).replace("office", "z2");
    let config = config(&text);
    let mut registry = managed(2, &config);
    announce(&mut registry, 2, key(2), "198.51.100.2:51820");
    let plan = plan(&registry, &config);
    let [zone, plain] = &plan.peers[..] else { panic!("{:?}", plan.peers) };
    assert!(!zone.is_beside(plain) && zone.subject() != plain.subject());
    assert_ne!(zone.owner(), plain.owner());
}

#[test]
fn its_bars_go_with_its_section_and_those_of_zones_stay() {
    let with = config(&office(70, &["10.10.20.0/24"]));
    let registry = managed(2, &with);
    let before = plan(&registry, &with);
    assert!(before.backstops.contains(&net("10.10.20.0/24")));
    let after = plan_after(&registry, &config(""), &BTreeMap::new(), &before.lasting_bars());
    assert!(!after.backstops.contains(&net("10.10.20.0/24")));
    assert!(after.backstops.contains(&prefix(2)));
}
