//! Which flow a packet belongs to, and whether it could be a piece of a larger one.
//!
//! Reads headers only, except for the checksum, which is asked for last because it costs most.

use crate::checksum;
use crate::transport::{
    ACK, IPV6_HEADER, PSH, TCP, TCP_FLAGS, TCP_HEADER, TCP_SEQUENCE, UDP, UDP_CHECKSUM, UDP_HEADER,
    UDP_LEN, addresses, is_v6, read_u16, read_u32, tcp_header_len,
};

/// What the packets of one flow have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) protocol: u8,
    ports: [u8; 4],
    addresses: [u8; 32],
    is_v6: bool,
}

/// A packet that could be a piece of a larger one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Where the protocol above IP begins.
    pub(super) transport: usize,
    pub(super) header_len: usize,
    pub(super) payload: usize,
    /// TCP's; UDP has none and counts as always in order.
    pub(super) sequence: u32,
    /// The sender asked to hand on what there is (PSH).
    pub(super) pushed: bool,
    protocol: u8,
}

impl Flow {
    /// The flow of a packet that belongs to none.
    pub(super) const NONE: Self =
        Self { protocol: 0, ports: [0; 4], addresses: [0; 32], is_v6: false };

    /// `None` for fragments, and for protocols without ports.
    pub(super) fn parse(packet: &[u8]) -> Option<(Self, Option<Segment>)> {
        let (protocol, transport) = if is_v6(packet) {
            (packet[6], IPV6_HEADER)
        } else {
            // More fragments, or not the first one.
            if read_u16(packet, 6) & 0x3fff != 0 {
                return None;
            }
            (packet[9], usize::from(packet[0] & 0xf) * 4)
        };
        if protocol != TCP && protocol != UDP {
            return None;
        }
        let header = packet.get(transport..)?;
        let mut flow = Self {
            protocol,
            ports: *header.first_chunk()?,
            addresses: [0; 32],
            is_v6: is_v6(packet),
        };
        let addresses = addresses(packet);
        flow.addresses[..addresses.len()].copy_from_slice(addresses);
        let plain_ip = flow.is_v6 || transport == 20;
        let segment = if protocol == TCP { tcp(header) } else { udp(header) };
        let segment = segment.filter(|_| plain_ip).map(|segment| Segment {
            transport,
            header_len: transport + segment.header_len,
            ..segment
        });
        Some((flow, segment))
    }
}

fn tcp(header: &[u8]) -> Option<Segment> {
    if header.len() < TCP_HEADER {
        return None;
    }
    let header_len = tcp_header_len(header);
    let flags = header[TCP_FLAGS];
    let plain = flags & !PSH == ACK && header_len >= TCP_HEADER && header_len < header.len();
    plain.then(|| Segment {
        transport: 0,
        header_len,
        payload: header.len() - header_len,
        sequence: read_u32(header, TCP_SEQUENCE),
        pushed: flags & PSH != 0,
        protocol: TCP,
    })
}

fn udp(header: &[u8]) -> Option<Segment> {
    if header.len() <= UDP_HEADER {
        return None;
    }
    let whole = usize::from(read_u16(header, UDP_LEN)) == header.len();
    let has_checksum = read_u16(header, UDP_CHECKSUM) != 0;
    (whole && has_checksum).then(|| Segment {
        transport: 0,
        header_len: UDP_HEADER,
        payload: header.len() - UDP_HEADER,
        sequence: 0,
        pushed: false,
        protocol: UDP,
    })
}

impl Segment {
    /// The sequence number after this packet.
    pub(super) fn end(&self) -> u32 {
        match self.protocol {
            TCP => self.sequence.wrapping_add(self.payload as u32),
            _ => 0,
        }
    }

    /// True if `packet` has the headers that splitting would give to piece `index` of a packet
    /// that begins with `first`, lengths and sequence numbers aside. Both are of one flow, with
    /// headers of the same length.
    pub(super) fn is_continued_by(&self, first: &[u8], packet: &[u8], index: usize) -> bool {
        let same_ip = if is_v6(first) {
            first[..4] == packet[..4] && first[7] == packet[7]
        } else {
            let dont_fragment = first[6] & 0x40 != 0;
            let expected_id = read_u16(first, 4).wrapping_add(index as u16);
            let id_fits = dont_fragment || read_u16(packet, 4) == expected_id;
            first[1] == packet[1] && first[6..9] == packet[6..9] && id_fits
        };
        if !same_ip || self.protocol == UDP {
            return same_ip;
        }
        let (first, packet) =
            (&first[self.transport..self.header_len], &packet[self.transport..self.header_len]);
        // Acknowledgement and data offset; window; urgent pointer and options.
        first[8..13] == packet[8..13]
            && first[14..16] == packet[14..16]
            && first[18..] == packet[18..]
    }

    /// Checks the checksums of IP (version 6 has none) and of TCP or UDP.
    pub(super) fn checksum_is_right(&self, packet: &[u8]) -> bool {
        let (ip, transport) = packet.split_at(self.transport);
        if !is_v6(packet) && checksum::fold(checksum::sum(ip)) != 0xffff {
            return false;
        }
        let pseudo = checksum::pseudo_header(addresses(packet), self.protocol, transport.len());
        checksum::fold(pseudo + checksum::sum(transport)) == 0xffff
    }
}
