//! How the kernel ranks the calling thread among all that want to run.
//!
//! Refuses to know when a thread is to rank before others: that is `pace`'s. Interface: sched(7).

use std::io;

use super::sys::check;

/// The lowest of the real-time priorities: before every ordinary thread, behind all else of the kind.
const LOWEST: libc::c_int = 1;
/// By so much less nice than it was: six times the time of a thread that has stayed as nice and wants
/// the same core. That one waits for six of the kernel's slices (`base_slice_ns`: up to 2.8 ms) and the
/// turn of real time before. With ten less it is nine slices, and a program that wants to run each
/// millisecond was seen to wait for 60 ms on a machine with more to do; with five, one TCP stream
/// carries a tenth less than with real time alone.
const FAVOUR: libc::c_int = 8;

/// Whom the calling thread runs before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadPriority {
    /// Nobody.
    Ordinary,
    /// It has a larger share than those of its process, which get theirs.
    Favoured,
    /// All that are not real-time (`SCHED_RR` 1).
    First,
}

/// How a thread ranked when it began: whoever has started the process may have made it nicer, or less.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnRank {
    nice: libc::c_int,
}

impl OwnRank {
    /// That of the calling thread.
    pub(crate) fn of_this_thread() -> Self {
        // SAFETY: the call takes no memory. It cannot fail for the thread that asks, though -1 may be
        // its answer.
        Self { nice: unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) } }
    }

    /// Ranks the calling thread so. What the kernel does not allow leaves it as it is.
    pub(crate) fn take(self, priority: ThreadPriority) -> io::Result<()> {
        let share = |nice| set_scheduler(libc::SCHED_OTHER, 0).and_then(|()| set_nice(nice));
        match priority {
            ThreadPriority::Ordinary => share(self.nice),
            ThreadPriority::Favoured => share(self.nice - FAVOUR),
            ThreadPriority::First => set_scheduler(libc::SCHED_RR, LOWEST),
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
