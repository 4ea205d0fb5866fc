//! One network namespace: made, entered, emptied and deleted.
//!
//! Owns the names `zm<owner>-<lab>-<name>`. Promises that a namespace goes with its owner: on drop,
//! on SIGINT and SIGTERM, and, when the owner was killed, at the start of the next Lab.
//! Refuses to touch a namespace with any other name.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{Look, until};

const PREFIX: &str = "zm";
const KEPT: &str = "kept";
const FILES: &str = "files";

/// Who a namespace belongs to, as written in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceOwner {
    /// A process: the namespace goes when the process is gone.
    Process(u32),
    /// Left up on purpose (`KEEP=1`) by the process of this id; only `make clean-lab` removes it.
    Kept(u32),
}

impl NamespaceOwner {
    fn text(self) -> String {
        match self {
            Self::Process(pid) => format!("{PREFIX}{pid}"),
            Self::Kept(pid) => format!("{PREFIX}{KEPT}{pid}"),
        }
    }

    /// The owner of a namespace's name; `None` for names that are not ours.
    fn of(name: &str) -> Option<Self> {
        let (owner, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
        let (lab, _) = rest.split_once('-')?;
        lab.parse::<u32>().ok()?;
        match owner.strip_prefix(KEPT) {
            Some(pid) => pid.parse().ok().map(Self::Kept),
            None => owner.parse().ok().map(Self::Process),
        }
    }
}

/// A network namespace, deleted with everything that runs in it when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    owner: NamespaceOwner,
}

impl Namespace {
    /// Makes `zm<owner>-<lab>-<name>` with its loopback up.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(owner: NamespaceOwner, lab: u32, name: &str) -> Result<Self> {
        let full = format!("{}-{lab}-{name}", owner.text());
        run(Command::new("ip").args(["netns", "add", &full]))?;
        let namespace = Self { name: full, owner };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The full name, as `ip netns list` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside this namespace. It execs: the process id is the program's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.name))
            .arg("--")
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command inside and returns its standard output.
    ///
    /// # Errors
    /// When it does not exit with 0: command, status and its standard error.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        let (program, rest) = argv.split_first().context("no command given")?;
        run(self.command(program).args(rest))
    }

    /// Runs `ip` on this namespace.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(args))
    }

    /// Runs a closure on a thread of its own inside this namespace: sockets it opens belong here.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the closure's own error.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("cannot enter {path}"))?;
                work()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Ends every process in this namespace, as a power cut would; returns when all are gone.
    ///
    /// # Errors
    /// When the processes cannot be listed, or one does not die.
    pub fn kill_all(&self) -> Result<()> {
        let what = format!("the end of all processes in {}", self.name);
        until(&what, Duration::from_secs(20), || {
            let killed = kill_all_in(&self.name)?;
            Ok(Look::<()>::when(killed == 0, format!("{killed} live")))
        })?;
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if matches!(self.owner, NamespaceOwner::Process(_)) {
            remove(&self.name);
        }
    }
}

/// Makes the folder for a Lab's files; it is removed like the Lab's namespaces.
///
/// # Errors
/// When it cannot be made or already exists.
pub fn folder_of(owner: NamespaceOwner, lab: u32) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("{}-{lab}-{FILES}", owner.text()));
    std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    // Whatever the mask: Flower's user has files of its own in it.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Removes what killed owners left behind; with `kept` also what `KEEP=1` left. Returns the names.
///
/// # Errors
/// When namespaces cannot be listed.
pub fn reap(kept: bool) -> Result<Vec<String>> {
    let orphaned = |owner| match owner {
        NamespaceOwner::Process(pid) => !process_lives(pid),
        NamespaceOwner::Kept(_) => kept,
    };
    remove_where(orphaned)
}

/// On SIGINT or SIGTERM: removes this process's namespaces and exits with 128 + the signal.
pub fn clean_up_on_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let thread = std::thread::Builder::new().name("signals".to_owned());
        let started = thread.spawn(|| {
            let signal = wait_for_signal();
            let me = std::process::id();
            let mine = |owner| matches!(owner, NamespaceOwner::Process(pid) | NamespaceOwner::Kept(pid) if pid == me);
            let removed = remove_where(mine).unwrap_or_default();
            eprintln_best_effort(&format!("interrupted: {} namespaces removed", removed.len()));
            std::process::exit(128 + signal);
        });
        drop(started);
    });
}

fn wait_for_signal() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        std::thread::park();
        return 0;
    };
    runtime.block_on(async {
        let interrupt = signal(SignalKind::interrupt());
        let terminate = signal(SignalKind::terminate());
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        }
    })
}

fn eprintln_best_effort(text: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn remove_where(wanted: impl Fn(NamespaceOwner) -> bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for name in names_in(Path::new("/run/netns"))? {
        if NamespaceOwner::of(&name).is_some_and(&wanted) {
            remove(&name);
            removed.push(name);
        }
    }
    let temporary = std::env::temp_dir();
    for name in names_in(&temporary)? {
        if name.ends_with(FILES) && NamespaceOwner::of(&name).is_some_and(&wanted) {
            // Another user's leftovers cannot be removed; they are no reason to fail.
            drop(std::fs::remove_dir_all(temporary.join(name)));
        }
    }
    Ok(removed)
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", folder.display())),
    }
}

fn remove(name: &str) {
    // Best effort, twice over: a dying process may start one last child, and Drop cannot fail.
    drop(kill_all_in(name));
    drop(kill_all_in(name));
    drop(run(Command::new("ip").args(["netns", "del", name])));
}

/// Returns how many processes it found.
fn kill_all_in(name: &str) -> Result<usize> {
    let pids = run(Command::new("ip").args(["netns", "pids", name]))?;
    for pid in pids.split_whitespace() {
        let pid: i32 = pid.parse().context("ip netns pids printed no number")?;
        let _ended_meanwhile = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    Ok(pids.split_whitespace().count())
}

fn process_lives(pid: u32) -> bool {
    i32::try_from(pid)
        .is_ok_and(|pid| !matches!(kill(Pid::from_raw(pid), None), Err(nix::errno::Errno::ESRCH)))
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// When it cannot start or does not exit with 0: the command line and its standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_owner_and_foreign_names_have_none() {
        assert_eq!(NamespaceOwner::of("zm4711-0-berlin-gw"), Some(NamespaceOwner::Process(4711)));
        assert_eq!(NamespaceOwner::of("zmkept12-3-router"), Some(NamespaceOwner::Kept(12)));
        for foreign in ["zm", "zm0", "zm12-berlin", "zmap-1-x", "web-1-2", "zm12-x-y"] {
            assert_eq!(NamespaceOwner::of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn this_process_lives_and_pid_zero_point_max_does_not() {
        assert!(process_lives(std::process::id()));
        assert!(!process_lives(u32::MAX));
        assert!(!process_lives(4_194_305));
    }
}
