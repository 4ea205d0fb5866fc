//! Messages of nftables on netlink, as bytes: headers, attributes, and the few expressions of a guard.
//!
//! Numbers are those of linux/netfilter/nf_tables.h and nfnetlink.h; what nftables calls a number is
//! big-endian unless it is compared with a register. Knows no table and no socket.

/// The subsystem's number, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 10;
/// `NFPROTO_INET`: IPv4 and IPv6.
const INET: u8 = 1;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

/// What a message is about: `NFT_MSG_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum NftMessage {
    NewTable = 0,
    GetTable = 1,
    DeleteTable = 2,
    NewChain = 3,
    GetChain = 4,
    NewRule = 6,
    GetRule = 7,
    NewSet = 9,
    GetSet = 10,
    NewElements = 12,
    GetElements = 13,
    GetGeneration = 16,
}

/// Attributes in the order in which they were put.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// Bytes as they are.
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        // An attribute of more than 64 KiB is none: lists are cut before.
        let length = (4 + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A text with the zero at its end.
    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// A number as nftables has it.
    pub(crate) fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    /// Attributes inside of one.
    pub(crate) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// A message, whole.
pub(crate) fn message(
    about: NftMessage,
    flags: u16,
    sequence: u32,
    attributes: &Attributes,
) -> Vec<u8> {
    let kind = SUBSYSTEM << 8 | about as u16;
    framed(kind, flags | REQUEST, sequence, &[&[INET, 0, 0, 0], &attributes.0[..]].concat())
}

/// The ends of a transaction; the kernel refuses one that begins at another generation than the present.
pub(crate) fn begin(sequence: u32, generation: u32) -> Vec<u8> {
    const BEGIN: u16 = 16;
    let generation = Attributes::default().number(1, generation);
    let body = [&[0, 0, 0, SUBSYSTEM as u8], &generation.0[..]].concat();
    framed(BEGIN, REQUEST, sequence, &body)
}

/// See [`begin`].
pub(crate) fn end(sequence: u32) -> Vec<u8> {
    const END: u16 = 17;
    framed(END, REQUEST, sequence, &[0, 0, 0, SUBSYSTEM as u8])
}

fn framed(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NftReply<'a> {
    /// It is done, or refused with this errno.
    Outcome(i32),
    /// Nothing more comes.
    Done,
    /// The attributes of an answer.
    Answer(&'a [u8]),
}

/// The messages in what was received.
pub(crate) fn replies(mut received: &[u8]) -> Vec<NftReply<'_>> {
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    let mut replies = Vec::new();
    while let Some((header, _)) = received.split_first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(message) = received.get(HEADER..length) else { break };
        replies.push(match u16::from_ne_bytes([header[4], header[5]]) {
            ERROR => {
                NftReply::Outcome(message.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)))
            }
            DONE => NftReply::Done,
            // Behind the family and a part of the generation.
            _ => NftReply::Answer(message.get(4..).unwrap_or_default()),
        });
        received = received.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    replies
}

/// The first attribute of this kind.
pub(crate) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some((header, _)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([header[2], header[3]]) & !NESTED == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// One expression of a rule; all work on the first register.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    /// Loads something that is known of the packet.
    Load(PacketFact),
    /// Loads so many bytes of the network header from this one on.
    Header { offset: u32, length: u32 },
    /// Keeps the bits of a mask.
    Mask(Vec<u8>),
    /// Goes on if the register has this value.
    Is(Vec<u8>),
    /// Goes on if the register is in this set.
    In(&'static str),
    /// Ends with this verdict.
    Verdict(Verdict),
}

/// What is known of a packet: `NFT_META_*`.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum PacketFact {
    Mark = 3,
    /// The name of the interface by which it leaves.
    OutgoingName = 7,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    Family = 15,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Verdict {
    Drop = 0,
    Accept = 1,
}

impl Expression {
    /// Its name and its attributes.
    fn encode(&self) -> Attributes {
        const REGISTER: u32 = 1;
        let none = Attributes::default;
        let value = |bytes: &[u8]| none().bytes(1, bytes);
        let (name, content) = match self {
            Self::Load(what) => ("meta", none().number(1, REGISTER).number(2, *what as u32)),
            Self::Header { offset, length } => {
                let at = none().number(1, REGISTER).number(2, 1);
                ("payload", at.number(3, *offset).number(4, *length))
            }
            Self::Mask(mask) => {
                let of = none().number(1, REGISTER).number(2, REGISTER);
                let of = of.number(3, mask.len() as u32).nested(4, &value(mask));
                ("bitwise", of.nested(5, &value(&vec![0; mask.len()])))
            }
            Self::Is(bytes) => {
                let equals = none().number(1, REGISTER).number(2, 0);
                ("cmp", equals.nested(3, &value(bytes)))
            }
            Self::In(set) => ("lookup", none().text(1, set).number(2, REGISTER)),
            Self::Verdict(verdict) => {
                let code = none().number(1, *verdict as u32);
                ("immediate", none().number(1, 0).nested(2, &none().nested(2, &code)))
            }
        };
        none().text(1, name).nested(2, &content)
    }
}

/// A rule's expressions, for its attribute 4.
pub(crate) fn expressions(all: &[Expression]) -> Attributes {
    let list = Attributes::default();
    all.iter().fold(list, |list, expression| list.nested(1, &expression.encode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_again_behind_others_of_any_length() {
        let inner = Attributes::default().number(1, 7);
        let all = Attributes::default().text(1, "zonemesh").bytes(2, &[5]).nested(3, &inner);
        assert_eq!(attribute(&all.0, 1), Some(&b"zonemesh\0"[..]));
        assert_eq!(attribute(&all.0, 2), Some(&[5][..]));
        assert_eq!(attribute(attribute(&all.0, 3).unwrap(), 1), Some(&[0, 0, 0, 7][..]));
        assert_eq!(attribute(&all.0, 4), None);
    }

    #[test]
    fn replies_are_told_apart_and_what_is_cut_off_is_none() {
        let answer = message(NftMessage::NewTable, 0, 1, &Attributes::default().number(1, 9));
        let refused = framed(2, 0, 1, &(-17_i32).to_ne_bytes());
        let both = [answer.clone(), refused].concat();
        let found = replies(&both);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], NftReply::Outcome(-17));
        let NftReply::Answer(attributes) = found[0] else { panic!("{found:?}") };
        assert_eq!(attribute(attributes, 1), Some(&[0, 0, 0, 9][..]));
        for cut in 0..answer.len() {
            assert!(replies(&answer[..cut]).is_empty());
        }
    }
}
