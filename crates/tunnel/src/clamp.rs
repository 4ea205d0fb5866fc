//! TCP MSS clamping: no connection through the tunnel is offered segments that do not fit.
//!
//! The MSS option of every SYN and SYN-ACK is lowered to what the tunnel's MTU leaves, both ways,
//! so that a path that drops ICMP "too big" messages cannot become a black hole.
//! Specification: RFC 9293, section 3.7.1; RFC 6691.

use crate::checksum;
use crate::transport::{
    IPV6_HEADER, SYN, TCP, TCP_CHECKSUM, TCP_FLAGS, TCP_HEADER, is_v6, read_u16, tcp_header_len,
};

const OPTION_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;
const OPTION_MSS: u8 = 2;
const OPTION_MSS_LEN: usize = 4;

/// Lowers the MSS of `packet`, whose IP header was checked, if it is a TCP SYN. With
/// `checksum_is_partial` the checksum does not cover the options yet and stays as it is.
pub(crate) fn clamp_mss(packet: &mut [u8], mtu: usize, checksum_is_partial: bool) {
    let Some((start, most)) = syn(packet, mtu) else {
        return;
    };
    let tcp = &mut packet[start..];
    let Some(at) = mss_option(tcp) else {
        return;
    };
    if read_u16(tcp, at) <= most {
        return;
    }
    let (old, new) = ([tcp[at], tcp[at + 1]], most.to_be_bytes());
    tcp[at..at + 2].copy_from_slice(&new);
    if !checksum_is_partial {
        let checksum = [tcp[TCP_CHECKSUM], tcp[TCP_CHECKSUM + 1]];
        // A word at an odd offset counts with its bytes swapped.
        let corrected = if at % 2 == 0 {
            checksum::replace(checksum, old, new)
        } else {
            checksum::replace(checksum, [old[1], old[0]], [new[1], new[0]])
        };
        tcp[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&corrected);
    }
}

/// Where TCP begins and which MSS fits, if this is the first fragment of a SYN.
fn syn(packet: &[u8], mtu: usize) -> Option<(usize, u16)> {
    let (protocol, start, overhead) = if is_v6(packet) {
        (packet[6], IPV6_HEADER, IPV6_HEADER)
    } else {
        let fragment_offset = read_u16(packet, 6) & 0x1fff;
        let header_len = usize::from(packet[0] & 0xf) * 4;
        (if fragment_offset == 0 { packet[9] } else { 0 }, header_len, 20)
    };
    let tcp = packet.get(start..)?;
    let is_syn = protocol == TCP && tcp.len() >= TCP_HEADER && tcp[TCP_FLAGS] & SYN != 0;
    let most = mtu.saturating_sub(overhead + TCP_HEADER);
    is_syn.then_some((start, u16::try_from(most).unwrap_or(u16::MAX)))
}

/// Where the value of the MSS option stands in a TCP header.
fn mss_option(tcp: &[u8]) -> Option<usize> {
    let end = tcp_header_len(tcp).min(tcp.len());
    let mut at = TCP_HEADER;
    while at < end {
        match tcp[at] {
            OPTION_END => return None,
            OPTION_NOTHING => at += 1,
            kind => {
                let len = usize::from(*tcp[..end].get(at + 1)?);
                if kind == OPTION_MSS && len == OPTION_MSS_LEN && at + len <= end {
                    return Some(at + 2);
                }
                at += len.max(2);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::tcp_packet;
    use proptest::prelude::*;

    fn syn_packet(v6: bool, options: &[u8]) -> Vec<u8> {
        tcp_packet(v6, SYN, 1000, options, b"")
    }

    fn mss_of(packet: &[u8]) -> Option<u16> {
        let start = if is_v6(packet) { 40 } else { 20 };
        mss_option(&packet[start..]).map(|at| read_u16(&packet[start..], at))
    }

    fn checksum_is_right(packet: &[u8]) -> bool {
        let start = if is_v6(packet) { 40 } else { 20 };
        let addresses = crate::transport::addresses(packet);
        let tcp = &packet[start..];
        let total = checksum::pseudo_header(addresses, TCP, tcp.len()) + checksum::sum(tcp);
        checksum::fold(total) == 0xffff
    }

    #[test]
    fn an_mss_that_does_not_fit_is_lowered_and_the_checksum_stays_right() {
        // At an even and at an odd offset, behind other options.
        for options in [&[2, 4, 5, 180, 1, 1, 1, 1][..], &[1, 2, 4, 5, 180, 3, 3, 7][..]] {
            for (v6, expected) in [(false, 1380), (true, 1360)] {
                let mut packet = syn_packet(v6, options);
                assert_eq!(mss_of(&packet), Some(1460));
                clamp_mss(&mut packet, 1420, false);
                assert_eq!(mss_of(&packet), Some(expected));
                assert!(checksum_is_right(&packet));
            }
        }
    }

    #[test]
    fn an_mss_that_fits_stays() {
        let before = syn_packet(false, &[2, 4, 2, 24]);
        let mut packet = before.clone();
        clamp_mss(&mut packet, 1420, false);
        assert_eq!(packet, before);
    }

    #[test]
    fn only_syns_are_touched() {
        let before = tcp_packet(false, crate::transport::ACK, 1, &[2, 4, 5, 180], b"data");
        let mut packet = before.clone();
        clamp_mss(&mut packet, 1420, false);
        assert_eq!(packet, before);
    }

    proptest! {
        #[test]
        fn any_options_are_parsed_or_left(options in prop::collection::vec(any::<u8>(), 0..10), v6: bool, cut in 0usize..80) {
            let mut options = options;
            options.resize(options.len().next_multiple_of(4), 0);
            let mut packet = syn_packet(v6, &options);
            clamp_mss(&mut packet, 1420, false);
            prop_assert!(checksum_is_right(&packet));
            let least = if v6 { 40 } else { 20 };
            packet.truncate(packet.len().saturating_sub(cut).max(least));
            clamp_mss(&mut packet, 1000, false);
        }
    }
}
