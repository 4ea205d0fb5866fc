//! Packets from a script: raw bytes, or nearly right ones that reach further than noise does.
//!
//! The same script makes the same packets for ever: the seeds of `fuzz/seeds` depend on it.

use super::script::Script;
use crate::checksum;
use crate::packet::InnerPacket;
use crate::packet::samples::{tcp_packet, udp_packet};
use crate::transport::{
    TCP, TCP_CHECKSUM, TCP_SEQUENCE, UDP, UDP_CHECKSUM, addresses, is_v6, refresh_ipv4_checksum,
    write_u16,
};
use crate::vnet::{Gso, Vnet};

/// A packet of the local network with the work that is still to be done to it.
pub(crate) type Given = (Vnet, Vec<u8>);

/// What a script remembers from packet to packet: segments follow each other.
#[derive(Default)]
pub(crate) struct ScriptMemory {
    sequence: u32,
    id: u16,
}

/// The next packet whose IP header can be read, cut to the length it gives.
pub(crate) fn next_packet(script: &mut Script<'_>, memory: &mut ScriptMemory) -> Option<Vec<u8>> {
    let mode = script.byte();
    let packet =
        if mode & 0x80 != 0 { script.piece(2000).to_vec() } else { built(mode, script, memory) };
    let inner = InnerPacket::parse(&packet)?;
    Some(packet[..inner.len].to_vec())
}

/// A segment or datagram between the usual two hosts, in which one byte may be changed before or
/// after its checksums were made.
fn built(mode: u8, script: &mut Script<'_>, memory: &mut ScriptMemory) -> Vec<u8> {
    let v6 = mode & 1 != 0;
    let payload: Vec<u8> = vec![script.byte(); usize::from(script.number() % 1400)];
    let mut packet = if mode & 2 != 0 {
        udp_packet(v6, script.byte() & 1, &payload)
    } else {
        let flags = if mode & 4 != 0 { script.byte() } else { crate::transport::ACK };
        let mut options = if mode & 8 != 0 { script.piece(40).to_vec() } else { Vec::new() };
        options.resize(options.len().next_multiple_of(4), 0);
        let packet = tcp_packet(v6, flags, memory.sequence, &options, &payload);
        memory.sequence = memory.sequence.wrapping_add(payload.len() as u32);
        packet
    };
    if !v6 {
        write_u16(&mut packet, 4, memory.id);
        memory.id = memory.id.wrapping_add(1);
        refresh_ipv4_checksum(&mut packet[..20]);
    }
    if mode & 0x30 != 0 {
        let at = usize::from(script.number()) % packet.len();
        packet[at] ^= script.byte();
        if mode & 0x20 != 0 {
            correct(&mut packet);
        }
    }
    packet
}

/// Makes the checksums of a packet right, as far as it has any.
fn correct(packet: &mut [u8]) {
    if InnerPacket::parse(packet).is_none() {
        return;
    }
    let v6 = is_v6(packet);
    let (protocol, start) =
        if v6 { (packet[6], 40) } else { (packet[9], usize::from(packet[0] & 0xf) * 4) };
    if !v6 {
        refresh_ipv4_checksum(&mut packet[..start]);
    }
    let field = match protocol {
        TCP => start + TCP_CHECKSUM,
        UDP => start + UDP_CHECKSUM,
        _ => return,
    };
    if packet.len() >= field + 2 {
        packet[field..field + 2].fill(0);
        let pseudo = checksum::pseudo_header(addresses(packet), protocol, packet.len() - start);
        let right = checksum::finish(pseudo + checksum::sum(&packet[start..]));
        packet[field..field + 2].copy_from_slice(&right);
    }
}

/// A super-packet as the TUN gives it.
pub(crate) fn super_packet(script: &mut Script<'_>) -> Given {
    let (v6, tcp) = (script.flag(), script.flag());
    let segment = script.number() % 1380 + 1;
    let most = (usize::from(segment) * 60).min(40_000);
    let payload: Vec<u8> =
        (0..usize::from(script.number()) % most + 1).map(|at| at as u8).collect();
    let (gso, at) = match (tcp, v6) {
        (false, _) => (Gso::Udp, UDP_CHECKSUM),
        (true, false) => (Gso::Tcp4, TCP_CHECKSUM),
        (true, true) => (Gso::Tcp6, TCP_CHECKSUM),
    };
    let mut packet = if tcp {
        tcp_packet(v6, script.byte() | crate::transport::ACK, 7, &[1; 4], &payload)
    } else {
        udp_packet(v6, 53, &payload)
    };
    let start = if v6 { 40 } else { 20 };
    if tcp {
        let sequence = script.array::<4>();
        packet[start + TCP_SEQUENCE..start + TCP_SEQUENCE + 4].copy_from_slice(&sequence);
    }
    let protocol = if tcp { TCP } else { UDP };
    let sum = checksum::pseudo_header(addresses(&packet), protocol, packet.len() - start);
    let partial = checksum::fold(sum).to_ne_bytes();
    packet[start + at..start + at + 2].copy_from_slice(&partial);
    let vnet = Vnet {
        needs_checksum: true,
        gso,
        segment,
        checksum_start: start as u16,
        checksum_offset: at as u16,
        ..Vnet::PLAIN
    };
    (vnet, packet)
}
