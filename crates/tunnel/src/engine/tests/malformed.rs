//! Whatever comes from the wire or the local network, the engine lives on.

use proptest::prelude::*;

use super::pair::{Datagram, Pair, Setting, berlin_to_madrid};
use crate::dropped::Dropped;

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = |len| prop::collection::vec(any::<u8>(), len);
    let typed = (0u8..6, any_bytes(0..200)).prop_map(|(kind, mut bytes)| {
        bytes.splice(0..0, [kind, 0, 0, 0]);
        bytes
    });
    let exact = prop_oneof![Just((1u8, 148usize)), Just((2, 92)), Just((3, 64)), Just((4, 32))];
    let exact = exact.prop_flat_map(move |(kind, len)| {
        any_bytes(len..len + 1).prop_map(move |mut bytes| {
            bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
            bytes
        })
    });
    prop_oneof![any_bytes(0..2000), typed, exact]
}

/// A genuine datagram with one byte changed or its end cut off.
#[derive(Debug, Clone)]
struct Damage {
    which: usize,
    at: usize,
    flip: u8,
    cut: bool,
}

fn damage() -> impl Strategy<Value = Damage> {
    (any::<usize>(), any::<usize>(), 1u8.., any::<bool>())
        .prop_map(|(which, at, flip, cut)| Damage { which, at, flip, cut })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_datagram_and_any_packet_leave_the_tunnel_working(
        datagrams in prop::collection::vec(datagram(), 0..20),
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..10),
        damages in prop::collection::vec(damage(), 0..10),
    ) {
        let mut pair = Pair::established(&Setting::default());
        let genuine = pair.wire.seen.lock().unwrap().clone();
        let (from, to) = ("203.0.113.66:666".parse().unwrap(), pair.madrid.address());
        for bytes in datagrams {
            pair.wire.deliver(Datagram { from, to, bytes, ecn: 0 });
        }
        for Damage { which, at, flip, cut } in damages {
            let mut bytes = genuine[which % genuine.len()].bytes.clone();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if cut {
                bytes.truncate(at);
            }
            pair.wire.deliver(Datagram { from, to, bytes, ecn: 0 });
        }
        for packet in packets {
            pair.berlin.give(packet);
        }
        pair.settle();
        pair.madrid.take();
        let packet = berlin_to_madrid(b"still there?");
        pair.berlin.give(packet.clone());
        pair.settle();
        prop_assert_eq!(pair.madrid.take(), [packet]);
    }
}

#[test]
fn garbage_takes_no_place_in_the_queue_of_handshakes() {
    let mut pair = Pair::new(&Setting { keepalive: None, ..Setting::default() });
    let (from, to) = ("203.0.113.66:666".parse().unwrap(), pair.madrid.address());
    // More of each kind than the queue holds, before the only handshake.
    for (kind, len) in [(1, 148), (2, 92), (3, 64), (1, 100), (5, 148)] {
        for number in 0..40 {
            let mut bytes = vec![number; len];
            bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
            pair.wire.deliver(Datagram { from, to, bytes, ecn: 0 });
        }
    }
    pair.berlin.give(berlin_to_madrid(b"hello"));
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 1, "the handshake came through at once");
    let of = |reason| pair.madrid.dropped(reason);
    assert_eq!((of(Dropped::HandshakeMac), of(Dropped::UnknownSession)), (80, 40));
    assert_eq!((of(Dropped::NotWireGuard), of(Dropped::HandshakeQueue)), (80, 0));
}
