//! The packet filter of the gateway's own: nothing for another zone leaves but through the tunnel.
//!
//! A table of nftables that no route, rule or daemon can get around: all packets that leave pass
//! `postrouting` last, after their destination was rewritten for the last time; so one chain there is
//! enough and costs each packet least. Replaced as a whole in one transaction; it stays when the
//! process ends. Never touches another table.

use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use ipnet::IpNet;
use zonemesh_core::kernel::{Guard, GuardException, GuardState, MARK};

use crate::facts::kernel::nftables::message::{
    ACK, APPEND, Attributes, CREATE, Expression, NftMessage, PacketFact, Verdict, begin, end,
    expressions, message,
};
use crate::facts::kernel::nftables::{NftSocket, SETS, TABLE, TablePrint};

const CHAIN: &str = "leaving";
/// `NF_INET_POST_ROUTING`, and behind every translation of addresses.
const POSTROUTING: u32 = 4;
const PRIORITY: i32 = 300;
/// Elements of a set in one message: an attribute takes 64 KiB.
const ELEMENTS: usize = 500;
/// `NFT_SET_INTERVAL`; `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL: u32 = 4;
const INTERVAL_END: u32 = 1;
/// How often a transaction is begun anew when somebody else's came in between.
const TRIES: usize = 8;
/// ERESTART: somebody else's transaction came in between.
const RESTART: i32 = 85;
/// The names of interfaces are compared as a whole.
const NAME: usize = 16;

/// The table as this process has set it.
#[derive(Default)]
pub(crate) struct GuardTable(Mutex<Option<SetGuard>>);

struct SetGuard {
    guard: Guard,
    print: TablePrint,
    /// The generation of nftables at which the table was as it was set.
    generation: u32,
}

impl GuardTable {
    /// What the kernel has.
    pub(crate) fn look(&self) -> GuardState {
        self.seen().unwrap_or_else(|error| GuardState::Unusable(error.to_string()))
    }

    fn seen(&self) -> io::Result<GuardState> {
        let socket = NftSocket::open()?;
        let generation = socket.generation()?;
        let mut known = self.lock();
        if let Some(set) = known.as_ref().filter(|set| set.generation == generation) {
            return Ok(GuardState::Set(set.guard.clone()));
        }
        let print = socket.print()?;
        let Some(print) = print else { return Ok(GuardState::Absent) };
        match known.as_mut().filter(|set| set.print == print) {
            Some(set) => {
                set.generation = generation;
                Ok(GuardState::Set(set.guard.clone()))
            }
            None => Ok(GuardState::Altered),
        }
    }

    /// Puts this one into the place of whatever there is.
    pub(crate) fn set(&self, guard: &Guard) -> anyhow::Result<()> {
        let socket = NftSocket::open().context("cannot reach nftables")?;
        for _ in 0..TRIES {
            let generation = socket.generation().context("cannot ask nftables")?;
            match socket.commit(&transaction(guard, generation)) {
                Err(error) if error.raw_os_error() == Some(RESTART) => continue,
                committed => committed.context("cannot set the table inet zonemesh")?,
            }
            let (print, after) = (socket.print()?, socket.generation()?);
            let as_set = print.filter(|_| after == generation.wrapping_add(1));
            if let Some(print) = as_set {
                let guard = guard.clone();
                *self.lock() = Some(SetGuard { guard, print, generation: after });
                return Ok(());
            }
        }
        anyhow::bail!("others change nftables all the time: the table inet zonemesh is not known")
    }

    /// Takes it away.
    pub(crate) fn clear() -> anyhow::Result<()> {
        let Ok(socket) = NftSocket::open() else { return Ok(()) };
        // Without nftables there is nothing to be taken away.
        let Ok(generation) = socket.generation() else { return Ok(()) };
        let mut batch = Batch::begin(generation);
        batch.replace_table();
        let cleared = socket.commit(&batch.end());
        cleared.context("cannot remove the table inet zonemesh")
    }

    fn lock(&self) -> MutexGuard<'_, Option<SetGuard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of a transaction.
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn begin(generation: u32) -> Self {
        Self { bytes: begin(1, generation), sequence: 1 }
    }

    fn add(&mut self, about: NftMessage, flags: u16, attributes: &Attributes) {
        self.sequence += 1;
        self.bytes.extend(message(about, flags | ACK, self.sequence, attributes));
    }

    /// The table goes, whether it was there or not.
    fn replace_table(&mut self) {
        self.add(NftMessage::NewTable, CREATE, &in_table());
        self.add(NftMessage::DeleteTable, 0, &in_table());
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.extend(end(self.sequence + 1));
        self.bytes
    }
}

fn in_table() -> Attributes {
    Attributes::default().text(1, TABLE)
}

fn transaction(guard: &Guard, generation: u32) -> Vec<u8> {
    let mut batch = Batch::begin(generation);
    batch.replace_table();
    batch.add(NftMessage::NewTable, CREATE, &in_table());
    let hook = Attributes::default().number(1, POSTROUTING).number(2, PRIORITY.cast_unsigned());
    let chain = in_table().text(3, CHAIN).nested(4, &hook);
    let chain = chain.number(5, Verdict::Accept as u32).text(7, "filter");
    batch.add(NftMessage::NewChain, CREATE, &chain);
    for (number, family) in (1..).zip(FAMILIES) {
        set(&mut batch, number, family, &guard.zones);
    }
    for rule in rules(guard) {
        let rule = in_table().text(2, CHAIN).nested(4, &expressions(&rule));
        batch.add(NftMessage::NewRule, CREATE | APPEND, &rule);
    }
    batch.end()
}

/// How addresses of a family are compared.
struct NftFamily {
    set: &'static str,
    /// `NFPROTO_*`.
    number: u8,
    /// `TYPE_IPADDR`, `TYPE_IP6ADDR` of nft, which shows them.
    data_type: u32,
    /// The place and length of the destination in the network header.
    offset: u32,
    length: u32,
}

const FAMILIES: [NftFamily; 2] = [
    NftFamily { set: SETS[0], number: 2, data_type: 7, offset: 16, length: 4 },
    NftFamily { set: SETS[1], number: 10, data_type: 8, offset: 24, length: 16 },
];

impl NftFamily {
    fn of(net: &IpNet) -> &'static Self {
        &FAMILIES[usize::from(net.addr().is_ipv6())]
    }
}

/// A set of all networks of a family.
fn set(batch: &mut Batch, number: u32, family: NftFamily, zones: &[IpNet]) {
    let head = in_table().text(2, family.set).number(3, INTERVAL);
    let head = head.number(4, family.data_type).number(5, family.length).number(10, number);
    batch.add(NftMessage::NewSet, CREATE, &head);
    let nets = zones.iter().filter(|net| NftFamily::of(net).number == family.number);
    let elements: Vec<_> = nets.flat_map(interval).collect();
    for part in elements.chunks(ELEMENTS) {
        let list = part.iter().fold(Attributes::default(), |list, one| list.nested(1, one));
        let list = in_table().text(2, family.set).nested(3, &list).number(4, number);
        batch.add(NftMessage::NewElements, CREATE, &list);
    }
}

/// A network as its first address and the one behind its last, if there is one.
fn interval(net: &IpNet) -> Vec<Attributes> {
    let element =
        |key: &[u8]| Attributes::default().nested(1, &Attributes::default().bytes(1, key));
    let first = element(&octets(net.network()));
    let behind = next(octets(net.broadcast()));
    let last = behind.map(|key| element(&key).number(3, INTERVAL_END));
    std::iter::once(first).chain(last).collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The next address, if this is not the last one.
fn next(mut address: Vec<u8>) -> Option<Vec<u8>> {
    for octet in address.iter_mut().rev() {
        *octet = octet.wrapping_add(1);
        if *octet != 0 {
            return Some(address);
        }
    }
    None
}

/// What may leave comes first; of the rest nothing goes to another zone.
fn rules(guard: &Guard) -> Vec<Vec<Expression>> {
    let by =
        |name: &str| [Expression::Load(PacketFact::OutgoingName), Expression::Is(padded(name))];
    let accept = || Expression::Verdict(Verdict::Accept);
    let free = [guard.interface.as_str(), "lo"];
    let mut rules: Vec<Vec<Expression>> =
        free.map(|name| by(name).into_iter().chain([accept()]).collect()).to_vec();
    let mark = Expression::Is(MARK.to_ne_bytes().to_vec());
    rules.push(vec![Expression::Load(PacketFact::Mark), mark, accept()]);
    for GuardException { interface, net } in &guard.local {
        let mut rule = by(interface).to_vec();
        rule.extend(destined(NftFamily::of(net)));
        rule.push(Expression::Mask(octets(net.netmask())));
        rule.push(Expression::Is(octets(net.network())));
        rule.push(accept());
        rules.push(rule);
    }
    for family in &FAMILIES {
        let mut rule = destined(family).to_vec();
        rule.extend([Expression::In(family.set), Expression::Verdict(Verdict::Drop)]);
        rules.push(rule);
    }
    rules
}

/// The destination of packets of a family.
fn destined(family: &NftFamily) -> [Expression; 3] {
    [
        Expression::Load(PacketFact::Family),
        Expression::Is(vec![family.number]),
        Expression::Header { offset: family.offset, length: family.length },
    ]
}

fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_ends_before_the_address_behind_it() {
        assert_eq!(next(vec![10, 10, 11, 255]), Some(vec![10, 10, 12, 0]));
        assert_eq!(next(vec![255; 4]), None);
        for (net, ends) in [("10.10.11.0/24", 2), ("255.255.255.0/24", 1), ("fd00::/8", 2)] {
            assert_eq!(interval(&net.parse().unwrap()).len(), ends, "{net}");
        }
    }

    #[test]
    fn the_networks_of_3000_zones_fit_into_one_transaction() {
        // What a socket takes at once by default: net.core.wmem_default.
        const MOST: usize = 212_992 - 32;
        // None beside another, so that none is merged with it.
        let net =
            |zone: u32| IpNet::new(IpAddr::from((0x0a00_0000 + zone * 512).to_be_bytes()), 24);
        let zones: Vec<_> = (0..3000).map(|zone| net(zone).unwrap()).collect();
        assert_eq!(IpNet::aggregate(&zones).len(), zones.len());
        let guard = Guard { interface: "zm0".to_owned(), zones, ..Guard::default() };
        let length = transaction(&guard, 1).len();
        assert!(length < MOST, "{length}");
    }
}
