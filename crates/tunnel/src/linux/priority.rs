//! How the kernel ranks the calling thread among all that want to run.
//!
//! Refuses to know when a thread is to rank before others: that is `pace`'s. Interface: sched(7).

use std::io;

use super::sys::check;

/// The lowest of the real-time priorities: before every ordinary thread, behind all else of the kind.
const LOWEST: libc::c_int = 1;
/// Nine times the time of an ordinary thread that wants the same core, which waits for nine of the
/// kernel's slices (`base_slice_ns`: 1.4 ms on two cores, 2.8 on eight) at most. More would keep it
/// waiting for longer than real time does.
const NICE: libc::c_int = -10;

/// Whom the calling thread runs before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadPriority {
    /// Nobody.
    Ordinary,
    /// It has a larger share than ordinary ones, which get theirs (`nice` -10).
    Favoured,
    /// All that are not real-time (`SCHED_RR` 1).
    First,
}

impl ThreadPriority {
    /// Ranks the calling thread so. What the kernel does not allow leaves it as it is.
    pub(crate) fn apply(self) -> io::Result<()> {
        match self {
            Self::Ordinary => set_scheduler(libc::SCHED_OTHER, 0).and_then(|()| set_nice(0)),
            Self::Favoured => set_scheduler(libc::SCHED_OTHER, 0).and_then(|()| set_nice(NICE)),
            Self::First => set_scheduler(libc::SCHED_RR, LOWEST),
        }
    }
}

fn set_scheduler(policy: libc::c_int, sched_priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: the kernel reads one `sched_param`, which lives until the call returns; 0 is this thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) }).map(drop)
}

fn set_nice(nice: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes no memory; on Linux 0 is this thread, not its process.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}
