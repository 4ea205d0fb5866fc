//! The right to make network namespaces: root, or a user namespace where the system allows one.
//!
//! Owns the re-exec into `unshare --user --keep-caps`. Promises to say which of
//! the two is used, and why neither works. Refuses to ask for a password or to use sudo.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Set by the re-exec, so that the inner process knows where it is.
const INSIDE: &str = "ZONEMESH_LAB_USER_NAMESPACE";

/// The inner shell: a private /run for `ip netns`, then the program itself.
const PREPARE: &str = "mount -t tmpfs -o mode=755 lab /run && mkdir -p /run/netns && ip link set lo up && exec \"$@\"";

/// How this process may make namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Root of the machine. The Lab makes namespaces of its own and touches nothing else.
    Root,
    /// Root of a user namespace only: even a mistake could not reach the host's network.
    UserNamespace,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root (new network namespaces only; the host's network is not changed)",
            Self::UserNamespace => "an unprivileged user namespace (no root needed)",
        })
    }
}

/// What this process has now, without changing anything.
///
/// # Errors
/// When it is neither root nor inside a user namespace made by [`enter`].
pub fn current() -> Result<Privilege> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(Privilege::UserNamespace);
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(Privilege::Root);
    }
    bail!(
        "network namespaces need root or a user namespace -> run it with sudo, \
         or through `zonemesh-lab enter -- COMMAND`"
    )
}

/// Root stays as it is; anyone else is started again inside a user namespace (does not return).
///
/// # Errors
/// When user namespaces are not allowed here, with the reason and what to do.
pub fn enter() -> Result<Privilege> {
    if let Ok(privilege) = current() {
        return Ok(privilege);
    }
    let me = std::env::current_exe().context("cannot tell where this program is")?;
    let mut argv = vec![me.into_os_string()];
    argv.extend(std::env::args_os().skip(1));
    enter_for(&argv)
}

/// Starts `argv` with the privilege that is to be had here, in place of this process.
///
/// # Errors
/// As [`enter`], or when the program cannot be started.
pub fn enter_for(argv: &[std::ffi::OsString]) -> Result<Privilege> {
    let (program, rest) = argv.split_first().context("no command given")?;
    if current().is_ok() {
        let error = Command::new(program).args(rest).exec();
        return Err(error).with_context(|| format!("cannot start {}", program.display()));
    }
    probe()?;
    let error = unshare().args(["sh", "-c", PREPARE, "sh"]).args(argv).env(INSIDE, "1").exec();
    Err(error).context("cannot start unshare -> install util-linux")
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    // The user keeps its own id, with all capabilities over the new namespaces: programs that give
    // root away when they find it (tcpdump) could not, as only one id is mapped.
    command.args(["--user", "--map-current-user", "--keep-caps", "--net", "--mount"]);
    command
}

fn probe() -> Result<()> {
    let output = unshare()
        .args(["sh", "-c", PREPARE, "sh", "ip", "netns", "add", "probe"])
        .output()
        .context("cannot start unshare -> install util-linux")?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "this user is not root and user namespaces do not work here: {} -> run it as root, or allow \
         them (sysctl kernel.unprivileged_userns_clone=1; on Ubuntu also \
         kernel.apparmor_restrict_unprivileged_userns=0)",
        String::from_utf8_lossy(&output.stderr).trim()
    )
}
