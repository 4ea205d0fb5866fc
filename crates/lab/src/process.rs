//! A process under test: started in a namespace, logging to a file, ended by its id.
//!
//! Owns the child and its log. Promises that output is never lost and that a wait ends early, with
//! the log's tail, when the process does. Refuses to end anything it did not start.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{Look, until};

const TAIL_LINES: usize = 40;

/// A started process. Dropping it kills it, unless it was [`Process::left`] running.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where the current incarnation's output begins in the log, in bytes.
    begins: u64,
    left: bool,
}

impl Process {
    /// Starts `command` (see [`crate::namespace::Namespace::command`]) in a process group of its
    /// own; output is appended to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// When the log or the program cannot be opened.
    pub fn spawn(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let begins = log.metadata()?.len();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log: path, begins, left: false })
    }

    /// The process id of the program itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed since it was started, without terminal colours.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn output(&self) -> Result<String> {
        use std::io::Seek;
        let mut file = File::open(&self.log)?;
        file.seek(std::io::SeekFrom::Start(self.begins))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(without_colours(&String::from_utf8_lossy(&bytes)))
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until the output contains `text`; returns the line and the seconds it took.
    ///
    /// # Errors
    /// After `timeout`, or when the process ends first: the log's tail.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<(String, Duration)> {
        let what = format!("{:?} from {}", text, self.name);
        until(&what, timeout, || {
            let output = self.output()?;
            if let Some(line) = output.lines().find(|line| line.contains(text)) {
                return Ok(Look::Done(line.to_owned()));
            }
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status} before {what}:\n{}", self.name, tail(&output));
            }
            Ok(Look::Not(format!("its log ends with\n{}", tail(&output))))
        })
    }

    /// Waits for the end; returns exit code (128 + signal if it was killed) and output.
    ///
    /// # Errors
    /// After `timeout`.
    pub fn wait_for_end(&mut self, timeout: Duration) -> Result<(i32, String)> {
        self.wait_for_end_while(timeout, || Ok(()))
    }

    /// As [`Process::wait_for_end`], as long as there is hope.
    ///
    /// # Errors
    /// After `timeout`, and that of `hope`.
    pub fn wait_for_end_while(
        &mut self,
        timeout: Duration,
        hope: impl Fn() -> Result<()>,
    ) -> Result<(i32, String)> {
        use std::os::unix::process::ExitStatusExt;
        let what = format!("the end of {}", self.name);
        let (status, _) = until(&what, timeout, || {
            hope()?;
            let output = self.output()?;
            Ok(match self.ended()? {
                Some(status) => Look::Done(status),
                None => Look::Not(format!("its log ends with\n{}", tail(&output))),
            })
        })?;
        let killed = || 128 + status.signal().unwrap_or(0);
        Ok((status.code().unwrap_or_else(killed), self.output()?))
    }

    /// `kill -9`, as a crash: nothing is flushed, nothing is said.
    ///
    /// # Errors
    /// When it had already ended.
    pub fn kill_9(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} had already ended with {status}", self.name);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then the exit code.
    ///
    /// # Errors
    /// When it does not end within `timeout`.
    pub fn terminate(&mut self, timeout: Duration) -> Result<i32> {
        self.signal(Signal::SIGTERM)?;
        Ok(self.wait_for_end(timeout)?.0)
    }

    /// Sends a signal, if it still runs.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_none() {
            let pid = i32::try_from(self.child.id()).context("process id out of range")?;
            kill(Pid::from_raw(pid), signal)?;
        }
        Ok(())
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_kib(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).with_context(|| format!("no VmRSS in {path}"))
    }

    /// Leaves it running when this value goes (`KEEP=1`).
    pub fn left(&mut self) {
        self.left = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.left && matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The last lines of a text.
#[must_use]
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The text without ANSI escape sequences.
#[must_use]
pub fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = after.find(|c: char| ('@'..='~').contains(&c));
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("sh", command, folder).expect("sh starts")
    }

    #[test]
    fn colours_are_taken_out_and_text_stays() {
        assert_eq!(without_colours("a\x1b[32mb\x1b[0m\x1b[1;31mc d"), "ab".to_owned() + "c d");
        assert_eq!(without_colours("cut \x1b[3"), "cut ");
    }

    #[test]
    fn a_wait_ends_early_with_the_log_when_the_process_ends() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut process = shell("echo reason; exit 7", folder.path());
        let error = process.wait_for("never", Duration::from_secs(30)).expect_err("it ends");
        let text = format!("{error:#}");
        assert!(text.contains("reason") && text.contains("exit status: 7"), "{text}");
    }

    #[test]
    fn output_begins_anew_with_each_start_and_the_log_keeps_both() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (code, first) =
            shell("echo first", folder.path()).wait_for_end(Duration::from_secs(10)).expect("ends");
        let (_, second) = shell("echo second", folder.path())
            .wait_for_end(Duration::from_secs(10))
            .expect("ends");
        assert_eq!((code, first.as_str(), second.as_str()), (0, "first\n", "second\n"));
        let log = std::fs::read_to_string(folder.path().join("sh.log")).expect("log");
        assert_eq!(log, "first\nsecond\n");
    }

    #[test]
    fn a_killed_process_reports_128_plus_the_signal() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut process = shell("echo up; sleep 60", folder.path());
        process.wait_for("up", Duration::from_secs(10)).expect("starts");
        assert_eq!(process.terminate(Duration::from_secs(10)).expect("ends"), 143);
    }
}
