//! The Internet checksum (RFC 1071, RFC 1624).
//!
//! Sums are kept in native byte order and unfolded: the ones' complement sum does not care about
//! byte order as long as the result is stored the way the words were loaded.

/// The sum of `bytes`, to be added to others. All but the last part of a sum must be even in
/// length.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut lanes = [0u64; 16];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<2>();
    let tail: u64 = words.iter().map(|word| u64::from(u16::from_ne_bytes(*word))).sum();
    let odd = rest.first().map_or(0, |byte| u64::from(u16::from_ne_bytes([*byte, 0])));
    lanes.iter().sum::<u64>() + tail + odd
}

/// A 16-bit field of a header, as it counts in a sum.
pub(crate) fn field(value: u16) -> u64 {
    u64::from(value.to_be())
}

/// The sum as 16 bits, not yet complemented.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The two bytes of a checksum field over `sum`.
pub(crate) fn finish(sum: u64) -> [u8; 2] {
    (!fold(sum)).to_ne_bytes()
}

/// The sum of the pseudo header of TCP and UDP (RFC 9293, section 3.1; RFC 8200, section 8.1).
/// `addresses` are the source and destination as they stand in the IP header.
pub(crate) fn pseudo_header(addresses: &[u8], protocol: u8, len: usize) -> u64 {
    let len = len as u64;
    let words = field((len >> 16) as u16) + field(len as u16);
    sum(addresses) + field(u16::from(protocol)) + words
}

/// Corrects the checksum `field` for a 16-bit word that changed (RFC 1624, equation 3).
pub(crate) fn replace(checksum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let load = |bytes| u64::from(u16::from_ne_bytes(bytes));
    let without_old = load(checksum).wrapping_neg().wrapping_sub(1) & 0xffff;
    finish(without_old + (!load(old) & 0xffff) + load(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As RFC 1071 defines it: 16 bits at a time, in network order.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(finish(sum(&bytes)), (!0xddf2u16).to_be_bytes());
    }

    proptest! {
        #[test]
        fn sums_agree_with_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(finish(sum(&bytes)), slow(&bytes).to_be_bytes());
        }

        #[test]
        fn a_corrected_checksum_is_as_good_as_a_new_one(
            mut bytes in prop::collection::vec(any::<u8>(), 2..100), at in any::<usize>(), new: [u8; 2],
        ) {
            bytes.truncate(bytes.len() & !1);
            let at = at % (bytes.len() / 2) * 2;
            let checksum = finish(sum(&bytes));
            let old = [bytes[at], bytes[at + 1]];
            bytes[at..at + 2].copy_from_slice(&new);
            let corrected = replace(checksum, old, new);
            // 0 and !0 are the same number.
            let total = sum(&bytes) + u64::from(u16::from_ne_bytes(corrected));
            prop_assert_eq!(fold(total), if bytes.iter().all(|b| *b == 0) && corrected == [0, 0] { 0 } else { 0xffff });
        }
    }
}
