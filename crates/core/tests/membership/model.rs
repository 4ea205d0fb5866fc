//! Membership against a slow, obvious model: whatever the order, duplication, loss or forgery.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use zonemesh_core::member::Member;
use zonemesh_core::membership::{Membership, SignedTrustItem, TrustItem};
use zonemesh_core::prefix;

use crate::mesh::{authority, by, careless, first_set, identity, mesh, name, request, revocation};

/// What an authority, or a forger, may sign.
#[derive(Debug, Clone)]
enum Event {
    /// Zone, key, owner of the prefix.
    Grant(u8, u8, u8),
    Revoke(u8),
    Forged(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let small = 0..5_u8;
    prop_oneof![
        6 => (small.clone(), small.clone(), small.clone()).prop_map(|(z, k, p)| Event::Grant(z, k, p)),
        4 => small.clone().prop_map(|zone| Event::Grant(zone, zone, zone)),
        2 => small.clone().prop_map(Event::Revoke),
        2 => small.prop_map(Event::Forged),
    ]
}

fn item(event: &Event, serial: u64) -> SignedTrustItem {
    let base = mesh();
    let set = first_set(1, 1);
    match *event {
        Event::Grant(zone, key, prefix) => {
            let mut wish = request(prefix);
            (wish.zone, wish.zone_key) = (name(zone), identity(key).public_key());
            by(&set, &careless(base.mesh(), wish, serial), &[0])
        }
        Event::Revoke(key) => revocation(&base, key, key, serial),
        Event::Forged(zone) => {
            let item = careless(base.mesh(), request(zone), serial);
            let mut item = SignedTrustItem::unsigned(&item);
            item.sign(&authority(9));
            item
        }
    }
}

/// The members by the rules as they are written down, without any cleverness.
fn expected(items: &[SignedTrustItem]) -> BTreeMap<String, Member> {
    let valid = |item: &&SignedTrustItem| {
        item.signers().is_some_and(|s| s.contains(&authority(0).public_key()))
    };
    let said: Vec<_> =
        items.iter().filter(valid).map(|i| (i.content_id(), i.decode().unwrap())).collect();
    let mut revoked = BTreeSet::new();
    let mut grants = BTreeMap::new();
    for (id, item) in said {
        match item {
            TrustItem::Revocation(revocation) => drop(revoked.insert(revocation.zone_key)),
            TrustItem::Grant(grant) => drop(grants.insert((grant.serial, Reverse(id)), grant)),
            TrustItem::AuthoritySet(_) | TrustItem::GrantPage(_) => {}
        }
    }
    let mut newest = BTreeMap::new();
    for (order, grant) in &grants {
        newest.insert(grant.zone.clone(), (order, grant));
    }
    let mut candidates = Vec::new();
    for (order, grant) in newest.values().filter(|(_, g)| !revoked.contains(&g.zone_key)) {
        candidates.push((grant.since, order.1.0, *grant));
    }
    candidates.sort_by_key(|(since, id, _)| (*since, *id));
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for (_, _, grant) in candidates {
        let clash = members.values().any(|member| {
            member.key == grant.zone_key
                || prefix::overlaps(&member.prefixes[0], &grant.prefixes[0])
        });
        if !clash {
            members.insert(
                grant.zone.to_string(),
                Member {
                    zone: grant.zone.clone(),
                    key: grant.zone_key,
                    prefixes: grant.prefixes.clone(),
                    tunnel_ips: grant.tunnel_ips.clone(),
                },
            );
        }
    }
    members
}

fn members(membership: &Membership) -> BTreeMap<String, Member> {
    membership.members().map(|member| (member.zone.to_string(), member.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn members_follow_from_the_items_whatever_their_order(
        events in prop::collection::vec((event(), 1..40_u64), 0..24),
        order in any::<prop::sample::Selector>(),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let items: Vec<_> = events.iter().map(|(event, serial)| item(event, *serial)).collect();
        let mut membership = mesh();
        let mut left = items.clone();
        left.extend(repeats.iter().filter(|_| !items.is_empty()).map(|i| i.get(&items).clone()));
        let mut revoked = BTreeSet::new();
        while !left.is_empty() {
            let next = left.swap_remove(order.select(0..left.len()));
            let _held_or_not = membership.accept(next);
            for member in membership.members() {
                prop_assert!(!revoked.contains(&member.key), "a revoked key came back");
            }
            revoked.extend(membership.revocations().map(|r| r.zone_key));
        }
        // A restart: the same items from their files.
        let files: Vec<_> = membership.items().iter().map(SignedTrustItem::to_file_bytes).collect();
        let stored = files.iter().map(|file| SignedTrustItem::from_file_bytes(file).unwrap());
        let restarted = Membership::from_items(membership.mesh(), None, stored.collect()).unwrap();
        prop_assert_eq!(restarted.root_hash(), membership.root_hash());
        prop_assert_eq!(members(&restarted), members(&membership));
        prop_assert_eq!(members(&membership), expected(&items));
        let claims = membership.members().flat_map(|m| m.prefixes.iter().map(|p| (m.zone.as_str(), *p)));
        prop_assert!(prefix::check_disjoint(claims).is_ok());
    }

    #[test]
    fn two_that_exchange_what_the_other_lacks_hold_the_same(
        events in prop::collection::vec((event(), any::<bool>()), 0..24),
    ) {
        let (mut one, mut other) = (mesh(), mesh());
        for (serial, (event, first)) in (1..).zip(&events) {
            let to = if *first { &mut one } else { &mut other };
            let _held_or_not = to.accept(item(event, serial));
        }
        one.accept_all(other.items_except(&one.ids()));
        other.accept_all(one.items_except(&other.ids()));
        prop_assert_eq!(one.root_hash(), other.root_hash());
        prop_assert_eq!(members(&one), members(&other));
    }

    #[test]
    fn nothing_that_bytes_can_say_panics(kind in 0..4_i32, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let file = [b"zonemesh-trust-1\n".as_slice(), &bytes].concat();
        let mut membership = mesh();
        if let Ok(item) = SignedTrustItem::from_file_bytes(&file) {
            prop_assert!(membership.accept(item).is_err());
        }
        let kinds = [
            zonemesh_core::membership::TrustKind::AuthoritySet,
            zonemesh_core::membership::TrustKind::Grant,
            zonemesh_core::membership::TrustKind::Revocation,
        ];
        let kind = kinds[usize::try_from(kind).unwrap() % 3];
        let item = SignedTrustItem::from_parts(kind, bytes.into(), Vec::new());
        prop_assert!(membership.accept(item).is_err());
    }
}
