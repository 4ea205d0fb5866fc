//! What a probe looks like: a UDP datagram between the tunnel addresses of two gateways.
//!
//! 20 bytes: `zmP1`, kind (1 request, 2 answer), three zeros, the asker's run (8), the number (4). Then
//! come fields, each a tag, a length and so many bytes (docs/design/formats.md); tag 0 ends them, and
//! zeros fill up to the length that is asked for. What is not known there, or comes in place of the
//! three zeros, is passed over. An answer has no padding, so that it is never longer than its request.
//! Authenticity is the tunnel's. Parsing takes any bytes.

use std::net::IpAddr;

use crate::act::datagram;

const MAGIC: &[u8; 4] = b"zmP1";
const REQUEST: u8 = 1;
const ANSWER: u8 = 2;
/// The bytes that say something.
const LEN: usize = 20;

/// Lengths of a small probe as a whole packet, full blocks of WireGuard's padding.
const SMALL_V4: u16 = 64;
const SMALL_V6: u16 = 80;

const END: u8 = 0;
const GOODBYE: u8 = 1;
const HEARD: u8 = 7;
const FITS: u8 = 8;

/// A request, or the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbePacket {
    pub(super) is_answer: bool,
    /// Drawn at random at each start of the asker: answers to an earlier one mean nothing.
    pub(super) run: u64,
    pub(super) number: u32,
    pub(super) fields: ProbeFields,
}

/// What else a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ProbeFields {
    /// The sender stops: nobody has asked for this answer.
    pub(super) goodbye: bool,
    /// In an answer: how many small requests of the asker's run have come in.
    pub(super) heard: Option<u32>,
    /// In a request: the largest packet that passes from the asker, if less does than should.
    pub(super) fits: Option<u16>,
}

impl ProbeFields {
    /// Those that are known; one that is cut off ends them.
    fn parse(mut bytes: &[u8]) -> Self {
        let mut fields = Self::default();
        while let [tag, len, rest @ ..] = bytes
            && *tag != END
        {
            let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
            match *tag {
                GOODBYE => fields.goodbye = true,
                HEARD => fields.heard = value.try_into().ok().map(u32::from_be_bytes),
                FITS => fields.fits = value.try_into().ok().map(u16::from_be_bytes),
                _ => {}
            }
            bytes = rest;
        }
        fields
    }

    fn write(self, bytes: &mut Vec<u8>) {
        if self.goodbye {
            bytes.extend([GOODBYE, 0]);
        }
        if let Some(heard) = self.heard {
            bytes.extend([HEARD, 4]);
            bytes.extend(heard.to_be_bytes());
        }
        if let Some(fits) = self.fits {
            bytes.extend([FITS, 2]);
            bytes.extend(fits.to_be_bytes());
        }
    }
}

impl ProbePacket {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, fields) = bytes.split_first_chunk::<LEN>()?;
        let [a, b, c, d, kind, _, _, _, run @ .., n0, n1, n2, n3] = head;
        let is_answer = match *kind {
            REQUEST => false,
            ANSWER => true,
            _ => return None,
        };
        let run = u64::from_be_bytes(run.first_chunk().copied()?);
        let number = u32::from_be_bytes([*n0, *n1, *n2, *n3]);
        let fields = ProbeFields::parse(fields);
        ([*a, *b, *c, *d] == *MAGIC).then_some(Self { is_answer, run, number, fields })
    }

    /// Without padding.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([if self.is_answer { ANSWER } else { REQUEST }, 0, 0, 0]);
        bytes.extend(self.run.to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        self.fields.write(&mut bytes);
        bytes
    }

    /// The answer to this request, with what there is to say.
    pub(super) fn answer(self, fields: ProbeFields) -> Self {
        Self { is_answer: true, fields, ..self }
    }

    /// What a gateway says that stops, whoever asks.
    pub(super) fn goodbye() -> Self {
        let fields = ProbeFields { goodbye: true, ..ProbeFields::default() };
        Self { is_answer: true, run: 0, number: 0, fields }
    }
}

/// The whole IP packet around a probe, of `size` bytes or as small as they are; `None` if the
/// addresses are of two families.
pub(super) fn whole(
    probe: ProbePacket,
    ends: (IpAddr, IpAddr),
    ports: (u16, u16),
    size: Option<u16>,
) -> Option<Vec<u8>> {
    let small = if ends.0.is_ipv4() { SMALL_V4 } else { SMALL_V6 };
    datagram::whole(&probe.to_bytes(), ends, ports, size.unwrap_or(small).max(small))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: ProbePacket = ProbePacket {
        is_answer: false,
        run: 0x1122_3344_5566_7788,
        number: 77,
        fields: ProbeFields { goodbye: false, heard: None, fits: None },
    };

    #[test]
    fn a_probe_survives_packing_and_padding() {
        let mut bytes = PROBE.to_bytes();
        assert_eq!(ProbePacket::parse(&bytes), Some(PROBE));
        bytes.resize(1400, 0);
        assert_eq!(ProbePacket::parse(&bytes), Some(PROBE));
        let told = ProbeFields { heard: Some(70_000), ..ProbeFields::default() };
        let answer = PROBE.answer(told).to_bytes();
        assert_eq!(ProbePacket::parse(&answer), Some(PROBE.answer(told)));
        let fields = ProbeFields { fits: Some(1240), ..ProbeFields::default() };
        let asking = ProbePacket { fields, ..PROBE };
        assert_eq!(ProbePacket::parse(&asking.to_bytes()), Some(asking));
        assert!(answer.len() < usize::from(SMALL_V4) - 28, "answers are shorter than requests");
    }

    #[test]
    fn what_a_later_release_adds_to_a_probe_is_passed_over() {
        let mut later = PROBE.to_bytes();
        (later[5], later[7]) = (1, 9);
        // A field that nobody knows, and a cut one.
        later.extend([200, 3, 7, 7, 7, 6, 18, 1]);
        assert_eq!(ProbePacket::parse(&later), Some(PROBE));
        // Fields that are known, in another length.
        let mut other = PROBE.to_bytes();
        other.extend([HEARD, 2, 1, 1, FITS, 3, 1, 1, 1]);
        assert_eq!(ProbePacket::parse(&other), Some(PROBE));
    }

    #[test]
    fn a_goodbye_is_read_among_fields_that_are_not_known() {
        let goodbye = ProbePacket::goodbye();
        assert_eq!(ProbePacket::parse(&goodbye.to_bytes()), Some(goodbye));
        let mut among = ProbePacket { fields: ProbeFields::default(), ..goodbye }.to_bytes();
        among.extend([200, 3, 7, 7, 7, GOODBYE, 0, 6, 18, 1]);
        assert_eq!(ProbePacket::parse(&among), Some(goodbye));
        // As the head of padding, which says nothing.
        let mut padded = PROBE.to_bytes();
        padded.extend([0, GOODBYE, 0]);
        assert_eq!(ProbePacket::parse(&padded), Some(PROBE));
    }

    #[test]
    fn anything_else_is_no_probe() {
        let good = PROBE.to_bytes();
        for len in 0..LEN {
            assert_eq!(ProbePacket::parse(&good[..len]), None);
        }
        for (at, value) in [(0, b'x'), (3, b'2'), (4, 0), (4, 3)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(ProbePacket::parse(&bad), None, "byte {at} is {value}");
        }
    }

    #[test]
    fn the_packet_is_as_long_as_asked() {
        let v4 = ("10.255.0.1".parse().unwrap(), "10.255.0.2".parse().unwrap());
        let v6 = ("fd00:ff::1".parse().unwrap(), "fd00:ff::2".parse().unwrap());
        for (ends, headers, small) in [(v4, 28, SMALL_V4), (v6, 48, SMALL_V6)] {
            for size in [None, Some(10), Some(576), Some(1237)] {
                let packet = whole(PROBE, ends, (51821, 51831), size).unwrap();
                let wanted = size.unwrap_or(small).max(small);
                assert_eq!(packet.len(), usize::from(wanted));
                assert_eq!(ProbePacket::parse(&packet[headers..]), Some(PROBE));
            }
        }
        assert_eq!(whole(PROBE, (v4.0, v6.1), (51821, 51831), None), None);
    }
}
