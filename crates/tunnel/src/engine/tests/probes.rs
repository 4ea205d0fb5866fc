//! Probes and the MTU of a single peer.

use std::time::Duration;

use super::memory::FIRST_LINK;
use super::pair::{Pair, Setting, berlin_to_madrid};
use crate::engine::ProbeError;
use crate::packet::samples::tcp_packet;
use crate::peer::{DATA_OVERHEAD, TYPE_DATA};
use crate::transport::{SYN, read_u16};

const TYPE_INITIATION: u8 = 1;

#[test]
fn a_probe_arrives_with_its_exact_length_on_the_wire() {
    let mut pair = Pair::established(&Setting::default());
    pair.forget_wire();
    let (key, packet) =
        (pair.madrid.engine.identities.load().current.key, berlin_to_madrid(&[7; 1301]));
    pair.berlin.engine.probe(&key, &packet, pair.now).unwrap();
    pair.settle();
    let lengths: Vec<_> = pair.seen(TYPE_DATA).iter().map(|data| data.bytes.len()).collect();
    assert_eq!(lengths, [packet.len() + DATA_OVERHEAD]);
    assert_eq!(pair.madrid.take(), [packet]);
}

#[test]
fn a_probe_never_asks_for_a_session_and_never_waits_for_one() {
    let mut pair = Pair::new(&Setting { keepalive: None, ..Setting::default() });
    let key = pair.madrid.engine.identities.load().current.key;
    let refused = pair.berlin.engine.probe(&key, &berlin_to_madrid(b"?"), pair.now);
    assert!(matches!(refused, Err(ProbeError::NoSession)));
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.seen(TYPE_INITIATION).len(), 0);
    let own = pair.berlin.engine.identities.load().current.key;
    let nobody = pair.berlin.engine.probe(&own, b"", pair.now);
    assert!(matches!(nobody, Err(ProbeError::NoPeer)));
}

#[test]
fn a_probe_too_long_for_the_first_link_is_refused() {
    let pair = Pair::established(&Setting::default());
    let key = pair.madrid.engine.identities.load().current.key;
    let packet = vec![0x45; FIRST_LINK + 1 - DATA_OVERHEAD];
    let refused = pair.berlin.engine.probe(&key, &packet, pair.now);
    assert!(matches!(refused, Err(ProbeError::TooLong)));
}

#[test]
fn what_the_kernel_refuses_is_told_with_its_errno_until_it_takes_a_datagram() {
    let mut pair = Pair::established(&Setting::default());
    let key = pair.madrid.engine.identities.load().current.key;
    assert_eq!(pair.berlin.status().send_refused, None);
    pair.berlin.refuse(Some(libc::EPERM));
    let refused = pair.berlin.engine.probe(&key, &berlin_to_madrid(b"?"), pair.now);
    assert!(matches!(refused, Err(ProbeError::Refused(_))));
    assert_eq!(pair.berlin.status().send_refused, Some(libc::EPERM));
    pair.berlin.refuse(Some(libc::ENETUNREACH));
    pair.berlin.give(berlin_to_madrid(b"data, and handshakes likewise"));
    pair.settle();
    assert_eq!(pair.berlin.status().send_refused, Some(libc::ENETUNREACH));
    pair.berlin.refuse(None);
    // The length of one packet says nothing of the way.
    let long = vec![0x45; FIRST_LINK + 1 - DATA_OVERHEAD];
    assert!(pair.berlin.engine.probe(&key, &long, pair.now).is_err());
    assert_eq!(pair.berlin.status().send_refused, Some(libc::ENETUNREACH));
    pair.berlin.give(berlin_to_madrid(b"data"));
    pair.settle();
    assert_eq!(pair.berlin.status().send_refused, None);
}

#[test]
fn the_bound_of_a_peer_lowers_segments_and_padding_to_it_both_ways() {
    let mut pair = Pair::established(&Setting::default());
    pair.berlin.link().lane.set_mtu(Some(1236));
    let syn = tcp_packet(false, SYN, 1, &[2, 4, 5, 180], b"");
    let [mut out, mut back] = [syn.clone(), syn];
    for (packet, from, to) in [(&mut out, 1, 2), (&mut back, 2, 1)] {
        packet[12..16].copy_from_slice(&[10, from, 0, 9]);
        packet[16..20].copy_from_slice(&[10, to, 0, 9]);
    }
    pair.berlin.give(out);
    pair.madrid.give(back);
    pair.settle();
    for side in [&pair.berlin, &pair.madrid] {
        let arrived = side.take();
        assert_eq!(read_u16(&arrived[0], 42), 1236 - 40);
    }
    pair.forget_wire();
    pair.berlin.give(berlin_to_madrid(&[7; 1234 - 20]));
    pair.settle();
    assert_eq!(pair.seen(TYPE_DATA)[0].bytes.len(), 1236 + DATA_OVERHEAD);
    pair.berlin.link().lane.set_mtu(None);
    assert_eq!(pair.berlin.link().mtu(1420), 1420);
}

/// A datagram between these addresses: header, ports, length, no checksum, payload.
fn datagram(from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let len = (28 + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet.extend([from, to].concat());
    packet.extend([0, 9, 0, 9]);
    packet.extend((len - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

#[test]
fn what_the_daemon_sends_into_the_lan_comes_back_to_it_and_nothing_else_does() {
    let mut pair = Pair::established(&Setting::default());
    let cookie = [7; 16];
    let own = datagram([10, 1, 0, 5], [10, 2, 0, 5], &[&cookie[..], b"nonce"].concat());
    // Before it is asked for, it is a packet as any other.
    pair.berlin.give(own.clone());
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 1);
    let back = pair.berlin.engine.take_back(cookie).unwrap();
    assert!(pair.berlin.engine.take_back([8; 16]).is_none(), "once");
    let others = datagram([10, 1, 0, 5], [10, 2, 0, 5], &[6; 24]);
    let cut = datagram([10, 1, 0, 5], [10, 2, 0, 5], &cookie[..15]);
    pair.berlin.give(own.clone());
    pair.berlin.give(others);
    pair.berlin.give(cut);
    pair.settle();
    assert_eq!(pair.madrid.take().len(), 2);
    assert_eq!(back.try_iter().collect::<Vec<_>>(), [own]);
    pair.berlin.engine.to_lan(b"a packet for the LAN").unwrap();
    assert_eq!(pair.berlin.take(), [b"a packet for the LAN".to_vec()]);
}
