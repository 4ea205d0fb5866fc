//! Packets as their receiver sees them, for comparing what went in with what came out.
//!
//! Written without the code under test: a checksum is right or wrong, whatever its bytes; the
//! identification of an IPv4 packet that must not be fragmented means nothing (RFC 6864).

use std::collections::HashMap;

/// One packet, its checksums taken out and judged.
#[derive(Debug, PartialEq, Eq)]
struct SeenPacket {
    bytes: Vec<u8>,
    header_is_right: bool,
    transport_is_right: bool,
}

/// Of what a packet must not overtake its like: addresses, protocol, ports.
type Flow = (Vec<u8>, u8, Vec<u8>);

/// Panics unless the same packets came out that went in, each flow in its order.
pub(crate) fn assert_same_flows(given: &[Vec<u8>], taken: &[Vec<u8>]) {
    let (given, taken) = (flows(given), flows(taken));
    for (flow, packets) in &given {
        assert_eq!(Some(packets), taken.get(flow), "{flow:?}");
    }
    assert_eq!(given.len(), taken.len(), "nothing comes out that did not go in");
}

fn flows(packets: &[Vec<u8>]) -> HashMap<Flow, Vec<SeenPacket>> {
    let mut flows = HashMap::<Flow, Vec<SeenPacket>>::new();
    for packet in packets {
        flows.entry(flow(packet)).or_default().push(look(packet));
    }
    flows
}

/// Protocol above IP, and where it begins.
fn above(packet: &[u8]) -> (u8, usize) {
    if packet[0] >> 4 == 6 {
        (packet[6], 40)
    } else {
        (packet[9], usize::from(packet[0] & 0xf) * 4)
    }
}

fn is_fragment(packet: &[u8]) -> bool {
    packet[0] >> 4 == 4 && (packet[6] & 0x3f != 0 || packet[7] != 0)
}

fn flow(packet: &[u8]) -> Flow {
    let addresses = if packet[0] >> 4 == 6 { &packet[8..40] } else { &packet[12..20] };
    let (protocol, start) = above(packet);
    let ports = match protocol {
        6 | 17 if !is_fragment(packet) => packet.get(start..start + 4).unwrap_or_default(),
        _ => &[],
    };
    (addresses.to_vec(), protocol, ports.to_vec())
}

fn look(packet: &[u8]) -> SeenPacket {
    let mut bytes = packet.to_vec();
    let (protocol, start) = above(packet);
    let v4 = packet[0] >> 4 == 4;
    let header_is_right = !v4 || sum(&[&packet[..start]]) == 0xffff;
    if v4 {
        bytes[10..12].fill(0);
        if packet[6] & 0x40 != 0 {
            bytes[4..6].fill(0);
        }
    }
    let at = start + if protocol == 6 { 16 } else { 6 };
    let has_checksum = matches!(protocol, 6 | 17) && !is_fragment(packet);
    let mut transport_is_right = true;
    if has_checksum && bytes.len() >= at + 2 {
        let addresses = if v4 { &packet[12..20] } else { &packet[8..40] };
        let len = (packet.len() - start) as u32;
        let pseudo = [&len.to_be_bytes()[..], &[0, protocol]].concat();
        transport_is_right = sum(&[addresses, &pseudo, &packet[start..]]) == 0xffff;
        // Zero is no checksum to UDP, and a wrong one stays as it was.
        let means_something = protocol == 17 && bytes[at..at + 2] == [0, 0];
        if transport_is_right && !means_something {
            bytes[at..at + 2].fill(1);
        }
    }
    SeenPacket { bytes, header_is_right, transport_is_right }
}

/// As RFC 1071 defines it; all parts but the last are even in length.
fn sum(parts: &[&[u8]]) -> u32 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}
