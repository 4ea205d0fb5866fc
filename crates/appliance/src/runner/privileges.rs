//! What a companion may do and Flower may not: change this VM's network.
//!
//! Promises that no program which is run for Flower keeps CAP_NET_ADMIN where the unit says
//! `NoNewPrivileges=yes`: there a program gets no more than its parent has, root's own too.

use std::io;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_given_up_and_nothing_else() {
        let told = std::thread::spawn(|| {
            let before = capabilities(None).unwrap();
            give_up_network().unwrap();
            (before, capabilities(None).unwrap())
        });
        let (before, after) = told.join().unwrap();
        assert_eq!(after.effective, before.effective - CapabilitySet::NET_ADMIN);
        assert_eq!(after.permitted, before.permitted - CapabilitySet::NET_ADMIN);
    }
}
