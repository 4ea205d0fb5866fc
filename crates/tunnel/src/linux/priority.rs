//! How the kernel ranks the calling thread among all that want to run.
//!
//! Refuses to know when a thread is to rank before others: that is `pace`'s. Interface: sched(7).

use std::io;

use super::sys::check;

/// The lowest of the real-time priorities: before every ordinary thread, behind all else of the kind.
const LOWEST: libc::c_int = 1;

/// Whether the calling thread runs before all that are not real-time, or as any other.
pub(crate) fn set_realtime(realtime: bool) -> io::Result<()> {
    let (policy, sched_priority) =
        if realtime { (libc::SCHED_RR, LOWEST) } else { (libc::SCHED_OTHER, 0) };
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: the kernel reads one `sched_param`, which lives until the call returns; 0 is this thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) }).map(drop)
}
