//! A zone that has left or was put out: nobody calls it, and what it was granted stays barred.

use zonemesh_core::membership::AuthorityEdit;

use super::*;

fn leave(registry: &mut Registry, zone: u8) {
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
}

fn hinted(number: u8) -> BTreeMap<ZonePublicKey, Vec<GatewayHint>> {
    let hint = GatewayHint {
        gateway: "z2-gw1".to_owned(),
        tunnel_ips: Vec::new(),
        wireguard_key: key(number),
        endpoints: vec!["203.0.113.2:51820".to_owned()],
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

/// A zone that was revoked as stolen is the one whose packets somebody waits for on the way.
#[test]
fn what_is_meant_for_a_zone_that_was_put_out_stays_barred_in_the_clear() {
    let config = config("");
    let mut registry = managed(3, &config);
    let before = plan(&registry, &config);
    let authority = AuthorityIdentity::from_seed(&[99; 32]);
    let membership = registry.membership().unwrap();
    let (_, set) = membership.authority_set();
    let revocation = membership.draft_revocation(&name(2), "stolen", NOW).unwrap();
    let revoked = sign(set, &TrustItem::Revocation(revocation), &[&authority]);
    registry.accept_trust(vec![revoked]);
    let after = plan(&registry, &config);
    assert_eq!((after.trusted.len(), &after.backstops), (1, &before.backstops));

    let leave_out = BTreeSet::from([name(3)]);
    let edit = AuthorityEdit { leave_out, renew: true, ..AuthorityEdit::default() };
    let draft = registry.membership().unwrap().draft_change(&edit, NOW).unwrap();
    let next = sign(&draft.next, &TrustItem::AuthoritySet(draft.next.clone()), &[&authority]);
    registry.accept_trust([vec![next], draft.pages].concat());
    let after = plan(&registry, &config);
    assert!(after.trusted.is_empty() && after.backstops.contains(&prefix(3)), "{after:?}");
}

#[test]
fn who_comes_back_is_called_as_it_says_and_by_no_older_invitation() {
    let config = config("");
    let mut registry = managed(2, &config);
    leave(&mut registry, 2);
    assert!(plan_with(&registry, &config, &hinted(22)).peers.is_empty());
    announce(&mut registry, 2, key(23), "203.0.113.2:51820");
    let back = plan_with(&registry, &config, &hinted(22));
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
        let outer = &OuterAddresses::default();
        let (most_lanes, kept) = (8, &BTreeSet::new());
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
    };
    assert_eq!(of(false).peers.len(), 1);
    assert!(of(true).peers.is_empty());
    assert_eq!(of(true).backstops, of(false).backstops);
}

#[test]
fn what_was_barred_before_stays_barred_whatever_grants_and_authority_sets_say_since() {
    let config = config("");
    let registry = managed(3, &config);
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse::<IpNet>().unwrap()).collect();
    let known = plan(&registry, &config).backstops;
    let inside = IpNet::from(known.iter().find_map(|net| net.hosts().next()).unwrap());
    let mut kept: BTreeSet<IpNet> = nets(&["10.99.7.0/24", "fd99::/64"]);
    kept.insert(inside);
    kept.extend(&config.zone.prefixes);
    let after = plan_after(&registry, &config, &BTreeMap::new(), &kept);
    let more: BTreeSet<IpNet> = after.backstops.difference(&known).copied().collect();
    assert_eq!(more, nets(&["10.99.7.0/24", "fd99::/64"]), "neither twice nor the own zone's");
}

/// A bar is a route: a narrower one would be taken before the tunnel.
#[test]
fn what_a_zone_has_now_is_all_its_own_whatever_was_barred_of_it_before() {
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let config = config("");
    let mut registry = managed_with(3, &config, |zone| match zone {
        2 => vec![net("10.10.12.0/25"), net("10.10.13.0/24")],
        _ => vec![prefix(zone)],
    });
    let regrant = |registry: &mut Registry, zone: u8, prefixes: &[&str]| {
        let authority = AuthorityIdentity::from_seed(&[99; 32]);
        let membership = registry.membership().unwrap();
        let (_, set) = membership.authority_set();
        let request = GrantRequest {
            zone: name(zone),
            zone_key: identity(zone).public_key(),
            prefixes: prefixes.iter().map(|text| net(text)).collect(),
            tunnel_ips: vec![tunnel_ip(zone)],
            federations: Vec::new(),
        };
        let grant = TrustItem::Grant(membership.draft_grant(request, NOW).unwrap());
        let grant = sign(set, &grant, &[&authority]);
        registry.accept_trust(vec![grant]);
    };
    // Its own, wider; then a part of another zone's of before.
    regrant(&mut registry, 2, &["10.10.12.0/24"]);
    regrant(&mut registry, 3, &["10.10.8.0/22", "10.10.13.0/25"]);
    let kept = ["10.10.12.0/25", "10.10.9.0/24", "10.10.13.0/24"].map(net).into();
    let plan = plan_after(&registry, &config, &BTreeMap::new(), &kept);
    for gone in ["10.10.12.0/25", "10.10.9.0/24"] {
        assert!(!plan.backstops.contains(&net(gone)), "{gone}: {:?}", plan.backstops);
    }
    for barred in ["10.10.12.0/24", "10.10.8.0/22", "10.10.13.0/24", "10.10.13.0/25"] {
        assert!(plan.backstops.contains(&net(barred)), "{barred}: {:?}", plan.backstops);
    }
}

/// A new state folder knows nobody, and the kernel still does.
#[test]
fn a_gateway_that_waits_for_its_mesh_keeps_what_was_barred_and_a_mesh_by_hand_its_file() {
    let kept = BTreeSet::from(["10.99.7.0/24".parse().unwrap()]);
    let by_hand = |config: &Config| {
        let members = crate::plan::announcement::members(config, identity(1).public_key());
        Registry::new(name(1), identity(1), members, 1).unwrap()
    };
    let alone = config("");
    let registry = by_hand(&alone);
    assert_eq!(plan_after(&registry, &alone, &BTreeMap::new(), &kept).backstops, kept);
    let config = config(&peer(2, 22));
    let registry = by_hand(&config);
    let plan = plan_after(&registry, &config, &BTreeMap::new(), &kept);
    assert!(!plan.backstops.is_empty() && plan.backstops.is_disjoint(&kept));
}
