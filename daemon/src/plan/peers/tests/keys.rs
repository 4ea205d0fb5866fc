//! Whose a WireGuard key is: proved, said in an earlier release, or written by hand.

use zonemesh_core::finding::Code;
use zonemesh_core::record::ProtocolRange;

use super::super::claims::KeyDispute;
use super::*;
use crate::plan::troubles;

#[test]
fn a_zone_that_names_a_key_of_another_gets_no_peer_and_harms_nobody() {
    let config = config("");
    let mut registry = managed(4, &config);
    announce(&mut registry, 2, key(2), "203.0.113.2:51820");
    announce(&mut registry, 3, key(2), "203.0.113.3:51820");
    announce(&mut registry, 4, key(1), "203.0.113.4:51820");
    let plan = plan(&registry, &config);
    assert_eq!(zones(&plan), ["z2"]);
    let taken: Vec<_> = plan.taken.iter().map(|key| (key.zone.as_str(), key.what)).collect();
    assert_eq!(taken, [("z3", "its WireGuard key"), ("z4", "its WireGuard key")]);
}

#[test]
fn a_zone_that_was_granted_first_takes_no_key_that_another_proves() {
    let config = config("");
    for order in [[2, 3], [3, 2]] {
        let mut registry = managed(3, &config);
        for zone in order {
            let mut gateway = gateway(zone, "203.0.113.2:51820");
            gateway.wireguard_key = key(3);
            // What zone 3 has published is there to be copied.
            let published = Gateway { name: "z3-gw1".to_owned(), ..gateway.clone() };
            gateway.proofs = proofs(3, &published);
            say(&mut registry, zone, vec![gateway]);
        }
        let plan = plan(&registry, &config);
        assert_eq!(zones(&plan), ["z3"]);
        let why = KeyDispute::Anothers;
        let taken = TakenKey { zone: name(2), what: "its WireGuard key", why };
        assert_eq!(plan.taken, [taken]);
    }
}

#[test]
fn a_key_that_nobody_proves_is_nobodys() {
    let config = config("");
    let mut registry = managed(2, &config);
    say(&mut registry, 2, vec![gateway(2, "203.0.113.2:51820")]);
    let plan = plan(&registry, &config);
    assert!(plan.peers.is_empty());
    assert_eq!(plan.taken[0].why, KeyDispute::Unproven);
    assert!(plan.backstops.contains(&prefix(2)), "nothing leaves in the clear");
}

#[test]
fn of_two_zones_that_prove_one_key_the_first_keeps_it_and_both_are_told() {
    let config = config("");
    let mut registry = managed(3, &config);
    announce(&mut registry, 3, key(22), "203.0.113.3:51820");
    announce(&mut registry, 2, key(22), "203.0.113.2:51820");
    let plan = plan(&registry, &config);
    assert_eq!(zones(&plan), ["z2"]);
    let told: Vec<_> = plan.taken.iter().map(|key| (key.zone.as_str(), key.why.clone())).collect();
    let shared = |zone| KeyDispute::Shared(name(zone));
    assert_eq!(told, [("z2", shared(3)), ("z3", shared(2))]);
}

/// What zone `zone` said in release 0.1.0, from this gateway's own disk.
fn restore_old(registry: &mut Registry, zone: u8, wireguard: WireGuardPublicKey) {
    let gateway = Gateway { wireguard_key: wireguard, ..gateway(zone, "203.0.113.9:51820") };
    let content = RecordContent {
        gateways: vec![gateway],
        prefixes: vec![prefix(zone)],
        superlinks: Vec::new(),
        ca_sets: Vec::new(),
        protocol: ProtocolRange { min: 1, max: 1 },
        ..RecordContent::default()
    };
    let (zone_name, version) = (name(zone), Version { incarnation: 1, seq: 1 });
    let record = ZoneRecord {
        gateway: format!("{}-gw1", zone_name),
        certificate: None,
        zone: zone_name,
        version,
        issued_at: NOW,
        content,
    };
    registry.restore(SignedRecord::sign(&record, &identity(zone)), NOW).unwrap();
}

#[test]
fn records_of_the_first_release_raise_the_tunnels_until_somebody_proves_a_key() {
    let config = config("");
    let mut registry = managed(4, &config);
    restore_old(&mut registry, 2, key(4));
    restore_old(&mut registry, 3, key(4));
    assert_eq!(zones(&plan(&registry, &config)), ["z2"]);
    announce(&mut registry, 4, key(4), "203.0.113.4:51820");
    assert_eq!(zones(&plan(&registry, &config)), ["z4"]);
}

#[test]
fn what_is_written_by_hand_needs_no_proof_and_what_its_record_adds_does() {
    let config = config(&peer(2, 2));
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let mut registry = Registry::new(name(1), identity(1), members, 1).unwrap();
    let gateway = Gateway { next_wireguard_key: Some(key(22)), ..gateway(2, "203.0.113.2:51820") };
    say(&mut registry, 2, vec![gateway]);
    let plan = plan(&registry, &config);
    assert_eq!((plan.peers[0].wireguard_key, plan.peers[0].next_key), (key(2), None));
    assert_eq!(plan.taken[0].what, "its next WireGuard key");
}

#[test]
fn a_next_key_is_taken_from_the_record_unless_it_is_anothers() {
    let config = config("");
    let mut registry = managed(4, &config);
    announce_keys(&mut registry, 2, (key(2), Some(key(22))), "203.0.113.2:51820");
    announce_keys(&mut registry, 3, (key(3), Some(key(4))), "203.0.113.3:51820");
    announce_keys(&mut registry, 4, (key(4), Some(key(1))), "203.0.113.4:51820");
    let plan = plan(&registry, &config);
    let keys: Vec<_> = plan.peers.iter().map(|p| (p.wireguard_key, p.next_key)).collect();
    assert_eq!(keys, [(key(2), Some(key(22))), (key(3), None), (key(4), None)]);
}

#[test]
fn a_key_that_is_written_by_hand_stays_and_the_one_that_its_zone_announces_is_taken_too() {
    let config = config(&peer(2, 2));
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let hand = key(2);
    let next = key(22);
    for announced in [(hand, Some(next)), (next, None)] {
        let mut registry = Registry::new(name(1), identity(1), members.clone(), 1).unwrap();
        announce_keys(&mut registry, 2, announced, "203.0.113.2:51820");
        let plan = plan(&registry, &config);
        assert_eq!((plan.peers[0].wireguard_key, plan.peers[0].next_key), (hand, Some(next)));
    }
}

#[test]
fn a_written_key_that_its_zone_does_not_name_is_told_and_its_next_one_is_not() {
    let config = config(&peer(2, 2));
    let members = crate::plan::announcement::members(&config, identity(1).public_key());
    let told = |announced| {
        let mut registry = Registry::new(name(1), identity(1), members.clone(), 1).unwrap();
        announce_keys(&mut registry, 2, announced, "203.0.113.2:51820");
        let found = troubles::of_mesh(&registry, &config);
        found.into_iter().map(|one| (one.code, one.to_string())).collect::<Vec<_>>()
    };
    let [written, other] = [2, 22].map(key);
    assert_eq!(told((written, Some(other))), []);
    assert_eq!(told((other, Some(written))), []);
    let line = format!(
        "C118 z2: its WireGuard key is written here as {written}, its record names {other}"
    );
    assert_eq!(told((other, None)), [(Code::OtherKeyWritten, line)]);
}

#[test]
fn a_key_that_its_zone_has_given_up_is_nobodys_in_a_managed_mesh() {
    let config = config(&peer(2, 2));
    let mut registry = managed(2, &config);
    let [old, new] = [2, 22].map(key);
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
        wireguard_key: key(byte),
        next_wireguard_key: Some(key(byte + 1)),
        port_offset: 11,
    };
    for (announced, expected) in [
        (vec![lane(30)], vec![lane(30)]),
        (vec![lane(30), lane(31)], Vec::new()),
        (vec![lane(30), lane(1)], Vec::new()),
        ((0..15).map(|n| lane(30 + 2 * n)).collect(), (0..7).map(|n| lane(30 + 2 * n)).collect()),
    ] {
        let mut registry = Registry::new(name(1), identity(1), members.clone(), 1).unwrap();
        announce_gateway(&mut registry, 2, "203.0.113.2:51820", |gateway| {
            gateway.lanes = announced;
        });
        assert_eq!(plan(&registry, &config).peers[0].lanes, expected);
    }
}
