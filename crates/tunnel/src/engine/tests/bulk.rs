//! Bulk work between two gateways: super-packets in, runs on the wire, merged packets out.

use proptest::prelude::*;

use super::pair::{Pair, Setting};
use crate::checksum;
use crate::clamp::clamp_mss;
use crate::dropped::Dropped;
use crate::packet::samples::{tcp_packet, udp_packet};
use crate::peer::TYPE_DATA;
use crate::split::Split;
use crate::transport::{ACK, PSH, SYN, TCP_CHECKSUM, UDP_CHECKSUM, addresses, is_v6};
use crate::vnet::{Gso, Vnet};

/// A super-packet as the TUN gives it, from `packet` with its whole payload.
fn super_packet(mut packet: Vec<u8>, segment: usize) -> (Vnet, Vec<u8>) {
    let v6 = is_v6(&packet);
    let transport = if v6 { 40 } else { 20 };
    let protocol = if v6 { packet[6] } else { packet[9] };
    let (gso, at) = match (protocol, v6) {
        (17, _) => (Gso::Udp, UDP_CHECKSUM),
        (_, false) => (Gso::Tcp4, TCP_CHECKSUM),
        (_, true) => (Gso::Tcp6, TCP_CHECKSUM),
    };
    let sum = checksum::pseudo_header(addresses(&packet), protocol, packet.len() - transport);
    let field = transport + at..transport + at + 2;
    packet[field].copy_from_slice(&checksum::fold(sum).to_ne_bytes());
    let vnet = Vnet {
        needs_checksum: true,
        gso,
        segment: segment as u16,
        checksum_start: transport as u16,
        checksum_offset: at as u16,
        ..Vnet::PLAIN
    };
    (vnet, packet)
}

fn pieces((vnet, packet): &(Vnet, Vec<u8>)) -> Vec<Vec<u8>> {
    let mut packet = packet.clone();
    let mut split = Split::new(*vnet, &mut packet).unwrap();
    std::iter::from_fn(|| split.next(&mut packet).map(|range| packet[range].to_vec())).collect()
}

fn bulk_tcp(v6: bool, len: usize) -> (Vnet, Vec<u8>) {
    let payload: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
    super_packet(tcp_packet(v6, ACK | PSH, 77, &[1, 1, 1, 1], &payload), 1300)
}

#[test]
fn a_super_packet_is_one_send_and_one_write() {
    for v6 in [false, true] {
        let mut pair = Pair::established(&Setting::default());
        let bulk = bulk_tcp(v6, 40_000);
        pair.berlin.take_sends();
        pair.berlin.give_with(bulk.0, bulk.1.clone());
        pair.settle();
        assert_eq!(pair.berlin.take_sends(), 1);
        assert_eq!(pair.madrid.take_writes(), 1);
        assert_eq!(pair.madrid.take(), pieces(&bulk));
    }
}

#[test]
fn super_packets_in_a_row_fill_whole_runs() {
    let mut pair = Pair::established(&Setting::default());
    // 46 whole pieces each: more than one send takes.
    let bulk = bulk_tcp(false, 46 * 1300);
    pair.berlin.take_sends();
    for _ in 0..10 {
        pair.berlin.give_with(bulk.0, bulk.1.clone());
    }
    pair.settle();
    assert!(pair.berlin.take_sends() <= 460_usize.div_ceil(48) + 1);
    assert_eq!(pair.madrid.take().len(), 460);
}

#[test]
fn a_path_that_refuses_runs_gets_single_datagrams_until_it_is_tried_again() {
    let mut pair = Pair::established(&Setting::default());
    let bulk = bulk_tcp(false, 13_000);
    pair.berlin.refuse_runs(true);
    for _ in 0..2 {
        pair.berlin.give_with(bulk.0, bulk.1.clone());
        pair.settle();
        assert_eq!(pair.madrid.take(), pieces(&bulk));
    }
    assert_eq!(pair.berlin.status().segmentation_refused, 1, "one refusal for a minute");
    pair.berlin.refuse_runs(false);
    pair.pass(std::time::Duration::from_secs(61));
    pair.berlin.take_sends();
    pair.berlin.give_with(bulk.0, bulk.1);
    pair.settle();
    assert_eq!(pair.berlin.take_sends(), 1);
}

#[test]
fn a_super_packet_that_came_before_the_session_is_delivered_after_the_handshake() {
    let mut pair = Pair::new(&Setting::default());
    let bulk = bulk_tcp(true, 20_000);
    pair.berlin.give_with(bulk.0, bulk.1.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), pieces(&bulk));
}

#[test]
fn the_mss_of_a_connection_is_clamped_on_both_ends_of_the_tunnel() {
    let mut pair = Pair::established(&Setting::default());
    let offer = tcp_packet(false, SYN, 1, &[2, 4, 5, 180], b"");
    let mut expected = offer.clone();
    clamp_mss(&mut expected, 1420, false);
    pair.berlin.give(offer);
    pair.settle();
    assert_eq!(pair.madrid.take(), [expected]);
}

#[test]
fn ecn_is_copied_outward_and_marks_come_inward() {
    let mut pair = Pair::established(&Setting::default());
    let mut packet = udp_packet(true, 53, b"able to hear of congestion");
    packet[1] |= 0b10 << 4;
    pair.forget_wire();
    pair.berlin.give(packet.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), [packet.clone()]);
    assert_eq!(pair.seen(TYPE_DATA)[0].ecn, 0b10);
    pair.mark_congestion(true);
    let deaf = udp_packet(true, 53, b"not able to");
    pair.berlin.give(packet.clone());
    pair.berlin.give(deaf);
    pair.settle();
    packet[1] |= 0b11 << 4;
    assert_eq!(pair.madrid.take(), [packet]);
    assert_eq!(pair.madrid.dropped(Dropped::Congested), 1);
}

/// A packet of the local network: single or super, TCP or UDP, any length.
fn given() -> impl Strategy<Value = (Vnet, Vec<u8>)> {
    (any::<bool>(), any::<bool>(), 1usize..9000, 16usize..1380, any::<u32>()).prop_map(
        |(v6, tcp, len, segment, sequence)| {
            let payload: Vec<u8> = (0..len).map(|at| (at ^ len) as u8).collect();
            let packet = if tcp {
                tcp_packet(v6, ACK, sequence, &[], &payload)
            } else {
                udp_packet(v6, 53, &payload)
            };
            if len <= segment { (Vnet::PLAIN, packet) } else { super_packet(packet, segment) }
        },
    )
}

/// The payload bytes of each flow, in order.
fn streams(packets: &[Vec<u8>]) -> [Vec<u8>; 4] {
    let mut streams = [const { Vec::new() }; 4];
    for packet in packets {
        let v6 = is_v6(packet);
        let (start, tcp) = if v6 { (40, packet[6] == 6) } else { (20, packet[9] == 6) };
        let header = if tcp { 20 } else { 8 };
        let stream = &mut streams[usize::from(v6) * 2 + usize::from(tcp)];
        stream.extend(&packet[start + header..]);
        if !tcp {
            // Datagrams have ends.
            stream.extend((packet.len() as u32).to_be_bytes());
        }
    }
    streams
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_packets_come_out_as_the_same_streams(packets in prop::collection::vec(given(), 1..30)) {
        let mut pair = Pair::established(&Setting::default());
        let expected: Vec<Vec<u8>> = packets.iter().flat_map(pieces).collect();
        for (vnet, packet) in packets {
            pair.berlin.give_with(vnet, packet);
        }
        pair.settle();
        prop_assert_eq!(streams(&pair.madrid.take()), streams(&expected));
    }
}
