//! What a new table of zones keeps, and what it refuses.

use zonemesh_core::key::WireGuardPrivateKey;

use super::*;
use crate::config::TunnelPeer;
use crate::peer::OwnIdentity;

fn identity() -> OwnIdentities {
    OwnIdentities::one(Arc::new(OwnIdentity::new(&WireGuardPrivateKey::from_bytes([1; 32]), 1)))
}

fn peer(seed: u8) -> TunnelPeer {
    TunnelPeer {
        public_key: WireGuardPrivateKey::from_bytes([seed; 32]).public_key(),
        next_key: None,
        lanes: Vec::new(),
        preshared_key: None,
        endpoint: None,
        keepalive: None,
    }
}

fn zone_of(name: &str, gateways: Vec<TunnelPeer>, allowed_ips: &[&str]) -> TunnelZone {
    let allowed_ips = allowed_ips.iter().map(|text| text.parse().unwrap()).collect();
    TunnelZone { name: name.to_owned(), allowed_ips, gateways }
}

/// A zone with one gateway.
fn zone(name: &str, seed: u8, allowed_ips: &[&str]) -> TunnelZone {
    zone_of(name, vec![peer(seed)], allowed_ips)
}

#[test]
fn ones_own_key_is_refused_as_a_peer() {
    let refused = RemoteZones::empty().replace(&identity(), vec![zone("me", 1, &[])]).err();
    assert_eq!(refused, Some(PeersError::OwnKey { name: "me".into() }));
}

#[test]
fn one_key_cannot_be_two_peers() {
    let zones = vec![zone("a", 2, &[]), zone("b", 2, &[])];
    let refused = RemoteZones::empty().replace(&identity(), zones).err();
    assert!(matches!(refused, Some(PeersError::SameKey { .. })));
}

#[test]
fn a_prefix_on_two_peers_is_refused_with_both_named() {
    let zones = vec![zone("a", 2, &["10.1.0.0/16"]), zone("b", 3, &["10.1.2.3/16"])];
    let refused = RemoteZones::empty().replace(&identity(), zones).err();
    let (first, second) = ("a".to_owned(), "b".to_owned());
    let prefix = "10.1.0.0/16".parse().unwrap();
    assert_eq!(refused, Some(PeersError::SamePrefix { prefix, first, second }));
}

#[test]
fn an_unchanged_peer_is_kept_and_a_moved_prefix_leads_to_its_new_owner() {
    let identity = identity();
    let first = vec![zone("a", 2, &["10.1.0.0/16", "10.2.0.0/16"]), zone("b", 3, &[])];
    let first = RemoteZones::empty().replace(&identity, first).unwrap();
    let second = vec![zone("a", 2, &["10.1.0.0/16"]), zone("b", 3, &["10.2.0.0/16"])];
    let second = first.replace(&identity, second).unwrap();
    for known in first.gateways() {
        let link = known.first();
        assert!(Arc::ptr_eq(link, second.by_key(&known.key).unwrap().first()));
        let session = link.index << 8 | 3;
        assert!(Arc::ptr_eq(link, &second.by_session(session).unwrap().link));
    }
    let owner = second.owner_of("10.2.0.1".parse().unwrap()).unwrap();
    assert_eq!(owner.name, "b");
}

#[test]
fn a_peer_between_two_keys_is_one_peer_with_the_links_it_had() {
    let identity = identity();
    let before =
        RemoteZones::empty().replace(&identity, vec![zone("a", 2, &["10.1.0.0/16"])]).unwrap();
    let old = Arc::clone(before.gateways().next().unwrap().first());
    let next = peer(3).public_key;
    let both = vec![TunnelPeer { next_key: Some(next), ..peer(2) }];
    let both = vec![zone_of("a", both, &["10.1.0.0/16"])];
    let between = before.replace(&identity, both).unwrap();
    assert_eq!(between.gateways().count(), 1);
    let gateway = between.by_key(&next).unwrap();
    assert!(Arc::ptr_eq(gateway.link_of(&old.own, &old.key).unwrap(), &old));
    let new = Arc::clone(gateway.link_of(&old.own, &next).unwrap());
    let after = between.replace(&identity, vec![zone("a", 3, &["10.1.0.0/16"])]).unwrap();
    let owner = after.owner_of("10.1.0.1".parse().unwrap()).unwrap();
    assert!(Arc::ptr_eq(owner.active().first(), &new));
    assert!(after.by_key(&old.key).is_none());
    assert!(after.by_session(old.index << 8).is_none());
}

#[test]
fn a_next_key_that_is_another_peers_is_refused() {
    let next_key = Some(peer(3).public_key);
    let gateways = vec![TunnelPeer { next_key, ..peer(2) }];
    let zones = vec![zone_of("a", gateways, &[]), zone("b", 3, &[])];
    let refused = RemoteZones::empty().replace(&identity(), zones).err();
    assert!(matches!(refused, Some(PeersError::SameKey { .. })));
}

#[test]
fn a_removed_peer_owns_nothing() {
    let identity = identity();
    let first = vec![zone("a", 2, &["10.1.0.0/16"])];
    let first = RemoteZones::empty().replace(&identity, first).unwrap();
    let second = first.replace(&identity, Vec::new()).unwrap();
    assert!(second.owner_of("10.1.0.1".parse().unwrap()).is_none());
    assert_eq!(second.gateways().count(), 0);
}

#[test]
fn a_zone_without_a_gateway_is_refused() {
    let refused = RemoteZones::empty().replace(&identity(), vec![zone_of("a", vec![], &[])]).err();
    assert_eq!(refused, Some(PeersError::NoGateway { name: "a".into() }));
}

#[test]
fn two_gateways_of_one_zone_share_its_prefixes_and_cannot_share_a_key() {
    let identity = identity();
    let two = vec![zone_of("a", vec![peer(2), peer(3)], &["10.1.0.0/16"])];
    let zones = RemoteZones::empty().replace(&identity, two).unwrap();
    let owner = zones.owner_of("10.1.0.1".parse().unwrap()).unwrap();
    for gateway in zones.gateways() {
        let session = gateway.first().index << 8;
        assert!(Arc::ptr_eq(&zones.by_session(session).unwrap().zone, owner));
    }
    let same = vec![zone_of("a", vec![peer(2), peer(2)], &[])];
    let refused = RemoteZones::empty().replace(&identity, same).err();
    assert!(matches!(refused, Some(PeersError::SameKey { .. })));
}

#[test]
fn the_active_gateway_stays_so_wherever_it_stands_in_the_next_table() {
    let identity = identity();
    let told = |seeds: &[u8]| {
        vec![zone_of("a", seeds.iter().copied().map(peer).collect(), &["10.1.0.0/16"])]
    };
    let active =
        |zones: &RemoteZones| zones.owner_of("10.1.0.1".parse().unwrap()).unwrap().active().key;
    let zones = RemoteZones::empty().replace(&identity, told(&[2, 3])).unwrap();
    assert_eq!(active(&zones), peer(2).public_key, "the first, until something else is said");
    assert!(zones.set_active(&peer(3).public_key));
    assert!(!zones.set_active(&peer(9).public_key), "nobody");
    assert_eq!(active(&zones), peer(3).public_key);
    for seeds in [&[2, 3][..], &[3, 2], &[4, 2, 3]] {
        let zones = zones.replace(&identity, told(seeds)).unwrap();
        assert_eq!(active(&zones), peer(3).public_key, "{seeds:?}");
    }
    let zones = zones.replace(&identity, told(&[2, 4])).unwrap();
    assert_eq!(active(&zones), peer(2).public_key, "it has gone");
}
