//! A pair that only keepalives hold up, and no path for minutes.
//!
//! ```text
//!   left ----  x router  ---- right       no payload, before or after
//! ```

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::wan::{Side, Wan};
use zonemesh_lab::wait::{Look, holds_for, until};

const BACK_WITHIN: Duration = Duration::from_secs(10);

/// Cuts the path for `outage` and measures how long both ends take to speak again.
pub(crate) fn run(outage: Duration) -> Result<()> {
    let wan = Wan::new()?;
    let ours = Implementation::Zonemesh;
    let pair = Pair::start(&wan, [ours, ours], PairPlan { keepalive: 25, ..PairPlan::default() })?;
    let handshakes = || -> Result<(u64, u64)> {
        Ok((pair.left.peer()?.latest_handshake, pair.right.peer()?.latest_handshake))
    };
    until("the first handshake", Duration::from_secs(20), || {
        let (left, right) = handshakes()?;
        Ok(Look::<()>::when(left > 0 && right > 0, "none"))
    })?;
    wan.cut(Side::Left, true)?;
    let start = std::time::Instant::now();
    let (before, cpu) = (pair.left.peer()?, pair.left.cpu()?);
    holds_for("the blackout", outage, || {
        // Looking twenty times a second for minutes would be what is measured.
        std::thread::sleep(Duration::from_secs(1));
        Ok(Look::Done(()))
    })?;
    let (during, spent) = (pair.left.peer()?, pair.left.cpu()?.saturating_sub(cpu));
    wan.cut(Side::Left, false)?;
    let healed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (_, took) = until("both ends", Duration::from_secs(120), || {
        let (left, right) = handshakes()?;
        Ok(Look::<()>::when(left >= healed && right >= healed, format!("{left} {right}")))
    })?;
    writeln!(
        std::io::stdout(),
        "blackout of {:.0?}: back after {took:.2?} without payload; \
         {} bytes sent into the void, {spent:?} of processor time",
        start.elapsed() - took,
        during.tx_bytes - before.tx_bytes,
    )?;
    ensure!(took <= BACK_WITHIN, "back after {took:.2?}, not within {BACK_WITHIN:?}");
    wan.succeeded()
}
