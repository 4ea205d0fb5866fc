//! What users of `wg` expect: settings wait for their turn, a peer hears of a new way to us.

use std::time::Duration;

use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey};

use super::pair::{Pair, Setting, berlin_to_madrid, packet};
use crate::dropped::Dropped;
use crate::peer::TYPE_DATA;

const TYPE_INITIATION: u8 = 1;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn routes_that_lead_elsewhere_are_told_to_a_silent_peer_and_cost_no_handshake() {
    let mut pair = Pair::new(&Setting { keepalive: None, ..Setting::default() });
    pair.berlin.give(berlin_to_madrid(b"hello"));
    pair.pass(seconds(1));
    pair.madrid.give(packet("10.2.0.7", "10.1.0.7", b"hello"));
    pair.pass(seconds(2));
    pair.forget_wire();
    pair.berlin.move_to("192.0.2.77:51820");
    pair.pass(seconds(2));
    assert_eq!(pair.madrid.status().endpoint, Some(pair.berlin.address()));
    assert_eq!((pair.seen(TYPE_DATA).len(), pair.seen(TYPE_INITIATION).len()), (1, 0));
}

#[test]
fn what_a_peer_is_set_to_starts_no_handshake_until_it_is_called() {
    let setting = Setting { keepalive: None, ..Setting::default() };
    for call in [false, true] {
        let mut pair = Pair::new(&setting);
        pair.berlin.give(berlin_to_madrid(b"hello"));
        pair.pass(seconds(100));
        assert_eq!(pair.madrid.take().len(), 1);
        let mut told = pair.to_madrid.clone();
        let key = WireGuardPrivateKey::from_bytes([9; 32]).to_base64();
        told.gateways[0].preshared_key = PresharedKey::from_base64(&key).ok();
        told.gateways[0].endpoint = Some("198.51.100.2:7".parse().unwrap());
        told.gateways[0].keepalive = Some(seconds(25));
        pair.forget_wire();
        pair.berlin.engine.set_zones(vec![told]).unwrap();
        if call {
            pair.berlin.engine.call_those_set_anew();
        }
        pair.pass(seconds(3));
        assert_eq!(pair.seen(TYPE_INITIATION).is_empty(), !call);
        assert!(pair.seen(TYPE_DATA).iter().all(|seen| seen.to.port() == 7), "sent to where it is");
    }
}

#[test]
fn a_counter_beyond_the_last_of_a_session_is_dropped_unopened() {
    let mut pair = Pair::established(&Setting::default());
    pair.cut(true);
    pair.forget_wire();
    pair.berlin.give(berlin_to_madrid(b"numbered"));
    pair.settle();
    let [sealed] = &pair.seen(TYPE_DATA)[..] else { panic!("one datagram") };
    pair.cut(false);
    for (counter, dropped) in
        [(u64::MAX - 8192, (1, 0)), (u64::MAX, (2, 0)), (u64::MAX - 8193, (2, 1))]
    {
        let mut forged = sealed.clone();
        forged.bytes[8..16].copy_from_slice(&counter.to_le_bytes());
        pair.wire.deliver(forged);
        pair.settle();
        let of = |reason| pair.madrid.dropped(reason);
        assert_eq!((of(Dropped::CounterSpent), of(Dropped::Unauthentic)), dropped);
    }
}
