//! What a new table of zones keeps, and what it refuses.

use super::*;
use crate::peer::Identity;
use zonemesh_core::key::WireGuardPrivateKey;

fn identity() -> Identities {
    Identities::one(Arc::new(Identity::new(&WireGuardPrivateKey::from_bytes([1; 32]), 1)))
}

fn peer(name: &str, seed: u8, allowed_ips: &[&str]) -> Peer {
    Peer {
        name: name.to_owned(),
        public_key: WireGuardPrivateKey::from_bytes([seed; 32]).public_key(),
        next_key: None,
        lanes: Vec::new(),
        preshared_key: None,
        allowed_ips: allowed_ips.iter().map(|text| text.parse().unwrap()).collect(),
        endpoint: None,
        keepalive: None,
    }
}

#[test]
fn ones_own_key_is_refused_as_a_peer() {
    let refused = RemoteZones::empty().replace(&identity(), vec![peer("me", 1, &[])]).err();
    assert_eq!(refused, Some(PeersError::OwnKey { name: "me".into() }));
}

#[test]
fn one_key_cannot_be_two_peers() {
    let peers = vec![peer("a", 2, &[]), peer("b", 2, &[])];
    let refused = RemoteZones::empty().replace(&identity(), peers).err();
    assert!(matches!(refused, Some(PeersError::SameKey { .. })));
}

#[test]
fn a_prefix_on_two_peers_is_refused_with_both_named() {
    let peers = vec![peer("a", 2, &["10.1.0.0/16"]), peer("b", 3, &["10.1.2.3/16"])];
    let refused = RemoteZones::empty().replace(&identity(), peers).err();
    let (first, second) = ("a".to_owned(), "b".to_owned());
    let prefix = "10.1.0.0/16".parse().unwrap();
    assert_eq!(refused, Some(PeersError::SamePrefix { prefix, first, second }));
}

#[test]
fn an_unchanged_peer_is_kept_and_a_moved_prefix_leads_to_its_new_owner() {
    let identity = identity();
    let first = vec![peer("a", 2, &["10.1.0.0/16", "10.2.0.0/16"]), peer("b", 3, &[])];
    let first = RemoteZones::empty().replace(&identity, first).unwrap();
    let second = vec![peer("a", 2, &["10.1.0.0/16"]), peer("b", 3, &["10.2.0.0/16"])];
    let second = first.replace(&identity, second).unwrap();
    for known in first.peers() {
        let link = known.first();
        assert!(Arc::ptr_eq(link, second.by_key(&known.key).unwrap().first()));
        let session = link.index << 8 | 3;
        assert!(Arc::ptr_eq(link, second.by_session(session).unwrap()));
    }
    let owner = second.owner_of("10.2.0.1".parse().unwrap()).unwrap();
    assert_eq!(owner.config().name, "b");
}

#[test]
fn a_peer_between_two_keys_is_one_peer_with_the_links_it_had() {
    let identity = identity();
    let before =
        RemoteZones::empty().replace(&identity, vec![peer("a", 2, &["10.1.0.0/16"])]).unwrap();
    let old = Arc::clone(before.peers().next().unwrap().first());
    let next = peer("a", 3, &[]).public_key;
    let both = vec![Peer { next_key: Some(next), ..peer("a", 2, &["10.1.0.0/16"]) }];
    let between = before.replace(&identity, both).unwrap();
    assert_eq!(between.peers().count(), 1);
    let links = between.by_key(&next).unwrap();
    assert!(Arc::ptr_eq(links.of(&old.own, &old.key).unwrap(), &old));
    let new = Arc::clone(links.of(&old.own, &next).unwrap());
    let after = between.replace(&identity, vec![peer("a", 3, &["10.1.0.0/16"])]).unwrap();
    assert!(Arc::ptr_eq(after.owner_of("10.1.0.1".parse().unwrap()).unwrap().first(), &new));
    assert!(after.by_key(&old.key).is_none());
    assert!(after.by_session(old.index << 8).is_none());
}

#[test]
fn a_next_key_that_is_another_peers_is_refused() {
    let next_key = Some(peer("b", 3, &[]).public_key);
    let peers = vec![Peer { next_key, ..peer("a", 2, &[]) }, peer("b", 3, &[])];
    let refused = RemoteZones::empty().replace(&identity(), peers).err();
    assert!(matches!(refused, Some(PeersError::SameKey { .. })));
}

#[test]
fn a_removed_peer_owns_nothing() {
    let identity = identity();
    let first = vec![peer("a", 2, &["10.1.0.0/16"])];
    let first = RemoteZones::empty().replace(&identity, first).unwrap();
    let second = first.replace(&identity, Vec::new()).unwrap();
    assert!(second.owner_of("10.1.0.1".parse().unwrap()).is_none());
    assert_eq!(second.peers().count(), 0);
}
