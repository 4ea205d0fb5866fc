//! Interop with the kernel's own WireGuard: `zonemesh-wg` on the left, a virtual machine on the
//! right.
//!
//! ```text
//!   left: zonemesh-wg  ==== tunnel ====  right: Linux of Debian, in qemu, its processor emulated
//! ```
//!
//! Not part of plain `cargo test` (`test = false` in Cargo.toml) nor of `make test`: needs
//! namespaces, qemu and a kernel package. `make interop-kernel` runs it.

mod clock;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use netns_tests::wireguard::gateway::{PORT, WireGuardGateway, inner};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::machine::Machine;
use netns_tests::wireguard::pair::{PairPlan, configuration};
use netns_tests::wireguard::traffic::{parse_summary, ping};
use netns_tests::wireguard::wan::{Family, Side, Wan};
use sha2::{Digest as _, Sha256};
use zonemesh_lab::wait::{Look, until};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// Nothing waits for an answer longer than a handshake and its first repetition take.
const SOON: Duration = Duration::from_secs(15);
/// Sessions are renewed at 120 s; the pings go on beyond that.
const BEYOND_RENEWAL: Duration = Duration::from_secs(150);
const BYTES: usize = 32 << 20;

fn left<'a>(wan: &'a Wan, plan: PairPlan) -> Result<WireGuardGateway<'a>> {
    let gateway = WireGuardGateway::start(Implementation::Zonemesh, wan, Side::Left)?;
    gateway.load("setconf", &configuration(wan, Side::Left, plan))?;
    gateway.bring_up()?;
    Ok(gateway)
}

fn say(text: std::fmt::Arguments<'_>) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{text}")?)
}

/// Pings from one end until an answer comes; returns how long it took.
fn answered(wan: &Wan, machine: &Machine<'_>, from: Side, family: Family) -> Result<Duration> {
    let what = format!("an answer to the {} end, {family:?}", from.name());
    let ((), took) = until(&what, SOON, || match from {
        Side::Left => {
            let target = inner(Side::Right, family);
            let pinged = ping(wan.namespace(Side::Left), target, 1, 0.1)?;
            Ok(Look::<()>::when(pinged.received == 1, "no answer"))
        }
        Side::Right => {
            let target = inner(Side::Left, family);
            Ok(Look::retry(machine.run(&format!("ping -q -c 1 -W 1 {target}")).map(drop)))
        }
    })?;
    Ok(took)
}

#[test]
fn handshakes_from_both_ends_with_preshared_key_over_both_ips() -> Result<()> {
    let wan = Wan::new()?;
    let machine = Machine::boot(&wan)?;
    for outer in FAMILIES {
        for first in [Side::Left, Side::Right] {
            let plan = PairPlan { outer, preshared: true, ..PairPlan::default() };
            machine.configure(plan)?;
            let gateway = left(&wan, plan)?;
            let other = if first == Side::Left { Side::Right } else { Side::Left };
            let took = answered(&wan, &machine, first, Family::V4)?;
            answered(&wan, &machine, other, Family::V4)?;
            for side in [first, other] {
                answered(&wan, &machine, side, Family::V6)?;
            }
            ensure!(gateway.peer()?.latest_handshake > 0);
            ensure!(machine.show("latest-handshakes")? != "0");
            say(format_args!("outer {outer:?}, {} first: answered in {took:.1?}", first.name()))?;
        }
    }
    wan.succeeded()
}

#[test]
fn another_preshared_key_is_no_tunnel() -> Result<()> {
    let wan = Wan::new()?;
    let machine = Machine::boot(&wan)?;
    machine.configure(PairPlan { preshared: true, ..PairPlan::default() })?;
    let gateway = left(&wan, PairPlan::default())?;
    let pinged = ping(wan.namespace(Side::Left), inner(Side::Right, Family::V4), 3, 1.0)?;
    ensure!(pinged.received == 0 && gateway.peer()?.latest_handshake == 0, "{pinged:?}");
    machine.configure(PairPlan::default())?;
    answered(&wan, &machine, Side::Left, Family::V4)?;
    wan.succeeded()
}

#[test]
fn sessions_are_renewed_and_no_ping_is_lost() -> Result<()> {
    let wan = Wan::new()?;
    let machine = Machine::boot(&wan)?;
    let plan = PairPlan { preshared: true, keepalive: 25, ..PairPlan::default() };
    machine.configure(plan)?;
    let gateway = left(&wan, plan)?;
    answered(&wan, &machine, Side::Left, Family::V4)?;
    let (ours, theirs) = (gateway.peer()?.latest_handshake, machine.show("latest-handshakes")?);
    let target = inner(Side::Left, Family::V6);
    let count = BEYOND_RENEWAL.as_secs();
    machine.run(&format!("ping -q -c {count} -W 2 {target} >/tmp/pinged 2>&1 </dev/null &"))?;
    let target = inner(Side::Right, Family::V4);
    // To their end: one that is interrupted counts what is still on its way as lost.
    let forth = ping(wan.namespace(Side::Left), target, count as u32 * 5, 0.2)?;
    let (back, _) = until("the machine's pings", SOON, || {
        Ok(Look::retry(machine.run("cat /tmp/pinged").and_then(|text| parse_summary(&text))))
    })?;
    let renewed = gateway.peer()?.latest_handshake;
    say(format_args!("handshakes at {ours} and {renewed}; forth {forth:?}, back {back:?}"))?;
    ensure!(renewed > ours && machine.show("latest-handshakes")? != theirs, "not renewed");
    ensure!(forth.lost() == 0 && back.lost() == 0, "forth {forth:?}, back {back:?}");
    wan.succeeded()
}

#[test]
fn both_ends_roam_over_both_ips() -> Result<()> {
    for outer in FAMILIES {
        let wan = Wan::new()?;
        let machine = Machine::boot(&wan)?;
        let plan = PairPlan { outer, keepalive: 1, ..PairPlan::default() };
        machine.configure(plan)?;
        let gateway = left(&wan, plan)?;
        answered(&wan, &machine, Side::Left, Family::V4)?;

        let new = machine.add_host(outer, 7)?;
        machine.remove_host(outer, 1)?;
        let ((), took) = until("ours to follow the kernel", SOON, || {
            let endpoint = gateway.peer()?.endpoint;
            Ok(Look::<()>::when(endpoint == new.to_string(), endpoint))
        })?;
        answered(&wan, &machine, Side::Left, Family::V4)?;
        say(format_args!("outer {outer:?}: ours followed the kernel in {took:.1?}"))?;

        let new = SocketAddr::new(move_left(&wan, outer)?, PORT);
        let ((), took) = until("the kernel to follow ours", SOON, || {
            let endpoint = machine.show("endpoints")?;
            Ok(Look::<()>::when(endpoint == new.to_string(), endpoint))
        })?;
        answered(&wan, &machine, Side::Right, Family::V6)?;
        say(format_args!("outer {outer:?}: the kernel followed ours in {took:.1?}"))?;
        wan.succeeded()?;
    }
    Ok(())
}

/// Gives the left gateway another address in the place of its own.
fn move_left(wan: &Wan, family: Family) -> Result<IpAddr> {
    let namespace = wan.namespace(Side::Left);
    let all = "net.ipv4.conf.all.promote_secondaries=1";
    namespace.run(&["sysctl", "-qw", all, "net.ipv4.conf.wan0.promote_secondaries=1"])?;
    let new = wan.add_host(Side::Left, family, 7)?;
    wan.remove_host(Side::Left, family, 1)?;
    wan.add_default_routes(Side::Left)?;
    Ok(new)
}

#[test]
fn tcp_each_way_over_both_ips_arrives_as_it_was_sent() -> Result<()> {
    let wan = Wan::new()?;
    let machine = Machine::boot(&wan)?;
    machine.configure(PairPlan::default())?;
    let _gateway = left(&wan, PairPlan::default())?;
    for family in FAMILIES {
        answered(&wan, &machine, Side::Left, family)?;
        let forth = to_machine(&wan, &machine, family)?;
        let back = from_machine(&wan, &machine, family)?;
        let mib = BYTES >> 20;
        say(format_args!(
            "{family:?}: {mib} MiB to the kernel in {forth:.1?}, back in {back:.1?}"
        ))?;
    }
    wan.succeeded()
}

fn to_machine(wan: &Wan, machine: &Machine<'_>, family: Family) -> Result<Duration> {
    machine.run("rm -f /tmp/sum; nc -l -p 7000 </dev/null 2>&1 | sha256sum >/tmp/sum 2>&1 &")?;
    until("the machine to listen", SOON, || {
        Ok(Look::retry(machine.run("netstat -ltn | grep -q ':7000 '").map(drop)))
    })?;
    let data: Vec<u8> =
        (0..BYTES as u32 / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let start = Instant::now();
    wan.namespace(Side::Left).inside(|| {
        let address = SocketAddr::new(inner(Side::Right, family), 7000);
        let mut stream = TcpStream::connect_timeout(&address, SOON)?;
        stream.write_all(&data)?;
        stream.shutdown(Shutdown::Write)?;
        // It closes once it has read everything.
        Ok(stream.read_to_end(&mut Vec::new())?)
    })?;
    let took = start.elapsed();
    let expected = hex(&Sha256::digest(&data));
    until("the sum of what arrived", SOON, || {
        let sum = machine.run("cat /tmp/sum")?;
        Ok(Look::<()>::when(sum.starts_with(&expected), sum))
    })?;
    Ok(took)
}

fn from_machine(wan: &Wan, machine: &Machine<'_>, family: Family) -> Result<Duration> {
    let address = inner(Side::Left, family);
    let make = format!("head -c {BYTES} /dev/urandom >/tmp/data; sha256sum /tmp/data");
    let expected = machine.run(&make)?;
    let left = wan.namespace(Side::Left);
    let listener = left.inside(|| Ok(TcpListener::bind((address, 7001))?))?;
    machine.run(&format!("nc {address} 7001 </tmp/data >/dev/null 2>&1 &"))?;
    let start = Instant::now();
    let (mut stream, _) = listener.accept().context("nobody connected")?;
    let (mut received, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    let mut bytes = 0;
    while bytes < BYTES {
        let len = stream.read(&mut buffer)?;
        ensure!(len > 0, "the stream ended after {bytes} bytes");
        received.update(&buffer[..len]);
        bytes += len;
    }
    let sum = hex(&received.finalize());
    ensure!(expected.starts_with(&sum), "{expected} was sent, {sum} arrived");
    Ok(start.elapsed())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
