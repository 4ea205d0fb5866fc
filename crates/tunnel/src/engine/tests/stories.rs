//! What two gateways do, told by what is seen on the wire and at the local networks.

use std::sync::Arc;
use std::time::Duration;

use super::pair::{Datagram, Pair, Setting, berlin_to_madrid, packet};
use crate::destinations::InnerDestinations;
use crate::dropped::Dropped;
use crate::packet::samples::udp_packet;
use crate::peer::{DATA_OVERHEAD, TYPE_DATA};
use crate::status::TunnelEvent;

const TYPE_INITIATION: u8 = 1;
const TYPE_RESPONSE: u8 = 2;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn both_sides_start_a_handshake_at_once_and_packets_flow_both_ways() {
    let mut pair = Pair::new(&Setting::default());
    pair.pass(Duration::from_millis(100));
    assert_eq!(pair.seen(TYPE_INITIATION).len(), 2);
    for side in [&pair.berlin, &pair.madrid] {
        let key = side.link().key;
        assert_eq!(side.events.try_recv(), Ok(TunnelEvent::HandshakeCompleted(key)));
        assert_eq!(side.status().handshake_attempts_unanswered, 0);
    }
    let there = berlin_to_madrid(b"question");
    let back = packet("2001:db8:2::7", "2001:db8:1::7", b"answer");
    pair.berlin.give(there.clone());
    pair.madrid.give(back.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), [there]);
    assert_eq!(pair.berlin.take(), [back]);
}

#[test]
fn a_packet_that_came_before_the_session_is_delivered_after_the_handshake() {
    let mut pair = Pair::new(&Setting::default());
    let early = berlin_to_madrid(b"early");
    pair.berlin.give(early.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), [early]);
}

#[test]
fn no_plaintext_and_no_length_leaves_the_gateway() {
    let mut pair = Pair::established(&Setting::default());
    pair.forget_wire();
    for len in 0..40 {
        pair.berlin.give(berlin_to_madrid(&[b'x'; 40][..len]));
    }
    pair.berlin.give(berlin_to_madrid(&[b'x'; 1400]));
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 41);
    for datagram in pair.seen(TYPE_DATA) {
        let payload = datagram.bytes.len() - DATA_OVERHEAD;
        assert!(payload.is_multiple_of(16) || payload == 1420, "unpadded: {payload}");
        assert!(!datagram.bytes.windows(5).any(|window| window == b"xxxxx"));
    }
}

#[test]
fn an_idle_session_is_renewed_before_it_ends_and_packets_flow_on() {
    let mut pair = Pair::established(&Setting::default());
    pair.forget_wire();
    pair.pass(seconds(130));
    let renewals = pair.seen(TYPE_INITIATION);
    assert_eq!(renewals.len(), 1, "one elected initiator");
    assert_eq!(pair.seen(TYPE_RESPONSE).len(), 1);
    pair.berlin.give(berlin_to_madrid(b"after"));
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 1);
}

#[test]
fn keepalives_alone_keep_an_idle_pair_in_touch() {
    let mut pair = Pair::established(&Setting::default());
    pair.forget_wire();
    pair.pass(seconds(110));
    let keepalives = pair.seen(TYPE_DATA);
    assert!(keepalives.iter().all(|datagram| datagram.bytes.len() == DATA_OVERHEAD));
    for side in [&pair.berlin, &pair.madrid] {
        let sent = keepalives.iter().filter(|datagram| datagram.from == side.address());
        assert_eq!(sent.count(), 4);
    }
    assert!(pair.madrid.take().is_empty());
}

#[test]
fn after_five_minutes_of_silence_the_pair_is_back_within_ten_seconds() {
    let mut pair = Pair::established(&Setting::default());
    pair.cut(true);
    pair.pass(seconds(300));
    let before = pair.berlin.status().latest_handshake.unwrap();
    assert!(pair.berlin.status().handshake_attempts_unanswered > 20);
    pair.cut(false);
    pair.pass(seconds(5));
    for side in [&pair.berlin, &pair.madrid] {
        let status = side.status();
        assert!(status.latest_handshake.unwrap() > before + seconds(300));
        assert_eq!(status.handshake_attempts_unanswered, 0);
    }
}

#[test]
fn a_peer_that_moved_is_followed_once_it_proves_itself() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.move_to("203.0.113.99:7000");
    pair.berlin.give(berlin_to_madrid(b"from elsewhere"));
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 1);
    let endpoint = pair.madrid.status().endpoint;
    assert_eq!(endpoint, Some(pair.berlin.address()));
    pair.madrid.give(packet("10.2.0.7", "10.1.0.7", b"back"));
    pair.settle();
    assert_eq!(pair.berlin.take().len(), 1);
}

#[test]
fn datagrams_that_prove_nothing_do_not_move_a_peer() {
    let mut pair = Pair::established(&Setting::default());
    let home = pair.madrid.status().endpoint;
    pair.forget_wire();
    pair.berlin.give(berlin_to_madrid(b"genuine"));
    pair.settle();
    let genuine = pair.seen(TYPE_DATA).remove(0);
    let attacker = "203.0.113.66:666".parse().unwrap();
    let replayed = Datagram { from: attacker, ..genuine.clone() };
    let mut forged = replayed.clone();
    *forged.bytes.last_mut().unwrap() ^= 1;
    forged.bytes[8] ^= 0x40;
    pair.wire.deliver(replayed);
    pair.wire.deliver(forged);
    pair.settle();
    assert_eq!(pair.madrid.status().endpoint, home);
    assert_eq!(pair.madrid.dropped(Dropped::Replayed), 1);
    assert_eq!(pair.madrid.dropped(Dropped::Unauthentic), 1);
    assert_eq!(pair.madrid.take().len(), 1, "the genuine one only");
}

#[test]
fn a_cookie_does_not_move_a_peer() {
    let mut pair = Pair::new(&Setting::default());
    pair.cut(true);
    pair.pass(Duration::from_millis(100));
    let initiations = pair.seen(TYPE_INITIATION);
    let to_madrid = initiations.into_iter().find(|d| d.to == pair.madrid.address()).unwrap();
    pair.cut(false);
    // Beyond the limit madrid answers with a cookie; another sender hands that on to berlin.
    for _ in 0..101 {
        pair.wire
            .deliver(Datagram { from: "203.0.113.66:666".parse().unwrap(), ..to_madrid.clone() });
        pair.settle();
    }
    let cookie = pair.seen(3).remove(0);
    let invalid = pair.berlin.dropped(Dropped::HandshakeInvalid);
    let (from, to) = (cookie.to, pair.berlin.address());
    pair.wire.deliver(Datagram { from, to, ..cookie });
    pair.settle();
    assert_eq!(pair.berlin.dropped(Dropped::HandshakeInvalid), invalid, "the cookie was taken");
    assert_eq!(pair.berlin.status().endpoint, Some(pair.madrid.address()));
}

#[test]
fn a_replayed_initiation_is_refused() {
    let mut pair = Pair::established(&Setting::default());
    let initiations = pair.seen(TYPE_INITIATION);
    let to_madrid = initiations.into_iter().find(|d| d.to == pair.madrid.address());
    pair.forget_wire();
    let from = "203.0.113.66:666".parse().unwrap();
    pair.wire.deliver(Datagram { from, ..to_madrid.unwrap() });
    pair.settle();
    assert_eq!(pair.madrid.dropped(Dropped::HandshakeInvalid), 1);
    assert!(pair.seen(TYPE_RESPONSE).is_empty());
    assert_eq!(pair.madrid.status().endpoint, Some(pair.berlin.address()));
}

#[test]
fn an_inner_source_of_another_zone_is_dropped_and_counted() {
    let mut pair = Pair::established(&Setting::default());
    let berlin = pair.madrid.told();
    let mut paris = berlin.clone();
    paris.gateways[0].public_key.0[0] ^= 1;
    paris.allowed_ips = vec!["10.3.0.0/16".parse().unwrap()];
    pair.madrid.engine.set_zones(vec![berlin, paris]).unwrap();
    pair.berlin.give(packet("10.3.0.7", "10.2.0.7", b"of paris"));
    pair.berlin.give(packet("10.4.0.7", "10.2.0.7", b"of nobody"));
    pair.berlin.give(packet("10.2.0.9", "10.2.0.7", b"pretending to be local"));
    let genuine = berlin_to_madrid(b"of berlin");
    pair.berlin.give(genuine.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), [genuine]);
    assert_eq!(pair.madrid.dropped(Dropped::InnerSource), 3);
}

#[test]
fn an_inner_destination_beyond_the_own_addresses_is_dropped_and_counted() {
    let mut pair = Pair::established(&Setting::default());
    let mut madrid = pair.to_madrid.clone();
    // Berlin sends by a table of its own: to a third zone, to the Internet, to a group.
    madrid.allowed_ips.push("0.0.0.0/0".parse().unwrap());
    pair.berlin.engine.set_zones(vec![madrid]).unwrap();
    for beyond in ["10.3.0.7", "192.0.2.99", "224.0.0.251", "10.1.0.9"] {
        pair.berlin.give(packet("10.1.0.7", beyond, b"through madrid"));
    }
    let genuine = berlin_to_madrid(b"to madrid");
    pair.berlin.give(genuine.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), [genuine]);
    assert_eq!(pair.madrid.dropped(Dropped::InnerDestination), 4);
}

#[test]
fn own_addresses_that_change_count_from_the_next_packet_and_the_session_stays() {
    let mut pair = Pair::established(&Setting::default());
    let mut madrid = pair.to_madrid.clone();
    madrid.allowed_ips.push("10.3.0.0/16".parse().unwrap());
    pair.berlin.engine.set_zones(vec![madrid]).unwrap();
    let new = packet("10.1.0.7", "10.3.0.7", b"to a new network");
    let sessions = pair.berlin.status().latest_handshake;
    for (own, arrives) in [(&["10.2.0.0/16", "10.3.0.0/16"][..], true), (&["10.2.0.0/16"], false)] {
        let own: Vec<_> = own.iter().map(|net| net.parse().unwrap()).collect();
        pair.madrid.engine.destinations.store(Arc::new(InnerDestinations::new(Some(&own))));
        pair.berlin.give(new.clone());
        let old = berlin_to_madrid(b"as before");
        pair.berlin.give(old.clone());
        pair.settle();
        let expected = if arrives { vec![new.clone(), old] } else { vec![old] };
        assert_eq!(pair.madrid.take(), expected);
    }
    assert_eq!(pair.berlin.status().latest_handshake, sessions);
}

#[test]
fn a_destination_of_no_peer_is_dropped_and_counted() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.give(packet("10.1.0.7", "10.9.0.7", b"lost"));
    pair.berlin.give(vec![0xff; 60]);
    pair.settle();
    assert_eq!(pair.berlin.dropped(Dropped::NoPeer), 1);
    assert_eq!(pair.berlin.dropped(Dropped::NotIp), 1);
}

#[test]
fn a_datagram_of_the_tunnel_that_is_routed_into_it_ends_there() {
    let mut pair = Pair::established(&Setting::default());
    // The endpoint of madrid is one of the inner addresses of its hosts (10.2.0.7).
    pair.madrid.move_to("10.2.0.7:53");
    pair.berlin.link().lock().set_endpoint(pair.madrid.address());
    let mut looped = udp_packet(false, 53, b"sealed once already");
    looped[20..22].copy_from_slice(&51820u16.to_be_bytes());
    pair.berlin.give(looped);
    pair.berlin.give(udp_packet(false, 53, b"from another port"));
    pair.settle();
    assert_eq!(pair.berlin.dropped(Dropped::Loop), 1);
    assert_eq!(pair.madrid.take().len(), 1);
}

#[test]
fn an_empty_datagram_is_counted() {
    let mut pair = Pair::established(&Setting::default());
    let (from, to) = (pair.berlin.address(), pair.madrid.address());
    pair.wire.deliver(Datagram { from, to, bytes: Vec::new(), ecn: 0 });
    pair.settle();
    assert_eq!(pair.madrid.dropped(Dropped::NotWireGuard), 1);
}

#[test]
fn the_same_preshared_key_on_both_sides_is_a_session() {
    let setting = Setting { preshared: [Some(9), Some(9)], ..Setting::default() };
    let mut pair = Pair::established(&setting);
    pair.berlin.give(berlin_to_madrid(b"secret"));
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 1);
}

#[test]
fn different_preshared_keys_are_no_session() {
    for preshared in [[Some(9), Some(8)], [Some(9), None]] {
        let setting = Setting { preshared, ..Setting::default() };
        let mut pair = Pair::new(&setting);
        pair.berlin.give(berlin_to_madrid(b"secret"));
        pair.pass(seconds(1));
        assert!(pair.madrid.take().is_empty());
        assert!(pair.berlin.status().latest_handshake.is_none());
        assert!(pair.berlin.dropped(Dropped::HandshakeInvalid) > 0);
    }
}

#[test]
fn wire_bytes_are_counted_alike_on_both_sides() {
    let mut pair = Pair::established(&Setting::default());
    for len in [0, 1, 100, 1300] {
        pair.berlin.give(berlin_to_madrid(&vec![0; len]));
    }
    pair.settle();
    let sent = pair.berlin.status().tx_bytes;
    assert_eq!(sent, pair.madrid.status().rx_bytes);
    let wire = pair.wire.seen.lock().unwrap();
    let wire = wire.iter().filter(|datagram| datagram.from == pair.berlin.address());
    assert_eq!(sent, wire.map(|datagram| datagram.bytes.len() as u64).sum::<u64>());
}

#[test]
fn taking_the_same_peers_again_disturbs_neither_session_nor_endpoint() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.move_to("203.0.113.99:7000");
    pair.berlin.give(berlin_to_madrid(b"moved"));
    pair.settle();
    let same = pair.madrid.told();
    pair.madrid.engine.set_zones(vec![same]).unwrap();
    pair.forget_wire();
    pair.madrid.give(packet("10.2.0.7", "10.1.0.7", b"back"));
    pair.settle();
    assert!(pair.seen(TYPE_INITIATION).is_empty());
    assert_eq!(pair.berlin.take().len(), 1);
}

#[test]
fn a_new_endpoint_is_used_at_once() {
    let mut pair = Pair::established(&Setting::default());
    pair.madrid.move_to("203.0.113.5:51820");
    pair.berlin.link().lock().set_endpoint(pair.madrid.address());
    pair.pass(Duration::from_millis(100));
    assert_eq!(pair.madrid.status().endpoint, Some(pair.berlin.address()));
    pair.madrid.give(packet("10.2.0.7", "10.1.0.7", b"hello"));
    pair.settle();
    assert_eq!(pair.berlin.take().len(), 1);
    assert_eq!(pair.berlin.status().endpoint, Some(pair.madrid.address()));
}

#[test]
fn a_flood_of_handshakes_is_answered_with_cookies_and_an_honest_peer_gets_through() {
    let mut pair = Pair::new(&Setting::default());
    pair.cut(true);
    pair.pass(Duration::from_millis(100));
    let initiation = pair.seen(TYPE_INITIATION);
    let initiation = initiation.into_iter().find(|d| d.to == pair.madrid.address()).unwrap();
    let from = "203.0.113.66:666".parse().unwrap();
    for _ in 0..200 {
        pair.wire.deliver(Datagram { from, ..initiation.clone() });
        pair.settle();
    }
    assert!(pair.madrid.dropped(Dropped::HandshakeCookie) >= 100);
    let replies = pair.seen(3);
    assert!(replies.iter().all(|reply| reply.to == from && reply.bytes.len() < 148));
    pair.cut(false);
    pair.pass(seconds(10));
    assert!(pair.berlin.status().latest_handshake.is_some());
}

#[test]
fn a_clock_put_forward_costs_one_handshake_and_no_packet() {
    let mut pair = Pair::established(&Setting::default());
    pair.forget_wire();
    pair.now.wall += seconds(3600);
    pair.cut(true);
    pair.pass(Duration::from_millis(100));
    assert_eq!(pair.seen(TYPE_INITIATION).len(), 2, "each with the new time");
    // The session is there until the next one is.
    pair.berlin.give(berlin_to_madrid(b"meanwhile"));
    pair.settle();
    assert_eq!(pair.seen(TYPE_DATA).len(), 1);
    pair.cut(false);
    pair.pass(seconds(5));
    pair.berlin.give(berlin_to_madrid(b"after"));
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 1);
    pair.forget_wire();
    pair.pass(seconds(10));
    assert!(pair.seen(TYPE_INITIATION).is_empty(), "once is enough");
}
