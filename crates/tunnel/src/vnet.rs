//! The header before each packet of a TUN device: what is still to be done to the packet.
//!
//! Specification: virtio 1.2, section 5.1.6 (`struct virtio_net_hdr`), native byte order.

use crate::edge::VNET_HEADER;

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// What a packet is to be cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gso {
    /// It goes as it is.
    None,
    Tcp4,
    Tcp6,
    /// UDP datagrams over IPv4 or IPv6.
    Udp,
}

/// The header before a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vnet {
    /// The checksum field holds the sum of the pseudo header; the rest is to be added.
    pub(crate) needs_checksum: bool,
    /// The checksum was found to be right.
    pub(crate) data_valid: bool,
    pub(crate) gso: Gso,
    /// Headers of IP and the protocol above, in bytes.
    pub(crate) header_len: u16,
    /// Payload of each piece, in bytes.
    pub(crate) segment: u16,
    /// Where the protocol above IP begins.
    pub(crate) checksum_start: u16,
    /// Where its checksum field is, from there.
    pub(crate) checksum_offset: u16,
}

impl Vnet {
    /// Nothing is to be done.
    pub(crate) const PLAIN: Self = Self {
        needs_checksum: false,
        data_valid: false,
        gso: Gso::None,
        header_len: 0,
        segment: 0,
        checksum_start: 0,
        checksum_offset: 0,
    };

    /// `None` for a kind of work that was not asked for.
    pub(crate) fn parse(bytes: &[u8; VNET_HEADER]) -> Option<Self> {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let gso = match bytes[1] & !GSO_ECN {
            0 => Gso::None,
            GSO_TCP4 => Gso::Tcp4,
            GSO_TCP6 => Gso::Tcp6,
            GSO_UDP => Gso::Udp,
            _ => return None,
        };
        Some(Self {
            needs_checksum: bytes[0] & NEEDS_CHECKSUM != 0,
            data_valid: bytes[0] & DATA_VALID != 0,
            gso,
            header_len: word(2),
            segment: word(4),
            checksum_start: word(6),
            checksum_offset: word(8),
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; VNET_HEADER] {
        let flag = |set, value| if set { value } else { 0 };
        let mut bytes = [0; VNET_HEADER];
        bytes[0] = flag(self.needs_checksum, NEEDS_CHECKSUM) | flag(self.data_valid, DATA_VALID);
        bytes[1] = match self.gso {
            Gso::None => 0,
            Gso::Tcp4 => GSO_TCP4,
            Gso::Tcp6 => GSO_TCP6,
            Gso::Udp => GSO_UDP,
        };
        let words = [self.header_len, self.segment, self.checksum_start, self.checksum_offset];
        for (to, word) in bytes[2..].chunks_exact_mut(2).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_survives_packing(bytes: [u8; VNET_HEADER]) {
            if let Some(vnet) = Vnet::parse(&bytes) {
                prop_assert_eq!(Vnet::parse(&vnet.to_bytes()), Some(vnet));
            }
        }
    }
}
