//! What follows for peers, routes and trust, over real grants and records.

mod keys;

use zonemesh_core::key::{WireGuardPrivateKey, ZoneIdentity};
use zonemesh_core::membership::{AuthorityIdentity, GrantRequest, Membership, TrustItem, sign};
use zonemesh_core::record::{Gateway, KeyProof, RecordContent, SignedRecord, Version, ZoneRecord};
use zonemesh_core::time::UnixMillis;

use super::*;

mod leaving;
mod outside;
mod plain;

const OWN_OUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const NOW: UnixMillis = UnixMillis(1_000);

fn identity(zone: u8) -> ZoneIdentity {
    ZoneIdentity::from_seed(&[zone; 32])
}

fn private(number: u8) -> WireGuardPrivateKey {
    WireGuardPrivateKey::from_bytes([number; 32])
}

fn key(number: u8) -> WireGuardPublicKey {
    private(number).public_key()
}

/// What a gateway can prove: its zone has the WireGuard key of its own number and those from 20 on.
fn proofs(zone: u8, gateway: &Gateway) -> Vec<KeyProof> {
    let named: Vec<_> = gateway.wireguard_keys().collect();
    let own = std::iter::once(zone).chain((20..=u8::MAX).filter(|number| *number != zone));
    let own = own.filter(|number| named.contains(&key(*number)));
    own.map(|n| KeyProof::make(&private(n), &identity(zone).public_key(), &gateway.name)).collect()
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

fn peer(zone: u8, number: u8) -> String {
    format!(
        "[[peer]]\nzone = \"z{zone}\"\nwireguard_key = \"{}\"\nzone_key = \"{}\"\n\
         endpoints = [\"198.51.100.{zone}:51820\"]\nprefixes = [\"{}\"]\ntunnel_addresses = [\"{}\"]\n",
        key(number),
        identity(zone).public_key(),
        prefix(zone),
        tunnel_ip(zone),
    )
}

/// A managed registry of zone 1 that has granted zones 1 to `zones`.
fn managed(zones: u8, config: &Config) -> Registry {
    managed_with(zones, config, |zone| vec![prefix(zone)])
}

fn managed_with(zones: u8, config: &Config, prefixes: impl Fn(u8) -> Vec<IpNet>) -> Registry {
    let authority = AuthorityIdentity::from_seed(&[99; 32]);
    let keys = BTreeSet::from([authority.public_key()]);
    let set = Membership::draft_first(keys.clone(), keys, 1, NOW).unwrap();
    let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&authority]);
    let mut membership = Membership::new(first).unwrap();
    for zone in 1..=zones {
        let request = GrantRequest {
            zone: name(zone),
            zone_key: identity(zone).public_key(),
            prefixes: prefixes(zone),
            tunnel_ips: vec![tunnel_ip(zone)],
            federations: Vec::new(),
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
        wireguard_key: key(zone),
        next_wireguard_key: None,
        lanes: Vec::new(),
        proofs: Vec::new(),
        further_endpoints: Vec::new(),
        endpoints: vec![endpoint.to_owned()],
        tunnel_ips: vec![tunnel_ip(zone)],
        registry_port: 51_821,
    }
}

fn announce_all(registry: &mut Registry, zone: u8, mut gateways: Vec<Gateway>) {
    for gateway in &mut gateways {
        gateway.proofs = proofs(zone, gateway);
    }
    say(registry, zone, gateways);
}

/// Each gateway in a record of its own.
fn say(registry: &mut Registry, zone: u8, gateways: Vec<Gateway>) {
    for gateway in gateways {
        let id = GatewayId::new(name(zone), gateway.name.as_str());
        let seq = registry.get_gateway(&id).map_or(0, |held| held.record.version.seq);
        let record = ZoneRecord {
            zone: name(zone),
            gateway: id.gateway,
            version: Version { incarnation: 1, seq: seq + 1 },
            issued_at: UnixMillis(NOW.0 + seq),
            content: RecordContent {
                gateways: vec![gateway],
                prefixes: vec![prefix(zone)],
                ..RecordContent::default()
            },
            certificate: None,
        };
        registry.accept(SignedRecord::sign(&record, &identity(zone)), NOW).unwrap();
    }
}

fn plan(registry: &Registry, config: &Config) -> MeshPlan {
    plan_with(registry, config, &BTreeMap::new())
}

fn plan_with(
    registry: &Registry,
    config: &Config,
    hints: &BTreeMap<ZonePublicKey, Vec<GatewayHint>>,
) -> MeshPlan {
    plan_after(registry, config, hints, &BTreeSet::new())
}

/// What follows where this was barred before.
fn plan_after(
    registry: &Registry,
    config: &Config,
    hints: &BTreeMap<ZonePublicKey, Vec<GatewayHint>>,
    kept: &BTreeSet<IpNet>,
) -> MeshPlan {
    let own_keys = &[key(1)];
    let outer = &OuterAddresses { own: BTreeSet::from([OWN_OUTER]), ..OuterAddresses::default() };
    let (most_lanes, is_gone) = (8, false);
    MeshPlan::of(&PlanSources {
        registry,
        config,
        own_keys,
        hints,
        outer,
        most_lanes,
        is_gone,
        kept,
    })
}

fn zones(plan: &MeshPlan) -> Vec<&str> {
    plan.peers.iter().map(|peer| peer.id.zone.as_str()).collect()
}

#[test]
fn members_written_by_hand_are_taken_as_they_are_written() {
    let config = config(&[peer(2, 2), peer(3, 3)].concat());
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let mut registry = Registry::new(name(1), identity(1), members, 1).unwrap();
    announce(&mut registry, 2, key(22), "203.0.113.2:51820");
    let plan = plan(&registry, &config);
    assert_eq!(zones(&plan), ["z2", "z3"]);
    assert_eq!(plan.peers[0].wireguard_key, key(2));
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
        wireguard_key: key(7),
        endpoints: vec!["192.0.2.7:51820".to_owned()],
    };
    let hints = BTreeMap::from([(identity(2).public_key(), vec![hint])]);
    let with_hint = |registry: &Registry| plan_with(registry, &config, &hints);
    assert_eq!(with_hint(&registry).peers[0].wireguard_key, key(7));
    announce(&mut registry, 2, key(2), "203.0.113.2:51820");
    let plan = with_hint(&registry);
    assert_eq!(plan.peers[0].wireguard_key, key(2));
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
fn a_blocked_zone_is_neither_peer_nor_trusted_yet_stays_barred() {
    let config = config("");
    let mut registry = managed(3, &config);
    announce(&mut registry, 2, key(2), "203.0.113.2:51820");
    registry.set_blocked(&name(2), true);
    let plan = plan(&registry, &config);
    assert!(plan.peers.is_empty());
    assert_eq!(plan.trusted.iter().map(|(zone, _)| zone.as_str()).collect::<Vec<_>>(), ["z3"]);
    assert!(plan.backstops.contains(&prefix(2)));
}

#[test]
fn an_endpoint_in_this_zone_is_not_tried() {
    let config = config("");
    for endpoint in ["10.255.0.1:51820", "10.10.1.7:51820"] {
        let mut registry = managed(2, &config);
        announce(&mut registry, 2, key(2), endpoint);
        assert!(plan(&registry, &config).peers[0].endpoints.is_empty(), "{endpoint}");
    }
}

#[test]
fn of_many_zones_some_are_neighbours_and_the_others_tunnels_rest() {
    let config = config("");
    let mut registry = managed(60, &config);
    for zone in 2..=60 {
        let endpoint = format!("203.0.113.{zone}:51820");
        announce(&mut registry, zone, key(zone), &endpoint);
    }
    let plan = plan(&registry, &config);
    assert_eq!(plan.peers.len(), 59);
    let neighbours = plan.peers.iter().filter(|peer| peer.is_neighbour).count();
    assert!((3..=15).contains(&neighbours), "{neighbours}");
    assert!(plan.peers.iter().all(|peer| peer.keeps_alive == peer.is_neighbour));
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
        wireguard_key: key(22),
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
    assert_eq!([active, standby].map(|peer| peer.wireguard_key), [2, 22].map(key));
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
        wireguard_key: key(22),
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
    announce(&mut registry, 2, key(2), "203.0.113.2:51820");
    let first = gateway(3, "203.0.113.3:51820");
    let thief = Gateway {
        name: "edge".to_owned(),
        wireguard_key: key(2),
        tunnel_ips: Vec::new(),
        ..first.clone()
    };
    announce_all(&mut registry, 3, vec![first, thief]);
    let ids: Vec<_> = plan(&registry, &config).peers.iter().map(|p| p.id.to_string()).collect();
    assert_eq!(ids, ["z2/z2-gw1", "z3/z3-gw1"]);
}
