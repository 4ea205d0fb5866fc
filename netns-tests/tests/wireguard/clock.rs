//! Clocks: one that goes back over a restart, one that is put right, one before 1970.
//!
//! ```text
//!   left: zonemesh-wg with a false clock  ==== tunnel ====  right: remembers left's handshakes
//! ```
//!
//! libfaketime stands before the C library of one process; a program that asks the kernel itself, as
//! those in Go do, cannot be told a false time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use netns_tests::wireguard::gateway::WireGuardGateway;
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::wait::{Look, until};

const SOON: Duration = Duration::from_secs(10);
const PLAN: PairPlan =
    PairPlan { outer: Family::V4, preshared: false, keepalive: 25, right_knows_left: true };

/// A clock that can be set while its process runs: an offset such as `-1h` in a file.
struct FalseClock {
    library: PathBuf,
    file: PathBuf,
}

impl FalseClock {
    fn new(folder: &Path, offset: &str) -> Result<Self> {
        let libraries = std::fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut found = libraries.map(|path| path.join("faketime/libfaketimeMT.so.1"));
        let library = found.find(|path| path.is_file());
        let library = library.context("faketime is missing -> apt-get install faketime")?;
        let clock = Self { library, file: folder.join("offset") };
        clock.set(offset)?;
        Ok(clock)
    }

    fn set(&self, offset: &str) -> Result<()> {
        // Renamed, so that it is never read half-written.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{offset}\n"))?;
        Ok(std::fs::rename(new, &self.file)?)
    }

    fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", &self.file).env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    }
}

/// Seconds from the first to the second handshake that left shows.
fn wait_for_handshake(gateway: &WireGuardGateway<'_>, after: u64) -> Result<Duration> {
    let (_, took) = until("a handshake", Duration::from_secs(40), || {
        let shown = gateway.peer()?.latest_handshake;
        Ok(Look::<()>::when(shown > after, format!("the latest is of {shown}")))
    })?;
    Ok(took)
}

fn unix_now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

pub(crate) fn a_gateway_whose_clock_went_back_is_called_back(by: Implementation) -> Result<()> {
    use std::io::Write as _;
    let wan = Wan::new()?;
    let clock = FalseClock::new(wan.folder(), "-1h")?;
    let mut pair = Pair::start(&wan, [Implementation::Zonemesh, by], PLAN)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    pair.left.process().kill_9()?;
    pair.left.start_again_with(|command| clock.rule(command))?;
    pair.configure(Side::Left, PLAN)?;
    let took = wait_for_handshake(&pair.left, 0)?;
    let shown = pair.left.peer()?.latest_handshake;
    ensure!(shown + 3000 < unix_now()?, "the clock is not false: {shown}");
    writeln!(std::io::stderr(), "{by}: a peer whose clock went back is called back in {took:.1?}")?;
    ensure!(took <= SOON, "{took:.1?}");
    wan.succeeded()
}

pub(crate) fn a_clock_that_went_back_is_reported_and_put_right_again(
    by: Implementation,
) -> Result<()> {
    ensure!(by == Implementation::Zonemesh, "it keeps no time over restarts");
    let wan = Wan::new()?;
    let kept = wan.folder().join("clock");
    let clock = FalseClock::new(wan.folder(), "+0")?;
    let mut pair = Pair::start(&wan, [by, by], PLAN)?;
    pair.left.process().terminate(SOON)?;
    for offset in ["+0", "-1h"] {
        clock.set(offset)?;
        pair.left.start_again_with(|command| {
            clock.rule(command);
            command.arg("--clock-file").arg(&kept);
        })?;
        pair.configure(Side::Left, PLAN)?;
        wait_for_handshake(&pair.left, 0)?;
        if offset == "+0" {
            pair.left.process().terminate(SOON)?;
        }
    }
    let first = stored(&kept)?;
    ensure!(first.abs_diff(unix_now()?) < 60, "{first} was kept");
    let log = pair.left.process().output()?;
    ensure!(log.contains("the clock went back"), "not reported:\n{log}");
    let behind = log.split("behind_s=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let behind: u64 = behind.context("no distance in the log")?.parse()?;
    ensure!((3590..3700).contains(&behind), "{behind} s behind");

    // Put right, new handshakes bear the new time at once: the right side accepts them.
    let before = pair.left.peer()?.latest_handshake;
    clock.set("+0")?;
    wait_for_handshake(&pair.left, before + 3000)?;
    let (log, _) = pair.left.process().wait_for("the clock is right again", SOON)?;
    ensure!(!log.contains("panicked"), "{log}");
    pair.left.process().terminate(SOON)?;
    ensure!(stored(&kept)? >= first, "{} is before {first}", stored(&kept)?);
    wan.succeeded()
}

fn stored(file: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(file).context("the time is not kept")?;
    Ok(text.trim().parse::<u64>()? / 1000)
}

pub(crate) fn a_clock_before_1970_ends_nothing(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let clock = FalseClock::new(wan.folder(), "-60y")?;
    let mut pair = Pair::start(&wan, [by, by], PLAN)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    pair.left.process().kill_9()?;
    pair.left.start_again_with(|command| clock.rule(command))?;
    pair.configure(Side::Left, PLAN)?;
    if by == Implementation::Zonemesh {
        let target = netns_tests::wireguard::gateway::inner(Side::Right, Family::V4);
        let pinged =
            netns_tests::wireguard::traffic::ping(wan.namespace(Side::Left), target, 10, 0.2)?;
        ensure!(pinged.received == 0, "the clock is not false");
    }
    ensure!(pair.left.process().ended()?.is_none(), "it has ended");
    clock.set("+0")?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    pair.left.process().terminate(SOON)?;
    if by == Implementation::Zonemesh {
        let log = pair.left.process().output()?;
        ensure!(log.contains("clock_unset="), "not counted:\n{log}");
    }
    wan.succeeded()
}
