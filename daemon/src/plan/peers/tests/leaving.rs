//! A zone that has left: nobody calls it, and what it may claim stays barred.

use super::*;

fn leave(registry: &mut Registry, zone: u8) -> Version {
    let seq = registry.get(&name(zone)).map_or(0, |held| held.record.version.seq);
    let version = Version { incarnation: 1, seq: seq + 1 };
    let content = RecordContent::farewell();
    let record = ZoneRecord {
        zone: name(zone),
        gateway: GatewayId::assumed(name(zone)).gateway,
        version,
        issued_at: NOW,
        content,
        certificate: None,
    };
    registry.accept(SignedRecord::sign(&record, &identity(zone)), NOW).unwrap();
    version
}

fn hinted(key: u8, newer_than: Option<Version>) -> BTreeMap<ZonePublicKey, Vec<GatewayHint>> {
    let hint = GatewayHint {
        gateway: None,
        tunnel_ips: Vec::new(),
        wireguard_key: WireGuardPublicKey([key; 32]),
        endpoints: vec!["203.0.113.2:51820".to_owned()],
        newer_than,
    };
    BTreeMap::from([(identity(2).public_key(), vec![hint])])
}

#[test]
fn a_zone_that_has_left_gets_no_peer_and_stays_barred_in_the_clear() {
    let config = config(&peer(3, 33));
    let mut registry = managed(3, &config);
    for zone in [2, 3] {
        announce(&mut registry, zone, key(zone), "203.0.113.9:51820");
    }
    let before = plan(&registry, &config);
    assert_eq!(zones(&before), ["z2", "z3"]);
    leave(&mut registry, 2);
    leave(&mut registry, 3);
    let after = plan(&registry, &config);
    assert!(after.peers.is_empty() && after.routed().is_empty());
    assert_eq!(after.backstops, before.backstops);
    assert_eq!(after.trusted, before.trusted, "it may come back");
}

#[test]
fn who_comes_back_is_called_as_its_new_invitation_says_and_by_no_older_one() {
    let config = config("");
    let mut registry = managed(2, &config);
    let farewell = leave(&mut registry, 2);
    for older in [None, Some(Version { seq: farewell.seq - 1, ..farewell })] {
        assert!(plan_with(&registry, &config, &hinted(22, older)).peers.is_empty());
    }
    let back = plan_with(&registry, &config, &hinted(22, Some(farewell)));
    assert_eq!(back.peers[0].wireguard_key, WireGuardPublicKey([22; 32]));
    announce(&mut registry, 2, key(23), "203.0.113.2:51820");
    let back = plan_with(&registry, &config, &hinted(22, Some(farewell)));
    assert_eq!(back.peers[0].wireguard_key, key(23));
}

#[test]
fn nobody_is_called_by_a_gateway_whose_own_zone_is_gone() {
    let config = config("");
    let mut registry = managed(2, &config);
    announce(&mut registry, 2, key(2), "203.0.113.2:51820");
    let (registry, hints) = (&registry, &BTreeMap::new());
    let of = |is_gone| {
        let (own_keys, config) = (&[key(1)][..], &config);
        MeshPlan::of(&PlanSources { registry, config, own_keys, hints, most_lanes: 8, is_gone })
    };
    assert_eq!(of(false).peers.len(), 1);
    assert!(of(true).peers.is_empty());
    assert_eq!(of(true).backstops, of(false).backstops);
}
