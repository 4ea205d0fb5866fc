//! ICMP errors that nobody has a reason to send: datagrams leave as they did before.
//!
//! ```text
//!   left ---- router: "nothing above 576 passes" ---- right
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::wireguard::bounce::{Blamed, Fragments, forge};
use netns_tests::wireguard::gateway::{PORT, inner};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::traffic::transfer;
use netns_tests::wireguard::wan::{Family, Side, Wan};

const SOON: Duration = Duration::from_secs(10);
const BYTES: u64 = 20_000_000;

pub(crate) fn forged_icmp_cuts_no_datagram_v4(by: Implementation) -> Result<()> {
    forged_icmp_cuts_no_datagram(by, Family::V4, 576)
}

pub(crate) fn forged_icmp_cuts_no_datagram_v6(by: Implementation) -> Result<()> {
    forged_icmp_cuts_no_datagram(by, Family::V6, 1280)
}

fn forged_icmp_cuts_no_datagram(by: Implementation, outer: Family, mtu: u16) -> Result<()> {
    let wan = Wan::new()?;
    let mut pair = Pair::start(&wan, [by, by], PairPlan { outer, ..PairPlan::default() })?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let fragments = Fragments::count(wan.router())?;
    let [from, to] =
        [Side::Left, Side::Right].map(|side| SocketAddr::new(wan.address(side, outer), PORT));
    forge(wan.router(), Blamed { from, to }, mtu)?;
    let target = inner(Side::Right, Family::V4);
    let full = ["ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "2", "-s", "1392"];
    let pinged = wan.namespace(Side::Left).run(&[&full[..], &[&target.to_string()]].concat())?;
    ensure!(pinged.contains("3 received"), "{pinged}");
    let [left, right] = [Side::Left, Side::Right].map(|side| wan.namespace(side));
    transfer(left, right, SocketAddr::new(target, 7000), BYTES)?;
    let cut = fragments.read()?;
    ensure!(cut == 0, "{cut} fragments");
    let said = pair.left.process().output()?;
    ensure!(!said.contains("slow sending"), "{said}");
    wan.succeeded()
}
