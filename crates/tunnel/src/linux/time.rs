//! What the kernel says of its clock, and setting it.
//!
//! Refuses to know whether the clock is right: that is `clock`'s. Interface: adjtimex(2),
//! clock_settime(2).

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::sys::check;

/// The kernel's own bound of an error that it knows nothing about: `NTP_PHASE_LIMIT`, microseconds.
const UNKNOWN_ERROR: libc::c_long = 16_000_000;

/// True if something keeps the machine's clock in step with others. Its flag alone is not asked:
/// who does not want the kernel to set the hardware's clock leaves it unsaid (adjtimex(2)).
pub(crate) fn is_synchronised() -> io::Result<bool> {
    // SAFETY: `timex` is a C struct of integers, for which zeros are valid; no mode asks for a change.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to one `timex`, which lives until the call returns.
    check(unsafe { libc::adjtimex(&raw mut state) })?;
    Ok(state.status & libc::STA_UNSYNC == 0 || state.maxerror < UNKNOWN_ERROR)
}

/// Sets the machine's clock.
pub(crate) fn set(time: SystemTime) -> io::Result<()> {
    let since = time.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let seconds = libc::time_t::try_from(since.as_secs()).map_err(io::Error::other)?;
    let time = libc::timespec { tv_sec: seconds, tv_nsec: since.subsec_nanos().into() };
    // SAFETY: the kernel reads one `timespec`, which lives until the call returns.
    check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) }).map(drop)
}
