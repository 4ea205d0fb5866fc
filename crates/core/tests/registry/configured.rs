//! Members that are written by hand, replaced while the gateway runs.

use std::collections::BTreeSet;

use zonemesh_core::member::{Member, MembershipError};
use zonemesh_core::registry::{MembershipChange, RecordRejected};

use crate::zones::{NOW, identity, member, members, name, registry, signed};

fn zones(numbers: &[u8]) -> BTreeSet<zonemesh_core::name::ZoneName> {
    numbers.iter().copied().map(name).collect()
}

#[test]
fn what_differs_is_told_and_what_the_others_have_said_stays() {
    let mut registry = registry(0, 5);
    for zone in 1..5 {
        registry.accept(signed(zone, 1, 1), NOW).unwrap();
    }
    let wider = Member {
        prefixes: vec!["10.10.2.0/23".parse().unwrap(), "10.77.0.0/16".parse().unwrap()],
        ..member(2)
    };
    let narrower = Member { prefixes: vec!["10.78.0.0/16".parse().unwrap()], ..member(4) };
    // z1 as it was, z2 with more, z3 gone, z4 with others, z7 new.
    let wanted = vec![member(7), narrower, wider, member(1), member(0)];
    let change = registry.set_configured(wanted.clone()).unwrap();
    let expected =
        MembershipChange { added: zones(&[7]), removed: zones(&[3]), changed: zones(&[2, 4]) };
    assert_eq!(change, expected);
    let held = |zone: u8| registry.get(&name(zone)).is_some();
    assert!(held(1) && held(2) && held(4) && !held(3));
    assert!(registry.set_configured(wanted).unwrap().is_empty(), "again the same");
    let refused = registry.accept(signed(3, 2, 1), NOW);
    assert_eq!(refused.unwrap_err(), RecordRejected::UnknownZone);
    registry.accept(signed(7, 1, 1), NOW).unwrap();
}

#[test]
fn members_that_contradict_each_other_change_nothing() {
    let mut registry = registry(0, 3);
    let twin = Member { key: identity(1).public_key(), ..member(2) };
    let refused = registry.set_configured(vec![member(0), member(1), twin]);
    assert!(matches!(refused, Err(MembershipError::DuplicateKey { .. })), "{refused:?}");
    let refused = registry.set_configured(vec![member(1)]);
    assert!(matches!(refused, Err(MembershipError::OwnZoneMissing(_))), "{refused:?}");
    let other = Member { key: identity(9).public_key(), ..member(0) };
    let refused = registry.set_configured(vec![other]);
    assert!(matches!(refused, Err(MembershipError::OtherIdentity(_))), "{refused:?}");
    let now: Vec<_> = registry.members().cloned().collect();
    assert_eq!(now, members(3));
}
