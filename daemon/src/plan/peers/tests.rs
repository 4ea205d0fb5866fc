//! What follows for peers, routes and trust, over real grants and records.

use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::membership::{AuthorityIdentity, GrantRequest, Membership, TrustItem, sign};
use zonemesh_core::record::{
    Gateway, ProtocolRange, RecordContent, SignedRecord, Version, ZoneRecord,
};
use zonemesh_core::time::UnixMillis;

use super::*;

const NOW: UnixMillis = UnixMillis(1_000);
const OWN_KEY: WireGuardPublicKey = WireGuardPublicKey([1; 32]);

fn identity(zone: u8) -> ZoneIdentity {
    ZoneIdentity::from_seed(&[zone; 32])
}

fn name(zone: u8) -> ZoneName {
    format!("z{zone}").parse().unwrap()
}

fn prefix(zone: u8) -> IpNet {
    format!("10.10.{zone}.0/24").parse().unwrap()
}

fn tunnel_ip(zone: u8) -> IpAddr {
    format!("10.255.0.{zone}").parse().unwrap()
}

fn config(peers: &str) -> Config {
    let text = format!(
        "[zone]\nname = \"z1\"\nprefixes = [\"10.10.1.0/24\"]\n\
         [gateway]\nendpoints = [\"192.0.2.1:51820\"]\n\
         [tunnel]\naddresses = [\"10.255.0.1\"]\n{peers}"
    );
    Config::parse(&text, "test").unwrap()
}

fn peer(zone: u8, key: u8) -> String {
    format!(
        "[[peer]]\nzone = \"z{zone}\"\nwireguard_key = \"{}\"\nzone_key = \"{}\"\n\
         endpoints = [\"198.51.100.{zone}:51820\"]\nprefixes = [\"{}\"]\ntunnel_addresses = [\"{}\"]\n",
        WireGuardPublicKey([key; 32]),
        identity(zone).public_key(),
        prefix(zone),
        tunnel_ip(zone),
    )
}

/// A managed registry of zone 1 that has granted zones 1 to `zones`.
fn managed(zones: u8, config: &Config) -> Registry {
    let authority = AuthorityIdentity::from_seed(&[99; 32]);
    let keys = BTreeSet::from([authority.public_key()]);
    let set = Membership::draft_first(keys, 1, NOW).unwrap();
    let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&authority]);
    let mut membership = Membership::new(first).unwrap();
    for zone in 1..=zones {
        let request = GrantRequest {
            zone: name(zone),
            zone_key: identity(zone).public_key(),
            prefixes: vec![prefix(zone)],
            tunnel_ips: vec![tunnel_ip(zone)],
        };
        let grant = membership.draft_grant(request, NOW).unwrap();
        membership.accept(sign(&set, &TrustItem::Grant(grant), &[&authority])).unwrap();
    }
    let configured = crate::plan::announcement::members(config, identity(1).public_key());
    Registry::managed(name(1), identity(1), configured, membership, 1).unwrap()
}

fn announce(registry: &mut Registry, zone: u8, key: WireGuardPublicKey, endpoint: &str) {
    announce_keys(registry, zone, (key, None), endpoint);
}

fn announce_keys(
    registry: &mut Registry,
    zone: u8,
    (key, next): (WireGuardPublicKey, Option<WireGuardPublicKey>),
    endpoint: &str,
) {
    announce_gateway(registry, zone, endpoint, |gateway| {
        (gateway.wireguard_key, gateway.next_wireguard_key) = (key, next);
    });
}

fn announce_gateway(
    registry: &mut Registry,
    zone: u8,
    endpoint: &str,
    change: impl FnOnce(&mut Gateway),
) {
    let mut gateway = gateway(zone, endpoint);
    change(&mut gateway);
    announce_all(registry, zone, vec![gateway]);
}

fn gateway(zone: u8, endpoint: &str) -> Gateway {
    Gateway {
        name: format!("z{zone}-gw1"),
        wireguard_key: WireGuardPublicKey([zone; 32]),
        next_wireguard_key: None,
        lanes: Vec::new(),
        endpoints: vec![endpoint.to_owned()],
        tunnel_ips: vec![tunnel_ip(zone)],
        registry_port: 51_821,
    }
}

fn announce_all(registry: &mut Registry, zone: u8, gateways: Vec<Gateway>) {
    let seq = registry.get(&name(zone)).map_or(0, |held| held.record.version.seq);
    let record = ZoneRecord {
        zone: name(zone),
        version: Version { incarnation: 1, seq: seq + 1 },
        issued_at: NOW,
        content: RecordContent {
            gateways,
            prefixes: vec![prefix(zone)],
            superlinks: Vec::new(),
            ca_sets: Vec::new(),
            protocol: ProtocolRange::CURRENT,
        },
    };
    registry.accept(SignedRecord::sign(&record, &identity(zone)), NOW).unwrap();
}

fn plan(registry: &Registry, config: &Config) -> MeshPlan {
    plan_with(registry, config, &BTreeMap::new())
}

fn plan_with(
    registry: &Registry,
    config: &Config,
    hints: &BTreeMap<ZonePublicKey, Vec<GatewayHint>>,
) -> MeshPlan {
    let own_keys = &[OWN_KEY];
    MeshPlan::of(&PlanSources { registry, config, own_keys, hints, most_lanes: 8 })
}

fn zones(plan: &MeshPlan) -> Vec<&str> {
    plan.peers.iter().map(|peer| peer.id.zone.as_str()).collect()
}

#[test]
fn members_written_by_hand_are_taken_as_they_are_written() {
    let config = config(&[peer(2, 2), peer(3, 3)].concat());
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let mut registry = Registry::new(name(1), identity(1), members, 1).unwrap();
    announce(&mut registry, 2, WireGuardPublicKey([22; 32]), "203.0.113.2:51820");
    let plan = plan(&registry, &config);
    assert_eq!(zones(&plan), ["z2", "z3"]);
    assert_eq!(plan.peers[0].wireguard_key, WireGuardPublicKey([2; 32]));
    assert_eq!(plan.peers[0].endpoints[0].to_string(), "198.51.100.2:51820");
    assert!(plan.peers.iter().all(|peer| peer.is_neighbour && peer.keeps_alive));
    assert_eq!(plan.routed(), plan.backstops);
    assert_eq!(plan.trusted.len(), 2);
}

#[test]
fn a_granted_zone_is_reached_as_its_record_says_and_before_that_as_the_hint_does() {
    let config = config("");
    let mut registry = managed(2, &config);
    assert_eq!(zones(&plan(&registry, &config)), [""; 0]);
    let hint = GatewayHint {
        gateway: "z2-gw1".to_owned(),
        tunnel_ips: Vec::new(),
        wireguard_key: WireGuardPublicKey([7; 32]),
        endpoints: vec!["192.0.2.7:51820".to_owned()],
    };
    let hints = BTreeMap::from([(identity(2).public_key(), vec![hint])]);
    let with_hint = |registry: &Registry| plan_with(registry, &config, &hints);
    assert_eq!(with_hint(&registry).peers[0].wireguard_key, WireGuardPublicKey([7; 32]));
    announce(&mut registry, 2, WireGuardPublicKey([2; 32]), "203.0.113.2:51820");
    let plan = with_hint(&registry);
    assert_eq!(plan.peers[0].wireguard_key, WireGuardPublicKey([2; 32]));
    assert_eq!(plan.peers[0].endpoints[0].to_string(), "203.0.113.2:51820");
}

#[test]
fn what_is_not_reached_yet_does_not_leave_in_the_clear() {
    let config = config("");
    let plan = plan(&managed(2, &config), &config);
    assert!(plan.routed().is_empty());
    assert!(plan.backstops.contains(&prefix(2)));
}

#[test]
fn a_zone_that_names_a_key_of_another_gets_no_peer_and_harms_nobody() {
    let config = config("");
    let mut registry = managed(4, &config);
    announce(&mut registry, 2, WireGuardPublicKey([2; 32]), "203.0.113.2:51820");
    announce(&mut registry, 3, WireGuardPublicKey([2; 32]), "203.0.113.3:51820");
    announce(&mut registry, 4, OWN_KEY, "203.0.113.4:51820");
    let plan = plan(&registry, &config);
    assert_eq!(zones(&plan), ["z2"]);
    let taken: Vec<_> = plan.taken.iter().map(|key| (key.zone.as_str(), key.what)).collect();
    assert_eq!(taken, [("z3", "its WireGuard key"), ("z4", "its WireGuard key")]);
}

#[test]
fn a_blocked_zone_is_neither_peer_nor_trusted_yet_stays_barred() {
    let config = config("");
    let mut registry = managed(3, &config);
    announce(&mut registry, 2, WireGuardPublicKey([2; 32]), "203.0.113.2:51820");
    registry.set_blocked(&name(2), true);
    let plan = plan(&registry, &config);
    assert!(plan.peers.is_empty());
    assert_eq!(plan.trusted.iter().map(|(zone, _)| zone.as_str()).collect::<Vec<_>>(), ["z3"]);
    assert!(plan.backstops.contains(&prefix(2)));
}

#[test]
fn an_endpoint_inside_the_tunnels_is_not_tried() {
    let config = config("");
    let mut registry = managed(2, &config);
    announce(&mut registry, 2, WireGuardPublicKey([2; 32]), "10.10.2.1:51820");
    assert!(plan(&registry, &config).peers[0].endpoints.is_empty());
}

#[test]
fn of_many_zones_some_are_neighbours_and_the_others_tunnels_rest() {
    let config = config("");
    let mut registry = managed(60, &config);
    for zone in 2..=60 {
        let endpoint = format!("203.0.113.{zone}:51820");
        announce(&mut registry, zone, WireGuardPublicKey([zone; 32]), &endpoint);
    }
    let plan = plan(&registry, &config);
    assert_eq!(plan.peers.len(), 59);
    let neighbours = plan.peers.iter().filter(|peer| peer.is_neighbour).count();
    assert!((3..=15).contains(&neighbours), "{neighbours}");
    assert!(plan.peers.iter().all(|peer| peer.keeps_alive == peer.is_neighbour));
}

#[test]
fn a_next_key_is_taken_from_the_record_unless_it_is_anothers() {
    let config = config("");
    let mut registry = managed(4, &config);
    let key = |byte| WireGuardPublicKey([byte; 32]);
    announce_keys(&mut registry, 2, (key(2), Some(key(22))), "203.0.113.2:51820");
    announce_keys(&mut registry, 3, (key(3), Some(key(4))), "203.0.113.3:51820");
    announce_keys(&mut registry, 4, (key(4), Some(OWN_KEY)), "203.0.113.4:51820");
    let plan = plan(&registry, &config);
    let keys: Vec<_> = plan.peers.iter().map(|p| (p.wireguard_key, p.next_key)).collect();
    assert_eq!(keys, [(key(2), Some(key(22))), (key(3), None), (key(4), None)]);
}

#[test]
fn a_key_that_is_written_by_hand_stays_and_the_one_that_its_zone_announces_is_taken_too() {
    let config = config(&peer(2, 2));
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let hand = WireGuardPublicKey([2; 32]);
    let next = WireGuardPublicKey([22; 32]);
    for announced in [(hand, Some(next)), (next, None)] {
        let mut registry = Registry::new(name(1), identity(1), members.clone(), 1).unwrap();
        announce_keys(&mut registry, 2, announced, "203.0.113.2:51820");
        let plan = plan(&registry, &config);
        assert_eq!((plan.peers[0].wireguard_key, plan.peers[0].next_key), (hand, Some(next)));
    }
}

#[test]
fn a_key_that_its_zone_has_given_up_is_nobodys_in_a_managed_mesh() {
    let config = config(&peer(2, 2));
    let mut registry = managed(2, &config);
    let [old, new] = [2, 22].map(|byte| WireGuardPublicKey([byte; 32]));
    announce_keys(&mut registry, 2, (old, Some(new)), "203.0.113.2:51820");
    let keys = |registry: &Registry| {
        let plan = plan(registry, &config);
        plan.peers.iter().flat_map(|p| [Some(p.wireguard_key), p.next_key]).collect::<Vec<_>>()
    };
    assert_eq!(keys(&registry), [Some(old), Some(new)]);
    announce_keys(&mut registry, 2, (new, None), "203.0.113.2:51820");
    assert_eq!(keys(&registry), [Some(new), None]);
}

#[test]
fn lanes_are_taken_from_the_record_unless_a_key_of_theirs_is_anothers() {
    let config = config(&peer(2, 2));
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let lane = |byte| Lane {
        wireguard_key: WireGuardPublicKey([byte; 32]),
        next_wireguard_key: Some(WireGuardPublicKey([byte + 1; 32])),
        port_offset: 11,
    };
    for (announced, expected) in [
        (vec![lane(30)], vec![lane(30)]),
        (vec![lane(30), lane(31)], Vec::new()),
        (vec![lane(30), lane(1)], Vec::new()),
        ((0..20).map(|n| lane(30 + 2 * n)).collect(), (0..7).map(|n| lane(30 + 2 * n)).collect()),
    ] {
        let mut registry = Registry::new(name(1), identity(1), members.clone(), 1).unwrap();
        announce_gateway(&mut registry, 2, "203.0.113.2:51820", |gateway| {
            gateway.lanes = announced;
        });
        assert_eq!(plan(&registry, &config).peers[0].lanes, expected);
    }
}

#[test]
fn without_streams_beside_etcd_nobody_is_a_neighbour_and_the_tunnels_are_kept_up() {
    let etcd = "[registry.etcd]\nendpoints = [\"http://192.0.2.9:2379\"]\n";
    for (streams, kept) in [("", 2), ("streams = false\n", 0)] {
        let config = config(&format!("{}{}{etcd}{streams}", peer(2, 2), peer(3, 3)));
        let members = crate::plan::announcement::members(&config, identity(1).public_key());
        let registry = Registry::new(name(1), identity(1), members, 1).unwrap();
        let plan = plan(&registry, &config);
        assert_eq!(plan.peers.iter().filter(|peer| peer.is_neighbour).count(), kept);
        assert!(plan.peers.len() == 2 && plan.peers.iter().all(|peer| peer.keeps_alive));
    }
}

/// Zone 2 with two gateways, the second with a key, an address and an endpoint of its own.
fn announce_pair(registry: &mut Registry) {
    let first = gateway(2, "203.0.113.2:51820");
    let second = Gateway {
        name: "edge".to_owned(),
        wireguard_key: WireGuardPublicKey([22; 32]),
        endpoints: vec!["203.0.113.22:51820".to_owned()],
        tunnel_ips: vec!["10.255.1.2".parse().unwrap()],
        ..first.clone()
    };
    announce_all(registry, 2, vec![first, second]);
}

fn pair_config() -> Config {
    config(&peer(2, 2).replace("[\"10.255.0.2\"]", "[\"10.255.0.2\", \"10.255.1.2\"]"))
}

#[test]
fn a_record_with_two_gateways_gives_two_peers_and_one_of_them_carries_the_zone() {
    let config = pair_config();
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let mut registry = Registry::new(name(1), identity(1), members, 1).unwrap();
    announce_pair(&mut registry);
    let plan = plan(&registry, &config);
    let [active, standby] = &plan.peers[..] else { panic!("{:?}", plan.peers) };
    assert_eq!([active, standby].map(|p| p.id.to_string()), ["z2/z2-gw1", "z2/edge"]);
    assert_eq!([active.role, standby.role], [GatewayRole::Active, GatewayRole::Standby]);
    let keys = [active, standby].map(|peer| peer.wireguard_key.0[0]);
    assert_eq!(keys, [2, 22]);
    assert_eq!((&active.prefixes, &standby.prefixes), (&vec![prefix(2)], &Vec::new()));
    assert_eq!(active.tunnel_ips, [tunnel_ip(2)]);
    assert_eq!(standby.tunnel_ips, ["10.255.1.2".parse::<IpAddr>().unwrap()]);
    assert_eq!([active.is_neighbour, standby.is_neighbour], [true, false]);
    assert_eq!(plan.routed(), plan.backstops);
    assert_eq!(plan.trusted.len(), 1);
}

#[test]
fn a_gateway_written_by_hand_is_the_active_one_and_gets_its_name_from_the_record() {
    let config = pair_config();
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let mut registry = Registry::new(name(1), identity(1), members, 1).unwrap();
    let before = plan(&registry, &config);
    assert_eq!(before.peers[0].id.to_string(), "z2/z2-gw1");
    let named = Gateway { name: "rhine".to_owned(), ..gateway(2, "203.0.113.2:51820") };
    let other = Gateway {
        name: "edge".to_owned(),
        wireguard_key: WireGuardPublicKey([22; 32]),
        tunnel_ips: Vec::new(),
        ..named.clone()
    };
    announce_all(&mut registry, 2, vec![other, named]);
    let after = plan(&registry, &config);
    let ids: Vec<_> = after.peers.iter().map(|peer| peer.id.to_string()).collect();
    assert_eq!(ids, ["z2/rhine", "z2/edge"]);
    assert!(after.peers[0].is_same_gateway(&before.peers[0]));
    assert!(!after.peers[1].is_same_gateway(&before.peers[0]));
}

#[test]
fn a_second_gateway_with_anothers_key_is_left_out_and_the_first_stays() {
    let config = config("");
    let mut registry = managed(3, &config);
    announce(&mut registry, 2, WireGuardPublicKey([2; 32]), "203.0.113.2:51820");
    let first = gateway(3, "203.0.113.3:51820");
    let thief = Gateway {
        name: "edge".to_owned(),
        wireguard_key: WireGuardPublicKey([2; 32]),
        tunnel_ips: Vec::new(),
        ..first.clone()
    };
    announce_all(&mut registry, 3, vec![first, thief]);
    let ids: Vec<_> = plan(&registry, &config).peers.iter().map(|p| p.id.to_string()).collect();
    assert_eq!(ids, ["z2/z2-gw1", "z3/z3-gw1"]);
}
