//! Splitting against a slow model that builds each packet from scratch.

use super::*;
use crate::packet::samples::{tcp_packet, udp_packet};
use crate::transport::{ACK, refresh_ipv4_checksum};
use proptest::prelude::*;

/// A super-packet as a TUN gives it: partial checksum, the whole payload.
fn super_packet(mut packet: Vec<u8>, gso: Gso, segment: u16) -> (Vnet, Vec<u8>) {
    let transport = if is_v6(&packet) { 40 } else { 20 };
    let (protocol, at) = if gso == Gso::Udp { (UDP, UDP_CHECKSUM) } else { (TCP, TCP_CHECKSUM) };
    let sum = checksum::pseudo_header(addresses(&packet), protocol, packet.len() - transport);
    let field = transport + at..transport + at + 2;
    packet[field].copy_from_slice(&checksum::fold(sum).to_ne_bytes());
    let vnet = Vnet {
        needs_checksum: true,
        data_valid: false,
        gso,
        header_len: 0,
        segment,
        checksum_start: transport as u16,
        checksum_offset: at as u16,
    };
    (vnet, packet)
}

fn split(vnet: Vnet, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut buffer = packet.to_vec();
    let mut split = Split::new(vnet, &mut buffer).unwrap();
    let mut packets = Vec::new();
    while let Some(len) = split.next_len() {
        let range = split.next(&mut buffer).unwrap();
        assert_eq!(range.len(), len);
        packets.push(buffer[range].to_vec());
    }
    assert_eq!(split.next(&mut buffer), None);
    packets
}

/// The packet with another IPv4 identification.
fn with_id(mut packet: Vec<u8>, id: usize) -> Vec<u8> {
    if !is_v6(&packet) {
        write_u16(&mut packet, 4, id as u16);
        refresh_ipv4_checksum(&mut packet[..20]);
    }
    packet
}

#[test]
fn a_checksum_inside_the_ip_header_is_refused() {
    for v6 in [false, true] {
        let packet = udp_packet(v6, 53, b"payload");
        let vnet = Vnet { needs_checksum: true, checksum_start: 2, ..Vnet::PLAIN };
        assert_eq!(Split::new(vnet, &mut packet.clone()).err(), Some(Dropped::NotIp));
    }
}

proptest! {
    #[test]
    fn tcp_is_split_as_the_sender_would_have_sent_it(
        v6: bool, sequence: u32, payload in prop::collection::vec(any::<u8>(), 1..4000),
        segment in 1u16..1500, flags in prop::sample::select(vec![ACK, ACK | PSH, ACK | FIN, ACK | CWR | PSH]),
        options in prop::sample::select(vec![vec![], vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]]),
    ) {
        let whole = tcp_packet(v6, flags, sequence, &options, &payload);
        let gso = if v6 { Gso::Tcp6 } else { Gso::Tcp4 };
        let (vnet, packet) = super_packet(whole, gso, segment);
        let pieces: Vec<&[u8]> = payload.chunks(usize::from(segment)).collect();
        let model: Vec<Vec<u8>> = pieces.iter().enumerate().map(|(index, piece)| {
            let mut own = flags;
            if index > 0 { own &= !CWR; }
            if index + 1 < pieces.len() { own &= !(FIN | PSH); }
            let at = sequence.wrapping_add((index * usize::from(segment)) as u32);
            with_id(tcp_packet(v6, own, at, &options, piece), index)
        }).collect();
        prop_assert_eq!(split(vnet, &packet), model);
    }

    #[test]
    fn udp_is_split_as_the_sender_would_have_sent_it(
        v6: bool, payload in prop::collection::vec(any::<u8>(), 1..4000), segment in 1u16..1500,
    ) {
        let (vnet, packet) = super_packet(udp_packet(v6, 53, &payload), Gso::Udp, segment);
        let model: Vec<Vec<u8>> = payload
            .chunks(usize::from(segment))
            .enumerate()
            .map(|(index, piece)| with_id(udp_packet(v6, 53, piece), index))
            .collect();
        prop_assert_eq!(split(vnet, &packet), model);
    }

    #[test]
    fn a_single_packet_gets_its_checksum(v6: bool, payload in prop::collection::vec(any::<u8>(), 0..2000)) {
        let right = tcp_packet(v6, ACK, 1, &[], &payload);
        let (vnet, packet) = super_packet(right.clone(), Gso::None, 0);
        prop_assert_eq!(split(vnet, &packet), vec![right]);
        let right = udp_packet(v6, 53, &payload);
        let (mut vnet, packet) = super_packet(right.clone(), Gso::Udp, 0);
        vnet.gso = Gso::None;
        prop_assert_eq!(split(vnet, &packet), vec![right]);
    }

    #[test]
    fn any_header_over_any_packet_is_split_or_refused(
        header: [u8; 10], v6: bool, bytes in prop::collection::vec(any::<u8>(), 40..400), small: bool,
    ) {
        let mut header = header;
        header[1] = [0, 1, 4, 5][usize::from(header[1] % 4)];
        if small {
            (header[7], header[9]) = (0, 0);
        }
        let mut bytes = bytes;
        bytes[0] = if v6 { 0x60 } else { 0x45 };
        let vnet = Vnet::parse(&header).unwrap();
        if let Ok(mut split) = Split::new(vnet, &mut bytes) {
            let mut count = 0;
            while let Some(range) = split.next(&mut bytes) {
                prop_assert!(range.end <= bytes.len());
                count += 1;
            }
            prop_assert!(count <= 400);
        }
    }
}
