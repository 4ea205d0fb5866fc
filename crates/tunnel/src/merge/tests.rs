//! Merging against splitting: what goes in one by one comes out the same.

use super::*;
use crate::packet::samples::{hosts, ip_packet, tcp_packet, udp_packet};
use crate::split::Split;
use crate::transport::{ACK, FIN};
use proptest::prelude::*;

const BOTH: Mergeable = Mergeable { tcp: true, udp: true };

struct MergeOutcome {
    packets: Vec<Vec<u8>>,
    writes: usize,
    written: WriteOutcome,
}

/// Merges `packets` and splits again what is written, as the kernel would.
fn through(packets: &[Vec<u8>], allowed: Mergeable, refuse_merged: bool) -> MergeOutcome {
    let (mut arena, mut merger) = (Vec::new(), Merger::new());
    for packet in packets {
        let start = arena.len() + 7;
        arena.resize(start, 0xee);
        arena.extend(packet);
        merger.push(&arena, start..start + packet.len(), allowed);
    }
    let before = arena.clone();
    let (mut out, mut writes) = (Vec::new(), 0);
    let written = merger.write(&mut arena, |parts| {
        let vnet = Vnet::parse(parts[0].first_chunk().unwrap()).unwrap();
        let mut packet: Vec<u8> = parts[1..].iter().flat_map(|part| part.to_vec()).collect();
        if refuse_merged && vnet.gso != Gso::None {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        writes += 1;
        let mut split = Split::new(vnet, &mut packet).unwrap();
        while let Some(range) = split.next(&mut packet) {
            out.push(packet[range].to_vec());
        }
        Ok(())
    });
    assert_eq!(arena, before, "the arena is left as it was");
    MergeOutcome { packets: out, writes, written }
}

/// Consecutive segments of one flow, with consecutive IPv4 identifications as splitting gives.
fn tcp_flow(v6: bool, sizes: &[usize], last_flags: u8) -> Vec<Vec<u8>> {
    let mut sequence = 4_294_967_000u32;
    let mut packets = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let flags = if index + 1 == sizes.len() { last_flags } else { ACK };
        let mut packet = tcp_packet(v6, flags, sequence, &[1, 1, 1, 1], &vec![index as u8; *size]);
        if !v6 {
            write_u16(&mut packet, 4, index as u16);
            crate::transport::refresh_ipv4_checksum(&mut packet[..20]);
        }
        packets.push(packet);
        sequence = sequence.wrapping_add(*size as u32);
    }
    packets
}

fn udp_flow(v6: bool, port: u8, sizes: &[usize]) -> Vec<Vec<u8>> {
    let datagram = |(index, size): (usize, &usize)| {
        let mut packet = udp_packet(v6, port, &vec![index as u8; *size]);
        if !v6 {
            write_u16(&mut packet, 4, index as u16);
            crate::transport::refresh_ipv4_checksum(&mut packet[..20]);
        }
        packet
    };
    sizes.iter().enumerate().map(datagram).collect()
}

#[test]
fn a_wrong_checksum_of_an_ipv4_header_is_not_repaired() {
    for wrong in 0..3 {
        let mut packets = tcp_flow(false, &[100, 100, 100], ACK);
        packets[wrong][10] ^= 1;
        let outcome = through(&packets, BOTH, false);
        assert_eq!(outcome.packets, packets, "packet {wrong}");
    }
}

#[test]
fn a_flow_in_order_is_one_write() {
    for v6 in [false, true] {
        let packets = tcp_flow(v6, &[1000, 1000, 1000, 400], ACK | PSH);
        let outcome = through(&packets, BOTH, false);
        assert_eq!(outcome.writes, 1);
        assert_eq!(outcome.packets, packets);
        let packets = udp_flow(v6, 53, &[500, 500, 100]);
        let outcome = through(&packets, BOTH, false);
        assert_eq!(outcome.writes, 1);
        assert_eq!(outcome.packets, packets);
    }
}

#[test]
fn what_is_not_allowed_is_not_merged() {
    let tcp = tcp_flow(false, &[100; 4], ACK);
    let udp = udp_flow(false, 53, &[100; 4]);
    let only = |tcp, udp| Mergeable { tcp, udp };
    assert_eq!(through(&tcp, only(false, true), false).writes, 4);
    assert_eq!(through(&udp, only(true, false), false).writes, 4);
}

#[test]
fn a_wrong_checksum_is_not_repaired() {
    for broken in 0..3 {
        let mut packets = tcp_flow(false, &[1000, 1000, 1000], ACK);
        *packets[broken].last_mut().unwrap() ^= 1;
        let outcome = through(&packets, BOTH, false);
        assert_eq!(outcome.packets, packets);
        let mut packets = udp_flow(true, 53, &[700; 3]);
        *packets[broken].last_mut().unwrap() ^= 1;
        assert_eq!(through(&packets, BOTH, false).packets, packets);
    }
}

#[test]
fn two_flows_in_turn_are_two_writes() {
    let (a, b) = (udp_flow(false, 1, &[300; 5]), udp_flow(false, 2, &[300; 5]));
    let packets: Vec<_> = a.iter().zip(&b).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let outcome = through(&packets, BOTH, false);
    assert_eq!(outcome.writes, 2);
    assert_eq!(outcome.packets, [a, b].concat());
}

#[test]
fn nothing_of_a_flow_overtakes_what_ends_it() {
    let mut packets = tcp_flow(false, &[500, 500, 500], ACK);
    let fin = tcp_packet(false, ACK | FIN, 7, &[1, 1, 1, 1], b"");
    packets.insert(1, fin);
    assert_eq!(through(&packets, BOTH, false).packets, packets);
    let (source, destination) = hosts(false);
    packets[1] = ip_packet(source, destination, b"no ports");
    assert_eq!(through(&packets, BOTH, false).packets, packets);
    packets[1] = udp_packet(false, 9, b"first fragment");
    packets[1][6] = 0x20;
    assert_eq!(through(&packets, BOTH, false).packets, packets);
}

#[test]
fn headers_that_differ_in_anything_but_order_are_kept_apart() {
    // TOS, identification, DF, TTL of IP; acknowledgement, window, options of TCP.
    for at in [1usize, 4, 6, 8, 20 + 11, 20 + 15, 20 + 20] {
        let mut packets = tcp_flow(false, &[500, 500], ACK);
        for packet in &mut packets {
            packet[6] = 0;
        }
        packets[1][at] ^= 0x40;
        for packet in &mut packets {
            fix_checksums(packet);
        }
        let outcome = through(&packets, BOTH, false);
        assert_eq!(outcome.packets, packets, "byte {at}");
        assert_eq!(outcome.writes, 2, "byte {at}");
    }
}

fn fix_checksums(packet: &mut [u8]) {
    crate::transport::refresh_ipv4_checksum(&mut packet[..20]);
    let at = 20 + TCP_CHECKSUM;
    packet[at..at + 2].fill(0);
    let len = packet.len() - 20;
    let sum = checksum::pseudo_header(addresses(packet), TCP, len) + checksum::sum(&packet[20..]);
    packet[at..at + 2].copy_from_slice(&checksum::finish(sum));
}

#[test]
fn a_kernel_that_takes_no_merged_packets_gets_single_ones() {
    let packets = tcp_flow(false, &[1000; 10], ACK);
    let outcome = through(&packets, BOTH, true);
    assert_eq!(outcome.packets, packets);
    assert_eq!(outcome.written, WriteOutcome { refused: 0, merging_refused: true });
}

#[test]
fn no_merged_packet_is_longer_than_ip_allows() {
    let packets = tcp_flow(true, &[1400; 100], ACK);
    let outcome = through(&packets, BOTH, false);
    assert_eq!(outcome.writes, 3);
    assert_eq!(outcome.packets, packets);
}

/// One packet of a random mix, over few flows so that they often meet.
fn mixed_packet() -> impl Strategy<Value = Vec<u8>> {
    let tcp = (
        any::<bool>(),
        0u32..4,
        0usize..3,
        prop::sample::select(vec![ACK, ACK, ACK | PSH, ACK | FIN]),
    )
        .prop_map(|(v6, piece, short, flags)| {
            tcp_packet(v6, flags, piece * 100, &[], &vec![9; 100 - short * 50])
        });
    let udp = (any::<bool>(), 1u8..3, 0usize..200)
        .prop_map(|(v6, port, len)| udp_packet(v6, port, &vec![1; len]));
    prop_oneof![tcp, udp]
}

/// Packets by flow, in order. IPv4 identifications count for nothing where DF is set.
fn by_flow(packets: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let mut flows: Vec<(Flow, Vec<Vec<u8>>)> = Vec::new();
    for packet in packets {
        let (flow, _) = Flow::parse(packet).unwrap();
        let mut packet = packet.clone();
        if !is_v6(&packet) {
            packet[4..6].fill(0);
            packet[10..12].fill(0);
        }
        match flows.iter_mut().find(|(known, _)| *known == flow) {
            Some((_, packets)) => packets.push(packet),
            None => flows.push((flow, vec![packet])),
        }
    }
    let mut flows: Vec<_> = flows.into_iter().map(|(_, packets)| packets).collect();
    flows.sort();
    flows
}

proptest! {
    #[test]
    fn any_mix_of_flows_comes_out_flow_by_flow_as_it_went_in(packets in prop::collection::vec(mixed_packet(), 0..60)) {
        let outcome = through(&packets, BOTH, false);
        prop_assert_eq!(by_flow(&outcome.packets), by_flow(&packets));
    }

    #[test]
    fn any_packets_are_written(headers in prop::collection::vec((prop::collection::vec(any::<u8>(), 40..120), any::<bool>()), 0..20)) {
        let packets: Vec<Vec<u8>> = headers.into_iter().map(|(mut packet, v6)| {
            packet[0] = if v6 { 0x60 } else { 0x45 };
            if packet[1] & 1 == 0 {
                packet[if v6 { 6 } else { 9 }] = if packet[1] & 2 == 0 { TCP } else { UDP };
            }
            packet
        }).collect();
        let outcome = through(&packets, BOTH, false);
        prop_assert_eq!(outcome.packets.len(), packets.len());
    }
}
