//! What a companion may do and Flower may not: change this VM's network.
//!
//! Promises that no program which is run for Flower, or asked, keeps CAP_NET_ADMIN where the unit says
//! `NoNewPrivileges=yes`: there a program gets no more than its parent has, root's own too.

use std::{io, thread};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

/// Gives CAP_NET_ADMIN up, for this thread and all that it starts; to be called before any other
/// is.
///
/// # Errors
/// The kernel refuses it.
pub(super) fn give_up_network() -> io::Result<()> {
    let mut held = capabilities(None)?;
    let network = CapabilitySet::NET_ADMIN;
    if !(held.permitted | held.effective | held.inheritable).contains(network) {
        return Ok(());
    }
    held.permitted.remove(network);
    held.effective.remove(network);
    held.inheritable.remove(network);
    Ok(set_capabilities(None, held)?)
}

/// Starts a program that may not change the network; the caller still may.
///
/// # Errors
/// No thread, the kernel refuses it, or the program cannot be started.
pub(crate) fn start_without_network(mut command: Command) -> io::Result<Child> {
    let runtime = Handle::current();
    // Capabilities are each thread's own, and a program has those of the thread that starts it.
    let starting = thread::Builder::new().spawn(move || {
        let _entered = runtime.enter();
        give_up_network()?;
        command.spawn()
    })?;
    starting.join().unwrap_or_else(|_panic| Err(io::Error::other("the thread has panicked")))
}

#[cfg(test)]
mod tests {
    use nix::sys::prctl::set_no_new_privs;

    use super::*;

    #[test]
    fn the_network_is_given_up_and_nothing_else() {
        let told = thread::spawn(|| {
            let before = capabilities(None).unwrap();
            give_up_network().unwrap();
            (before, capabilities(None).unwrap())
        });
        let (before, after) = told.join().unwrap();
        assert_eq!(after.effective, before.effective - CapabilitySet::NET_ADMIN);
        assert_eq!(after.permitted, before.permitted - CapabilitySet::NET_ADMIN);
    }

    /// Seen by the program itself, as under the units.
    #[tokio::test]
    async fn a_program_that_is_asked_may_not_change_the_network_and_who_asks_still_may() {
        set_no_new_privs().unwrap();
        let before = capabilities(None).unwrap();
        let mut command = Command::new("sed");
        command.args(["-n", "s/^CapPrm:\t//p", "/proc/self/status"]);
        command.stdout(std::process::Stdio::piped());
        let said = start_without_network(command).unwrap().wait_with_output().await.unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let permitted =
            CapabilitySet::from_bits_retain(u64::from_str_radix(said.trim(), 16).unwrap());
        assert_eq!(permitted, before.permitted - CapabilitySet::NET_ADMIN);
        assert_eq!(capabilities(None).unwrap().permitted, before.permitted);
    }
}
