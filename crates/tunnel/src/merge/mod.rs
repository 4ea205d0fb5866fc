//! Merging: packets that were opened one by one, given to the kernel as few super-packets.
//!
//! In-order segments of a TCP flow, and datagrams of a UDP flow, become one packet of parts that
//! stay where they were opened. Promises that what the kernel makes of it is what the sender sent:
//! only packets with a right checksum merge (merging would repair a wrong one), only those that
//! splitting would form again, and no flow is reordered.
//! Model: `tcp_gro_receive`, `inet_gro_receive` and `udp_gro_receive` of the Linux kernel.

mod flow;

use std::io::{self, IoSlice};
use std::ops::Range;

use self::flow::{Flow, Segment};
use crate::checksum;
use crate::edge::MAX_PACKET;
use crate::offload::Mergeable;
use crate::transport::{
    PSH, TCP, TCP_CHECKSUM, TCP_FLAGS, UDP, UDP_CHECKSUM, UDP_LEN, addresses, is_v6, set_ip_len,
    write_u16,
};
use crate::vnet::{Gso, Vnet};

/// The most packets in one: the limit of UDP, and plenty for TCP.
const MOST: usize = 64;
/// How many open groups a packet is compared with.
const DEPTH: usize = 16;
/// The longest headers that are merged: IPv6, TCP with all options.
const MAX_HEADERS: usize = 40 + 60;

/// A packet in the arena.
struct ArenaPacket {
    range: Range<usize>,
    header_len: usize,
    /// The next packet of its group.
    next: Option<u32>,
}

/// One or more packets that go to the kernel as one.
struct MergedGroup {
    flow: Flow,
    first: u32,
    last: u32,
    count: usize,
    /// Bytes of the whole that the packets make: headers once, and all payload.
    len: usize,
    /// The first packet, if others can follow it.
    segment: Option<Segment>,
    next_sequence: u32,
    /// The last packet has PSH.
    pushed: bool,
    closed: bool,
    first_is_verified: bool,
}

/// The packets of one batch and how they go together.
pub(crate) struct Merger {
    opened: Vec<ArenaPacket>,
    groups: Vec<MergedGroup>,
    /// Groups before this one take no more packets.
    barrier: usize,
}

impl Merger {
    pub(crate) fn new() -> Self {
        Self { opened: Vec::new(), groups: Vec::new(), barrier: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.opened.clear();
        self.groups.clear();
        self.barrier = 0;
    }

    /// Takes the packet at `range`, whose IP header was checked.
    pub(crate) fn push(&mut self, arena: &[u8], range: Range<usize>, allowed: Mergeable) {
        let packet = &arena[range.clone()];
        let Some((flow, segment)) = Flow::parse(packet) else {
            // A fragment, or a protocol without ports: nothing may overtake it.
            self.start(range, Flow::NONE, None);
            self.barrier = self.groups.len();
            return;
        };
        let may_merge = if flow.protocol == TCP { allowed.tcp } else { allowed.udp };
        let segment = segment.filter(|_| may_merge);
        let newest = self.groups.len();
        // Beyond this many open flows looking costs more than a write; the newest are the likeliest.
        let oldest = self.barrier.max(newest.saturating_sub(DEPTH));
        let same = (oldest..newest).rev().find(|at| self.groups[*at].flow == flow);
        if let (Some(at), Some(segment)) = (same, &segment)
            && self.fits(at, arena, &range, segment)
        {
            self.append(at, range, segment);
            return;
        }
        self.start(range, flow, segment);
    }

    fn start(&mut self, range: Range<usize>, flow: Flow, segment: Option<Segment>) {
        let index = self.opened.len() as u32;
        self.groups.push(MergedGroup {
            flow,
            first: index,
            last: index,
            count: 1,
            len: range.len(),
            next_sequence: segment.as_ref().map_or(0, Segment::end),
            closed: segment.as_ref().is_none_or(|segment| segment.pushed),
            segment,
            pushed: false,
            first_is_verified: false,
        });
        self.opened.push(ArenaPacket { range, header_len: 0, next: None });
    }

    /// True if the packet continues the group. Remembers what it had to find out.
    fn fits(&mut self, at: usize, arena: &[u8], range: &Range<usize>, segment: &Segment) -> bool {
        let group = &mut self.groups[at];
        let Some(first) = &group.segment else {
            return false;
        };
        let payload = range.len() - segment.header_len;
        let room = group.count < MOST && group.len + payload <= MAX_PACKET;
        let in_order = segment.sequence == group.next_sequence && payload <= first.payload;
        if group.closed || !room || !in_order || segment.header_len != first.header_len {
            return false;
        }
        // What costs most comes last: a checksum reads the whole packet.
        let leader = &arena[self.opened[group.first as usize].range.clone()];
        let packet = &arena[range.clone()];
        if !first.is_continued_by(leader, packet, group.count) {
            return false;
        }
        if !group.first_is_verified {
            if !first.checksum_is_right(leader) {
                // Its receiver is to see that: merged, it would get a new and right one.
                group.closed = true;
                return false;
            }
            group.first_is_verified = true;
        }
        segment.checksum_is_right(packet)
    }

    fn append(&mut self, at: usize, range: Range<usize>, segment: &Segment) {
        let index = self.opened.len() as u32;
        let group = &mut self.groups[at];
        let payload = range.len() - segment.header_len;
        self.opened[group.last as usize].next = Some(index);
        group.last = index;
        group.count += 1;
        group.len += payload;
        group.next_sequence = segment.end();
        let shorter = group.segment.as_ref().is_some_and(|first| payload < first.payload);
        group.pushed = segment.pushed;
        group.closed = segment.pushed || shorter;
        self.opened.push(ArenaPacket { range, header_len: segment.header_len, next: None });
    }
}

/// What became of the packets that were written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteOutcome {
    /// Packets that were not taken, merged or not.
    pub(crate) refused: u64,
    /// The kernel did not take a merged packet, but its parts one by one.
    pub(crate) merging_refused: bool,
}

impl Merger {
    /// Writes all packets with `out`, which takes one packet in parts, its [`Vnet`] first.
    pub(crate) fn write(
        &self,
        arena: &mut [u8],
        mut out: impl FnMut(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> WriteOutcome {
        let mut written = WriteOutcome::default();
        for group in &self.groups {
            let result = match &group.segment {
                Some(segment) if group.count > 1 => {
                    self.write_merged(group, segment, arena, &mut out)
                }
                _ => self.write_single(group, arena, &mut out),
            };
            match result {
                Ok(()) => {}
                Err(error) if group.count > 1 && is_about_merging(&error) => {
                    written.merging_refused = true;
                    written.refused += self.write_each(group, arena, &mut out);
                }
                Err(_refused) => written.refused += group.count as u64,
            }
        }
        written
    }

    fn write_single(
        &self,
        group: &MergedGroup,
        arena: &[u8],
        out: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> io::Result<()> {
        let range = self.opened[group.first as usize].range.clone();
        let vnet = Vnet { data_valid: group.first_is_verified, ..Vnet::PLAIN };
        out(&[IoSlice::new(&vnet.to_bytes()), IoSlice::new(&arena[range])])
    }

    /// Writes a group as one packet; the arena is left as it was.
    fn write_merged(
        &self,
        group: &MergedGroup,
        segment: &Segment,
        arena: &mut [u8],
        out: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> io::Result<()> {
        let first = self.opened[group.first as usize].range.clone();
        let headers = first.start..first.start + segment.header_len;
        // Put back afterwards: a kernel that refuses the whole gets the packets one by one.
        let mut saved = [0; MAX_HEADERS];
        saved[..segment.header_len].copy_from_slice(&arena[headers.clone()]);
        let vnet = form_headers(&mut arena[headers.clone()], group, segment).to_bytes();
        let mut parts = [IoSlice::new(&[]); MOST + 1];
        parts[0] = IoSlice::new(&vnet);
        for (part, packet) in parts[1..].iter_mut().zip(self.packets_of(group)) {
            let payload = packet.range.start + packet.header_len..packet.range.end;
            *part = IoSlice::new(&arena[payload]);
        }
        let result = out(&parts[..=group.count]);
        arena[headers].copy_from_slice(&saved[..segment.header_len]);
        result
    }

    /// Writes the packets of a group one by one. Returns how many were refused.
    fn write_each(
        &self,
        group: &MergedGroup,
        arena: &[u8],
        out: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> u64 {
        let vnet = Vnet::PLAIN.to_bytes();
        self.packets_of(group)
            .map(|packet| {
                let packet = IoSlice::new(&arena[packet.range.clone()]);
                u64::from(out(&[IoSlice::new(&vnet), packet]).is_err())
            })
            .sum()
    }

    fn packets_of(&self, group: &MergedGroup) -> impl Iterator<Item = &ArenaPacket> {
        let packet = |index: u32| &self.opened[index as usize];
        std::iter::successors(Some(packet(group.first)), move |at| at.next.map(packet))
    }
}

/// True unless the refusal would be the same for a packet that is not merged.
fn is_about_merging(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EMSGSIZE))
}

/// Makes the headers of a group's first packet those of the whole.
fn form_headers(headers: &mut [u8], group: &MergedGroup, segment: &Segment) -> Vnet {
    let (ip, transport) = headers.split_at_mut(segment.transport);
    set_ip_len(ip, group.len);
    let transport_len = group.len - segment.transport;
    let (gso, checksum_at) = match (group.flow.protocol, is_v6(ip)) {
        (UDP, _) => (Gso::Udp, UDP_CHECKSUM),
        (_, false) => (Gso::Tcp4, TCP_CHECKSUM),
        (_, true) => (Gso::Tcp6, TCP_CHECKSUM),
    };
    if gso == Gso::Udp {
        write_u16(transport, UDP_LEN, transport_len as u16);
    } else if group.pushed {
        transport[TCP_FLAGS] |= PSH;
    }
    let pseudo = checksum::pseudo_header(addresses(ip), group.flow.protocol, transport_len);
    // Not complemented: with NEEDS_CSUM the kernel adds the rest (virtio 1.2, section 5.1.6.2).
    let partial = checksum::fold(pseudo).to_ne_bytes();
    transport[checksum_at..checksum_at + 2].copy_from_slice(&partial);
    Vnet {
        needs_checksum: true,
        data_valid: false,
        gso,
        header_len: segment.header_len as u16,
        segment: segment.payload as u16,
        checksum_start: segment.transport as u16,
        checksum_offset: checksum_at as u16,
    }
}

#[cfg(test)]
mod tests;
