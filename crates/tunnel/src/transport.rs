//! Offsets and bits of TCP and UDP headers that splitting, merging and clamping share.
//!
//! Specification: RFC 9293 (TCP), RFC 768 (UDP), RFC 791, RFC 8200.

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const TCP_HEADER: usize = 20;
pub(crate) const UDP_HEADER: usize = 8;
pub(crate) const IPV6_HEADER: usize = 40;

/// In a TCP header.
pub(crate) const TCP_SEQUENCE: usize = 4;
pub(crate) const TCP_FLAGS: usize = 13;
pub(crate) const TCP_CHECKSUM: usize = 16;
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const CWR: u8 = 0x80;

/// In a UDP header.
pub(crate) const UDP_LEN: usize = 4;
pub(crate) const UDP_CHECKSUM: usize = 6;

/// Where the addresses stand in an IP header.
pub(crate) fn addresses(packet: &[u8]) -> &[u8] {
    if is_v6(packet) { &packet[8..40] } else { &packet[12..20] }
}

pub(crate) fn is_v6(packet: &[u8]) -> bool {
    packet[0] >> 4 == 6
}

/// The length of a TCP header by its data offset.
pub(crate) fn tcp_header_len(tcp: &[u8]) -> usize {
    usize::from(tcp[12] >> 4) * 4
}

pub(crate) fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn write_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Sets the length field of an IP header and, for IPv4, its checksum. `header` ends where the
/// protocol above begins.
pub(crate) fn set_ip_len(header: &mut [u8], len: usize) {
    if is_v6(header) {
        write_u16(header, 4, (len - IPV6_HEADER) as u16);
    } else {
        write_u16(header, 2, len as u16);
        refresh_ipv4_checksum(header);
    }
}

/// Writes the checksum of an IPv4 header anew.
pub(crate) fn refresh_ipv4_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = crate::checksum::finish(crate::checksum::sum(header));
    header[10..12].copy_from_slice(&checksum);
}
