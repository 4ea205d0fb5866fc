//! What the kernel does in bulk changes how packets are carried, never what arrives.
//!
//! One gateway has every kind of bulk work, the other lacks one kind (`ZONEMESH_DEBUG_NO_*`): TCP
//! and UDP super-packets go both ways and every byte is compared.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::inner;
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::traffic::{transfer, transfer_datagrams};
use netns_tests::wireguard::wan::{Family, Side, Wan};

const BYTES: u64 = 64_000_000;
const SUPER_PACKETS: u32 = 200;

macro_rules! without {
    ($($name:ident: $kind:literal;)+) => {
        $(#[test]
        fn $name() -> Result<()> {
            same_bytes_without($kind)
        })+
    };
}

without! {
    the_bytes_are_the_same_without_tcp_super_packets: "TSO";
    the_bytes_are_the_same_without_udp_super_packets: "USO";
    the_bytes_are_the_same_with_one_datagram_in_each_send: "GSO";
    the_bytes_are_the_same_with_one_datagram_in_each_receive: "GRO";
    the_bytes_are_the_same_with_one_packet_in_each_write: "MERGE";
}

fn same_bytes_without(kind: &'static str) -> Result<()> {
    let wan = Wan::new()?;
    let without = Implementation::ZonemeshWithout(kind);
    let mut pair = Pair::start(&wan, [Implementation::Zonemesh, without], PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, Duration::from_secs(10))?;
    for family in [Family::V4, Family::V6] {
        for (from, to) in [(Side::Left, Side::Right), (Side::Right, Side::Left)] {
            let address = SocketAddr::new(inner(to, family), 7000);
            let (from, to) = (wan.namespace(from), wan.namespace(to));
            transfer(from, to, address, BYTES)?;
            transfer_datagrams(from, to, address, SUPER_PACKETS)?;
        }
    }
    let said = pair.right.process().output()?;
    let switched = format!("kind=\"{kind}\"");
    ensure!(said.contains(&switched), "the switch for {kind} was not taken:\n{said}");
    wan.succeeded()
}
