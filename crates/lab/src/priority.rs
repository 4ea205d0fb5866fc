//! Whether a thread of a program under test runs before ordinary ones.
//!
//! Owns the look into the kernel's account of it. Refuses to change anybody's priority.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Process;

/// `SCHED_RR`, as the kernel counts it.
const ROUND_ROBIN: u32 = 2;

/// Whether this machine lets anybody here run first.
///
/// # Errors
/// When `chrt` cannot be started.
pub fn is_allowed() -> Result<bool> {
    Ok(Command::new("chrt").args(["--rr", "1", "true"]).output()?.status.success())
}

/// Whether a busy tunnel runs first here: it may, and there is a core beside the one that it takes.
///
/// # Errors
/// As [`is_allowed`].
pub fn is_expected() -> Result<bool> {
    Ok(has_several_cores() && is_allowed()?)
}

/// Whether there is more than one core to run on.
#[must_use]
pub fn has_several_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// Whom a thread runs before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeenRank {
    /// All that are not real-time.
    pub first: bool,
    /// Nobody, but its share is larger than that of its process's first thread.
    pub favoured: bool,
}

impl SeenRank {
    /// The rank of nearly all threads.
    pub const ORDINARY: Self = Self { first: false, favoured: false };
}

/// How the process's thread of this name ranks now.
///
/// # Errors
/// When it has no such thread, or has ended.
pub fn rank(process: &Process, thread: &str) -> Result<SeenRank> {
    let own = ThreadStat::of(&format!("/proc/{}/stat", process.pid()))?;
    let seen = ThreadStat::of_thread(process, thread)?;
    let favoured = !seen.realtime && seen.nice < own.nice;
    Ok(SeenRank { first: seen.realtime, favoured })
}

/// How nice the process's thread of this name is now.
///
/// # Errors
/// As [`rank`].
pub fn nice_of(process: &Process, thread: &str) -> Result<i32> {
    Ok(ThreadStat::of_thread(process, thread)?.nice)
}

/// What the kernel says of a thread, proc_pid_stat(5).
struct ThreadStat {
    name: String,
    nice: i32,
    realtime: bool,
}

impl ThreadStat {
    fn of_thread(process: &Process, thread: &str) -> Result<Self> {
        for task in std::fs::read_dir(format!("/proc/{}/task", process.pid()))? {
            let seen = Self::of(&task?.path().join("stat").display().to_string())?;
            if seen.name == thread {
                return Ok(seen);
            }
        }
        anyhow::bail!("process {} has no thread {thread}", process.pid())
    }

    fn of(path: &str) -> Result<Self> {
        let stat = std::fs::read_to_string(path)?;
        let (name, fields) = stat.rsplit_once(") ").context("no name in stat")?;
        let name = name.split_once('(').context("no name in stat")?.1.to_owned();
        // The 19th and the 41st; `fields` begins with the third.
        let fields: Vec<&str> = fields.split(' ').collect();
        let nice = fields.get(16).context("too short")?.parse()?;
        let policy: u32 = fields.get(38).context("too short")?.parse()?;
        Ok(Self { name, nice, realtime: policy == ROUND_ROBIN })
    }
}

/// How it ever ranked while `work` was done.
///
/// # Errors
/// As [`rank`], or when the work fails.
pub fn ranks_during(
    process: &Process,
    thread: &str,
    work: impl FnOnce() -> Result<()>,
) -> Result<SeenRank> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watched = scope.spawn(|| -> Result<SeenRank> {
            let mut seen = SeenRank::ORDINARY;
            while !over.load(Ordering::Relaxed) {
                let now = rank(process, thread)?;
                seen.first |= now.first;
                seen.favoured |= now.favoured;
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(seen)
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let seen = watched.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done?;
        seen
    })
}
