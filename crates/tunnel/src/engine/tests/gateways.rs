//! A zone with two gateways: both may send, one is sent to.
//!
//!     berlin 10.1.0.0/16            lisbon and madrid, both of the zone with 10.2.0.0/16

use std::sync::Arc;
use std::time::Duration;

use super::pair::{Pair, Setting, Side, berlin_to_madrid, packet};
use crate::config::TunnelZone;
use crate::dropped::Dropped;
use crate::tunnel::UapiPeer;

struct Three {
    pair: Pair,
    lisbon: Side,
    /// What berlin was told of the zone with two gateways, madrid first.
    spain: TunnelZone,
}

impl Three {
    fn new() -> Self {
        let pair = Pair::established(&Setting::default());
        let lisbon = Side::of_zone(2, 3, "203.0.113.3:51820", &pair.wire, 1);
        let mut spain = pair.to_madrid.clone();
        let mut second = spain.gateways[0].clone();
        second.public_key = lisbon.private_key.public_key();
        second.endpoint = Some(lisbon.address());
        spain.gateways.push(second);
        pair.berlin.engine.set_zones(vec![spain.clone()]).unwrap();
        lisbon.engine.set_zones(vec![pair.madrid.told()]).unwrap();
        let mut three = Self { pair, lisbon, spain };
        three.pass(3);
        three
    }

    /// Lets so many ticks pass.
    fn pass(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.pair.pass(Duration::from_millis(100));
            self.lisbon.tick(self.pair.now);
        }
        self.pair.settle();
    }

    fn activate(&self, side: &Side) {
        assert!(self.pair.berlin.engine.set_active(&side.private_key.public_key()));
    }

    /// Sends a packet of berlin to the zone; returns what came to madrid and what to lisbon.
    fn arrivals(&mut self, payload: &[u8]) -> [usize; 2] {
        self.pair.berlin.give(berlin_to_madrid(payload));
        self.pass(1);
        [self.pair.madrid.take().len(), self.lisbon.take().len()]
    }
}

#[test]
fn two_gateways_of_a_zone_may_both_send() {
    let mut three = Three::new();
    let from = |host: u8| packet("10.2.0.7", "10.1.0.7", &[host; 100]);
    for _ in 0..2 {
        three.pair.madrid.give(from(1));
        three.lisbon.give(from(2));
        three.pass(2);
        let mut taken = three.pair.berlin.take();
        taken.sort();
        assert_eq!(taken, [from(1), from(2)]);
        // Whichever is sent to.
        three.activate(&three.lisbon);
    }
    assert_eq!(three.pair.berlin.dropped(Dropped::InnerSource), 0);
}

#[test]
fn one_gateway_of_a_zone_is_sent_to_and_a_switch_builds_nothing_anew() {
    let mut three = Three::new();
    assert_eq!(three.arrivals(b"first"), [1, 0]);
    let before = three.pair.berlin.engine.zones.load_full();
    three.pair.forget_wire();
    three.activate(&three.lisbon);
    assert_eq!(three.arrivals(b"second"), [0, 1]);
    three.activate(&three.pair.madrid);
    assert_eq!(three.arrivals(b"third"), [1, 0]);
    assert!(three.pair.seen(1).is_empty(), "sessions with both are there");
    assert!(Arc::ptr_eq(&before, &three.pair.berlin.engine.zones.load_full()));
}

#[test]
fn a_switch_outlives_new_zones() {
    let mut three = Three::new();
    three.activate(&three.lisbon);
    let spain = three.spain.clone();
    three.pair.berlin.engine.set_zones(vec![spain]).unwrap();
    assert_eq!(three.arrivals(b"still"), [0, 1]);
}

#[test]
fn a_gateway_of_another_zone_may_not_send_for_this_one() {
    let mut three = Three::new();
    let mut spain = three.spain.clone();
    let lisbon = spain.gateways.pop().unwrap();
    let portugal = TunnelZone {
        name: "portugal".into(),
        allowed_ips: vec!["10.3.0.0/16".parse().unwrap()],
        gateways: vec![lisbon],
    };
    three.pair.berlin.engine.set_zones(vec![spain, portugal]).unwrap();
    three.lisbon.give(packet("10.2.0.7", "10.1.0.7", b"of spain"));
    three.lisbon.give(packet("10.3.0.7", "10.1.0.7", b"of portugal"));
    three.pass(2);
    assert_eq!(three.pair.berlin.take(), [packet("10.3.0.7", "10.1.0.7", b"of portugal")]);
    assert_eq!(three.pair.berlin.dropped(Dropped::InnerSource), 1);
}

#[test]
fn the_status_of_a_zone_has_all_its_gateways_and_says_which_is_active() {
    let three = Three::new();
    let now = three.pair.now.instant;
    let identities = three.pair.berlin.engine.identities.load();
    let status = || {
        let zones = three.pair.berlin.engine.zones.load();
        zones.iter().next().unwrap().status(&identities, now)
    };
    let keys = [&three.pair.madrid, &three.lisbon].map(|side| side.private_key.public_key());
    let shown = status();
    assert_eq!(shown.gateways.iter().map(|peer| peer.public_key).collect::<Vec<_>>(), keys);
    assert!(shown.gateways.iter().all(|peer| peer.latest_handshake.is_some()));
    assert_eq!(shown.active, keys[0]);
    three.activate(&three.lisbon);
    assert_eq!(status().active, keys[1]);
}

#[test]
fn for_wg_an_allowed_ip_belongs_to_one_peer_the_active_gateway() {
    let three = Three::new();
    let engine = &three.pair.berlin.engine;
    let routed = || {
        let identities = engine.identities.load();
        let peers = UapiPeer::all(&engine.zones.load(), &identities, three.pair.now.instant);
        assert!(peers.is_sorted_by_key(|peer| peer.status.public_key));
        let routed = peers.into_iter().filter(|peer| !peer.allowed_ips.is_empty());
        routed.map(|peer| (peer.status.public_key, peer.allowed_ips)).collect::<Vec<_>>()
    };
    for active in [&three.pair.madrid, &three.lisbon] {
        three.activate(active);
        let key = active.private_key.public_key();
        assert_eq!(routed(), [(key, three.spain.allowed_ips.clone())]);
    }
}
