//! The guard: a small process between a companion and Flower, so that no Flower is left behind.
//!
//! It promises that all of the program's family (Flower starts `flower-superexec`, from 1.40 on in a
//! session of its own, which starts apps) ends with the program, and when the companion does, also by
//! `kill -9`: the companion holds the other end of the guard's standard input, and its end is the
//! signal. A parent-death signal would reach the first process only, and is lost when that one changes
//! its user. Processes whose parents have ended become the guard's own children, so that it finds
//! them. What it runs may not change this VM's network. It refuses to know what that is.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp};
use tokio::signal::unix::{SignalKind, signal};

use super::{as_user, family, privileges};
use crate::files::FileOwner;

/// How long Flower may take to stop once its companion is gone.
const GRACE: Duration = Duration::from_secs(5);

/// Exit status for a program that cannot be started, as in a shell.
pub const CANNOT_START: u8 = 127;

/// What the guard is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// As whom the program runs; the guard's own user if not given.
    pub owner: Option<FileOwner>,
    /// The program, then its arguments.
    pub command: Vec<OsString>,
}

/// Runs the program until it ends or the companion is gone, and returns the guard's exit status:
/// the program's own, or 128 plus the signal that ended it.
///
/// # Errors
/// No event loop, no signal handler, or the program cannot be started.
pub fn run(guarded: &Guarded) -> std::io::Result<u8> {
    prctl::set_child_subreaper(true)?;
    privileges::give_up_network()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(watch(guarded));
    // The thread that reads standard input is still blocked in its read.
    runtime.shutdown_background();
    ended.map(exit_code)
}

/// As [`run`], with an exit code for every end: a program that cannot be started gives 127.
#[must_use]
pub fn exit(guarded: &Guarded) -> ExitCode {
    match run(guarded) {
        Ok(code) => ExitCode::from(code),
        Err(error) => cannot_run(&guarded.command, &error),
    }
}

/// Says why a program cannot be started, and gives the exit code for that.
#[must_use]
pub fn cannot_run(command: &[OsString], error: &std::io::Error) -> ExitCode {
    use std::io::Write;

    let program = command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    // Standard error is the companion's log of this program; it may be gone.
    let _ = writeln!(std::io::stderr(), "cannot run {program}: {error}");
    ExitCode::from(CANNOT_START)
}

async fn watch(guarded: &Guarded) -> std::io::Result<ExitStatus> {
    // The companion signals the whole group; the guard must outlive the program to report its end.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut deaths = signal(SignalKind::child())?;
    let mut child = tokio::process::Command::from(command(guarded)?).spawn()?;
    let mut orphaned = tokio::task::spawn_blocking(wait_for_end_of_input);
    loop {
        tokio::select! {
            ended = child.wait() => {
                family::kill_descendants();
                return ended;
            }
            _ = deaths.recv() => family::bury_orphans(child.id().and_then(|id| id.try_into().ok())),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = &mut orphaned => return end_group(&mut child).await,
        }
    }
}

fn command(guarded: &Guarded) -> std::io::Result<Command> {
    let mut words = guarded.command.iter();
    let program = words.next().ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, "expected a program after --")
    })?;
    let mut command = as_user::command(program, guarded.owner)?;
    command.args(words).stdin(std::process::Stdio::null());
    Ok(command)
}

fn wait_for_end_of_input() {
    let mut buffer = [0_u8; 64];
    let mut input = std::io::stdin().lock();
    while matches!(input.read(&mut buffer), Ok(read) if read > 0) {}
}

async fn end_group(child: &mut tokio::process::Child) -> std::io::Result<ExitStatus> {
    let group: Pid = getpgrp();
    killpg(group, Signal::SIGTERM)?;
    // Flower's own children end a moment after it: wait the grace out unless all went at once.
    let ended = tokio::time::timeout(GRACE, child.wait()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    family::kill_descendants();
    // This ends the guard too: it is of the group.
    killpg(group, Signal::SIGKILL)?;
    ended.unwrap_or_else(|_elapsed| Ok(ExitStatus::from_raw(Signal::SIGKILL as i32)))
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_programs() {
        assert_eq!(exit_code(ExitStatus::from_raw(0)), 0);
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn no_program_is_an_error() {
        let error = run(&Guarded { owner: None, command: Vec::new() }).unwrap_err();
        assert_eq!(error.to_string(), "expected a program after --");
    }
}
