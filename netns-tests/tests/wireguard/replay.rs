//! Datagrams that are old, out of order, damaged, forged or nonsense.
//!
//! ```text
//!   puppet 198.51.100.1 ---- router ---- right 203.0.113.1
//! ```

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netns_tests::wireguard::gateway::{PORT, WireGuardGateway, inner, key};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::numbered::{NumberedHandshake, REJECT_AFTER_MESSAGES};
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::puppet::{
    COOKIE_REPLY, INITIATION, Puppet, PuppetKeys, Taken, echo_request,
};
use netns_tests::wireguard::traffic::Pinger;
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::wait::{Look, until};

use crate::paths::gateway_and_puppet;

const SOON: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(700);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const TARGET: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// How many packets came out of the tunnel so far, by the kernel's count.
fn delivered(gateway: &WireGuardGateway<'_>) -> Result<u64> {
    let text = gateway.namespace().ip(&["-s", "-j", "link", "show", gateway.interface()])?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["stats64"]["rx"]["packets"].as_u64().with_context(|| format!("no count in {text}"))
}

fn answers(puppet: &mut Puppet) -> Result<usize> {
    let mut count = 0;
    while let Some(datagram) = puppet.receive(SHORT)? {
        count += usize::from(matches!(puppet.take(&datagram), Taken::Packet(_)));
    }
    Ok(count)
}

pub(crate) fn replayed_data_is_dropped_and_reordered_data_is_not(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let (gateway, mut puppet) = gateway_and_puppet(by, &wan)?;
    puppet.connect()?;
    ensure!(puppet.ping(SOURCE, TARGET)?, "no answer to a ping");
    let sealed: Vec<Vec<u8>> = (0..100)
        .map(|number| puppet.seal(&echo_request(SOURCE, TARGET, number)?))
        .collect::<Result<_>>()?;
    // The newest first, as after a detour; then all of them once more.
    for datagram in sealed.iter().rev().chain(&sealed) {
        puppet.send(datagram)?;
    }
    let answered = answers(&mut puppet)?;
    ensure!(answered == 100, "{answered} answers to 100 pings, each sent twice");
    // Far beyond any window: the counter of the first one is too old now.
    let too_old = puppet.seal(&echo_request(SOURCE, TARGET, 0)?)?;
    for _ in 0..9_000 {
        puppet.seal(&[])?;
    }
    let newest = puppet.seal(&echo_request(SOURCE, TARGET, 1)?)?;
    puppet.send(&newest)?;
    puppet.send(&too_old)?;
    let answered = answers(&mut puppet)?;
    ensure!(answered == 1, "{answered} answers, the packet from beyond the window included");
    drop(gateway);
    wan.succeeded()
}

/// Authentic, and beyond the last number that a session may use: taken, it would also move the replay
/// window past everything that is still to come.
pub(crate) fn data_beyond_the_last_number_is_dropped(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let (gateway, puppet) = gateway_and_puppet(by, &wan)?;
    let keys = PuppetKeys { own: &key(Side::Left), peer: key(Side::Right).public() };
    let (handshake, initiation) = NumberedHandshake::begin(&keys)?;
    puppet.send(&initiation)?;
    let session = handshake.finish(&puppet.receive(SOON)?.context("no answer")?)?;
    puppet.send(&session.seal(0, &[])?)?;
    let before = delivered(&gateway)?;
    let send = |number: u64| -> Result<()> {
        puppet.send(&session.seal(number, &echo_request(SOURCE, TARGET, 1)?)?)
    };
    let arrived = |count: u64, what: &str| {
        until(what, Duration::from_secs(3), || {
            let seen = delivered(&gateway)? - before;
            Ok(Look::<()>::when(seen == count, format!("{seen} packets came through, not {count}")))
        })
    };
    send(1)?;
    arrived(1, "a packet")?;
    for beyond in [REJECT_AFTER_MESSAGES, REJECT_AFTER_MESSAGES + 1, u64::MAX - 1, u64::MAX] {
        send(beyond)?;
    }
    send(2)?;
    arrived(2, "the next packet, and none from beyond the last number")?;
    send(REJECT_AFTER_MESSAGES - 1)?;
    arrived(3, "the last packet of the session")?;
    wan.succeeded()
}

pub(crate) fn a_replayed_initiation_is_not_answered(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let (gateway, mut puppet) = gateway_and_puppet(by, &wan)?;
    let initiation = puppet.initiation()?;
    puppet.send(&initiation)?;
    let response = puppet.receive(SOON)?.context("no answer to an initiation")?;
    let Taken::Reply(confirmation) = puppet.take(&response) else {
        anyhow::bail!("the answer makes no session");
    };
    puppet.send(&confirmation)?;
    ensure!(puppet.ping(SOURCE, TARGET)?, "no answer to a ping");
    for _ in 0..5 {
        puppet.send(&initiation)?;
    }
    let answer = puppet.receive(SHORT)?;
    ensure!(
        answer.is_none(),
        "an old initiation was answered with {:?} bytes",
        answer.map(|a| a.len())
    );
    ensure!(puppet.ping(SOURCE, TARGET)?, "the session did not survive the replay");
    drop(gateway);
    wan.succeeded()
}

pub(crate) fn a_forged_cookie_changes_nothing(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let (gateway, mut puppet) = gateway_and_puppet(by, &wan)?;
    let peer = key(Side::Left).public_base64();
    let endpoint = puppet.local()?.to_string();
    gateway.set(&["peer", &peer, "endpoint", &endpoint, "persistent-keepalive", "1"])?;
    let initiation = puppet.receive(SOON)?.context("the gateway does not begin")?;
    ensure!(initiation.len() == INITIATION && initiation[0] == 1, "{} bytes", initiation.len());
    let mut cookie = vec![3, 0, 0, 0];
    cookie.extend_from_slice(&initiation[4..8]);
    cookie.extend_from_slice(&[0x99; COOKIE_REPLY - 8]);
    for _ in 0..20 {
        puppet.send(&cookie)?;
    }
    let next = puppet.receive(SOON)?.context("the gateway gave up")?;
    ensure!(next.len() == INITIATION, "{} bytes", next.len());
    ensure!(next[INITIATION - 16..] == [0; 16], "the forged cookie was put to use");
    match puppet.take(&next) {
        Taken::Reply(response) => puppet.send(&response)?,
        other => anyhow::bail!("the initiation is not acceptable: {other:?}"),
    }
    let data = puppet.receive(SOON)?.context("the gateway does not confirm")?;
    ensure!(puppet.take(&data) != Taken::Refused, "no session after all");
    wan.succeeded()
}

pub(crate) fn bad_inner_packets_reach_nobody(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let (gateway, mut puppet) = gateway_and_puppet(by, &wan)?;
    puppet.connect()?;
    ensure!(puppet.ping(SOURCE, TARGET)?, "no answer to a ping");
    let before = delivered(&gateway)?;
    let good = echo_request(SOURCE, TARGET, 3)?;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        change(&mut packet);
        packet
    };
    let bad = [
        with(&|packet| packet[0] = 0x05),
        with(&|packet| packet[0] = 0x55),
        with(&|packet| packet[0] = 0xf5),
        // Longer than what came, shorter than its own header, shorter than any header.
        with(&|packet| packet[2..4].copy_from_slice(&[0xff, 0xff])),
        with(&|packet| packet[2..4].copy_from_slice(&[0, 19])),
        with(&|packet| packet.truncate(19)),
        with(&|packet| packet.truncate(1)),
        // IPv6 that is too short, and IPv6 that says it is longer than it is.
        with(&|packet| packet[0] = 0x60),
        with(&|packet| {
            packet[0] = 0x60;
            packet.resize(60, 0xff);
        }),
        // Another's address, and none at all.
        echo_request(Ipv4Addr::new(10, 99, 0, 3), TARGET, 4)?,
        echo_request(TARGET, TARGET, 4)?,
        echo_request(Ipv4Addr::UNSPECIFIED, TARGET, 4)?,
    ];
    for packet in &bad {
        let sealed = puppet.seal(packet)?;
        puppet.send(&sealed)?;
    }
    ensure!(answers(&mut puppet)? == 0, "a bad packet was answered");
    let after = delivered(&gateway)?;
    ensure!(after == before, "{} of {} bad packets came through", after - before, bad.len());
    ensure!(puppet.ping(SOURCE, TARGET)?, "the session did not survive");
    wan.succeeded()
}

pub(crate) fn malformed_datagrams_disturb_nothing(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let mut pair = Pair::start(&wan, [by, by], PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let target = inner(Side::Right, Family::V4);
    let pinger = Pinger::start(wan.namespace(Side::Left), target, 0.05, wan.folder())?;
    let victim = SocketAddr::new(wan.address(Side::Right, Family::V4), PORT);
    let sent = wan.router().inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let mut sent = 0_u64;
        for datagram in nonsense() {
            // ICMP errors of earlier ones are reported here; they are of no interest.
            sent += u64::from(socket.send_to(&datagram, victim).is_ok());
            if sent.is_multiple_of(64) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(sent)
    })?;
    ensure!(sent > 2_000, "only {sent} datagrams were sent");
    let pinged = pinger.finish()?;
    ensure!(pinged.lost() == 0, "{pinged:?}");
    pair.wait_for_ping(Side::Right, Family::V4, SOON)?;
    pair.right.process().terminate(SOON)?;
    if by == Implementation::Zonemesh {
        let log = pair.right.process().output()?;
        for reason in ["not_wireguard=", "unknown_session=", "handshake_mac="] {
            ensure!(log.contains(reason), "{reason} was not counted:\n{log}");
        }
    }
    wan.succeeded()
}

/// Every type with every length around its own, reserved bits set, and the largest datagrams.
fn nonsense() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for kind in [0, 1, 2, 3, 4, 5, 0x80, 0xff] {
        for len in (0..200).chain([1_451, 1_452, 1_500, 9_000, 65_000, 65_507]) {
            let mut datagram = vec![kind ^ len as u8; len];
            for (at, byte) in [kind, 0, 0, 0].into_iter().enumerate().take(len) {
                datagram[at] = byte;
            }
            all.push(datagram.clone());
            if len > 3 {
                datagram[3] = 1;
                all.push(datagram);
            }
        }
    }
    all
}
