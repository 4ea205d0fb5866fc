//! Splitting: a super-packet of the TUN into the packets that it stands for.
//!
//! Each packet is formed in place: its headers are written just before its payload, over the end of
//! the packet before it, which must be done with by then. Nothing is copied but headers. Promises
//! that checksums, lengths, sequence numbers and flags are those the sender would have written.
//! Model: `tcp_gso_segment` and `__udp_gso_segment` of the Linux kernel.

use std::ops::Range;

use crate::checksum;
use crate::dropped::Dropped;
use crate::transport::{
    CWR, FIN, IPV6_HEADER, PSH, TCP, TCP_CHECKSUM, TCP_FLAGS, TCP_HEADER, TCP_SEQUENCE, UDP,
    UDP_CHECKSUM, UDP_HEADER, UDP_LEN, addresses, is_v6, read_u16, read_u32, set_ip_len,
    tcp_header_len, write_u16,
};
use crate::vnet::{Gso, Vnet};

/// The longest headers that are split: IPv6 with some extensions, TCP with all options.
const MAX_HEADERS: usize = 256;

/// A packet of the TUN on its way to becoming one or several.
pub(crate) struct Split {
    kind: SplitKind,
    len: usize,
    /// Bytes of payload of each piece but the last.
    piece: usize,
    /// Where the payload of the next piece begins.
    at: usize,
    index: usize,
    headers: [u8; MAX_HEADERS],
    header_len: usize,
    /// Where the protocol above IP begins.
    transport: usize,
    pseudo_header: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SplitKind {
    Whole,
    Tcp,
    Udp,
}

impl Split {
    /// Looks at `packet`, whose IP header was checked already, and completes its checksum if it
    /// stays whole.
    pub(crate) fn new(vnet: Vnet, packet: &mut [u8]) -> Result<Self, Dropped> {
        let mut split = Self {
            kind: SplitKind::Whole,
            len: packet.len(),
            piece: packet.len(),
            at: 0,
            index: 0,
            headers: [0; MAX_HEADERS],
            header_len: 0,
            transport: usize::from(vnet.checksum_start),
            pseudo_header: 0,
        };
        match vnet.gso {
            Gso::None if vnet.needs_checksum => complete_checksum(vnet, packet)?,
            Gso::None => {}
            Gso::Tcp4 | Gso::Tcp6 => split.prepare(SplitKind::Tcp, vnet, packet)?,
            Gso::Udp => split.prepare(SplitKind::Udp, vnet, packet)?,
        }
        Ok(split)
    }

    fn prepare(&mut self, kind: SplitKind, vnet: Vnet, packet: &[u8]) -> Result<(), Dropped> {
        let transport = packet.get(self.transport..).ok_or(Dropped::NotIp)?;
        let (protocol, own_header) = match kind {
            SplitKind::Tcp if transport.len() >= TCP_HEADER => (TCP, tcp_header_len(transport)),
            SplitKind::Udp if transport.len() >= UDP_HEADER => (UDP, UDP_HEADER),
            _ => return Err(Dropped::NotIp),
        };
        let ip_header = ip_header_len(packet);
        let header_len = self.transport + own_header;
        let fits = header_len < packet.len() && header_len <= MAX_HEADERS && vnet.segment > 0;
        let complete = own_header >= if kind == SplitKind::Tcp { TCP_HEADER } else { UDP_HEADER };
        let behind_ip =
            if is_v6(packet) { self.transport >= ip_header } else { self.transport == ip_header };
        if !(fits && complete && behind_ip) {
            return Err(Dropped::NotIp);
        }
        self.kind = kind;
        self.header_len = header_len;
        self.piece = usize::from(vnet.segment);
        self.at = header_len;
        self.headers[..header_len].copy_from_slice(&packet[..header_len]);
        self.pseudo_header = checksum::pseudo_header(addresses(packet), protocol, 0);
        Ok(())
    }

    /// The length of the next packet; `None` after the last.
    pub(crate) fn next_len(&self) -> Option<usize> {
        let left = self.len - self.at;
        (left > 0).then(|| self.header_len + left.min(self.piece))
    }

    /// Forms the next packet in `packet` and says where it is. The bytes before its end are no
    /// longer those of the super-packet.
    pub(crate) fn next(&mut self, packet: &mut [u8]) -> Option<Range<usize>> {
        if self.at >= self.len {
            return None;
        }
        if self.kind == SplitKind::Whole {
            self.at = self.len;
            return Some(0..self.len);
        }
        let end = self.len.min(self.at + self.piece);
        let range = self.at - self.header_len..end;
        let piece = packet.get_mut(range.clone())?;
        piece[..self.header_len].copy_from_slice(&self.headers[..self.header_len]);
        self.write_ip(piece);
        match self.kind {
            SplitKind::Tcp => self.write_tcp(piece, end == self.len),
            _ => self.write_udp(piece),
        }
        self.at = end;
        self.index += 1;
        Some(range)
    }

    fn write_ip(&self, piece: &mut [u8]) {
        let len = piece.len();
        let header = &mut piece[..self.transport];
        if !is_v6(header) {
            let id = read_u16(header, 4).wrapping_add(self.index as u16);
            write_u16(header, 4, id);
        }
        set_ip_len(header, len);
    }

    fn write_tcp(&self, piece: &mut [u8], last: bool) {
        let tcp = &mut piece[self.transport..];
        let offset = (self.index * self.piece) as u32;
        let sequence = read_u32(tcp, TCP_SEQUENCE).wrapping_add(offset);
        tcp[TCP_SEQUENCE..TCP_SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
        if !last {
            tcp[TCP_FLAGS] &= !(FIN | PSH);
        }
        if self.index > 0 {
            tcp[TCP_FLAGS] &= !CWR;
        }
        self.write_checksum(tcp, TCP_CHECKSUM);
    }

    fn write_udp(&self, piece: &mut [u8]) {
        let udp = &mut piece[self.transport..];
        write_u16(udp, UDP_LEN, udp.len() as u16);
        self.write_checksum(udp, UDP_CHECKSUM);
        if udp[UDP_CHECKSUM..UDP_CHECKSUM + 2] == [0, 0] {
            udp[UDP_CHECKSUM..UDP_CHECKSUM + 2].fill(0xff);
        }
    }

    fn write_checksum(&self, transport: &mut [u8], at: usize) {
        transport[at..at + 2].fill(0);
        let len = checksum::field(transport.len() as u16);
        let total = self.pseudo_header + len + checksum::sum(transport);
        transport[at..at + 2].copy_from_slice(&checksum::finish(total));
    }
}

fn ip_header_len(packet: &[u8]) -> usize {
    if is_v6(packet) { IPV6_HEADER } else { usize::from(packet[0] & 0xf) * 4 }
}

/// Adds the rest to a checksum field that holds the sum of the pseudo header.
fn complete_checksum(vnet: Vnet, packet: &mut [u8]) -> Result<(), Dropped> {
    let start = usize::from(vnet.checksum_start);
    // Inside the IP header there is no checksum of what is above it, only what routes the packet.
    if start < ip_header_len(packet) {
        return Err(Dropped::NotIp);
    }
    let transport = packet.get_mut(start..).ok_or(Dropped::NotIp)?;
    let at = usize::from(vnet.checksum_offset);
    if transport.len() < at + 2 {
        return Err(Dropped::NotIp);
    }
    let mut checksum = checksum::finish(checksum::sum(transport));
    // A UDP checksum of 0 would say that there is none.
    if checksum == [0, 0] && at == UDP_CHECKSUM {
        checksum = [0xff, 0xff];
    }
    transport[at..at + 2].copy_from_slice(&checksum);
    Ok(())
}

#[cfg(test)]
mod tests;
