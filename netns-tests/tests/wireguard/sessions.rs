//! Sessions: made, shown, renewed, and left alone while settings change.
//!
//! ```text
//!   left  ==== tunnel ====  right
//! ```

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::{PORT, inner};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::key::{TunnelKey, base64};
use netns_tests::wireguard::pair::{Pair, PairPlan, configuration, preshared_key};
use netns_tests::wireguard::storm::Initiations;
use netns_tests::wireguard::traffic::{Pinger, ping};
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::wait::{Look, holds_for, until};

const SOON: Duration = Duration::from_secs(10);

pub(crate) fn latest_handshake_is_a_unix_time(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let pair = Pair::start(&wan, [by, by], PairPlan::default())?;
    ensure!(pair.left.peer()?.latest_handshake == 0, "a handshake before the first packet");
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for gateway in [&pair.left, &pair.right] {
        let shown = gateway.peer()?;
        let age = now.abs_diff(shown.latest_handshake);
        ensure!(age <= 30, "a handshake of {} was shown at {now}", shown.latest_handshake);
        // 148 or 92 bytes of handshake, and a sealed ping: wire bytes, not inner ones.
        ensure!(shown.rx_bytes >= 92 + 96 && shown.tx_bytes >= 92 + 96, "{shown:?}");
    }
    wan.succeeded()
}

pub(crate) fn changing_a_setting_disturbs_no_session(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let plan = PairPlan::default();
    let pair = Pair::start(&wan, [by, by], plan)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let handshakes = (pair.left.peer()?.latest_handshake, pair.right.peer()?.latest_handshake);
    let target = inner(Side::Right, Family::V4);
    let pinger = Pinger::start(wan.namespace(Side::Left), target, 0.05, wan.folder())?;
    let peer = pair.left.peer()?.public_key;
    let endpoint = pair.left.peer()?.endpoint;
    let addresses = format!("{target}/32,{}/128,10.50.0.0/16", inner(Side::Right, Family::V6));
    let other = TunnelKey::of(7).public_base64();
    for change in [
        &["peer", &peer, "persistent-keepalive", "21"][..],
        &["peer", &peer, "allowed-ips", &addresses],
        &["peer", &peer, "endpoint", &endpoint],
        &["fwmark", "0x77"],
        &["fwmark", "0"],
        &["peer", &other, "allowed-ips", "10.51.0.0/16"],
        &["peer", &other, "remove"],
        &["listen-port", &PORT.to_string()],
    ] {
        pair.left.set(change)?;
        still_the_same(&pair, handshakes)?;
    }
    pair.left.load("syncconf", &configuration(&wan, Side::Left, plan))?;
    still_the_same(&pair, handshakes)?;
    let pinged = pinger.finish()?;
    ensure!(pinged.sent > 40 && pinged.lost() == 0, "{pinged:?}");
    // Another port loses what was on its way to the old one, and no more.
    let pinger = Pinger::start(wan.namespace(Side::Left), target, 0.05, wan.folder())?;
    pair.left.set(&["listen-port", "4500"])?;
    still_the_same(&pair, handshakes)?;
    let pinged = pinger.finish()?;
    ensure!(pinged.lost() <= 1, "{pinged:?}");
    ensure!(pair.right.peer()?.endpoint.ends_with(":4500"), "{:?}", pair.right.peer()?);
    wan.succeeded()
}

/// What is set is for what comes next: nobody asked for a handshake.
pub(crate) fn settings_of_a_peer_start_no_handshake(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let second = SocketAddr::new(wan.add_host(Side::Right, Family::V4, 9)?, PORT).to_string();
    let pair = Pair::start(&wan, [by, by], PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let initiations = Initiations::count(wan.router())?;
    let secret = wan.folder().join("preshared");
    std::fs::write(&secret, base64(&[0x44; 32]))?;
    let file = secret.display().to_string();
    let peer = pair.left.peer()?.public_key;
    for change in [
        &["peer", &peer, "endpoint", &second][..],
        &["peer", &peer, "preshared-key", &file],
        &["peer", &peer, "persistent-keepalive", "25"],
        &["peer", &peer, "persistent-keepalive", "0"],
    ] {
        pair.left.set(change)?;
        holds_for("the silence", Duration::from_millis(1200), || {
            let seen = initiations.read()?;
            Ok(Look::<()>::when(seen == 0, format!("{seen} initiations after {change:?}")))
        })?;
    }
    // Packets go on where they were told to go, in the session that was there.
    let pinged = ping(wan.namespace(Side::Left), inner(Side::Right, Family::V4), 3, 0.1)?;
    ensure!(pinged.lost() == 0 && initiations.read()? == 0, "{pinged:?}");
    ensure!(pair.left.peer()?.endpoint == second, "{:?}", pair.left.peer()?);
    wan.succeeded()
}

fn still_the_same(pair: &Pair<'_>, handshakes: (u64, u64)) -> Result<()> {
    holds_for("the session", Duration::from_millis(300), || {
        let now = (pair.left.peer_of_right()?, pair.right.peer()?.latest_handshake);
        Ok(Look::<()>::when(now == handshakes, format!("{handshakes:?} became {now:?}")))
    })
}

/// The handshake with the right gateway, whatever other peers there are.
trait PeerOfRight {
    fn peer_of_right(&self) -> Result<u64>;
}

impl PeerOfRight for netns_tests::wireguard::gateway::WireGuardGateway<'_> {
    fn peer_of_right(&self) -> Result<u64> {
        let key = netns_tests::wireguard::gateway::key(Side::Right).public_base64();
        let found = self.show()?.peers.into_iter().find(|peer| peer.public_key == key);
        Ok(found.map(|peer| peer.latest_handshake).unwrap_or_default())
    }
}

pub(crate) fn changing_the_preshared_key_keeps_the_session(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let pair = Pair::start(&wan, [by, by], PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let target = inner(Side::Right, Family::V4);
    let secret = wan.folder().join("preshared");
    std::fs::write(&secret, base64(&[0x44; 32]))?;
    let file = secret.display().to_string();
    for gateway in [&pair.left, &pair.right] {
        gateway.set(&["peer", &gateway.peer()?.public_key, "preshared-key", &file])?;
        // An administrator is not on both machines at once: each answer comes within a second.
        let pinged = ping(wan.namespace(Side::Left), target, 10, 0.1)?;
        ensure!(pinged.lost() == 0, "{pinged:?}");
    }
    wan.succeeded()
}

pub(crate) fn a_session_is_renewed_with_a_new_preshared_key_without_loss(
    by: Implementation,
) -> Result<()> {
    let wan = Wan::new()?;
    let pair = Pair::start(&wan, [by, by], PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let first = pair.left.peer()?.latest_handshake;
    let secret = wan.folder().join("preshared");
    std::fs::write(&secret, base64(&[0x44; 32]))?;
    for gateway in [&pair.left, &pair.right] {
        let peer = gateway.peer()?.public_key;
        gateway.set(&["peer", &peer, "preshared-key", &secret.display().to_string()])?;
    }
    let target = inner(Side::Right, Family::V4);
    let pinger = Pinger::start(wan.namespace(Side::Left), target, 0.1, wan.folder())?;
    let (_, took) = until("a renewed session", Duration::from_secs(150), || {
        let latest = pair.left.peer()?.latest_handshake;
        Ok(Look::<()>::when(latest > first, latest))
    })?;
    holds_for("the renewed session", Duration::from_secs(3), || Ok(Look::Done(())))?;
    let pinged = pinger.finish()?;
    ensure!(took >= Duration::from_secs(100), "renewed after {took:?} already");
    ensure!(pinged.lost() == 0, "{pinged:?}");
    wan.succeeded()
}

pub(crate) fn preshared_keys_must_match(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let plan = PairPlan { preshared: true, ..PairPlan::default() };
    let pair = Pair::start(&wan, [by, by], plan)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    ensure!(pair.left.peer()?.preshared_key == preshared_key(), "it is not shown");
    drop(pair);
    let pair = Pair::start(&wan, [by, by], plan)?;
    pair.left
        .load("setconf", &configuration(&wan, Side::Left, PairPlan { preshared: false, ..plan }))?;
    let target = inner(Side::Right, Family::V4);
    let pinged = ping(wan.namespace(Side::Left), target, 5, 0.2)?;
    ensure!(pinged.received == 0, "a session without the preshared key: {pinged:?}");
    pair.left.load("syncconf", &configuration(&wan, Side::Left, plan))?;
    pair.wait_for_ping(Side::Left, Family::V4, Duration::from_secs(15))?;
    wan.succeeded()
}

pub(crate) fn both_ips_inside_and_outside(by: Implementation) -> Result<()> {
    for outer in [Family::V4, Family::V6] {
        let wan = Wan::new()?;
        let pair = Pair::start(&wan, [by, by], PairPlan { outer, ..PairPlan::default() })?;
        for family in [Family::V4, Family::V6] {
            pair.wait_for_ping(Side::Left, family, SOON)?;
            pair.wait_for_ping(Side::Right, family, SOON)?;
            // Full-sized and fragmented: 1392 and 4000 bytes of payload.
            for size in ["1372", "4000"] {
                let target = inner(Side::Right, family).to_string();
                let big =
                    ["ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "2", "-s", size, &target];
                let output = wan.namespace(Side::Left).run(&big)?;
                ensure!(output.contains("3 received"), "{outer:?} {family:?} {size}: {output}");
            }
        }
        wan.succeeded()?;
    }
    Ok(())
}

pub(crate) fn sessions_are_renewed_without_loss(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let pair = Pair::start(&wan, [by, by], PairPlan { keepalive: 25, ..PairPlan::default() })?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let first = pair.left.peer()?.latest_handshake;
    let target = inner(Side::Right, Family::V4);
    let pinger = Pinger::start(wan.namespace(Side::Left), target, 0.1, wan.folder())?;
    let back = inner(Side::Left, Family::V4);
    let backward = Pinger::start(wan.namespace(Side::Right), back, 0.1, wan.folder())?;
    let (second, took) = until("a renewed session", Duration::from_secs(140), || {
        let latest = pair.left.peer()?.latest_handshake;
        Ok(if latest > first { Look::Done(latest) } else { Look::Not(format!("{latest}")) })
    })?;
    // The session that it replaces must not be missed either.
    holds_for("the renewed session", Duration::from_secs(8), || {
        let latest = pair.left.peer()?.latest_handshake;
        Ok(Look::<()>::when(latest == second, format!("renewed again at once: {latest}")))
    })?;
    let (forth, back) = (pinger.finish()?, backward.finish()?);
    ensure!(took >= Duration::from_secs(100), "renewed after {took:?} already");
    ensure!(forth.lost() == 0 && back.lost() == 0, "{forth:?} {back:?}");
    wan.succeeded()
}
