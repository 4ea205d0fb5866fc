//! A companion as a process with stand-in Flower programs, for tests from outside.
//!
//! The stand-ins are shell scripts that write down how they were started; what must speak TLS is
//! played by the test itself.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A companion with its folders. Killed when dropped.
pub struct CompanionProcess {
    /// Its folders lie here.
    pub folder: tempfile::TempDir,
    program: &'static str,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

impl CompanionProcess {
    /// `flower` is the script that plays Flower's program of this role.
    pub fn new(
        program: &'static str,
        variables: &[(String, String)],
        flower: (&str, &str),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        script(&bin.join("flwr"), "echo 'Flower version: 1.25.0'");
        script(&bin.join(flower.0), flower.1);
        let state = folder.path().join("state");
        let mut variables = variables.to_vec();
        for (key, path) in [("FLOWER_BIN", &bin), ("STATE_DIR", &state)] {
            variables.push((format!("ONEAPP_ZONEMESH_{key}"), path.display().to_string()));
        }
        Self { folder, program, variables, child: None }
    }

    /// Sets a variable.
    pub fn set(&mut self, key: &str, value: &str) {
        self.variables.retain(|(name, _)| name != key);
        self.variables.push((key.to_owned(), value.to_owned()));
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(arguments).env_clear().envs(self.variables.iter().cloned());
        command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    /// Starts `run`; its log goes to a file.
    pub fn run(&mut self) {
        let path = self.folder.path().join("log");
        let log = std::fs::File::options().append(true).create(true).open(path).unwrap();
        self.child = Some(self.command(&["run"]).stderr(log).spawn().unwrap());
    }

    /// Runs to the end: exit code, standard output, standard error.
    pub fn output(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// The status file as JSON; null before it is there.
    pub fn status(&self) -> serde_json::Value {
        let bytes = std::fs::read(self.state().join("status.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until the status file is as wanted.
    pub async fn until(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            let late = begun.elapsed() > Duration::from_secs(30);
            assert!(!late, "the status stayed {status:#}; log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its status once its state is this.
    pub async fn until_state(&self, state: &str) -> serde_json::Value {
        self.until(|status| status["state"] == state).await
    }

    /// Its status once its reason has this code.
    pub async fn until_reason(&self, code: &str) -> serde_json::Value {
        self.until(|status| status["reason"]["code"] == code).await
    }

    /// How the stand-in was started, one line for each start.
    pub fn starts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.state().join("flower/starts")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: nix::sys::signal::Signal) {
        let id = self.child.as_ref().unwrap().id().try_into().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).unwrap();
    }

    /// Its exit code, once it has ended.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.take().unwrap().wait().unwrap().code()
    }
}

impl Drop for CompanionProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Notes its arguments, then lives until it is told to end.
pub const LIVES: &str = "echo \"$@\" >> \"$HOME/starts\"\necho serving\nsleep 600 &\nwait";

/// Writes a shell script that can be run.
pub fn script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The processes of a group that are alive, with their command lines.
pub fn group(id: i64) -> String {
    let mut found = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
        // The name is in parentheses and may hold anything: state, parent and group follow it.
        let Some((_, after)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = after.split(' ').collect();
        if fields[0] != "Z" && fields[2] == id.to_string() {
            let _ = writeln!(found, "{} {}", path.display(), fields[0]);
        }
    }
    found
}

/// Waits until no process of a group is left.
pub async fn until_gone(id: i64) {
    let begun = Instant::now();
    while !group(id).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(15), "still there:\n{}", group(id));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
