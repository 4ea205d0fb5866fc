//! Which trust items are held, why others are refused, and who is a member then.

use std::collections::BTreeSet;

use bytes::Bytes;
use zonemesh_core::membership::{
    Alarm, DraftError, GrantRequest, ItemError, Membership, SignedTrustItem, TrustAccepted,
    TrustItem, TrustKind, TrustRejected,
};
use zonemesh_core::mesh::MeshId;

use crate::mesh::{
    NOW, authority, by, careless, first_set, grant, granted, identity, mesh, mesh_of, name, names,
    request, revocation, set_of,
};

#[test]
fn a_granted_zone_is_a_member_with_what_it_was_granted() {
    let membership = granted(0..2);
    let member = membership.member(&name(1)).unwrap();
    assert_eq!(member.key, identity(1).public_key());
    assert_eq!(member.prefixes, request(1).prefixes);
    assert_eq!(membership.grant(&name(1)).unwrap().serial, 1);
}

#[test]
fn a_mesh_is_named_by_its_first_authority_set() {
    let membership = mesh();
    let first = membership.items().remove(0);
    assert!(membership.mesh().is_managed());
    let again = Membership::from_items(membership.mesh(), None, vec![first.clone()]).unwrap();
    assert_eq!(again.mesh(), membership.mesh());
    let other = MeshId::new("0".repeat(64));
    let refused = Membership::from_items(&other, None, vec![first]).err();
    assert_eq!(refused, Some(TrustRejected::UnknownPredecessor));
}

#[test]
fn items_of_strangers_of_other_meshes_and_nonsense_are_refused_and_counted() {
    let mut membership = mesh();
    let item = careless(membership.mesh(), request(1), 1);
    let mut forged = SignedTrustItem::unsigned(&item);
    forged.sign(&authority(9));
    let unsigned = SignedTrustItem::unsigned(&item);
    let set = first_set(1, 1);
    let other = by(&set, &careless(&MeshId::new("other"), request(1), 1), &[0]);
    let parts = |payload| SignedTrustItem::from_parts(TrustKind::Grant, payload, Vec::new());
    let nonsense = parts(Bytes::from(vec![0xff; 40]));
    let large = parts(Bytes::from(vec![0; 9000]));
    let cases = [
        (forged, TrustRejected::NotAuthorised),
        (unsigned, TrustRejected::NotAuthorised),
        (other, TrustRejected::OtherMesh),
        (nonsense, TrustRejected::Malformed),
        (large, TrustRejected::TooLarge),
    ];
    for (item, reason) in cases {
        assert_eq!(membership.accept(item), Err(reason));
        let counted =
            membership.counters().rejected().find(|(r, count)| (*r, *count > 0) == (reason, true));
        assert!(counted.is_some(), "{reason:?}");
    }
    assert_eq!(membership.members().count(), 0);
}

#[test]
fn a_signature_for_another_kind_of_item_does_not_hold() {
    let mut membership = mesh();
    let good = grant(&membership, 1);
    let (payload, signatures) = (good.payload().clone(), good.signatures().to_vec());
    let moved = SignedTrustItem::from_parts(TrustKind::Revocation, payload, signatures);
    assert!(membership.accept(moved).is_err());
    assert!(!membership.is_revoked(&identity(1).public_key()));
}

#[test]
fn two_of_three_must_sign_a_repeated_signature_helps_nobody_and_a_third_is_merged() {
    let mut membership = mesh_of(3, 2);
    let item = careless(membership.mesh(), request(1), 1);
    let set = membership.authority_set().1.clone();
    assert_eq!(membership.accept(by(&set, &item, &[0])), Err(TrustRejected::NotAuthorised));
    let one = by(&set, &item, &[0]);
    let twice = [one.signatures(), one.signatures()].concat();
    let twice = SignedTrustItem::from_parts(TrustKind::Grant, one.payload().clone(), twice);
    assert_eq!(membership.accept(twice), Err(TrustRejected::NotAuthorised));
    assert!(matches!(membership.accept(by(&set, &item, &[0, 2])), Ok(TrustAccepted::Stored(_))));
    assert!(matches!(membership.accept(by(&set, &item, &[1, 2])), Ok(TrustAccepted::Stored(_))));
    assert_eq!(membership.accept(by(&set, &item, &[0, 1])), Ok(TrustAccepted::Known));
    assert_eq!(names(&membership), set_of(&["z1"]));
    let items = membership.items();
    assert_eq!(items.len(), 2, "the first set and one grant with all its signers");
    assert_eq!(items[1].signatures().len(), 3);
}

#[test]
fn a_revoked_key_never_comes_back_and_a_new_one_does() {
    let mut membership = granted(0..2);
    let revoked = revocation(&membership, 1, 1, 10);
    membership.accept(revoked).unwrap();
    assert_eq!(names(&membership), set_of(&["z0"]));
    let refused = membership.draft_grant(request(1), NOW);
    assert_eq!(refused, Err(DraftError::RevokedKey(name(1))));
    let careless_grant = careless(membership.mesh(), request(1), 99);
    let set = membership.authority_set().1.clone();
    membership.accept(by(&set, &careless_grant, &[0])).unwrap();
    assert_eq!(names(&membership), set_of(&["z0"]), "signed all the same, and still out");
    let mut again = request(1);
    again.zone_key = identity(7).public_key();
    let item = TrustItem::Grant(membership.draft_grant(again, NOW).unwrap());
    membership.accept(by(&set, &item, &[0])).unwrap();
    assert_eq!(membership.member(&name(1)).unwrap().key, identity(7).public_key());
}

#[test]
fn a_zone_does_not_fall_back_to_an_older_key_when_its_new_one_is_revoked() {
    let mut membership = granted(0..2);
    let mut rotated = request(1);
    rotated.zone_key = identity(7).public_key();
    let set = membership.authority_set().1.clone();
    let item = TrustItem::Grant(membership.draft_grant(rotated, NOW).unwrap());
    membership.accept(by(&set, &item, &[0])).unwrap();
    let revoked = revocation(&membership, 1, 7, 10);
    membership.accept(revoked).unwrap();
    assert_eq!(names(&membership), set_of(&["z0"]));
}

#[test]
fn an_overlap_is_refused_at_signing_with_both_owners_named() {
    let membership = granted(0..2);
    let mut thief = request(5);
    thief.prefixes = vec!["10.10.0.0/16".parse().unwrap()];
    let error = membership.draft_grant(thief, NOW).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("z5's prefix 10.10.0.0/16 overlaps z1's prefix 10.10.1.0/24"),
        "{cause}"
    );
    let mut tunnel_ip = request(5);
    tunnel_ip.tunnel_ips = request(1).tunnel_ips;
    assert!(matches!(membership.draft_grant(tunnel_ip, NOW), Err(DraftError::Overlap(..))));
    let mut key = request(5);
    key.zone_key = identity(1).public_key();
    assert_eq!(membership.draft_grant(key, NOW), Err(DraftError::KeyOfOther(name(1))));
}

#[test]
fn what_would_make_no_valid_grant_is_refused_before_anybody_is_invited_with_it() {
    let membership = granted(0..2);
    let refused = |prefixes: &[&str]| {
        let prefixes: Vec<_> = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
        membership.check_free(&name(5), &prefixes, &[])
    };
    let host_bits = refused(&["10.62.0.0/24", "10.20.12.1/24"]).unwrap_err();
    let said = "10.20.12.1/24 has bits set behind its length: write 10.20.12.0/24";
    assert_eq!(host_bits.to_string(), said);
    for twice in [["10.62.0.0/24", "10.62.0.0/25"], ["10.62.0.0/24", "10.62.0.0/24"]] {
        let refused = refused(&twice);
        assert!(
            matches!(refused, Err(DraftError::Item(ItemError::Overlap(_)))),
            "{twice:?}: {refused:?}"
        );
    }
    assert_eq!(refused(&["10.62.0.0/25", "10.62.0.128/25"]), Ok(()));
}

#[test]
fn what_no_zone_may_have_is_refused_at_signing_and_when_it_was_signed_elsewhere() {
    let reserved = ["0.0.0.0/0", "127.0.0.0/8", "169.254.169.254/32", "ff00::/8"];
    let prefixes = reserved
        .map(|prefix| prefix.parse().unwrap())
        .map(|prefix| (prefix, GrantRequest { prefixes: vec![prefix], ..request(5) }));
    let addresses = ["127.0.0.1", "::1", "0.0.0.0", "169.254.0.1", "ff02::1"];
    let addresses = addresses.map(|ip| ip.parse::<std::net::IpAddr>().unwrap());
    let addresses =
        addresses.map(|ip| (ip.into(), GrantRequest { tunnel_ips: vec![ip], ..request(5) }));
    for (prefix, greedy) in prefixes.into_iter().chain(addresses) {
        let refused = granted(0..2).draft_grant(greedy.clone(), NOW).unwrap_err();
        let DraftError::Reserved(zone, why) = &refused else { panic!("{refused:?}") };
        assert_eq!((zone, why.prefix), (&name(5), prefix));

        let mut membership = mesh();
        let item = by(&first_set(1, 1), &careless(membership.mesh(), greedy, 3), &[0]);
        membership.accept(item).unwrap();
        assert_eq!(names(&membership), set_of(&[]));
        let [alarm @ Alarm::Reserved { .. }] = membership.alarms() else {
            panic!("{:?}", membership.alarms());
        };
        assert_eq!(alarm.refused(), &name(5));
    }
}

#[test]
fn of_two_grants_that_overlap_the_one_that_had_it_longer_keeps_and_an_alarm_names_both() {
    let mut thief = request(5);
    thief.prefixes = request(1).prefixes;
    let set = first_set(1, 1);
    let mesh_id = mesh().mesh().clone();
    let items = [
        by(&set, &careless(&mesh_id, request(1), 3), &[0]),
        by(&set, &careless(&mesh_id, thief, 4), &[0]),
    ];
    for order in [[0, 1], [1, 0]] {
        let mut membership = mesh();
        for index in order {
            membership.accept(items[index].clone()).unwrap();
        }
        assert_eq!(names(&membership), set_of(&["z1"]));
        let [Alarm::Overlap { kept, refused, .. }] = membership.alarms() else {
            panic!("{:?}", membership.alarms());
        };
        assert_eq!((kept, refused), (&name(1), &name(5)));
    }
}

/// A gateway that was set back to an earlier state of its disk may invite twice to one place.
#[test]
fn of_two_grants_with_one_serial_the_older_holds_and_an_alarm_is_raised() {
    let mut compared = BTreeSet::new();
    for key in 20..30 {
        let mut thief = request(1);
        thief.zone_key = identity(key).public_key();
        let TrustItem::Grant(mut later) = careless(mesh().mesh(), thief, 1) else { panic!() };
        later.since += 1;
        let first = by(&first_set(1, 1), &careless(mesh().mesh(), request(1), 1), &[0]);
        let later = by(&first_set(1, 1), &TrustItem::Grant(later), &[0]);
        compared.insert(first.content_id() < later.content_id());
        for order in [[&first, &later], [&later, &first]] {
            let mut membership = mesh();
            for item in order {
                membership.accept(item.clone()).unwrap();
            }
            assert_eq!(membership.member(&name(1)).unwrap().key, identity(1).public_key());
            let text = membership.alarms()[0].to_string();
            assert_eq!(text, "two grants of zone z1 have the serial 1: the older one holds");
        }
    }
    assert_eq!(compared.len(), 2, "whichever hash is the lower one");
}

#[test]
fn a_rotation_of_keys_opens_a_waiting_thief_no_gap() {
    let mut membership = granted(0..2);
    let set = membership.authority_set().1.clone();
    let mut thief = request(5);
    thief.prefixes = request(1).prefixes;
    let theft = careless(membership.mesh(), thief, 50);
    membership.accept(by(&set, &theft, &[0])).unwrap();
    let mut rotated = request(1);
    rotated.zone_key = identity(7).public_key();
    let rotation = TrustItem::Grant(membership.draft_grant(rotated, NOW).unwrap());
    membership.accept(by(&set, &rotation, &[0])).unwrap();
    assert_eq!(names(&membership), set_of(&["z0", "z1"]));
    assert_eq!(membership.member(&name(1)).unwrap().key, identity(7).public_key());
}

#[test]
fn a_zone_cannot_grow_into_what_another_was_granted_before() {
    let mut membership = granted(0..2);
    let set = membership.authority_set().1.clone();
    let mut greedy = request(0);
    greedy.prefixes.extend(request(1).prefixes);
    let item = careless(membership.mesh(), greedy, 50);
    membership.accept(by(&set, &item, &[0])).unwrap();
    assert_eq!(names(&membership), set_of(&["z1"]), "z0's new grant is held and not applied");
    assert_eq!(membership.alarms().len(), 1);
}

#[test]
fn an_item_survives_its_file_and_a_damaged_file_does_not_count() {
    let mut membership = mesh();
    let item = grant(&membership, 1);
    let bytes = item.to_file_bytes();
    assert_eq!(SignedTrustItem::from_file_bytes(&bytes), Ok(item));
    assert_eq!(SignedTrustItem::from_file_bytes(b"junk"), Err(ItemError::Magic));
    for cut in 0..bytes.len() {
        if let Ok(cut) = SignedTrustItem::from_file_bytes(&bytes[..cut]) {
            assert!(membership.accept(cut).is_err());
        }
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        if let Ok(damaged) = SignedTrustItem::from_file_bytes(&damaged) {
            assert!(membership.accept(damaged).is_err(), "byte {at}");
        }
    }
    assert_eq!(membership.members().count(), 0);
}

#[test]
fn what_a_zone_may_do_for_federations_stays_until_other_bounds_are_named() {
    let mut membership = mesh();
    let bounded: GrantRequest =
        GrantRequest { federations: vec!["health-eu=train".parse().unwrap()], ..request(1) };
    for wish in [bounded, request(1)] {
        let item = TrustItem::Grant(membership.draft_grant(wish, NOW).unwrap());
        membership.accept(by(&first_set(1, 1), &item, &[0])).unwrap();
        let grant = membership.grant(&name(1)).unwrap();
        let [health, other] = ["health-eu", "other"].map(|name| name.parse().unwrap());
        assert_eq!((grant.may_host(&health), grant.may_train(&health)), (false, true));
        assert_eq!((grant.may_host(&other), grant.may_train(&other)), (false, false));
    }
    let free = &granted(0..1);
    assert!(free.grant(&name(0)).unwrap().may_host(&"health-eu".parse().unwrap()));
    for text in ["health-eu", "health-eu=", "health-eu=lead", "=host"] {
        let parsed = text.parse::<zonemesh_core::membership::FederationRight>();
        assert!(parsed.is_err(), "{text}");
    }
    for text in ["health-eu=host,train", "health-eu=none"] {
        let right: zonemesh_core::membership::FederationRight = text.parse().unwrap();
        assert_eq!(right.to_string(), text);
    }
}
