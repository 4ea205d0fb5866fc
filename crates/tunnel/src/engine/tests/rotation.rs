//! A gateway changes its key while packets flow: none is lost, and nobody is left behind.

use std::sync::Arc;
use std::time::Duration;

use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};

use super::pair::{Pair, Setting, Side, berlin_to_madrid, packet};
use crate::dropped::Dropped;
use crate::peer::{ClockReading, RemoteLink, TYPE_DATA};
use crate::status::PeerStatus;

fn key(seed: u8) -> WireGuardPrivateKey {
    WireGuardPrivateKey::from_bytes([seed; 32])
}

fn public(seed: u8) -> WireGuardPublicKey {
    key(seed).public_key()
}

/// What `side` knows of its peer's keys now.
fn learn(side: &Side, public_key: u8, next_key: Option<u8>) {
    let mut zone = side.told();
    zone.gateways[0].public_key = public(public_key);
    zone.gateways[0].next_key = next_key.map(public);
    side.engine.set_zones(vec![zone]).unwrap();
}

fn status(side: &Side, now: ClockReading) -> PeerStatus {
    let identities = side.engine.identities.load();
    side.engine.zones.load().gateways().next().unwrap().status(&identities, now.instant)
}

/// The keys of the link that packets leave by, own and the peer's.
fn sender(side: &Side) -> (WireGuardPublicKey, WireGuardPublicKey) {
    let link = side.link();
    (link.own, link.key)
}

/// Lets packets flow both ways; each must arrive, in order and at once.
fn talk(pair: &mut Pair, steps: u8) {
    for step in 0..steps {
        let there = berlin_to_madrid(&[step; 900]);
        let back = packet("10.2.0.7", "10.1.0.7", &[step; 90]);
        pair.berlin.give(there.clone());
        pair.madrid.give(back.clone());
        pair.pass(Duration::from_millis(100));
        assert_eq!(pair.madrid.take(), [there], "step {step}");
        assert_eq!(pair.berlin.take(), [back], "step {step}");
    }
}

#[test]
fn a_new_key_takes_over_without_a_lost_packet() {
    let mut pair = Pair::established(&Setting::default());
    talk(&mut pair, 5);
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    talk(&mut pair, 20);
    assert_eq!(sender(&pair.berlin), (public(1), public(2)), "madrid has not heard of it");
    assert!(!status(&pair.berlin, pair.now).knows_next_key);
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 20);
    assert_eq!(sender(&pair.madrid), (public(2), public(11)));
    assert_eq!(sender(&pair.berlin), (public(11), public(2)));
    assert!(status(&pair.berlin, pair.now).knows_next_key);
    assert!(status(&pair.berlin, pair.now).uses_current_key, "the old session is still understood");
    pair.berlin.engine.finish_rotation().unwrap();
    talk(&mut pair, 5);
    learn(&pair.madrid, 11, None);
    talk(&mut pair, 5);
    assert_eq!(status(&pair.madrid, pair.now).public_key, public(11));
    for side in [&pair.berlin, &pair.madrid] {
        assert_eq!(side.engine.dropped.snapshot().iter().map(|(_, n)| n).sum::<u64>(), 0);
    }
}

#[test]
fn what_was_sealed_with_the_old_session_is_still_opened_after_the_change() {
    let mut pair = Pair::established(&Setting::default());
    talk(&mut pair, 1);
    pair.forget_wire();
    pair.cut(true);
    let late = berlin_to_madrid(b"on the way");
    pair.berlin.give(late.clone());
    pair.settle();
    let on_the_way = pair.seen(TYPE_DATA);
    pair.cut(false);
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 10);
    assert_eq!(sender(&pair.madrid), (public(2), public(11)));
    on_the_way.into_iter().for_each(|datagram| pair.wire.deliver(datagram));
    pair.settle();
    assert_eq!(pair.madrid.take(), [late]);
}

#[test]
fn both_gateways_may_change_their_keys_at_once() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    pair.madrid.engine.begin_rotation(&key(12)).unwrap();
    learn(&pair.berlin, 2, Some(12));
    talk(&mut pair, 3);
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 40);
    assert_eq!(sender(&pair.berlin), (public(11), public(12)));
    assert_eq!(sender(&pair.madrid), (public(12), public(11)));
    pair.madrid.engine.finish_rotation().unwrap();
    learn(&pair.berlin, 12, None);
    pair.berlin.engine.finish_rotation().unwrap();
    learn(&pair.madrid, 11, None);
    talk(&mut pair, 5);
}

#[test]
fn a_peer_whose_configuration_is_not_edited_goes_on_with_the_old_key() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    pair.pass(Duration::from_secs(300));
    talk(&mut pair, 5);
    assert!(!status(&pair.berlin, pair.now).knows_next_key);
    // Edited by hand and restarted: the old key stands there no more.
    learn(&pair.madrid, 11, None);
    pair.pass(Duration::from_secs(10));
    talk(&mut pair, 5);
    assert!(status(&pair.berlin, pair.now).knows_next_key);
}

#[test]
fn a_gateway_that_restarts_in_the_middle_is_reached_by_both_keys() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 10);
    // berlin loses its sessions and knows its two keys from the disk.
    pair.berlin.engine.set_zones(Vec::new()).unwrap();
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    pair.berlin.engine.set_zones(vec![pair.to_madrid.clone()]).unwrap();
    pair.pass(Duration::from_secs(15));
    talk(&mut pair, 10);
}

#[test]
fn links_that_are_not_used_begin_no_handshakes_and_send_no_keepalives() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    learn(&pair.madrid, 1, Some(11));
    pair.pass(Duration::from_secs(2));
    pair.forget_wire();
    pair.pass(Duration::from_secs(100));
    assert_eq!(pair.seen(1).len(), 0);
    let keepalives = pair.seen(TYPE_DATA).len();
    assert!((6..=10).contains(&keepalives), "{keepalives}");
}

/// The link of a pair of keys.
fn link(side: &Side, own: u8, peers: u8) -> Arc<RemoteLink> {
    let zones = side.engine.zones.load();
    let gateway = zones.gateways().next().unwrap();
    Arc::clone(gateway.link_of(&public(own), &public(peers)).unwrap())
}

#[test]
fn the_old_key_has_had_its_time_180_s_after_the_last_session_whatever_flows() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    // madrid hears late: the old session is renewed until then.
    pair.pass(Duration::from_secs(400));
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 10);
    let mut waited = 0;
    while status(&pair.berlin, pair.now).uses_current_key {
        pair.pass(Duration::from_secs(1));
        talk(&mut pair, 1);
        waited += 1;
        assert!(waited < 180, "a session of the old key was renewed");
    }
    assert!(waited > 60, "the last session was made 120 s before at the most: {waited}");
    assert!(status(&pair.berlin, pair.now).knows_next_key);
    pair.berlin.engine.finish_rotation().unwrap();
    talk(&mut pair, 10);
    assert_eq!(sender(&pair.berlin), (public(11), public(2)));
}

#[test]
fn packets_come_back_to_the_new_key_after_a_late_handshake_of_the_old_one() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 10);
    // As after a restart in the middle: both pairs of keys shake hands, the old one last.
    link(&pair.berlin, 1, 2).become_sender();
    link(&pair.madrid, 2, 1).become_sender();
    talk(&mut pair, 5);
    assert_eq!(sender(&pair.berlin), (public(11), public(2)));
    assert_eq!(sender(&pair.madrid), (public(2), public(11)));
    pair.pass(Duration::from_secs(181));
    assert!(!status(&pair.berlin, pair.now).uses_current_key, "nobody renews the old one");
}

#[test]
fn a_gateway_that_has_lost_its_next_key_is_spoken_to_with_the_old_one_at_once() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 10);
    // berlin is set up from a backup of before; madrid still has a session with the lost key.
    pair.berlin = Side::new(1, "192.0.2.1:51820", &pair.wire, 1);
    pair.berlin.engine.set_zones(vec![pair.to_madrid.clone()]).unwrap();
    pair.pass(Duration::from_millis(200));
    talk(&mut pair, 50);
    assert_eq!(sender(&pair.madrid), (public(2), public(1)));
}

#[test]
fn a_thief_with_the_retired_key_is_nobody_to_the_peers() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    learn(&pair.madrid, 1, Some(11));
    talk(&mut pair, 10);
    pair.berlin.engine.finish_rotation().unwrap();
    learn(&pair.madrid, 11, None);
    let mut thief = Side::new(1, "203.0.113.66:51820", &pair.wire, 1);
    thief.engine.set_zones(vec![pair.to_madrid.clone()]).unwrap();
    for _ in 0..100 {
        pair.pass(Duration::from_millis(100));
        thief.tick(pair.now);
        thief.give(berlin_to_madrid(b"let me in"));
    }
    assert_eq!(status(&thief, pair.now).latest_handshake, None);
    assert!(pair.madrid.dropped(Dropped::HandshakeUnknownPeer) > 0);
    assert_eq!(pair.madrid.take(), Vec::<Vec<u8>>::new());
    talk(&mut pair, 5);
}

#[test]
fn a_retired_key_is_answered_no_more() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.engine.begin_rotation(&key(11)).unwrap();
    pair.berlin.engine.finish_rotation().unwrap();
    pair.forget_wire();
    pair.madrid.link().lock().set_endpoint("203.0.113.1:1".parse().unwrap());
    pair.madrid.link().lock().set_endpoint(pair.berlin.address());
    pair.pass(Duration::from_millis(300));
    assert_eq!(pair.berlin.dropped(Dropped::HandshakeMac), 1);
}
