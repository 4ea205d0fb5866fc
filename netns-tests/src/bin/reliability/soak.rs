//! A bad path for half an hour: 1 % loss, 20 ms +- 5 ms, a cut every two minutes, forced handshakes.
//!
//! ```text
//!   left ---- relay on the router (delay, jitter, loss) ---- right
//!   echo client                                              echo server, through the tunnel
//! ```
//!
//! Measured: the time from the end of each cut, and from each forced handshake, to the next answer;
//! the age of the session, which must never pass Reject-After-Time; memory and processor time.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::{PORT, inner};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan, configuration};
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::binaries;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use crate::echo::{EchoEnd, EchoProbe};

const PERIOD: Duration = Duration::from_secs(120);
/// Into each period: a forced handshake, then a cut of one of these lengths.
const FORCE_AT: Duration = Duration::from_secs(40);
const CUT_AT: Duration = Duration::from_secs(70);
const CUTS: [u64; 4] = [3, 10, 25, 45];
const RECOVERY: Duration = Duration::from_secs(5);
/// Reject-After-Time (WireGuard paper, section 6.1), and a look each second.
const OLDEST_SESSION: u64 = 182;
/// Growth of memory that no leak explains: allocator noise over half an hour.
const KIB_PER_HOUR: f64 = 1024.0;

/// What is measured on the way.
#[derive(Default)]
struct Figures {
    cuts: Vec<Duration>,
    forced: Vec<Duration>,
    memory: Vec<(f64, f64)>,
    handshakes: u64,
    latest: u64,
    oldest_session: u64,
}

/// Runs it.
pub(crate) fn run(length: Duration) -> Result<()> {
    let wan = Wan::new()?;
    let ours = Implementation::Zonemesh;
    let _relay = relay(&wan)?;
    let pair = Pair::start(&wan, [ours, ours], PairPlan { keepalive: 25, ..PairPlan::default() })?;
    behind_the_relay(&wan, &pair)?;
    pair.wait_for_ping(Side::Left, Family::V4, Duration::from_secs(30))?;
    let end = |side| EchoEnd { namespace: wan.namespace(side), address: inner(side, Family::V4) };
    let echo = EchoProbe::start(end(Side::Left), end(Side::Right))?;
    let mut figures = Figures::default();
    let start = Instant::now();
    let mut period = 0;
    while start.elapsed() < length {
        let begin = PERIOD * period;
        watch(&pair, start, begin + FORCE_AT, &mut figures)?;
        figures.forced.push(force(&wan, &pair, &echo)?);
        watch(&pair, start, begin + CUT_AT, &mut figures)?;
        let cut = Duration::from_secs(CUTS[period as usize % CUTS.len()]);
        figures.cuts.push(cut_for(&wan, &echo, cut)?);
        let (forced, back) = (figures.forced.last(), figures.cuts.last());
        writeln!(
            std::io::stdout(),
            "{:>5.0?}: forced handshake {forced:.2?}; cut of {cut:?}, back after {back:.2?}; {} KiB",
            start.elapsed(),
            pair.left.resident_kib()?
        )?;
        watch(&pair, start, begin + PERIOD, &mut figures)?;
        period += 1;
    }
    let counts = echo.counts();
    drop(echo);
    report(&pair, &figures, counts, start.elapsed())?;
    wan.succeeded()
}

/// The Lab's relay, on the router: both gateways speak to it instead of each other.
fn relay(wan: &Wan) -> Result<Process> {
    let at = |address| SocketAddr::new(address, PORT).to_string();
    let mut command = wan.router().command(binaries::find("zonemesh-lab")?);
    command.arg("relay");
    for (side, letter) in [(Side::Left, "a"), (Side::Right, "b")] {
        command.args([format!("--{letter}-listen"), at(wan.router_address(side, Family::V4))]);
        command.args([format!("--{letter}-peer"), at(wan.address(side, Family::V4))]);
    }
    command.args(["--delay-ms", "15", "--jitter-ms", "10", "--loss-percent", "1"]);
    let mut relay = Process::spawn("relay", command, wan.folder())?;
    relay.wait_for("relay ready", Duration::from_secs(10))?;
    Ok(relay)
}

fn behind_the_relay(wan: &Wan, pair: &Pair<'_>) -> Result<()> {
    for (side, gateway) in [(Side::Left, &pair.left), (Side::Right, &pair.right)] {
        let relay = SocketAddr::new(wan.router_address(side, Family::V4), PORT).to_string();
        gateway.set(&["peer", &gateway.peer()?.public_key, "endpoint", &relay])?;
    }
    Ok(())
}

/// Looks each second until `until` after `start`: memory, and the age of the session.
fn watch(pair: &Pair<'_>, start: Instant, until: Duration, figures: &mut Figures) -> Result<()> {
    while start.elapsed() < until {
        std::thread::sleep(Duration::from_secs(1));
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let latest = pair.left.peer()?.latest_handshake;
        if latest != figures.latest {
            figures.handshakes += 1;
            figures.latest = latest;
        }
        figures.oldest_session = figures.oldest_session.max(now.saturating_sub(latest));
        let kib = pair.left.resident_kib()? + pair.right.resident_kib()?;
        figures.memory.push((start.elapsed().as_secs_f64(), kib as f64));
    }
    Ok(())
}

/// Takes the peer away and puts it back: a session from nothing.
fn force(wan: &Wan, pair: &Pair<'_>, echo: &EchoProbe) -> Result<Duration> {
    let peer = pair.left.peer()?.public_key;
    pair.left.set(&["peer", &peer, "remove"])?;
    let gone = Instant::now();
    let plan = PairPlan { keepalive: 25, ..PairPlan::default() };
    let text = configuration(wan, Side::Left, plan);
    let direct = SocketAddr::new(wan.address(Side::Right, Family::V4), PORT).to_string();
    let relay = SocketAddr::new(wan.router_address(Side::Left, Family::V4), PORT).to_string();
    pair.left.load("syncconf", &text.replace(&direct, &relay))?;
    answered_after(echo, gone)
}

/// Cuts the path; returns the time from its end to the next answer.
fn cut_for(wan: &Wan, echo: &EchoProbe, cut: Duration) -> Result<Duration> {
    wan.cut(Side::Right, true)?;
    std::thread::sleep(cut);
    wan.cut(Side::Right, false)?;
    answered_after(echo, Instant::now())
}

fn answered_after(echo: &EchoProbe, moment: Instant) -> Result<Duration> {
    let (answer, _) = until("an answer", Duration::from_secs(60), || {
        let answer = echo.last().filter(|last| *last > moment);
        Ok(answer.map_or_else(|| Look::Not("none".to_owned()), Look::Done))
    })?;
    Ok(answer - moment)
}

fn report(
    pair: &Pair<'_>,
    figures: &Figures,
    (sent, received): (u64, u64),
    took: Duration,
) -> Result<()> {
    let worst = |times: &[Duration]| times.iter().max().copied().unwrap_or_default();
    let (cut, forced) = (worst(&figures.cuts), worst(&figures.forced));
    let slope = slope(&figures.memory[figures.memory.len() / 3..]) * 3600.0;
    let cpu = pair.left.cpu()? + pair.right.cpu()?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "soak of {:.0} s, both gateways together where not said otherwise:",
        took.as_secs_f64()
    )?;
    writeln!(out, "  cuts: {}, slowest recovery {cut:.2?}", figures.cuts.len())?;
    writeln!(out, "  forced handshakes: {}, slowest {forced:.2?}", figures.forced.len())?;
    writeln!(
        out,
        "  handshakes: {}, oldest session {} s",
        figures.handshakes, figures.oldest_session
    )?;
    writeln!(out, "  datagrams: {sent} sent, {received} answered")?;
    writeln!(out, "  memory: {slope:+.0} KiB per hour; processor: {cpu:.1?}")?;
    ensure!(cut <= RECOVERY, "a recovery took {cut:.2?}");
    ensure!(figures.oldest_session <= OLDEST_SESSION, "a renewal was missed");
    ensure!(slope <= KIB_PER_HOUR, "memory grows by {slope:.0} KiB per hour");
    Ok(())
}

/// Least squares: how much the second value grows per unit of the first.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        (above + (point.0 - x) * (point.1 - y), below + (point.0 - x).powi(2))
    });
    if below == 0.0 { 0.0 } else { above / below }
}
