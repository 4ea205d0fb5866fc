//! Under garbage: as many datagrams as a thread can send that no gateway made, against a gateway on one core.
//!
//! ```text
//!                        router: zonemesh-reliability garbage
//!                          |
//!   left (first core) -----+----- right, and a cold peer there
//!   and there too: a program that wants to run each millisecond
//! ```
//!
//! `ZONEMESH_GARBAGE_S` says for how long (`make flood`: 60 s).

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::wireguard::gateway::{WireGuardGateway, inner};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::storm::Storm;
use netns_tests::wireguard::traffic::Pinger;
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::process::Process;

use crate::attack::{cold_peer, greet};

const PROGRAM: &str = env!("CARGO_BIN_EXE_zonemesh-reliability");
/// More than a core can look at: what comes beyond that waits in the socket, and keeps its thread busy.
const RATE: u32 = 3_000_000;
/// What a core can look at, and still too much for the thread that makes handshakes.
const MUCH: u32 = 600_000;
/// What a test has to offer at least, on whatever machine.
const LEAST: f64 = 60_000.0;
const SOON: Duration = Duration::from_secs(10);
/// Nobody waits longer for a busy tunnel: twice what is promised (50 ms), as other programs may be at work
/// on this machine too.
const STALL: Duration = Duration::from_millis(100);
const FIRST_CORE: &str = "0";

fn length() -> Result<Duration> {
    let seconds = std::env::var("ZONEMESH_GARBAGE_S").map_or(Ok(5), |text| text.parse());
    Ok(Duration::from_secs(seconds.context("ZONEMESH_GARBAGE_S is no number")?))
}

/// Lets a program run on some cores only.
fn pin(command: &mut Command, cores: &str) {
    let program = [command.get_program().to_owned()].into_iter();
    let argv: Vec<OsString> = program.chain(command.get_args().map(OsString::from)).collect();
    *command = Command::new("taskset");
    command.args(["-c", cores]).args(argv);
}

/// Left on these cores alone, with its only peer on the right.
fn pair_on<'a>(by: Implementation, wan: &'a Wan, cores: Option<&str>) -> Result<Pair<'a>> {
    let mut pair = Pair::start(wan, [by, by], PairPlan::default())?;
    if let Some(cores) = cores {
        pair.left.process().terminate(SOON)?;
        pair.left.start_again_with(|command| pin(command, cores))?;
        pair.configure(Side::Left, PairPlan::default())?;
    }
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    Ok(pair)
}

/// A program that wants to run on the first core each millisecond, for so long.
struct Sleeper(Process);

impl Sleeper {
    fn start(left: &WireGuardGateway<'_>, wan: &Wan, duration: Duration) -> Result<Self> {
        let mut command = left.namespace().command(PROGRAM);
        let seconds = duration.as_secs().to_string();
        command.args(["stalls", "--seconds", &seconds]);
        pin(&mut command, FIRST_CORE);
        Ok(Self(Process::spawn("stalls", command, wan.folder())?))
    }

    fn longest(mut self, patience: Duration) -> Result<(Duration, String)> {
        let (code, output) = self.0.wait_for_end(patience)?;
        let micros = output.strip_prefix("longest ").and_then(|rest| rest.split(' ').next());
        let micros = micros.with_context(|| format!("{code}: {output}"))?.parse()?;
        Ok((Duration::from_micros(micros), output))
    }
}

pub(crate) fn garbage_on_one_core_keeps_no_program_waiting(by: Implementation) -> Result<()> {
    garbage_keeps_no_program_waiting(by, Some(FIRST_CORE))
}

pub(crate) fn garbage_on_all_cores_keeps_no_program_waiting(by: Implementation) -> Result<()> {
    garbage_keeps_no_program_waiting(by, None)
}

fn garbage_keeps_no_program_waiting(by: Implementation, cores: Option<&str>) -> Result<()> {
    let wan = Wan::new()?;
    let pair = pair_on(by, &wan, cores)?;
    let duration = length()?;
    let mut storm = Storm::of_garbage(PROGRAM, &wan, RATE, duration + Duration::from_secs(2))?;
    storm.wait_until_it_blows()?;
    let sleeper = Sleeper::start(&pair.left, &wan, duration)?;
    let (longest, said) = sleeper.longest(duration + SOON)?;
    let offered = storm.wait_for_end()?;
    let cores = cores.unwrap_or("all");
    writeln!(std::io::stderr(), "{by}, cores: {cores}: {offered:.0}/s offered; stalls: {said}")?;
    ensure!(offered > LEAST, "only {offered:.0}/s could be offered here");
    ensure!(longest < STALL, "a program waited for {longest:.1?}");
    wan.succeeded()
}

pub(crate) fn garbage_starves_no_handshake(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let pair = pair_on(by, &wan, Some(FIRST_CORE))?;
    let mut storm = Storm::of_garbage(PROGRAM, &wan, MUCH, Duration::from_secs(8))?;
    storm.wait_until_it_blows()?;
    let target = inner(Side::Left, Family::V4);
    let pinger = Pinger::start(wan.namespace(Side::Right), target, 0.02, wan.folder())?;
    let mut greeted = Vec::new();
    for _ in 0..4 {
        let cold = cold_peer(by, &wan, &pair.left)?;
        greeted.push(greet(&wan, &cold)?);
    }
    let pinged = pinger.finish()?;
    let offered = storm.wait_for_end()?;
    writeln!(
        std::io::stderr(),
        "{by}: {offered:.0}/s offered; cold peers: {greeted:.2?}; {pinged:?}"
    )?;
    ensure!(offered > LEAST, "only {offered:.0}/s could be offered here");
    ensure!(greeted.iter().all(|took| *took <= Duration::from_secs(2)), "{greeted:.2?}");
    ensure!(pinged.lost() * 100 <= pinged.sent, "{pinged:?}");
    wan.succeeded()
}
