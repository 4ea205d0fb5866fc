//! Explicit congestion notification across the tunnel (RFC 6040, normal mode).
//!
//! Outward the inner field is copied to the outer header. Inward a mark that a router set on the
//! outer header is handed on to the inner one, or the packet is dropped if its transport could not
//! see the mark.

use crate::transport::{IPV6_HEADER, is_v6, refresh_ipv4_checksum};

const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CONGESTED: u8 = 0b11;

/// The ECN field of an inner packet, whose header was checked.
pub(crate) fn of(packet: &[u8]) -> u8 {
    if is_v6(packet) { packet[1] >> 4 & 0b11 } else { packet[1] & 0b11 }
}

/// Combines the outer field with that of the inner packet (RFC 6040, figure 4). False if the
/// packet has to be dropped.
pub(crate) fn combine(outer: u8, packet: &mut [u8]) -> bool {
    match (outer & 0b11, of(packet)) {
        (CONGESTED, 0) => return false,
        (CONGESTED, ECT_0 | ECT_1) => set(packet, CONGESTED),
        (ECT_1, ECT_0) => set(packet, ECT_1),
        _ => {}
    }
    true
}

fn set(packet: &mut [u8], field: u8) {
    if is_v6(packet) {
        packet[1] = packet[1] & !(0b11 << 4) | field << 4;
        debug_assert!(packet.len() >= IPV6_HEADER);
    } else {
        let header_len = usize::from(packet[0] & 0xf) * 4;
        packet[1] = packet[1] & !0b11 | field;
        refresh_ipv4_checksum(&mut packet[..header_len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum;
    use crate::packet::samples::ip_packet;

    fn sample(v6: bool, field: u8) -> Vec<u8> {
        let (source, destination) = if v6 { ("::1", "::2") } else { ("10.0.0.1", "10.0.0.2") };
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let mut packet = ip_packet(source, destination, b"payload");
        set(&mut packet, field);
        packet
    }

    /// RFC 6040, figure 4: rows are the inner field, columns the outer one; 4 means drop.
    const FIGURE_4: [[u8; 4]; 4] = [
        [0b00, 0b00, 0b00, 4],
        [0b01, 0b01, 0b01, 0b11],
        [0b10, 0b01, 0b10, 0b11],
        [0b11, 0b11, 0b11, 0b11],
    ];

    #[test]
    fn outer_and_inner_fields_combine_as_rfc_6040_says() {
        for v6 in [false, true] {
            for inner in 0..4 {
                for outer in 0..4 {
                    let mut packet = sample(v6, inner);
                    let expected = FIGURE_4[usize::from(inner)][usize::from(outer)];
                    let kept = combine(outer, &mut packet);
                    assert_eq!(kept, expected != 4, "inner {inner:02b} outer {outer:02b}");
                    if kept {
                        assert_eq!(of(&packet), expected, "inner {inner:02b} outer {outer:02b}");
                    }
                    assert!(v6 || checksum::fold(checksum::sum(&packet[..20])) == 0xffff);
                }
            }
        }
    }
}
