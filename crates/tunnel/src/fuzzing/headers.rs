//! Headers that are read or rewritten in place, and the table of allowed IPs.
//!
//! What must not change is compared byte by byte, what is looked up with a linear search.

use std::net::IpAddr;

use ipnet::IpNet;

use super::packets::{ScriptMemory, next_packet};
use super::script::Script;
use crate::allowed_ips::AllowedIps;
use crate::checksum;
use crate::clamp::clamp_mss;
use crate::ecn;
use crate::packet::InnerPacket;
use crate::split::Split;
use crate::transport::{TCP, addresses, is_v6};
use crate::vnet::Vnet;

/// A virtio header and the packet behind it, as a TUN device gives them: cut into its pieces.
///
/// # Panics
/// If a piece is longer than the header allows, or payload is lost.
pub fn vnet(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let Some(vnet) = Vnet::parse(&script.array()) else {
        return;
    };
    assert_eq!(Vnet::parse(&vnet.to_bytes()), Some(vnet));
    let mut packet = script.take(usize::MAX).to_vec();
    let Some(inner) = InnerPacket::parse(&packet) else {
        return;
    };
    packet.truncate(inner.len);
    let before = packet.clone();
    let Ok(mut split) = Split::new(vnet, &mut packet) else {
        return;
    };
    let mut total = 0;
    while let Some(announced) = split.next_len() {
        let range = split.next(&mut packet).expect("a piece that was announced comes");
        assert_eq!(range.len(), announced);
        let piece = &packet[range];
        let inner = InnerPacket::parse(piece).expect("a piece is a packet");
        assert_eq!(inner.len, piece.len());
        assert_eq!(addresses(piece), addresses(&before));
        total += piece.len();
    }
    assert!(total >= before.len(), "no payload is lost");
}

/// The MSS of whatever packet.
///
/// # Panics
/// If the length changes, a right checksum becomes wrong, or a second time changes more.
pub fn mss_clamp(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (mtu, partial) = (usize::from(script.number()), script.flag());
    let Some(before) = next_packet(&mut script, &mut ScriptMemory::default()) else {
        return;
    };
    let mut packet = before.clone();
    clamp_mss(&mut packet, mtu, partial);
    assert_eq!(packet.len(), before.len());
    let start = if is_v6(&packet) { 40 } else { usize::from(packet[0] & 0xf) * 4 };
    assert_eq!(packet[..start], before[..start], "the IP header is left alone");
    if !partial {
        assert_eq!(tcp_is_right(&packet, start), tcp_is_right(&before, start));
    }
    let once = packet.clone();
    clamp_mss(&mut packet, mtu, partial);
    assert_eq!(packet, once);
}

fn tcp_is_right(packet: &[u8], start: usize) -> bool {
    let pseudo = checksum::pseudo_header(addresses(packet), TCP, packet.len() - start);
    checksum::fold(pseudo + checksum::sum(&packet[start..])) == 0xffff
}

/// The ECN field of whatever packet, and any outer one.
///
/// # Panics
/// If anything but the field and the checksum over it changes.
pub fn ecn(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let outer = script.byte();
    let Some(before) = next_packet(&mut script, &mut ScriptMemory::default()) else {
        return;
    };
    let mut packet = before.clone();
    let kept = ecn::combine(outer, &mut packet);
    assert_eq!(kept, outer & 0b11 != 0b11 || ecn::of(&before) != 0, "RFC 6040, figure 4");
    let mask = if is_v6(&packet) { 0b11 << 4 } else { 0b11 };
    for (at, (old, new)) in before.iter().zip(&packet).enumerate() {
        let may_change = match at {
            1 => mask,
            10 | 11 if !is_v6(&before) => 0xff,
            _ => 0,
        };
        assert_eq!(old & !may_change, new & !may_change, "byte {at}");
    }
}

/// Prefixes with their owners, then addresses: the table against a linear search.
///
/// # Panics
/// If they disagree.
pub fn allowed_ips(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut table = AllowedIps::new();
    let mut slow = Vec::<(IpNet, u8)>::new();
    while !script.is_over() {
        let (kind, owner) = (script.byte(), script.byte());
        let (address, most) = if kind & 1 == 0 {
            (IpAddr::from(script.array::<4>()), 32)
        } else {
            (IpAddr::from(script.array::<16>()), 128)
        };
        if kind & 2 != 0 {
            let longest = slow.iter().filter(|(prefix, _)| prefix.contains(&address));
            let expected = longest.max_by_key(|(prefix, _)| prefix.prefix_len());
            assert_eq!(table.find(address), expected.map(|(_, owner)| owner));
            continue;
        }
        let prefix = IpNet::new(address, script.byte() % (most + 1))
            .expect("the length fits the family")
            .trunc();
        let at = slow.iter().position(|(present, _)| *present == prefix);
        let before = at.map(|at| slow.remove(at).1);
        slow.push((prefix, owner));
        assert_eq!(table.insert(prefix, owner), before);
    }
}
