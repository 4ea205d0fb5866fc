//! Handshakes: when the first one is sent, who sends it, and what those that come to nothing cost.
//!
//! ```text
//!   left (or a puppet) ----  router: counts initiations  ---- right
//! ```

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::wireguard::gateway::{PORT, WireGuardGateway, inner, key};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan, configuration};
use netns_tests::wireguard::puppet::{INITIATION, Puppet, PuppetKeys};
use netns_tests::wireguard::traffic::ping;
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::wait::{Look, holds_for, until};

use crate::paths::gateway_and_puppet;

const SOON: Duration = Duration::from_secs(10);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const TARGET: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

pub(crate) fn the_first_handshake_waits_for_the_interface(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Right)?;
    let puppet = Puppet::new(
        wan.namespace(Side::Left),
        wan.address(Side::Left, Family::V4),
        SocketAddr::new(wan.address(Side::Right, Family::V4), PORT),
        &PuppetKeys { own: &key(Side::Left), peer: key(Side::Right).public() },
    )?;
    let plan = PairPlan { right_knows_left: false, ..PairPlan::default() };
    gateway.load("setconf", &configuration(&wan, Side::Right, plan))?;
    let (peer, endpoint) = (key(Side::Left).public_base64(), puppet.local()?.to_string());
    gateway.set(&["peer", &peer, "endpoint", &endpoint, "persistent-keepalive", "1"])?;
    let early = puppet.receive(Duration::from_millis(1500))?;
    ensure!(early.is_none(), "{:?} bytes before it was up", early.map(|early| early.len()));
    gateway.bring_up()?;
    let first = puppet.receive(SOON)?.context("nothing once it was up")?;
    ensure!(first.len() == INITIATION && first[0] == 1, "{} bytes", first.len());
    wan.succeeded()
}

/// Both have tried in vain and reach each other at one moment.
pub(crate) fn two_that_begin_at_once_agree_on_one_session(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let rules = "add table inet seen; \
        add chain inet seen forward { type filter hook forward priority 10; }; \
        add rule inet seen forward udp length 156 counter";
    wan.router().run(&["nft", rules])?;
    wan.cut(Side::Left, true)?;
    let pair = Pair::start(&wan, [by, by], PairPlan { keepalive: 25, ..PairPlan::default() })?;
    holds_for("the cut", Duration::from_secs(6), || {
        Ok(Look::<()>::when(initiations(&wan)? == 0, "an initiation came through"))
    })?;
    wan.cut(Side::Left, false)?;
    until("a handshake on both", SOON, || {
        let (left, right) = (pair.left.peer()?, pair.right.peer()?);
        let both = left.latest_handshake > 0 && right.latest_handshake > 0;
        Ok(Look::<()>::when(both, format!("{left:?} {right:?}")))
    })?;
    let target = inner(Side::Right, Family::V4);
    let pinged = ping(wan.namespace(Side::Left), target, 100, 0.1)?;
    let seen = initiations(&wan)?;
    writeln!(std::io::stderr(), "{by}: {seen} initiations by both sides in 10 s")?;
    ensure!(seen <= 3, "{seen} initiations");
    ensure!(pinged.lost() == 0, "{pinged:?}");
    wan.succeeded()
}

/// How many initiations the router has forwarded.
fn initiations(wan: &Wan) -> Result<u64> {
    let text = wan.router().run(&["nft", "list", "chain", "inet", "seen", "forward"])?;
    let count = text.split("counter packets ").nth(1).and_then(|rest| rest.split(' ').next());
    Ok(count.with_context(|| format!("no counter in {text}"))?.parse()?)
}

/// A peer that is heard and does not hear begins again and again; what it says meanwhile counts.
pub(crate) fn handshakes_that_come_to_nothing_cost_no_session(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let (gateway, mut puppet) = gateway_and_puppet(by, &wan)?;
    puppet.connect()?;
    ensure!(puppet.ping(SOURCE, TARGET)?, "no answer to a ping");
    for round in 1..=20 {
        let initiation = puppet.initiation()?;
        puppet.send(&initiation)?;
        // The answer is lost on its way; so is what stands in the queue.
        while puppet.receive(Duration::from_millis(100))?.is_some() {}
        ensure!(puppet.ping(SOURCE, TARGET)?, "no answer to a ping after {round} handshakes");
    }
    puppet.connect()?;
    ensure!(puppet.ping(SOURCE, TARGET)?, "no answer in a new session");
    drop(gateway);
    wan.succeeded()
}
