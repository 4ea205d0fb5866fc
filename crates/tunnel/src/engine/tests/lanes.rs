//! Several lanes between two gateways: each flow keeps its own, none is lost with its port.

use std::time::Duration;

use zonemesh_core::key::WireGuardPrivateKey;

use super::pair::{Pair, Setting, Side, packet};
use crate::dropped::Dropped;
use crate::peer::TYPE_DATA;

fn pair(lanes: [u8; 2]) -> Pair {
    Pair::established(&Setting { lanes, ..Setting::default() })
}

/// A packet of flow `flow` of berlin's.
fn there(flow: usize, step: u8) -> Vec<u8> {
    packet(&format!("10.1.0.{flow}"), "10.2.0.7", &[step; 300])
}

/// Lets a packet of each of berlin's queues arrive; returns on which of madrid's lanes.
fn arrivals(pair: &mut Pair, queues: usize, step: u8) -> Vec<usize> {
    let lanes = pair.madrid.status().lanes.len();
    let of_queue = |queue| {
        let given = there(queue, step);
        pair.berlin.give_to(queue, given.clone());
        pair.settle();
        let all: Vec<_> = (0..lanes).map(|lane| pair.madrid.take_from(lane)).collect();
        assert_eq!(all.concat(), [given], "queue {queue}, step {step}");
        all.iter().position(|packets| !packets.is_empty()).unwrap()
    };
    (0..queues).map(of_queue).collect()
}

fn drops(side: &Side) -> u64 {
    side.engine.dropped.snapshot().iter().map(|(_, count)| count).sum()
}

#[test]
fn each_queue_has_a_lane_of_its_own() {
    for lanes in [2, 4, 8] {
        let mut pair = pair([lanes, lanes]);
        let all: Vec<_> = (0..usize::from(lanes)).collect();
        assert_eq!(arrivals(&mut pair, all.len(), 1), all);
        let status = pair.berlin.status();
        assert_eq!(status.lanes.len(), all.len());
        assert!(status.lanes.iter().all(|lane| lane.is_usable && lane.tx_bytes > 300));
        let sum: u64 = status.lanes.iter().map(|lane| lane.tx_bytes).sum();
        assert_eq!(status.tx_bytes, sum);
        assert_eq!(drops(&pair.berlin) + drops(&pair.madrid), 0);
    }
}

#[test]
fn as_many_lanes_are_used_as_both_ends_have() {
    for (berlin, madrid, expected) in
        [(4, 2, vec![0, 1, 0, 1]), (4, 1, vec![0, 0, 0, 0]), (2, 4, vec![0, 1])]
    {
        let mut pair = pair([berlin, madrid]);
        assert_eq!(arrivals(&mut pair, usize::from(berlin), 1), expected);
        assert_eq!(drops(&pair.berlin) + drops(&pair.madrid), 0);
    }
}

#[test]
fn many_queues_share_the_only_lane_of_another_wireguard() {
    let mut pair = pair([8, 1]);
    for step in 0..200 {
        for queue in 0..8 {
            pair.berlin.give_to(queue, there(queue, step));
        }
    }
    pair.settle();
    let arrived = pair.madrid.take();
    assert_eq!(arrived.len(), 1600);
    for queue in 0..8 {
        let of_flow = arrived.iter().filter(|packet| packet[15] == queue);
        assert!(of_flow.map(|packet| packet[30]).eq(0..200), "queue {queue}");
    }
    assert_eq!(pair.madrid.dropped(Dropped::Replayed), 0);
}

#[test]
fn a_lane_whose_port_is_closed_leaves_its_flows_to_the_first() {
    let mut pair = Pair::new(&Setting { lanes: [2, 2], ..Setting::default() });
    pair.madrid.close_port(1, true);
    pair.berlin.close_port(1, true);
    pair.pass(Duration::from_secs(3));
    assert_eq!(arrivals(&mut pair, 2, 1), [0, 0]);
    assert!(!pair.berlin.status().lanes[1].is_usable);
    pair.madrid.close_port(1, false);
    pair.berlin.close_port(1, false);
    pair.pass(Duration::from_secs(6));
    assert_eq!(arrivals(&mut pair, 2, 2), [0, 1]);
}

#[test]
fn a_lane_that_dies_in_service_is_left_after_some_handshakes() {
    let mut pair = pair([2, 2]);
    assert_eq!(arrivals(&mut pair, 2, 1), [0, 1]);
    pair.madrid.close_port(1, true);
    pair.berlin.close_port(1, true);
    pair.pass(Duration::from_secs(90));
    assert_eq!(arrivals(&mut pair, 2, 2), [0, 0]);
}

#[test]
fn a_restarted_gateway_has_all_its_lanes_at_once() {
    let mut pair = pair([4, 4]);
    let to_madrid = pair.to_madrid.clone();
    pair.berlin.engine.set_zones(Vec::new()).unwrap();
    pair.berlin.engine.set_zones(vec![to_madrid]).unwrap();
    pair.pass(Duration::from_millis(200));
    assert_eq!(arrivals(&mut pair, 4, 1), [0, 1, 2, 3]);
    pair.madrid.give_to(3, packet("10.2.0.7", "10.1.0.7", b"back"));
    pair.settle();
    assert_eq!(pair.berlin.take_from(3).len(), 1);
}

#[test]
fn lanes_of_a_tunnel_that_rests_are_sought_when_there_are_packets_for_them() {
    let setting = Setting { keepalive: None, lanes: [2, 2], ..Setting::default() };
    let mut pair = Pair::new(&setting);
    pair.pass(Duration::from_secs(5));
    assert_eq!(pair.wire.seen.lock().unwrap().len(), 0);
    assert_eq!(arrivals(&mut pair, 2, 1), [0, 0]);
    pair.pass(Duration::from_millis(200));
    assert_eq!(arrivals(&mut pair, 2, 2), [0, 1]);
}

#[test]
fn a_peer_that_gets_lanes_or_loses_them_keeps_its_sessions() {
    let mut pair = pair([2, 2]);
    let with = pair.to_madrid.clone();
    let mut without = with.clone();
    without.gateways[0].lanes.clear();
    pair.forget_wire();
    pair.berlin.engine.set_zones(vec![without]).unwrap();
    assert_eq!(arrivals(&mut pair, 2, 1), [0, 0]);
    pair.berlin.engine.set_zones(vec![with]).unwrap();
    pair.pass(Duration::from_millis(200));
    assert_eq!(arrivals(&mut pair, 2, 2), [0, 1]);
    let on_first = pair.seen(TYPE_DATA).iter().filter(|d| d.to.port() == 51820).count();
    assert_eq!(on_first, 3, "no keepalive, no new session");
}

#[test]
fn a_key_of_a_lane_is_taken_on_its_own_port_only() {
    let mut pair = pair([2, 2]);
    pair.forget_wire();
    pair.berlin.engine.set_zones(Vec::new()).unwrap();
    pair.berlin.engine.set_zones(vec![pair.to_madrid.clone()]).unwrap();
    pair.cut(true);
    pair.pass(Duration::from_millis(100));
    pair.cut(false);
    for mut datagram in pair.seen(1) {
        datagram.to.set_port(if datagram.to.port() == 51820 { 51831 } else { 51820 });
        pair.wire.deliver(datagram);
    }
    pair.settle();
    assert_eq!(pair.madrid.dropped(Dropped::HandshakeMac), 2);
}

#[test]
fn a_new_key_takes_over_on_all_lanes() {
    let mut pair = pair([4, 2]);
    pair.berlin.engine.begin_rotation(&WireGuardPrivateKey::from_bytes([11; 32])).unwrap();
    pair.pass(Duration::from_secs(1));
    assert_eq!(arrivals(&mut pair, 4, 1), [0, 1, 0, 1]);
    let told = |pair: &Pair, public_key, next_key| {
        let mut zone = pair.madrid.told();
        let gateway = &mut zone.gateways[0];
        (gateway.public_key, gateway.next_key) = (public_key, next_key);
        gateway.lanes = pair.berlin.further_lanes();
        pair.madrid.engine.set_zones(vec![zone]).unwrap();
    };
    let keys = |pair: &Pair| {
        let identities = pair.berlin.engine.identities.load();
        (identities.current.key, identities.next.as_ref().map(|next| next.key))
    };
    let (old, new) = keys(&pair);
    told(&pair, old, new);
    for step in 2..10 {
        pair.pass(Duration::from_millis(100));
        assert_eq!(arrivals(&mut pair, 4, step), [0, 1, 0, 1]);
    }
    assert!(pair.berlin.status().knows_next_key);
    pair.berlin.engine.finish_rotation().unwrap();
    assert_eq!(arrivals(&mut pair, 4, 10), [0, 1, 0, 1]);
    told(&pair, new.unwrap(), None);
    for step in 11..14 {
        pair.pass(Duration::from_millis(100));
        assert_eq!(arrivals(&mut pair, 4, step), [0, 1, 0, 1]);
    }
    assert_eq!(drops(&pair.berlin) + drops(&pair.madrid), 0);
}
